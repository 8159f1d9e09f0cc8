import type { Clock, EndpointTable } from "../core/mod.ts";
import type { SaturationConfig } from "../config/mod.ts";

/** Requests an engine may queue itself: a place that is left is taken again before its next step but one. */
const slack = 2;
/** Samples with a queue before it is believed: an engine that begins takes in some requests a step, and queues the others. */
const queuedMin = 10;
/** While it runs all there is and has no queue, its limit may be higher: twice as much is tried each sample, up to this share. */
const growthShare = 0.25;
/** Weight of a sample in which the engine ran fewer than it was seen to. */
const lowerWeight = 0.1;
/** Two idle intervals of scraping: what others do at an endpoint is not known any more. */
const foreignForgottenMs = 4_000;
/** Weight of one end in the mean stay: about the last twenty count. */
const endWeight = 0.05;

interface Learned {
  /** Requests the engine runs when it has a queue; NaN: it never had one. */
  limit: number;
  /** Samples in a row with a queue. */
  queued: number;
  /** The most it ran in these. */
  most: number;
  /** Requests that were not ours in the last sample. */
  foreign: number;
  /** Requests beyond the limit. */
  beyond: number;
  /** Requests that had ended here, the time all of them spent here since one did, and those under way at the last sample. */
  ended: number;
  stayMs: number;
  underWay: number;
  atMs: number;
}

/**
 * What every endpoint can take, from what its engine tells: writes the columns that admission reads. It has one writer and
 * is told of each sample; in between, what was sent since counts by itself, as `requests` is in the same sum.
 *
 * `fused`: capacity is as configured, else the requests that the engine runs while it has a queue of its own, and two
 * more; it is unlimited until a queue was seen ten times in a row, grows by a quarter while none is left, and falls slowly. What
 * the engine has beyond our own requests is others'. Prompt tokens to compute are limited besides: more of them make an
 * engine no faster, and what waits there is bound to it. `utilization`: the queue may be `queueDepthThreshold` long, and the cache
 * `kvCacheUtilThreshold` full. `concurrency`: our own requests or uncached prompt tokens, up to a number.
 */
export class Capacity {
  readonly #table: EndpointTable;
  readonly #clock: Clock;
  readonly #learned: Learned[] = [];
  #config: SaturationConfig | undefined;

  /** `config` is undefined where nothing is limited. */
  constructor(table: EndpointTable, clock: Clock, config: SaturationConfig | undefined) {
    this.#table = table;
    this.#clock = clock;
    this.#config = config;
  }

  use(config: SaturationConfig | undefined): void {
    this.#config = config;
    for (const slot of this.#table.slots()) this.#reset(slot);
  }

  /** A slot has a new endpoint. */
  added(slot: number): void {
    this.#learned[slot] = {
      limit: NaN,
      queued: 0,
      most: 0,
      foreign: 0,
      beyond: slack,
      ended: 0,
      stayMs: 0,
      underWay: 0,
      atMs: NaN,
    };
    this.#reset(slot);
  }

  /** Load columns of the slot are new. `requestsBefore`: our requests there when the sample was asked for. */
  sampled(slot: number, requestsBefore: number): void {
    const { waiting, running, kvUsage, requests } = this.#table;
    this.#observeEnds(slot);
    const own = Math.max(requestsBefore, Atomics.load(requests, slot));
    switch (this.#config?.detector) {
      case "fused": {
        const { maxConcurrency } = this.#config;
        const learned = this.#learned[slot];
        const foreign = Math.max(0, waiting[slot] + running[slot] - own);
        // One of ours that came and went while the sample was on its way looks like another's: for one sample.
        const lasting = Math.min(foreign, learned.foreign);
        learned.foreign = foreign;
        this.#write(slot, maxConcurrency ?? this.#learn(slot, waiting[slot], running[slot]), lasting, 0);
        break;
      }
      case "utilization": {
        const { queueDepthThreshold, kvCacheUtilThreshold } = this.#config;
        // Whatever was sent since may be waiting.
        this.#write(slot, queueDepthThreshold, waiting[slot] - own, kvUsage[slot] / kvCacheUtilThreshold);
      }
    }
  }

  /** A sample could not be had. */
  missed(slot: number): void {
    const config = this.#config;
    if (config === undefined || config.detector === "concurrency") return;
    const ageMs = this.#table.sampleAgeMs(slot, this.#clock.now());
    if (config.detector === "fused") {
      if (ageMs > foreignForgottenMs) this.#table.foreign[slot] = 0;
      return;
    }
    const { stalenessPolicy, stalenessMs } = config;
    if (ageMs <= stalenessMs * (stalenessPolicy === "hold" ? 2 : 1)) return;
    if (stalenessPolicy === "saturated") this.#table.pressure[slot] = 1;
    else this.#write(slot, Infinity, 0, 0);
  }

  #reset(slot: number): void {
    const config = this.#config;
    let requests = Infinity, tokens = Infinity;
    if (config?.detector === "concurrency") {
      if (config.mode !== "tokens") requests = config.maxConcurrency;
      if (config.mode !== "requests") tokens = config.maxTokenConcurrency;
    } else if (config?.detector === "fused") {
      requests = config.maxConcurrency ?? Infinity;
      tokens = config.maxTokenConcurrency;
    }
    this.#table.tokenCapacity[slot] = tokens;
    this.#write(slot, requests, 0, 0);
  }

  #write(slot: number, capacity: number, foreign: number, pressure: number): void {
    this.#table.requestCapacity[slot] = capacity;
    this.#table.foreign[slot] = foreign;
    this.#table.pressure[slot] = pressure;
  }

  #learn(slot: number, waiting: number, running: number): number {
    const learned = this.#learned[slot];
    learned.queued = waiting > 0 ? learned.queued + 1 : 0;
    if (Number.isNaN(learned.limit)) {
      learned.most = waiting > 0 ? Math.max(learned.most, running) : 0;
      if (learned.queued < queuedMin || learned.most === 0) return Infinity;
      learned.limit = learned.most;
    } else if (running > learned.limit) learned.limit = running;
    else if (waiting > 0 && running > 0) learned.limit += lowerWeight * (running - learned.limit);
    const most = Math.max(slack, Math.ceil(growthShare * learned.limit));
    learned.beyond = waiting === 0 && running >= learned.limit ? Math.min(most, 2 * learned.beyond) : slack;
    return learned.limit + learned.beyond;
  }

  /** Little's law: the time all of them spent there between two samples, over how many of them left. */
  #observeEnds(slot: number): void {
    const { requests, totalRequests, serviceMs } = this.#table;
    const learned = this.#learned[slot];
    const nowMs = this.#clock.now();
    const underWay = Atomics.load(requests, slot);
    const ended = (Atomics.load(totalRequests, slot) - underWay) | 0;
    if (!Number.isNaN(learned.atMs)) learned.stayMs += (nowMs - learned.atMs) * (underWay + learned.underWay) / 2;
    const count = (ended - learned.ended) | 0;
    learned.atMs = nowMs;
    learned.underWay = underWay;
    if (count <= 0 || learned.stayMs === 0) return;
    const mean = learned.stayMs / count, known = serviceMs[slot];
    serviceMs[slot] = Number.isNaN(known) ? mean : known + (1 - (1 - endWeight) ** count) * (mean - known);
    learned.ended = ended;
    learned.stayMs = 0;
  }
}
