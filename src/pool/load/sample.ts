/** One page of metrics → one load sample: every series of every data-parallel rank counts. */
import type { AdapterLoad } from "../../core/mod.ts";
import { type MetricSelector, PrometheusScanner, type ScanResult, type Series } from "../../protocol/mod.ts";
import type { Alternatives, Combine, EngineDialect } from "./dialects.ts";

/** What a page said. NaN stands for what it did not report. */
export interface LoadSample {
  /** Requests queued, summed over ranks. */
  readonly waiting: number;
  /** Requests running, summed over ranks. */
  readonly running: number;
  /** Share of KV cache in use: mean over ranks, weighted by their blocks where every rank reports them. */
  readonly kvUsage: number;
  /** Blocks of KV cache, summed over ranks. */
  readonly cacheBlocks: number;
  /** Tokens a block holds. */
  readonly cacheBlockTokens: number;
  /** Undefined when the engine reports no adapters. */
  readonly adapters?: AdapterLoad;
  /** Unix time at which the process started, the latest of those the page names. */
  readonly startSeconds: number;
  /** Custom metrics found, in the order of the dialect. */
  readonly attributes: readonly (readonly [key: string, value: number])[];
  readonly scan: ScanResult;
}

/** Data-parallel ranks one page may describe; series of further ranks are left out of weights and geometry. */
const ranksMax = 1024;
/** Adapter names kept of one page. */
const adaptersMax = 4096;

class Rank {
  usageSum = 0;
  usageCount = 0;
  blocks = NaN;
  blockTokens = NaN;
  tokens = NaN;
  loraAt = -Infinity;
  lora = { running: "", waiting: "", max: 0 };
}

class Tally {
  sum = 0;
  count = 0;
  max = -Infinity;

  add(value: number): void {
    this.sum += value;
    this.count++;
    if (value > this.max) this.max = value;
  }

  get total(): number {
    return this.count === 0 ? NaN : this.sum;
  }

  combined(combine: Combine): number {
    if (this.count === 0) return NaN;
    return combine === "sum" ? this.sum : combine === "mean" ? this.sum / this.count : this.max;
  }
}

type Role = "queued" | "running" | "kvUsage" | "lora" | "cacheInfo" | "blockSize" | "numBlocks" | "cacheTokens";
const roles: readonly Role[] = [
  "queued",
  "running",
  "kvUsage",
  "lora",
  "cacheInfo",
  "blockSize",
  "numBlocks",
  "cacheTokens",
];

/** Reads the pages of one engine kind; built once, used for every endpoint of that kind. */
export class SampleReader {
  readonly dialect: EngineDialect;
  readonly #scanner: PrometheusScanner;
  readonly #parts: { readonly role: Role | "custom" | "start"; readonly alternative: number }[] = [];

  constructor(dialect: EngineDialect) {
    this.dialect = dialect;
    const selectors: MetricSelector[] = [];
    for (const role of roles) {
      const alternatives: Alternatives = dialect[role];
      alternatives.forEach((selector, alternative) => {
        selectors.push(selector);
        this.#parts.push({ role, alternative });
      });
    }
    dialect.custom.forEach(({ selector }, alternative) => {
      selectors.push(selector);
      this.#parts.push({ role: "custom", alternative });
    });
    // Written by Prometheus' client libraries in every language.
    selectors.push({ name: "process_start_time_seconds", labels: [] });
    this.#parts.push({ role: "start", alternative: 0 });
    this.#scanner = new PrometheusScanner(selectors);
  }

  /**
   * Undefined when the page has no load metric at all: then it is no sample. With `rank`, series that say they are of
   * another data-parallel rank are left out.
   */
  read(page: Uint8Array, bytesMax?: number, rank?: number): LoadSample | undefined {
    const reading = new Reading(this.dialect);
    const own = rank?.toString();
    const scan = this.#scanner.scan(page, (selector, series) => {
      // Engines say NaN or infinity for a value they do not have yet.
      if (!Number.isFinite(series.value)) return;
      if (own !== undefined && (rankOf(this.dialect, series) ?? own) !== own) return;
      const { role, alternative } = this.#parts[selector];
      reading.take(role, alternative, series);
    }, bytesMax);
    return reading.finish(scan);
  }
}

class Reading {
  readonly #dialect: EngineDialect;
  readonly #ranks = new Map<string, Rank>();
  readonly #queued = new Tally();
  readonly #running = new Tally();
  readonly #start = new Tally();
  readonly #custom: Tally[];
  /** Per role, the alternative in use: once a preferred name was seen, series under older names do not count. */
  readonly #preferred = new Map<Role, number>();
  #usageSeen = false;
  #loraSeen = false;

  constructor(dialect: EngineDialect) {
    this.#dialect = dialect;
    this.#custom = dialect.custom.map(() => new Tally());
  }

