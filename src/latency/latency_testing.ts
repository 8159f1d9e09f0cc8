/** What the tests of this room share: small pools, requests, forests that are functions, and a shop that makes them. */
import {
  endpointMeta,
  EndpointState,
  EndpointTable,
  type PrefixMatch,
  Prng,
  RecordRing,
  type RequestView,
  VirtualClock,
} from "../core/mod.ts";
import { columns, type LatencyFacts, type Target } from "./features.ts";
import { ForestError, type ForestJob, type ForestShop, type MadeForest } from "./forest_shop.ts";
import type { ForestPublisher } from "./governor.ts";
import { Learner, type LearnerObserver } from "./learner.ts";
import type { ForestScorer, PredictorOptions } from "./latency_columns.ts";
import { Predictor } from "./predictor.ts";
import type { PredictionObserver } from "./prediction.ts";
import { type Label, labelNumbers, latencyRecords, writeLabel } from "./record.ts";
import { ForestKind, LatencyState } from "./state.ts";

/** Endpoint i is `h:<i + 1>` in slot i, ready, without a sample. */
export function testTable(endpoints: number, capacity = endpoints): EndpointTable {
  const table = new EndpointTable(capacity);
  for (let i = 0; i < endpoints; i++) table.add(endpointMeta({ host: "h", port: i + 1 }), EndpointState.Ready);
  return table;
}

export function testRequest(part: Partial<RequestView> = {}): RequestView {
  return {
    id: "test",
    api: "chat",
    receivedAtMs: 0,
    model: "base",
    requestedModel: "base",
    stream: true,
    promptTokens: 1000,
    bodyBytes: 4000,
    blocks: { hashes: new BigUint64Array(0), blockTokens: 64 },
    fairnessId: "default-flow",
    objective: "",
    priority: 0,
    slo: {},
    mediaParts: 0,
    headers: { get: () => undefined },
    ...part,
  };
}

/** What is known of a request now; the load is as the table has it, and nothing of the prompt is held. */
export function testFacts(
  table: EndpointTable,
  { request = testRequest(), match, nowMs = 0 }: {
    readonly request?: RequestView;
    readonly match?: Partial<PrefixMatch>;
    readonly nowMs?: number;
  } = {},
): LatencyFacts {
  return {
    view: request,
    table,
    match: { blocks: new Int32Array(table.capacity), total: 0, blockTokens: 64, ...match },
    load: table,
    nowMs,
  };
}

/** A forest as a function: what it adds, for median and high quantile, to where it begins. */
export interface TestForest {
  readonly kind?: ForestKind;
  readonly baseMargin?: number;
  readonly sums: (row: readonly number[]) => readonly number[];
}

const encoder = new TextEncoder(), decoder = new TextDecoder();

/** Files and packed forms of test forests are their names. */
export class TestForests implements ForestScorer, ForestPublisher {
  readonly columns: readonly Float32Array[];
  /** By name; what is not here cannot be read. */
  readonly known = new Map<string, TestForest>();
  /** Called in the middle of every scoring. */
  onScore: (() => void) | undefined;
  scorings = 0;
  readonly #margins: readonly Float32Array[];
  readonly #out: readonly (readonly Float32Array[])[];
  readonly #current: (TestForest | undefined)[] = [undefined, undefined];
  readonly #versions = [0, 0];

  constructor(rows: number) {
    this.columns = columns.map(() => new Float32Array(rows));
    this.#margins = [new Float32Array(rows), new Float32Array(rows)];
    this.#out = [0, 1].map(() => [new Float32Array(rows), new Float32Array(rows)]);
  }

  margins(target: number): Float32Array {
    return this.#margins[target];
  }

  out(target: number, group: number): Float32Array {
    return this.#out[target][group];
  }

  groups(target: number): number {
    return this.#current[target]?.sums(columns.map(() => 0)).length ?? 0;
  }

  version(target: number): number {
    return this.#current[target] ? this.#versions[target] : 0;
  }

  publish(target: number, packed: Uint8Array | undefined): number {
    const name = packed && decoder.decode(packed);
    if (name === "too large") throw new RangeError("Cannot publish a forest as it has too many bytes");
    this.#current[target] = name === undefined ? undefined : this.known.get(name);
    return ++this.#versions[target];
  }

  /** Publishes a forest that nobody made. */
  use(target: number, forest: TestForest | undefined): number {
    this.#current[target] = forest;
    return ++this.#versions[target];
  }

  score(rows: number): void {
    this.scorings++;
    for (const target of [0, 1]) {
      const forest = this.#current[target];
      for (let row = 0; row < rows; row++) {
        const sums = forest?.sums(this.columns.map((column) => column[row])) ?? [0];
        const begin = this.#margins[target][row] + (forest?.baseMargin ?? 0);
        for (const [group, sum] of sums.entries()) this.#out[target][group][row] = begin + sum;
      }
    }
    this.onScore?.();
  }
}

/** Makes the forest that `next` names, and reads those that are known. */
export class TestShop implements ForestShop {
  readonly jobs: ForestJob[] = [];
  readonly forests: TestForests;
  next: (job: ForestJob, signal: AbortSignal) => string | Promise<string> = () => "forest";
  tookMs = 5;
  stopped = false;

