/** Decisions a second over one memory: threads that decide, and one writer that applies KV events and their claims. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import {
  Doorbell,
  EndpointState,
  FeedState,
  KvTier,
  Prng,
  RecordRing,
  sleep,
  systemClock,
} from "../../src/core/mod.ts";
import { prefixDefaults } from "../../src/config/defaults.ts";
import { Hotpath, type MemorySizes } from "../../src/hotpath/mod.ts";
import { Caches, claimRingWords, ClaimsInbox, localClaims } from "../../src/kv/mod.ts";
import { planFromPolicy } from "../../src/scheduling/mod.ts";
import { benchMeta, benchParts } from "../lib/router.ts";
import { threadClock } from "../lib/thread_clock.ts";
import { type Answer, choose, type DeciderInit, exactPrompts, type Job, scaleBodies } from "./decider.ts";

export interface DecisionSetting {
  readonly threadsMax: number;
  readonly endpoints: number;
  readonly promptTokens: number;
  /** Distinct conversations. */
  readonly bodies: number;
  /** Blocks a second that events tell of, over all endpoints. */
  readonly eventBlocksPerS: number;
  readonly ms: number;
  /** Prompts are token ids that LIVE feeds told of, in blocks of 16; else they are matched by their text. */
  readonly exact: boolean;
}

export interface DecisionRate {
  readonly perS: number;
  /** By the threads' own CPU time, added up: what cores of their own would give. */
  readonly perCpuS: number;
  /** CPU of the writer, of one core. */
  readonly writerCores: number;
}

const seed = 1;
const batchBlocks = 32;
const engineBlockTokens = 16;

/** The memory, its writer, and the threads that decide. */
export class DecisionWorld {
  readonly #setting: DecisionSetting;
  readonly #hotpath: Hotpath;
  readonly #caches: Caches;
  readonly #bell: Doorbell;
  readonly #rings: { readonly ring: RecordRing; readonly inbox: ClaimsInbox }[] = [];
  readonly #workers: Worker[] = [];
  readonly #prng = new Prng(seed);
  readonly #cpuMs = threadClock();
  #stored: { slot: number; hashes: BigUint64Array }[] = [];
  #writing = true;

  static async start(setting: DecisionSetting): Promise<DecisionWorld> {
    const sizes: MemorySizes = {
      endpoints: setting.endpoints,
      blockTreeBytes: 128 << 20,
      bodyBytesMax: 1 << 20,
      prefixTokensMax: prefixDefaults.tokensMax,
      isolates: setting.threadsMax + 1,
    };
    const world = new DecisionWorld(setting, await Hotpath.load(sizes, seed));
    await world.#open(sizes);
    return world;
  }

