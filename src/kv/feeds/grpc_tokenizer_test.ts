import { deepStrictEqual, rejects } from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http2";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Code, ConnectError } from "@connectrpc/connect";
import { sglangScheduler, vllmEngine } from "../../proto/mod.ts";
import { fetchTokenizer } from "./grpc_tokenizer.ts";

const archive = Uint8Array.from({ length: 200_000 }, (_, i) => i * 7);

async function withEngine(sha256: string, use: (port: number) => Promise<void>): Promise<void> {
  const chunks = async function* () {
    for (let at = 0; at < archive.length; at += 65_536) {
      const last = at + 65_536 >= archive.length;
      yield { data: archive.subarray(at, at + 65_536), sha256: last ? sha256 : "" };
    }
  };
  const handler = connectNodeAdapter({
    routes(router) {
      router.service(vllmEngine.VllmEngine, { getTokenizer: chunks });
      router.service(sglangScheduler.SglangScheduler, {
        getTokenizer() {
          throw new ConnectError("no local files", Code.FailedPrecondition);
        },
      });
    },
  });
  const server = createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const address = server.address();
    await use(typeof address === "object" && address ? address.port : 0);
  } finally {
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

const signal = () => new AbortController().signal;

Deno.test("fetchTokenizer() joins the chunks of the engine's archive", async () => {
  const sha256 = createHash("sha256").update(archive).digest("hex");
  await withEngine(sha256, async (port) => {
    deepStrictEqual(await fetchTokenizer("vllm-grpc", { host: "127.0.0.1", port }, signal()), archive);
  });
});

Deno.test("fetchTokenizer() rejects a wrong checksum, and says why an engine gives no files", async () => {
  await withEngine("00", async (port) => {
    await rejects(fetchTokenizer("vllm-grpc", { host: "127.0.0.1", port }, signal()), /checksum is wrong/);
    await rejects(fetchTokenizer("sglang-grpc", { host: "127.0.0.1", port }, signal()), /no local files/);
  });
  await rejects(fetchTokenizer("vllm-grpc", { host: "127.0.0.1", port: 1 }, signal()), /Cannot fetch the tokenizer/);
});
