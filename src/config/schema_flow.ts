/** The section about requests that wait for an endpoint with room. */
import {
  agingShareDefault,
  bandDefaults,
  concurrencyDefaults,
  flowDefaults,
  fusedDefaults,
  programAwareDefaults,
  utilizationDefaults,
  vtcDefaults,
} from "./flow_defaults.ts";
import {
  type BandConfig,
  type CeilingConfig,
  earlyRejections,
  type FairnessConfig,
  orderings,
  type SaturationConfig,
  stalenessPolicies,
} from "./flow_types.ts";
import {
  bytes,
  choice,
  choiceOrAlias,
  decimal,
  duration,
  flag,
  integer,
  list,
  ratio,
  requiredDuration,
  requiredInteger,
  requiredText,
  section,
  sectionSchema,
  shortSection,
  textSchema,
} from "./fields.ts";
import { formatDuration, GiB, hourMs } from "./units.ts";

const requestsMax = 10_000_000;
const tokensMax = 1_000_000_000_000;
const bytesMax = 1024 * GiB;
const waitMaxMs = 24 * hourMs;

/** What may wait, for something that has no limit by itself. */
const limits = (absent = "absent: no limit") => ({
  maxRequests: integer(1, requestsMax, { about: `Requests that may wait; ${absent}.` }),
  maxTokens: integer(1, tokensMax, { about: `Prompt and expected output tokens that may wait; ${absent}.` }),
  maxBytes: bytes(1024, bytesMax, { about: `Request bodies that may wait, in bytes; ${absent}.` }),
});

const fairness = (standard?: BandConfig) =>
  shortSection("Which tenant is served next.", "policy", {
    policy: choiceOrAlias<FairnessConfig["policy"]>(
      ["global-strict", "round-robin", "vtc", "program-aware"],
      {
        "global-strict-fairness-policy": "global-strict",
        "round-robin-fairness-policy": "round-robin",
        "vtc-fairness-policy": "vtc",
        "program-aware-fairness": "program-aware",
      },
      {
        about: "`global-strict`: no tenants; `round-robin`: a request each in turn; `vtc`: who was given the fewest " +
          "tokens by its weight; `program-aware`: the same, forgotten with time and weighed with the wait.",
        default: standard?.fairness.policy,
      },
    ),
    inputWeight: decimal(0, 1000, {
      about: `What a prompt token counts, for \`vtc\`; absent: ${vtcDefaults.inputWeight}.`,
    }),
    outputWeight: decimal(0, 1000, {
      about: `What an output token counts, for \`vtc\`; absent: ${vtcDefaults.outputWeight}.`,
    }),
    weightService: ratio({
      about: `What little service counts, for \`program-aware\`; absent: ${programAwareDefaults.weightService}.`,
    }),
    weightHeadWait: ratio({
      about: "What the wait of the tenant's first request counts, for `program-aware`; absent: " +
        `${programAwareDefaults.weightHeadWait}.`,
    }),
    halfLife: duration(0, waitMaxMs, {
      about: "Time in which service counts half, for `program-aware`; 0s: it is never forgotten. Absent: " +
        `${formatDuration(programAwareDefaults.halfLifeMs)}.`,
    }),
  });

/** Keys of a band; `standard` is what an absent one is, where that does not follow another band. */
const bandKeys = (standard?: BandConfig) => ({
  maxRequests: integer(1, requestsMax, {
    about: "Requests of a priority that may wait.",
    default: standard?.maxRequests,
  }),
  maxTokens: integer(1, tokensMax, { about: "Their prompt and expected output tokens; absent: no limit." }),
  maxBytes: bytes(1024, bytesMax, { about: "Their bodies, in bytes.", default: standard?.maxBytes }),
  ttl: duration(0, waitMaxMs, {
    about: "How long they may wait while their model has endpoints; 0s: for ever. Absent follows `flow.ttl`.",
  }),
  share: ratio({
    about: "Share of all dispatches that it gets while higher priorities wait too.",
    default: standard?.share,
  }),
  fairness: fairness(standard),
  ordering: choiceOrAlias(orderings, {
    "fcfs-ordering-policy": "fcfs",
    "edf-ordering-policy": "edf",
    "slo-deadline-ordering-policy": "slo-deadline",
    "least-laxity-ordering-policy": "least-laxity",
  }, {
    about: "Which request of a tenant is served next: `fcfs` the first that came, `edf` the one whose time to wait " +
      "ends first, `slo-deadline` the one whose TTFT target ends first, `least-laxity` the one whose target leaves " +
      "the least time.",
    default: standard?.ordering,
  }),
});

const ceiling = shortSection("How full an endpoint may be for a priority, as a share of its capacity.", "policy", {
  policy: choiceOrAlias<CeilingConfig["policy"]>(["static", "priority-holdback", "soft-reflective"], {
    "static-usage-limit-policy": "static",
    "priority-holdback-policy": "priority-holdback",
    "soft-reflective-ceiling-policy": "soft-reflective",
  }, {
    about: "`static`: the same for all; `priority-holdback`: less with falling priority; `soft-reflective`: lower " +
      "priorities pause the more often the fuller it is.",
    default: flowDefaults.ceiling.policy,
  }),
  threshold: decimal(0.001, 1, { about: "The share, for `static`.", default: 1 }),
  minCeiling: ratio({ about: "Share of the lowest priority; `priority-holdback` needs it." }),
  maxCeiling: ratio({ about: "Share of the highest priority, for `priority-holdback`; absent: 1." }),
  domain: choice(["rank", "value"], {
    about:
      "Whether those between are spaced by their order or by their numbers, for `priority-holdback`; absent: rank.",
  }),
});

