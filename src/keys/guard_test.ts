import { deepStrictEqual, equal, match, ok, throws } from "node:assert/strict";
import { RouterError, secretHash, VirtualClock } from "../core/mod.ts";
import { loadConfigText, resolveConfig } from "../config/mod.ts";
import type { Caller } from "./caller.ts";
import { KeyGuard, keyReport } from "./guard.ts";
import { QuotaTable } from "./quota_table.ts";
import { type KeyPlan, KeyRows } from "./rows.ts";

type Fields = Readonly<Record<string, unknown>>;

/** A guard over one key `sk-a` with these fields, and what its metrics were told. */
function guarded(fields: Fields, tenants: readonly Fields[] = []) {
  const clock = new VirtualClock(), table = new QuotaTable(16), rows = new KeyRows(table);
  const refused: string[] = [], charged: [string, number, number][] = [];
  const guard = new KeyGuard({
    table,
    isolate: 0,
    clock,
    metrics: {
      keyRefused: ({ key, reason, shadow }) => void refused.push(`${key} ${reason}${shadow ? " shadow" : ""}`),
      tokensCharged: ({ key, prompt, completion }) => void charged.push([key, prompt, completion]),
    },
  });
  let plan: KeyPlan | undefined;
  const configure = (list: readonly Fields[]) => {
    const text = JSON.stringify({ keys: { list, tenants } });
    plan = rows.plan(resolveConfig(loadConfigText(text, "k.yaml")).keys);
    guard.use(plan);
    rows.commit(plan);
  };
  configure([{ id: "a", hash: `sha256:${secretHash("sk-a")}`, ...fields }]);
  const identify = (secret: string) => guard.identify(new Headers({ "x-api-key": secret }));
  return {
    clock,
    table,
    guard,
    refused,
    charged,
    configure,
    identify,
    report: () => keyReport(plan!, table, clock.now()),
  };
}

function refusal(run: () => unknown): RouterError {
  try {
    run();
  } catch (error) {
    ok(error instanceof RouterError, String(error));
    return error;
  }
  throw new Error("Nothing was refused");
}

Deno.test("identify() knows a key by its hash alone, and tells no other apart", () => {
  const { identify, refused, guard } = guarded({});
  equal(identify("sk-a")?.key, "a");
  const wrong = [
    "sk-b",
    "sk-",
    "sk-aa",
    "SK-A",
    secretHash("sk-a"),
    `sha256:${secretHash("sk-a")}`,
    "a",
    "x".repeat(60_000),
  ];
  for (const secret of wrong) {
    const error = refusal(() => identify(secret));
    deepStrictEqual([error.outcome, error.message], ["unauthorized", "The API key is not valid"]);
  }
  equal(refusal(() => guard.identify(new Headers())).outcome, "unauthorized");
  deepStrictEqual(refused, [...wrong.map(() => " unknown"), " missing"]);
});

Deno.test("identify() refuses what is disabled or has expired; before anything is configured it asks for nothing", () => {
  equal(refusal(() => guarded({ disabled: true }).identify("sk-a")).message, "The API key `a` is disabled");
  const { clock, identify } = guarded({ expires: "2023-11-14T22:14:20Z" });
  equal(identify("sk-a")?.key, "a");
  clock.advance(60_000);
  equal(refusal(() => identify("sk-a")).message, "The API key `a` has expired");
  const parts = { table: new QuotaTable(1), isolate: 0, clock, metrics: { keyRefused() {}, tokensCharged() {} } };
  equal(new KeyGuard(parts).identify(new Headers()), undefined);
});

Deno.test("a list that became empty still closes the router", () => {
  const { configure, identify } = guarded({});
  configure([]);
  equal(refusal(() => identify("sk-a")).outcome, "unauthorized");
});

Deno.test("allow() takes names and globs; a key for certain models must name one", () => {
  const { identify } = guarded({ models: ["gpt-4o", "Qwen/*", "*-lora-*x"] });
  const caller = identify("sk-a")!;
  for (const model of ["gpt-4o", "Qwen/", "Qwen/Qwen3-32B", "a-lora-bx", "-lora-x"]) caller.allow(model);
  for (const model of ["gpt-4", "gpt-4o-mini", "qwen/Qwen3", "aQwen/b", "a-lora-b", "-lora-", ""]) {
    const error = refusal(() => caller.allow(model));
    deepStrictEqual([error.outcome, error.param], ["model-not-found", "model"]);
    equal(caller.lists(model), false);
  }
  guarded({}).identify("sk-a")!.allow("");
  match(refusal(() => caller.allow("x".repeat(10_000))).message, /^.{1,300}$/);
});

Deno.test("fairnessId() is the tenant unless the key speaks for others; priority() has a ceiling", () => {
  const plain = guarded({ tenant: "t", priorityMax: 3 }).identify("sk-a")!;
  deepStrictEqual([plain.fairnessId("forged"), plain.priority(10), plain.priority(-5)], ["t", 3, -5]);
  const gateway = guarded({ trustFairnessHeader: true }).identify("sk-a")!;
  deepStrictEqual([gateway.fairnessId("named"), gateway.fairnessId(undefined), gateway.priority(10)], [
    "named",
    "a",
    10,
  ]);
});

