import { deepStrictEqual } from "node:assert/strict";
import { VirtualClock } from "../core/mod.ts";
import { type Caches, type SnapshotMessage, snapshotMessages, SnapshotReader, snapshotService } from "../kv/mod.ts";
import { Logger } from "../telemetry/mod.ts";
import { CacheSnapshots } from "./cache_snapshots.ts";

Deno.test("recall() reads the file where a peer knows nothing yet", async () => {
  const empty = (): AsyncIterable<SnapshotMessage> => snapshotMessages(1n, 0, []);
  const asked: (string | null)[] = [];
  const service = snapshotService(1n, empty);
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => {
      asked.push(request.headers.get("authorization"));
      return service(request) ?? new Response(null, { status: 404 });
    },
  );
  const file = await Deno.makeTempFile();
  const lines: string[] = [];
  const log = new Logger({ write: (line) => lines.push(JSON.parse(line).message), clock: new VirtualClock() });
  const caches = { seedCheck: 1n, unclaimed: 0, reader: () => new SnapshotReader(1n, () => {}) } as unknown as Caches;
  const config = { file, peers: [`http://127.0.0.1:${server.addr.port}`] };
  await new CacheSnapshots(caches, config, log, new VirtualClock()).recall();
  await new CacheSnapshots(caches, config, log, new VirtualClock(), "the-token").recall();
  deepStrictEqual(lines, [
    "Snapshot fetched",
    "Cannot use the snapshot",
    "Snapshot fetched",
    "Cannot use the snapshot",
  ]);
  deepStrictEqual(asked, [null, "Bearer the-token"]);
  await Deno.remove(file);
  await server.shutdown();
});