const { queueDepthThreshold, kvCacheUtilThreshold, stalenessMs, stalenessPolicy } = utilizationDefaults;

const saturation = shortSection("How it is told that an endpoint has room.", "detector", {
  detector: choiceOrAlias<SaturationConfig["detector"]>(["fused", "utilization", "concurrency"], {
    "utilization-detector": "utilization",
    "concurrency-detector": "concurrency",
  }, {
    about: "`fused`: what the engine reported and what was sent since; `utilization`: its queue and cache as " +
      "reported; `concurrency`: what this router has sent.",
    default: flowDefaults.saturation.detector,
  }),
  maxConcurrency: integer(1, 1_000_000, {
    about: "Requests an endpoint may have. Absent: for `fused` learned from the engine's queue, for `concurrency` " +
      `${concurrencyDefaults.maxConcurrency}.`,
  }),
  mode: choice(["requests", "tokens", "hybrid"], {
    about: `What counts, for \`concurrency\`; absent: ${concurrencyDefaults.mode}.`,
  }),
  maxTokenConcurrency: integer(1, tokensMax, {
    about: "Prompt tokens that an endpoint may have to compute, cached ones left out. Absent: for `fused` " +
      `${fusedDefaults.maxTokenConcurrency}, for \`concurrency\` ${concurrencyDefaults.maxTokenConcurrency}.`,
  }),
  queueDepthThreshold: decimal(0.001, 1_000_000, {
    about: `Waiting requests at which an endpoint is full, for \`utilization\`; absent: ${queueDepthThreshold}.`,
  }),
  kvCacheUtilThreshold: decimal(0.001, 1, {
    about: `Share of its cache in use at which it is full, for \`utilization\`; absent: ${kvCacheUtilThreshold}.`,
  }),
  staleAfter: duration(1, hourMs, {
    about: `Age at which its report is old, for \`utilization\`; absent: ${formatDuration(stalenessMs)}.`,
  }),
  stalenessPolicy: choice(stalenessPolicies, {
    about: "What an endpoint with an old report is, for `utilization`: `saturated` full, `ignore` not there, `hold` " +
      `as it was until the report is twice too old, then not there; absent: ${stalenessPolicy}.`,
  }),
});

export const flow = section(
  "Requests wait in the router, by priority and tenant, while no endpoint has room. A `flowControl` section of an " +
    "EndpointPickerConfig that is on goes before.",
  {
    enabled: flag({ about: "Whether requests wait at all.", default: flowDefaults.enabled }),
    ...limits(),
    perTenant: section("The same for each tenant.", limits()),
    tenants: list(
      sectionSchema({
        name: requiredText({ about: "The tenant's fairness id." }),
        weight: decimal(0.001, 1_000_000, {
          about: "What it is served in proportion to, where the policy is `vtc`.",
          default: 1,
        }),
        ...limits("absent follows `flow.perTenant`"),
      }),
      { about: "Tenants with settings of their own.", form: "a list of mappings" },
    ),
    ttl: duration(0, waitMaxMs, {
      about: "How long a request may wait while its model has endpoints; 0s: for ever.",
      default: flowDefaults.ttlMs,
    }),
    noEndpointTtl: duration(0, waitMaxMs, {
      about: "The same while it has none, counted from when that began; 0s: for ever.",
      default: flowDefaults.noEndpointTtlMs,
    }),
    holdModels: list(textSchema("a non-empty model name", /\S/), {
      about: "Models whose requests wait although no endpoint of theirs was ever seen, as with scale from zero.",
      form: "a list of model names",
    }),
    bands: list(
      sectionSchema({
        priority: requiredInteger(-(2 ** 31), 2 ** 31 - 1, { about: "Priority of the requests it is for." }),
        ...bandKeys(bandDefaults),
      }),
      { about: "How requests of one priority wait.", form: "a list of mappings" },
    ),
    defaultBand: section("The same for priorities that `flow.bands` does not name.", bandKeys(bandDefaults)),
    defaultNegativeBand: section(
      "The same for those below 0; absent keys follow `flow.defaultBand`.",
      bandKeys(),
    ),
    ceiling,
    saturation,
    aging: section("What is done for a priority that waits long; absent: nothing.", {
      after: requiredDuration(1, waitMaxMs, { about: "Wait of its first request from which on it counts." }),
      share: decimal(0.001, 1, {
        about: `Share of all dispatches that the priority then gets at least; absent: ${agingShareDefault}.`,
      }),
    }),
    earlyRejection: choice(earlyRejections, {
      about:
        "Whether a request is refused on arrival when it would wait longer than it may (`ttl`), or than its TTFT " +
        "target (`slo`) as well.",
      default: flowDefaults.earlyRejection,
    }),
    prefixWait: duration(0, hourMs, {
      about: "Longest wait for the endpoint that holds a request's prefix while others have room; 0s: none.",
      default: flowDefaults.prefixWaitMs,
    }),
    eviction: flag({
      about: "Whether running requests of negative priority make room, before their first byte, for others that wait.",
      default: flowDefaults.eviction,
    }),
    fairnessHeaders: list(textSchema("a header name", /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/), {
      about: "Headers the first of which that is not empty names the tenant, where neither a key nor the fairness-id " +
        "header does.",
      form: "a list of header names",
    }),
  },
);
