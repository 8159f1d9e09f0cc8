/** Why an endpoint may or may not take requests. */
export const EndpointState = {
  Free: 0,
  /** Known, not yet seen healthy. */
  Starting: 1,
  Ready: 2,
  /** Takes no new requests; running ones finish. */
  Draining: 3,
  /** Ejected by a health check or by failures. */
  Unhealthy: 4,
} as const;
export type EndpointState = (typeof EndpointState)[keyof typeof EndpointState];

export const endpointStateNames = ["free", "starting", "ready", "draining", "unhealthy"] as const;

/** A model name an endpoint answers to. */
export interface ServedModel {
  readonly id: string;
  /** The base model when `id` is a LoRA adapter. */
  readonly parent?: string;
  readonly maxModelLen?: number;
  readonly created?: number;
  readonly ownedBy?: string;
}

/** The adapters an engine reports, from `vllm:lora_requests_info`. */
export interface AdapterLoad {
  readonly running: ReadonlySet<string>;
  readonly waiting: ReadonlySet<string>;
  /** Adapters the engine can run at once; 0 when not reported. */
  readonly max: number;
}

/** Which metric names an endpoint's engine uses. */
export type EngineKind =
  | "vllm"
  | "sglang"
  | "trtllm-serve"
  | "triton-tensorrt-llm"
  | "triton"
  | (string & Record<never, never>);

/** What is known of one endpoint beyond numbers: one data-parallel rank of one model server. */
export interface EndpointMeta {
  /** `host:port`, with `#rank` where several ranks share the port. Unique in the table. */
  readonly id: string;
  /** Name from discovery (pod name, file entry); equals `id` when none was given. */
  readonly name: string;
  readonly namespace: string;
  readonly scheme: "http" | "https";
  readonly host: string;
  readonly port: number;
  /** Data-parallel rank behind the port, where an endpoint is one of several; absent: the port is the endpoint. */
  readonly rank?: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly engine: EngineKind;
  /** Replaced as a whole when the endpoint reports a new list; empty means not known yet. */
  models: readonly ServedModel[];
  adapters: AdapterLoad;
  /** Named numbers from custom metrics, read by the attribute plugins. */
  readonly attributes: Map<string, number>;
}

const noAdapters: AdapterLoad = { running: new Set(), waiting: new Set(), max: 0 };

/** Everything optional filled: discovery sources give the parts they know. */
export function endpointMeta(part: Partial<EndpointMeta> & Pick<EndpointMeta, "host" | "port">): EndpointMeta {
  const { rank } = part;
  const id = part.id ?? `${part.host}:${part.port}${rank === undefined ? "" : `#${rank}`}`;
  return {
    id,
    name: part.name ?? id,
    namespace: part.namespace ?? "default",
    scheme: part.scheme ?? "http",
    host: part.host,
    port: part.port,
    rank,
    labels: part.labels ?? {},
    engine: part.engine ?? "vllm",
    models: part.models ?? [],
    adapters: part.adapters ?? noAdapters,
    attributes: part.attributes ?? new Map(),
  };
}
