/** Entry of a worker that runs one edge. */
import { parentPort } from "node:worker_threads";
import { alignedClock, type Clock, type KeyPair, systemClock } from "../core/mod.ts";
import type { Config } from "../config/mod.ts";
import { Hotpath, type MemorySizes, type SharedHotpath } from "../hotpath/mod.ts";
import type { KeyPlan } from "../keys/mod.ts";
import type { MirrorUpdate } from "../pool/mod.ts";
import { LineWriter, Logger, Metrics, sharedPieceChars } from "../telemetry/mod.ts";
import { Edge, type EdgeAddress } from "./edge.ts";
import { type SharedBuffers, SharedCells } from "./edge_shared.ts";
import { remoteQueue } from "./flow_desk.ts";
import { IsolateRpc } from "./isolate_rpc.ts";
import { version, writeLine } from "./process.ts";

/** Between heartbeats. */
const beatMs = 100;
/** For the last lines of the access log, at the end. */
const flushMs = 1000;

/** What a worker is told first. */
export interface EdgeInit {
  readonly isolate: number;
  readonly shared: SharedHotpath;
  readonly sizes: MemorySizes;
  readonly hashSeed: bigint;
  readonly buffers: SharedBuffers;
  readonly config: Config;
  readonly keyPlan: KeyPlan;
  readonly identity?: KeyPair;
  readonly endpoints: readonly MirrorUpdate[];
  readonly seed: number;
  readonly sessionKey: Uint8Array;
  /** Names that always keep their own label in metrics. */
  readonly pinnedModels: readonly string[];
  /** Of the control isolate's clock. */
  readonly originMs: number;
  readonly logFormat: "text" | "json";
}

async function start(init: EdgeInit): Promise<Edge> {
  const { isolate, shared, sizes, hashSeed, buffers, config, logFormat } = init;
  const clock = alignedClock(systemClock, init.originMs);
  const cells = new SharedCells(buffers, isolate, sizes.endpoints);
  const log = new Logger({
    write: (line) => writeLine(Deno.stderr, line.trimEnd()),
    clock,
    level: config.observe.logLevel,
    format: logFormat,
  });
  const hotpath = await Hotpath.attach(shared, sizes, hashSeed, isolate);
  const edge = await Edge.create({
    clock,
    hotpath,
    cells,
    rung: () => cells.bell.ring(),
    keyPlan: init.keyPlan,
    identity: init.identity,
    seed: init.seed,
    sessionKey: init.sessionKey,
    metrics: new Metrics({ version, pinnedModels: init.pinnedModels }),
    log: log.child({ edge: isolate }),
    out: (line) => accessLines.write(line),
    refreshModels: () => rpc.call("refreshModels") as Promise<void>,
    flow: remoteQueue((method, arg) => rpc.call(method, arg), cells.ring, () => cells.bell.ring()),
  }, config);
  hotpath.table.onRoom = () => cells.roomBell.ring();
  await edge.mirror(init.endpoints);
  beat(clock, cells.beats);
  return edge;
}

function beat(clock: Clock, beats: Int32Array): void {
  Atomics.add(beats, 0, 1);
  clock.after(beatMs, () => beat(clock, beats), { background: true });
}

const accessLines = new LineWriter({ stream: Deno.stdout, clock: systemClock, pieceChars: sharedPieceChars });

const started = Promise.withResolvers<Edge>();
const rpc: IsolateRpc = new IsolateRpc(parentPort!, {
  init: async (init: EdgeInit) => {
    try {
      started.resolve(await start(init));
    } catch (error) {
      started.reject(error);
    }
    await started.promise;
  },
  listen: async (address: EdgeAddress) => await (await started.promise).listen(address),
  mirror: async (updates: readonly MirrorUpdate[]) => await (await started.promise).mirror(updates),
  prepare: async (config: Config, epoch: number, keyPlan: KeyPlan) =>
    await (await started.promise).prepare(config, epoch, keyPlan),
  renew: async (of: "server" | "upstream", pair: KeyPair) => await (await started.promise).renew(of, pair),
  explain: async (request: Parameters<Edge["explain"]>[0]) => await (await started.promise).explain(request),
  reconsider: async () => await (await started.promise).reconsider(),
  revoke: async (id: number) => await (await started.promise).revoke(id),
  dump: async () => await (await started.promise).dump(),
  status: async () => await (await started.promise).status(),
  drain: async () => await (await started.promise).drain(),
  close: async () => {
    await (await started.promise).close();
    await accessLines.flush(flushMs);
  },
});
