import type { Context } from "hono";
import { z } from "zod";
import type { ModelServer } from "../model_server.ts";
import { servedNames } from "../options.ts";
import { parseBody } from "./call.ts";

/** `GET /v1/models`: the base model under each of its names, then the adapters with their parent. */
export function models(server: ModelServer, c: Context): Response {
  const { model, maxModelLen } = server.options;
  const names = servedNames(server.options);
  const entry = (id: string, root: string, parent: string | null) => ({
    id,
    object: "model",
    created: server.createdS,
    owned_by: "vllm",
    root,
    parent,
    max_model_len: parent === null ? maxModelLen : null,
    permission: [],
  });
  return c.json({
    object: "list",
    data: [
      ...names.map((name) => entry(name, model, null)),
      ...[...server.adapters].map(({ name, path }) => entry(name, path, names[0])),
    ],
  });
}

const loadSchema = z.looseObject({ lora_name: z.string().min(1), lora_path: z.string().min(1) });
const unloadSchema = z.looseObject({ lora_name: z.string().min(1) });

/** `POST /v1/load_lora_adapter` */
export async function loadAdapter(server: ModelServer, c: Context): Promise<Response> {
  const { lora_name, lora_path } = parseBody(await c.req.text(), loadSchema);
  server.loadAdapter({ name: lora_name, path: lora_path });
  return c.text(`Success: LoRA adapter '${lora_name}' added`);
}

/** `POST /v1/unload_lora_adapter` */
export async function unloadAdapter(server: ModelServer, c: Context): Promise<Response> {
  const { lora_name } = parseBody(await c.req.text(), unloadSchema);
  server.unloadAdapter(lora_name);
  return c.text(`Success: LoRA adapter '${lora_name}' removed`);
}