  take(role: Role | "custom" | "start", alternative: number, series: Series): void {
    if (role === "start") return this.#start.add(series.value);
    if (role === "custom") return this.#custom[alternative].add(series.value);
    if (!this.#prefer(role, alternative)) return;
    if (role === "queued") return this.#queued.add(series.value);
    if (role === "running") return this.#running.add(series.value);
    const rank = this.#rank(series);
    if (!rank) return;
    if (role === "kvUsage") {
      this.#usageSeen = true;
      rank.usageSum += series.value;
      rank.usageCount++;
    } else if (role === "lora") this.#takeLora(rank, series);
    else if (role === "cacheInfo") {
      rank.blockTokens = positive(series.label(this.#dialect.blockSizeLabel)) ?? rank.blockTokens;
      rank.blocks = positive(series.label(this.#dialect.numBlocksLabel)) ?? rank.blocks;
    } else if (role === "blockSize") rank.blockTokens = positive(series.value) ?? rank.blockTokens;
    else if (role === "numBlocks") rank.blocks = positive(series.value) ?? rank.blocks;
    else rank.tokens = positive(series.value) ?? rank.tokens;
  }

  finish(scan: ScanResult): LoadSample | undefined {
    const waiting = this.#queued.total, running = this.#running.total;
    const kvUsage = this.#usageSeen ? this.#meanUsage() : NaN;
    if (Number.isNaN(waiting) && Number.isNaN(running) && Number.isNaN(kvUsage)) return undefined;
    const attributes = this.#dialect.custom
      .map(({ key, combine }, i) => [key, this.#custom[i].combined(combine)] as const)
      .filter(([, value]) => !Number.isNaN(value));
    return {
      waiting: Math.max(0, waiting),
      running: Math.max(0, running),
      kvUsage: Math.min(1, Math.max(0, kvUsage)),
      ...this.#geometry(),
      adapters: this.#loraSeen ? this.#adapters() : undefined,
      startSeconds: this.#start.combined("max"),
      attributes,
      scan,
    };
  }

  #prefer(role: Role, alternative: number): boolean {
    const current = this.#preferred.get(role);
    if (current === undefined || alternative < current) {
      this.#preferred.set(role, alternative);
      if (current !== undefined) this.#forget(role);
      return true;
    }
    return alternative === current;
  }

  /** A better name turned up after an older one: what the older one said is dropped. */
  #forget(role: Role): void {
    if (role !== "kvUsage") return;
    for (const rank of this.#ranks.values()) rank.usageSum = rank.usageCount = 0;
  }

  #rank(series: Series): Rank | undefined {
    const key = rankOf(this.#dialect, series) ?? "";
    let rank = this.#ranks.get(key);
    if (!rank && this.#ranks.size < ranksMax) this.#ranks.set(key, rank = new Rank());
    return rank;
  }

  /** The series value is a time: the newest series of a rank is the current one, the others are history. */
  #takeLora(rank: Rank, series: Series): void {
    this.#loraSeen = true;
    if (series.value < rank.loraAt) return;
    rank.loraAt = series.value;
    rank.lora = {
      running: series.label("running_lora_adapters") ?? "",
      waiting: series.label("waiting_lora_adapters") ?? "",
      max: positive(series.label("max_lora")) ?? 0,
    };
  }

  #meanUsage(): number {
    let sum = 0, count = 0, weighted = 0, weights = 0, weighable = true;
    for (const rank of this.#ranks.values()) {
      if (rank.usageCount === 0) continue;
      sum += rank.usageSum;
      count += rank.usageCount;
      if (Number.isNaN(rank.blocks)) weighable = false;
      else {
        weighted += rank.usageSum / rank.usageCount * rank.blocks;
        weights += rank.blocks;
      }
    }
    return weighable && weights > 0 ? weighted / weights : sum / count;
  }

  /** Ranks with unlike block sizes are expressed in blocks of the largest, so that blocks × tokens stays the capacity. */
  #geometry(): { cacheBlocks: number; cacheBlockTokens: number } {
    let blockTokens = NaN;
    for (const rank of this.#ranks.values()) {
      if (!(rank.blockTokens <= blockTokens) && !Number.isNaN(rank.blockTokens)) blockTokens = rank.blockTokens;
    }
    let tokens = 0, blocks = 0;
    for (const rank of this.#ranks.values()) {
      if (!Number.isNaN(rank.blocks)) {
        blocks += rank.blocks;
        tokens += rank.blocks * (Number.isNaN(rank.blockTokens) ? blockTokens : rank.blockTokens);
      } else if (!Number.isNaN(rank.tokens)) tokens += rank.tokens;
    }
    if (Number.isNaN(blockTokens)) return { cacheBlocks: blocks || NaN, cacheBlockTokens: NaN };
    return { cacheBlocks: Math.floor(tokens / blockTokens) || NaN, cacheBlockTokens: blockTokens };
  }

  /** Names over all ranks once; every rank has adapter places of its own, so places add up. */
  #adapters(): AdapterLoad {
    const running = new Set<string>(), waiting = new Set<string>();
    let max = 0;
    for (const { lora } of this.#ranks.values()) {
      addNames(running, lora.running);
      addNames(waiting, lora.waiting);
      max += lora.max;
    }
    return { running, waiting, max };
  }
}

/** The rank a series says it is of. */
function rankOf({ rankLabels }: EngineDialect, series: Series): string | undefined {
  for (const label of rankLabels) {
    const value = series.label(label);
    if (value !== undefined) return value;
  }
  return undefined;
}

function addNames(names: Set<string>, list: string): void {
  if (list === "") return;
  for (const part of list.split(",", adaptersMax)) {
    const name = part.trim();
    if (name !== "" && names.size < adaptersMax) names.add(name);
  }
}

function positive(value: string | number | undefined): number | undefined {
  const number = typeof value === "string" ? Number(value) : value;
  return number !== undefined && Number.isFinite(number) && number > 0 ? number : undefined;
}
