/** Notices load changes of the model server next door by reading its metrics page often. */
import { type Clock, reasonOf, type Timer } from "../core/mod.ts";
import type { LoadSample } from "../kv/mod.ts";
import { type EngineDialect, type FetchTarget, type FetchText, SampleReader } from "../pool/mod.ts";

export interface LoadWatchOptions {
  /**
   * From the start of one read to the next while there is something to see: requests run or wait, or the feed spoke
   * within a second. A change is then told half of it later on average. @default {10}
   */
  readonly busyMs: number;
  /** The same while nothing happens. @default {100} */
  readonly idleMs: number;
  /** Reads take at most this share of the time, so that a server with a slow page is asked less often. @default {0.2} */
  readonly timeShareMax: number;
  /** Longest wait after failures; each doubles it. @default {5000} */
  readonly failedMsMax: number;
  /** @default {1000} */
  readonly deadlineMs: number;
  /** @default {8 MiB} */
  readonly pageBytesMax: number;
}

export const loadWatchDefaults: LoadWatchOptions = {
  busyMs: 10,
  idleMs: 100,
  timeShareMax: 0.2,
  failedMsMax: 5000,
  deadlineMs: 1000,
  pageBytesMax: 8 << 20,
};

export interface LoadWatchParts {
  readonly clock: Clock;
  readonly fetchText: FetchText;
  readonly target: FetchTarget;
  readonly path: string;
  readonly dialect: EngineDialect;
  /** Data-parallel ranks on the page; with more than one, each is told its own series. */
  readonly ranks: number;
  readonly onLoad: (rank: number, sample: LoadSample) => void;
  /** When the engine's process started, Unix seconds: at each reading of a page that says so. */
  readonly onStartTime?: (startSeconds: number) => void;
  /** Once for a row of failures, and once when they end (undefined). */
  readonly onTrouble?: (reason: string | undefined) => void;
  readonly options?: Partial<LoadWatchOptions>;
}

/** How long the feed's speaking counts as something to see. */
const activityMs = 1000;

export class LoadWatch {
  readonly #parts: LoadWatchParts;
  readonly #options: LoadWatchOptions;
  readonly #readers: readonly SampleReader[];
  #timer?: Timer;
  #reading?: AbortController;
  #startedAtMs = -Infinity;
  #activeAtMs = -Infinity;
  #busy = false;
  #failures = 0;
  #stopped = false;
  /** Pages read, and reads that failed. */
  reads = 0;
  errors = 0;

  constructor(parts: LoadWatchParts) {
    this.#parts = parts;
    this.#options = { ...loadWatchDefaults, ...parts.options };
    const { dialect, ranks } = parts;
    this.#readers = Array.from(
      { length: ranks },
      (_, rank) => new SampleReader(ranks === 1 ? dialect : ofRank(dialect, rank)),
    );
  }

  start(): void {
    this.#schedule(0);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#reading?.abort(new Error("The load is no longer read"));
  }

  /** The engine just did something: its load has likely changed. */
  poke(): void {
    const { clock } = this.#parts;
    const now = clock.now();
    const quiet = !this.#busy && now - this.#activeAtMs > this.#options.busyMs;
    this.#activeAtMs = now;
    if (!quiet || this.#reading || this.#failures > 0 || this.#stopped) return;
    this.#schedule(Math.max(0, this.#startedAtMs + this.#options.busyMs - now));
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer?.cancel();
    this.#timer = this.#parts.clock.after(delayMs, () => void this.#read(), { background: true });
  }

  async #read(): Promise<void> {
    const { clock, fetchText, target, path, onTrouble } = this.#parts;
    const { deadlineMs, pageBytesMax: bytesMax } = this.#options;
    const reading = this.#reading = new AbortController();
    this.#startedAtMs = clock.now();
    const deadline = clock.after(
      deadlineMs,
      () => reading.abort(new Error(`no metrics within ${deadlineMs} ms`)),
      { background: true },
    );
    try {
      const page = await fetchText(target, path, { signal: reading.signal, bytesMax });
      if (this.#stopped) return;
      this.#tell(page);
      this.reads++;
      if (this.#failures > 0) onTrouble?.(undefined);
      this.#failures = 0;
    } catch (error) {
      if (this.#stopped) return;
      this.errors++;
      if (this.#failures++ === 0) onTrouble?.(reasonOf(error));
    } finally {
      deadline.cancel();
      this.#reading = undefined;
    }
    this.#schedule(this.#waitMs());
  }

  #tell(page: Uint8Array): void {
    const { path, dialect, onLoad, onStartTime } = this.#parts;
    let busy = false, found = false;
    this.#readers.forEach((reader, rank) => {
      const sample = reader.read(page, this.#options.pageBytesMax);
      if (!sample) return;
      found = true;
      busy ||= sample.running > 0 || sample.waiting > 0;
      if (rank === 0 && !Number.isNaN(sample.startSeconds)) onStartTime?.(sample.startSeconds);
      onLoad(rank, {
        running: known(sample.running),
        waiting: known(sample.waiting),
        kvUsage: known(sample.kvUsage),
        cacheBlocks: known(sample.cacheBlocks),
        cacheBlockTokens: known(sample.cacheBlockTokens),
      });
    });
    if (!found) throw new Error(`${path} has none of the load metrics of engine "${dialect.name}"`);
    this.#busy = busy;
  }

  #waitMs(): number {
    const { busyMs, idleMs, timeShareMax, failedMsMax } = this.#options;
    const now = this.#parts.clock.now();
    const tookMs = now - this.#startedAtMs;
    if (this.#failures > 0) return Math.min(failedMsMax, idleMs * 2 ** Math.min(this.#failures, 16));
    const active = this.#busy || now - this.#activeAtMs < activityMs;
    return Math.max(0, Math.max(active ? busyMs : idleMs, tookMs / timeShareMax) - tookMs);
  }
}

function known(value: number): number | undefined {
  return Number.isNaN(value) ? undefined : value;
}

/** The dialect, for the series of one rank only. */
function ofRank(dialect: EngineDialect, rank: number): EngineDialect {
  const label = dialect.rankLabels[0];
  const only = (alternatives: EngineDialect["queued"]) =>
    alternatives.map(({ name, labels }) => ({ name, labels: [...labels, [label, String(rank)] as const] }));
  const { queued, running, kvUsage, cacheInfo, blockSize, numBlocks, cacheTokens } = dialect;
  return {
    ...dialect,
    queued: only(queued),
    running: only(running),
    kvUsage: only(kvUsage),
    cacheInfo: only(cacheInfo),
    blockSize: only(blockSize),
    numBlocks: only(numBlocks),
    cacheTokens: only(cacheTokens),
  };
}
