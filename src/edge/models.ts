/** A model a client may name. */
export interface ListedModel {
  readonly id: string;
  readonly created?: number;
  readonly ownedBy?: string;
  /** Base model of a LoRA adapter, or the target of an alias. */
  readonly parent?: string;
  readonly maxModelLen?: number;
}

/** One entry of `GET /v1/models`, in OpenAI's shape with vLLM's further fields. */
export function modelObject(model: ListedModel): Record<string, unknown> {
  return {
    id: model.id,
    object: "model",
    created: model.created ?? 0,
    owned_by: model.ownedBy ?? "warmpath",
    root: model.parent ?? model.id,
    parent: model.parent ?? null,
    ...(model.maxModelLen === undefined ? {} : { max_model_len: model.maxModelLen }),
  };
}

/** The answer of `GET /v1/models`. */
export function modelList(models: readonly ListedModel[]): Record<string, unknown> {
  return { object: "list", data: models.map(modelObject) };
}