  constructor(forests: TestForests) {
    this.forests = forests;
  }

  async train(job: ForestJob, signal: AbortSignal): Promise<MadeForest> {
    this.jobs.push(job);
    return this.#made(await this.next(job, signal), job.heldBack);
  }

  load(_target: Target, file: Uint8Array, heldBack: readonly Float32Array[]): Promise<MadeForest> {
    return new Promise((resolve) => resolve(this.#made(decoder.decode(file), heldBack)));
  }

  stop(): Promise<void> {
    this.stopped = true;
    return Promise.resolve();
  }

  #made(name: string, heldBack: readonly Float32Array[]): MadeForest {
    const forest = this.forests.known.get(name);
    if (!forest) throw new ForestError(`Cannot read the forest: ${name}`);
    const { kind = ForestKind.Residual, baseMargin = 0 } = forest;
    const rows = heldBack[0].length;
    const sums = [new Float32Array(rows), new Float32Array(rows)] as const;
    for (let i = 0; i < rows; i++) {
      const [median, high = median] = forest.sums(heldBack.map((column) => column[i]));
      for (const [q, sum] of [median, high].entries()) {
        const whole = kind === ForestKind.Residual ? sum : baseMargin + sum;
        sums[q][i] = kind === ForestKind.Milliseconds ? Math.log(Math.max(whole, 0.01)) : whole;
      }
    }
    const bytes = encoder.encode(name);
    return { kind, file: bytes, packed: bytes, sums, trees: 1, tookMs: this.tookMs };
  }
}

/** A predictor and a learner over one table, joined by a ring as edge and control isolate are. */
export class TestWorld {
  readonly clock = new VirtualClock();
  readonly table: EndpointTable;
  readonly state: LatencyState;
  readonly forests: TestForests;
  readonly shop: TestShop;
  readonly learner: Learner;
  readonly predictor: Predictor;
  readonly ring = new RecordRing(1 << 12);
  /** Records that were told, in order. */
  readonly told: { readonly kind: number; readonly numbers: readonly number[] }[] = [];

  constructor({ endpoints = 2, rowsMax = 1000, quantile = 0.9, options, learnerObserver, observer }: {
    readonly endpoints?: number;
    readonly rowsMax?: number;
    readonly quantile?: number;
    readonly options?: Partial<PredictorOptions>;
    readonly learnerObserver?: LearnerObserver;
    readonly observer?: PredictionObserver;
  } = {}) {
    this.table = testTable(endpoints, endpoints + 1);
    const { clock, table } = this;
    this.state = new LatencyState(table.capacity, 1);
    const { state } = this;
    this.forests = new TestForests(table.capacity);
    this.shop = new TestShop(this.forests);
    this.learner = new Learner({
      state,
      table,
      clock,
      rng: new Prng(1),
      options: { quantile, rowsMax },
      version: (target) => this.forests.version(target),
      observer: learnerObserver,
    });
    this.predictor = new Predictor(state, {
      table,
      forests: this.forests,
      isolate: 0,
      observer,
      tell: (kind, numbers) => {
        this.told.push({ kind, numbers });
        this.ring.push(kind, numbers);
      },
      options: { quantile, tpotBufferFactor: 1, ...options },
    });
  }

  /** As if labels enough had come that what is predicted is no guess; this world. */
  believed(): this {
    for (let i = 0; i < 8; i++) {
      for (const target of [0, 1]) this.state.labelled(target, i % this.table.capacity, this.clock.now());
    }
    return this;
  }

  /** The learner takes what the predictor told. */
  learn(): void {
    this.ring.drain((kind, numbers) => void this.learner.take(kind, numbers));
  }

  /** The learner takes one label; what it does not name is as of an idle endpoint. */
  label(part: Partial<Label>): void {
    this.ring.push(latencyRecords.label, writeLabel(testLabel(this.table, part), new Array(labelNumbers)));
    this.learn();
  }

  facts(request: Partial<RequestView> = {}, match: Partial<PrefixMatch> = {}): LatencyFacts {
    return testFacts(this.table, { request: testRequest(request), match, nowMs: this.clock.now() });
  }
}

/** A label of a request of 1,000 uncached tokens at an idle endpoint. */
export function testLabel(table: EndpointTable, part: Partial<Label> = {}): Label {
  const slot = part.slot ?? 0;
  return {
    slot,
    generation: table.generation[slot],
    target: 0,
    ms: 100,
    censored: false,
    workTokens: 1000,
    waitMs: 0,
    requests: 1,
    contextTokens: 1128,
    medianMs: 100,
    highMs: 150,
    version: 0,
    sums: [0, 0],
    row: testRow({ effective_input_tokens: part.workTokens ?? 1000, num_request_running: (part.requests ?? 1) - 1 }),
    ...part,
  };
}

/** A row with some columns named, the others 0. */
export function testRow(named: Readonly<Record<string, number>>): number[] {
  return columns.map((name) => named[name] ?? 0);
}