  private constructor(setting: DecisionSetting, hotpath: Hotpath) {
    this.#setting = setting;
    this.#hotpath = hotpath;
    const { table, blockTree } = hotpath;
    const parts = { tree: blockTree, table, clock: systemClock, rng: this.#prng, source: () => undefined };
    this.#caches = new Caches(parts, { blockTokens: prefixDefaults.blockTokens });
    for (let i = 0; i < setting.endpoints; i++) {
      const slot = table.add(benchMeta(i), EndpointState.Ready);
      table.running[slot] = this.#prng.below(60);
      table.sampleAtMs[slot] = systemClock.now();
    }
    if (setting.exact) this.#tellPrompts();
    this.#bell = new Doorbell(new SharedArrayBuffer(Doorbell.bytes));
  }

  /** Whether `threads` decide alike, and like this isolate, while nothing changes. */
  async agreement(threads: number): Promise<number> {
    const { table, blockTree } = this.#hotpath;
    const index = localClaims(this.#caches, blockTree, table, prefixDefaults.blockTokens);
    const { endpoints, bodies, promptTokens } = this.#setting;
    const plan = planFromPolicy("default");
    const parts = benchParts({ clock: systemClock, hotpath: this.#hotpath, index, plan, seed, endpoints });
    const own = choose(parts, scaleBodies(bodies, promptTokens), seed);
    const others = await Promise.all(this.#workers.slice(0, threads).map((worker) => ask(worker, { kind: "agree" })));
    const same = others.flatMap((answer) =>
      "slots" in answer ? answer.slots.map((slot, i) => slot === own[i]) : [false]
    );
    return same.filter((equal) => equal).length / same.length;
  }

  /** `threads` decide at the same time, for the setting's time, under the writer. */
  async rate(threads: number): Promise<DecisionRate> {
    const job: Job = { kind: "run", ms: this.#setting.ms };
    const startMs = systemClock.now(), cpuMs = this.#cpuMs?.() ?? NaN;
    const answers = await Promise.all(this.#workers.slice(0, threads).map((worker) => ask(worker, job)));
    const tookMs = systemClock.now() - startMs;
    const writerCores = ((this.#cpuMs?.() ?? NaN) - cpuMs) / tookMs;
    const sum = (of: "ms" | "cpuMs") =>
      answers.reduce((sum, answer) => sum + ("ms" in answer ? answer.decisions / answer[of] * 1000 : NaN), 0);
    return { perS: sum("ms"), perCpuS: sum("cpuMs"), writerCores };
  }

  async stop(): Promise<void> {
    this.#writing = false;
    this.#bell.ring();
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
    await this.#caches.stop();
  }

  async #open(sizes: MemorySizes): Promise<void> {
    const { endpoints, promptTokens, bodies, threadsMax } = this.#setting;
    const { bell, inits } = this.#inits(sizes, { endpoints, promptTokens, bodies, threadsMax });
    for (const init of inits) {
      const worker = new Worker(new URL("./decider.ts", import.meta.url));
      this.#workers.push(worker);
      worker.postMessage(init);
      await once(worker, "message");
    }
    void new Doorbell(bell).listen(() => this.#read(), () => sleep(systemClock, 1));
    void this.#tell();
  }

  /** Every conversation is in the cache of two endpoints, up to its last turn. */
  #tellPrompts(): void {
    const { table, blockTree } = this.#hotpath;
    const { bodies, promptTokens, endpoints } = this.#setting;
    table.feedState.fill(FeedState.Live, 0, endpoints);
    table.feedBlockTokens.fill(engineBlockTokens, 0, endpoints);
    for (const [i, tokens] of exactPrompts(scaleBodies(bodies, promptTokens), 0).known.entries()) {
      const hashes = blockTree.chain({ tokens, blockTokens: engineBlockTokens, lora: "" });
      for (const slot of [i % endpoints, (i * 7 + 3) % endpoints]) blockTree.hold(slot, KvTier.Gpu, hashes);
    }
  }

  #inits(
    sizes: MemorySizes,
    { endpoints, promptTokens, bodies, threadsMax }: Omit<DecisionSetting, "ms" | "eventBlocksPerS" | "exact">,
  ) {
    const bell = new SharedArrayBuffer(Doorbell.bytes);
    const inits = Array.from({ length: threadsMax }, (_, i): DeciderInit => {
      const ring = new SharedArrayBuffer(RecordRing.bytes(claimRingWords));
      const inbox = new ClaimsInbox(this.#caches, this.#hotpath.table);
      this.#rings.push({ ring: new RecordRing(claimRingWords, ring), inbox });
      const originMs = systemClock.wallMs() - systemClock.now();
      const shared = this.#hotpath.shared, exact = this.#setting.exact;
      return { shared, sizes, isolate: i + 1, ring, bell, endpoints, seed, originMs, promptTokens, bodies, exact };
    });
    return { bell, inits };
  }

  #read(): boolean {
    for (const { ring, inbox } of this.#rings) ring.drain((...record) => void inbox.take(...record));
    return this.#writing;
  }

  /** Events of conversations nobody asks for: the writes are what readers have to bear. */
  async #tell(): Promise<void> {
    const { endpoints, eventBlocksPerS } = this.#setting;
    const { blockTree, table } = this.#hotpath;
    const heldMax = 20_000 / batchBlocks;
    for (let told = 0, startMs = systemClock.now(); this.#writing;) {
      const due = (systemClock.now() - startMs) * eventBlocksPerS / 1000;
      for (; told < due; told += batchBlocks) {
        const hashes = BigUint64Array.from({ length: batchBlocks }, () => BigInt(this.#prng.u32()) << 32n | 1n);
        const slot = this.#prng.below(endpoints);
        blockTree.hold(slot, KvTier.Gpu, hashes);
        this.#stored.push({ slot, hashes });
        const oldest = this.#stored.length > heldMax * endpoints ? this.#stored.shift() : undefined;
        if (oldest) blockTree.release(oldest.slot, KvTier.Gpu, oldest.hashes);
        table.sampleAtMs[slot] = systemClock.now();
      }
      await sleep(systemClock, 1);
    }
  }
}

async function ask(worker: Worker, job: Job): Promise<Answer> {
  worker.postMessage(job);
  const [answer] = await once(worker, "message");
  return answer;
}
