import { ConfigError, Prng } from "../core/mod.ts";
import { ChainHash } from "./hash.ts";

/** Misbehaviour to inject. Rates are shares of requests, 0 to 1; each request draws for each kind. */
export interface Faults {
  /** The listener is closed and open connections are cut, as when the process died. */
  readonly refuse: boolean;
  /** With `refuse`: real milliseconds after which the listener opens again; 0 never by itself. */
  readonly refuseMs: number;
  readonly statusRate: number;
  /** Answered in place of the request. */
  readonly statusCode: number;
  readonly resetRate: number;
  /** Pieces of the body sent before the connection is cut; the status line and headers always go out. */
  readonly resetAfter: number;
  readonly stallRate: number;
  /** Pieces of the body sent before nothing more comes; -1 stalls before the status line. */
  readonly stallAfter: number;
  /** Real milliseconds of a stall; 0 until the client leaves. */
  readonly stallMs: number;
  /** Multiplies the durations of engine steps. */
  readonly slowFactor: number;
  /** Shares of cache event batches that are lost, sent twice, sent after the next one, or sent late. */
  readonly kvDropRate: number;
  readonly kvDuplicateRate: number;
  readonly kvReorderRate: number;
  readonly kvDelayRate: number;
  /** Real milliseconds a late batch takes. */
  readonly kvDelayMs: number;
  /** Nothing is published or replayed; what gathers meanwhile leaves when it is false again. */
  readonly kvStuck: boolean;
  /**
   * How often the engine has died and started again: a change restarts it. Connections, requests and cache are lost,
   * blocks are named anew where the hash seed is random, and event batches are numbered from the first.
   */
  readonly restarts: number;
}

/** A server that behaves. */
export const noFaults: Faults = {
  refuse: false,
  refuseMs: 0,
  statusRate: 0,
  statusCode: 503,
  resetRate: 0,
  resetAfter: 3,
  stallRate: 0,
  stallAfter: -1,
  stallMs: 0,
  slowFactor: 1,
  kvDropRate: 0,
  kvDuplicateRate: 0,
  kvReorderRate: 0,
  kvDelayRate: 0,
  kvDelayMs: 0,
  kvStuck: false,
  restarts: 0,
};

/** What happens to one request. */
export type Fault =
  | { readonly kind: "status"; readonly status: number }
  | { readonly kind: "reset"; readonly after: number }
  | { readonly kind: "stall"; readonly after: number; readonly ms: number };

const ranges: Partial<Record<keyof Faults, readonly [number, number]>> = {
  refuseMs: [0, 3_600_000],
  statusRate: [0, 1],
  statusCode: [400, 599],
  resetRate: [0, 1],
  resetAfter: [0, 1e6],
  stallRate: [0, 1],
  stallAfter: [-1, 1e6],
  stallMs: [0, 3_600_000],
  slowFactor: [0.001, 1e6],
  kvDropRate: [0, 1],
  kvDuplicateRate: [0, 1],
  kvReorderRate: [0, 1],
  kvDelayRate: [0, 1],
  kvDelayMs: [0, 3_600_000],
  restarts: [0, 1e6],
};

/** `statusRate` is `status-rate` on the wire. */
function wireName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

const keyOfWire = new Map(Object.keys(noFaults).map((key) => [wireName(key), key as keyof Faults]));

/** Faults as `GET /admin/config` shows them. */
export function faultsOnWire(faults: Faults): Record<string, number | boolean> {
  return Object.fromEntries(Object.entries(faults).map(([key, value]) => [wireName(key), value]));
}

/** `faults` with the fields of `change` (wire names) put in; all or nothing. Throws ConfigError naming the field. */
export function changedFaults(faults: Faults, change: unknown): Faults {
  if (typeof change !== "object" || change === null || Array.isArray(change)) {
    throw new ConfigError("faults", "", "must be a JSON object");
  }
  const fields: Record<string, number | boolean> = {};
  for (const [name, value] of Object.entries(change)) {
    const key = keyOfWire.get(name);
    if (key === undefined) throw new ConfigError("faults", name, `must be one of ${[...keyOfWire.keys()].join(", ")}`);
    const range = ranges[key];
    const good = range === undefined ? typeof value === "boolean" : inRange(key, value, range);
    const expected = range === undefined ? "must be true or false" : `must be a number from ${range[0]} to ${range[1]}`;
    if (!good) throw new ConfigError("faults", name, `${expected}: current value is ${JSON.stringify(value)}`);
    fields[key] = value;
  }
  return { ...faults, ...fields };
}

function inRange(key: string, value: unknown, [least, most]: readonly [number, number]): boolean {
  if (typeof value !== "number" || !(value >= least && value <= most)) return false;
  return key.endsWith("Rate") || key === "slowFactor" || Number.isInteger(value);
}

/** Draws which request is hit: the same for the same seed, server name and order of requests. */
export class FaultSource {
  readonly #prng: Prng;
  faults: Faults;

  constructor(faults: Faults, seed: number, name: string) {
    this.faults = faults;
    const hash = new ChainHash(seed);
    hash.updateText(name);
    this.#prng = new Prng(hash.link());
  }

  /** The fault of the next request; each request takes three numbers, so that one rate does not shift another's draws. */
  next(): Fault | undefined {
    const [status, reset, stall] = [this.#prng.float(), this.#prng.float(), this.#prng.float()];
    const { statusRate, statusCode, resetRate, resetAfter, stallRate, stallAfter, stallMs } = this.faults;
    if (status < statusRate) return { kind: "status", status: statusCode };
    if (reset < resetRate) return { kind: "reset", after: resetAfter };
    if (stall < stallRate) return { kind: "stall", after: stallAfter, ms: stallMs };
    return undefined;
  }
}

/** Reads `x-sim-fault`: `status=503`, `reset-after=3`, `stall` (after one piece), `stall=5` or `stall-first`. */
export function parseFaultHeader(text: string): Fault | undefined {
  const [name, value] = text.trim().split("=", 2);
  const count = value === undefined ? NaN : Number(value);
  const whole = Number.isSafeInteger(count) && count >= 0;
  if (name === "status" && whole && count >= 400 && count <= 599) return { kind: "status", status: count };
  if (name === "reset-after" && whole) return { kind: "reset", after: count };
  if (name === "stall" && (whole || value === undefined)) return { kind: "stall", after: whole ? count : 1, ms: 0 };
  if (name === "stall-first" && value === undefined) return { kind: "stall", after: -1, ms: 0 };
  return undefined;
}