Deno.test("reserve() draws from key and tenant as one, and settle() leaves what was used", () => {
  const { identify, charged, refused, table, clock } = guarded(
    { tenant: "t", tokensPerMinute: 1000, requestsPerMinute: 10 },
    [{ name: "t", tokensPerMinute: 600, maxConcurrent: 2 }],
  );
  const caller = identify("sk-a")!;
  const charge = caller.reserve(500);
  equal(charge.headers()["x-ratelimit-remaining-tokens"], "100");
  equal(charge.headers()["x-ratelimit-limit-tokens"], "600");
  equal(charge.headers()["x-ratelimit-remaining-requests"], "9");
  equal(charge.headers()["x-ratelimit-reset-tokens"], "50s");
  const error = refusal(() => caller.reserve(200));
  deepStrictEqual([error.outcome, error.code ?? null, error.retryAfterS], ["rate-limited", null, 10]);
  // What the key had given was given back as the tenant had not enough.
  equal(charge.headers()["x-ratelimit-remaining-requests"], "9");
  charge.settle({ prompt: 30, completion: 12 });
  charge.settle({ prompt: 30, completion: 12 });
  equal(caller.reserve(0).headers()["x-ratelimit-remaining-tokens"], "558");
  deepStrictEqual([charged, refused, table.inFlight(0)], [[["a", 30, 12]], ["a tokens"], 1]);
  clock.advance(60_000);
  caller.reserve(0).settle(undefined);
  equal(refusal(() => [caller.reserve(0), caller.reserve(0)]).message, "Too many requests at once: the limit is 2");
});

Deno.test("a request larger than the limit is not to be tried again", () => {
  const error = refusal(() => guarded({ tokensPerMinute: 100 }).identify("sk-a")!.reserve(101));
  equal(error.retryAfterS, undefined);
  equal(error.headers?.["x-should-retry"], "false");
  equal(error.message, "Rate limit reached for tokens per minute: the limit is 100, this request needs 101");
});

Deno.test("a request that failed costs nothing, and one of a key that is gone meanwhile changes nobody else's row", () => {
  const { identify, configure, charged, report } = guarded({ tokensPerMinute: 100, requestsPerMinute: 5 });
  const caller = identify("sk-a")!;
  const charge = caller.reserve(80), failed = caller.reserve(20);
  failed.settle(undefined);
  equal(charge.headers()["x-ratelimit-remaining-tokens"], "20");
  equal(charge.headers()["x-ratelimit-remaining-requests"], "4");
  configure([{ id: "b", hash: `sha256:${secretHash("sk-b")}`, tokensPerMinute: 100 }]);
  match(refusal(() => caller.reserve(1)).message, /have just changed/);
  charge.settle({ prompt: 50, completion: 50 });
  deepStrictEqual(charged, [["a", 50, 50]]);
  const { keys } = report() as { keys: { id: string; tokens: { remaining: number }; inFlight: number }[] };
  deepStrictEqual(keys.map(({ id, tokens, inFlight }) => [id, tokens.remaining, inFlight]), [["b", 100, 0]]);
});

Deno.test("a key in shadow is refused nothing, and everything is counted", () => {
  const { identify, refused, charged, table } = guarded({
    ...{ shadow: true, models: ["m"], requestsPerMinute: 1, expires: "2020-01-01" },
  });
  const caller: Caller = identify("sk-a")!;
  caller.allow("other");
  const charges = [caller.reserve(5), caller.reserve(5)];
  deepStrictEqual(refused, ["a expired shadow", "a model shadow", "a requests shadow"]);
  for (const charge of charges) charge.settle({ prompt: 5, completion: 1 });
  deepStrictEqual(charged, [["a", 5, 1], ["a", 5, 1]]);
  equal(table.inFlight(0), 0);
});

Deno.test("keyReport() shows balances and no hash", () => {
  const { identify, report } = guarded({ models: ["m"], tokensPerMinute: 100, expires: "2030-01-01" }, [{
    name: "t",
    maxConcurrent: 3,
  }]);
  identify("sk-a")!.reserve(60);
  const shown = JSON.parse(JSON.stringify(report()));
  equal(JSON.stringify(shown).includes(secretHash("sk-a").slice(0, 16)), false);
  deepStrictEqual(shown, {
    enforced: true,
    keys: [{
      id: "a",
      models: ["m"],
      tenant: "a",
      trustFairnessHeader: false,
      shadow: false,
      disabled: false,
      expires: "2030-01-01T00:00:00.000Z",
      tokens: { perMinute: 100, remaining: 40, resetMs: 36_000 },
      inFlight: 1,
    }],
    tenants: [{ name: "t", inFlight: 0, maxConcurrent: 3 }],
  });
  throws(() => guarded({ id: "x", hash: "sk-a" }), /must be "sha256:" and 64 hex digits/);
});
