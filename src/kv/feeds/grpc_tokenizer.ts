/** The tokenizer files of an engine, from its own gRPC port: no copy of them has to be kept beside the router. */
import { createHash } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { concatBytes, reasonOf } from "../../core/mod.ts";
import { sglangScheduler, vllmEngine } from "../../proto/mod.ts";
import { engineLink, type GrpcOptions } from "./grpc_source.ts";

/** A vocabulary of 250k with its merges is about 35 MB, half of that packed. */
const archiveBytesMax = 256 << 20;

/**
 * The archive (zip) of the engine's tokenizer files. vLLM has it where the tokenizer is a local directory only. Rejects
 * when it is too long, when its checksum is not the one told, and with the engine's own reason.
 */
export async function fetchTokenizer(
  kind: "vllm-grpc" | "sglang-grpc",
  options: GrpcOptions,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const link = engineLink(options);
  try {
    await link.ready(signal);
    const client = kind === "vllm-grpc"
      ? createClient(vllmEngine.VllmEngine, link.transport)
      : createClient(sglangScheduler.SglangScheduler, link.transport);
    const parts: Uint8Array[] = [];
    const hash = createHash("sha256");
    let bytes = 0, told = "";
    for await (const { data, sha256 } of client.getTokenizer({}, { signal })) {
      bytes += data.length;
      if (bytes > archiveBytesMax) throw new Error(`its archive must be at most ${archiveBytesMax} bytes`);
      parts.push(data);
      hash.update(data);
      told = sha256 || told;
    }
    if (told !== "" && hash.digest("hex") !== told.toLowerCase()) throw new Error("its checksum is wrong");
    return concatBytes(parts);
  } catch (error) {
    throw new Error(`Cannot fetch the tokenizer from ${link.address}: ${reasonOf(error)}`, { cause: error });
  } finally {
    link.close();
  }
}
