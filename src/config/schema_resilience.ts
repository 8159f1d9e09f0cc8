import {
  continuationDefault,
  hedgeDefaults,
  overloadDefaults,
  poolEjectionDefaults,
  retryBudgetDefaults,
} from "./defaults.ts";
import { decimal, duration, durationOr, flag, integer, ratio, section } from "./fields.ts";
import { hourMs } from "./units.ts";

/** `pool.ejection`: the circuit breaker of each endpoint. */
export const ejection = section("The circuit breaker: how requests that fail or are slow take an endpoint out.", {
  enabled: flag({ about: "Whether it does so at all.", default: poolEjectionDefaults.enabled }),
  failures: integer(1, 1000, { about: "Failures in a row that eject.", default: poolEjectionDefaults.failures }),
  errorRate: ratio({
    about: "Share of failed requests within `window` that ejects; 1 never.",
    default: poolEjectionDefaults.errorRate,
  }),
  successGap: ratio({
    about: "How far its share of good requests may lie below the mean of the other endpoints; 1 any.",
    default: poolEjectionDefaults.successGap,
  }),
  window: duration(1000, hourMs, {
    about: "Time over which both shares count.",
    default: poolEjectionDefaults.windowMs,
  }),
  requestsMin: integer(1, 1_000_000, {
    about: "Requests within `window` below which no share is judged.",
    default: poolEjectionDefaults.requestsMin,
  }),
  slowFactor: decimal(0, 1000, {
    about: "Times slower to the first token than the other endpoints at similar work that ejects; 0 never.",
    default: poolEjectionDefaults.slowFactor,
  }),
  slowFloor: duration(0, hourMs, {
    about: "Typical time to the first token below which an endpoint is not slow.",
    default: poolEjectionDefaults.slowFloorMs,
  }),
  time: duration(100, hourMs, { about: "First ejection; doubles each time.", default: poolEjectionDefaults.timeMs }),
  timeMax: duration(100, hourMs, { about: "Longest ejection.", default: poolEjectionDefaults.timeMaxMs }),
  probes: integer(1, 255, {
    about: "Requests that may try an endpoint at once when its ejection is over.",
    default: poolEjectionDefaults.probes,
  }),
  probeSuccesses: integer(1, 255, {
    about: "How many of them must go well, none failing, until it takes all requests again.",
    default: poolEjectionDefaults.probeSuccesses,
  }),
  probeTimeout: duration(100, 24 * hourMs, {
    about:
      "Time without a word of them after which it is out again; absent: longer than any request may wait for its " +
      "first byte, so that only those of a worker that is gone are meant.",
  }),
  shareMax: ratio({
    about: "Share of the pool that may be ejected at once.",
    default: poolEjectionDefaults.shareMax,
  }),
});

/** Keys of `upstream` about attempts after the first. */
export const resilienceKeys = {
  firstTokenTimeout: duration(100, hourMs, {
    about:
      "Time from the sent request to the first token of a stream of chat or text completions, after which it goes " +
      "to another endpoint; absent follows `upstream.firstByteTimeout`.",
  }),
  retryBudget: section("How many attempts after the first there may be, over all requests of a worker.", {
    ratio: ratio({ about: "Further attempts per request.", default: retryBudgetDefaults.ratio }),
    minPerSecond: decimal(0, 10_000, {
      about: "Further attempts a second beside those.",
      default: retryBudgetDefaults.minPerSecond,
    }),
    burst: integer(0, 100_000, {
      about: "Further attempts that may be saved up.",
      default: retryBudgetDefaults.burst,
    }),
  }),
  hedge: section("A second attempt beside a stream that is slow to begin, within `attemptsMax` and the retry budget.", {
    after: durationOr("p95", 1, hourMs, {
      about: "Wait before it; `p95` is what 95 of 100 streams began within. Absent: no second attempt.",
    }),
    promptTokensMax: integer(1, 1 << 24, {
      about: "Uncached prompt tokens above which there is none, as it computes the prompt again.",
      default: hedgeDefaults.promptTokensMax,
    }),
  }),
  continuation: flag({
    about:
      "Whether a stream of chat or text completions that loses its endpoint goes on at another one, where vLLM and " +
      "SGLang can do so.",
    default: continuationDefault,
  }),
};

/** `server.overload`. */
export const overload = section("When the router refuses requests with 503 as it has too much to do itself.", {
  loopLag: duration(10, hourMs, {
    about: "Time its event loop may be held; from four fifths on, requests of negative priority are refused.",
    default: overloadDefaults.loopLagMs,
  }),
  requestsMax: integer(1, 1_000_000, {
    about: "Requests under way in one worker; from four fifths on, those of negative priority are refused.",
    default: overloadDefaults.requestsMax,
  }),
});
