/** Which endpoint a request goes to. */
import { deepStrictEqual, equal, notEqual, ok } from "node:assert/strict";
import { busy, fact, model, openAiError, post, type Stage, until, withRouter } from "./harness.ts";

const three = { sims: [{}, {}, {}] };

/** A prompt of many blocks that starts differently for each subject. */
const prompt = (subject: string) => `${subject}: ` + `All that is known of ${subject} is written here. `.repeat(60);

/** Asks and answers the name of the simulator that served. */
async function servedBy(
  { url }: Stage,
  body: Record<string, unknown>,
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  const response = await post(`${url}/v1/completions`, { model, max_tokens: 1, ...body }, { headers });
  const text = await response.text();
  equal(response.status, 200, text);
  return response.headers.get("x-inference-pod")!;
}

fact(
  "prompts that begin alike go to one endpoint; prompts that differ spread over all",
  () =>
    withRouter(three, async (stage) => {
      const homes = new Map<string, string>();
      for (let i = 0; i < 12; i++) homes.set(`subject ${i}`, await servedBy(stage, { prompt: prompt(`subject ${i}`) }));
      deepStrictEqual([...new Set(homes.values())].sort(), ["sim-0", "sim-1", "sim-2"]);
      for (const [subject, home] of homes) {
        equal(await servedBy(stage, { prompt: prompt(subject) + "And more?" }), home);
      }
    }),
);

fact("what the router takes for cached the engine finds in its cache", () =>
  withRouter(three, async (stage) => {
    await servedBy(stage, { prompt: prompt("tides") });
    await servedBy(stage, { prompt: prompt("tides") + "And?" }, { "x-request-id": "warm" });
    const line = await stage.accessLine("warm");
    const cached = line.cached_tokens as number, matched = line.matched_tokens as number;
    ok(matched > 500, `${matched}`);
    ok(Math.abs(cached - matched) < 128, `router ${matched}, engine ${cached}`);
  }));

fact(
  "requests that come together spread by the load each choice reserves",
  () =>
    withRouter({ sims: [{ speed: 1 }, { speed: 1 }, { speed: 1 }] }, async (stage) => {
      const abort = new AbortController();
      const pending = Array.from({ length: 9 }, async (_, i) => {
        const body = { model, prompt: prompt(`together ${i}`), max_tokens: 5000, stream: true };
        const response = await post(`${stage.url}/v1/completions`, body, { signal: abort.signal });
        return response.body!.getReader();
      });
      const readers = await Promise.all(pending);
      deepStrictEqual(stage.sims.map(busy), [3, 3, 3]);
      await Promise.all(readers.map((reader) => reader.cancel()));
      await until("every engine is idle", () => stage.sims.every((sim) => busy(sim) === 0));
    }),
);

fact(
  "each model goes to the endpoint that serves it, and both are listed",
  () =>
    withRouter({ sims: [{ model: "org/a" }, { model: "org/b" }] }, async (stage) => {
      for (let i = 0; i < 4; i++) {
        equal(await servedBy(stage, { model: "org/a", prompt: `${i}` }), "sim-0");
        equal(await servedBy(stage, { model: "org/b", prompt: `${i}` }), "sim-1");
      }
      const { data } = await (await fetch(`${stage.url}/v1/models`)).json();
      deepStrictEqual(data.map(({ id }: { id: string }) => id), ["org/a", "org/b"]);
    }),
);

fact(
  "adapters are listed with their base, and their requests go where they are loaded",
  () =>
    withRouter({ sims: [{}, { loraModules: [{ name: "tune", path: "/adapters/tune" }] }] }, async (stage) => {
      for (let i = 0; i < 4; i++) equal(await servedBy(stage, { model: "tune", prompt: `${i}` }), "sim-1");
      const { data } = await (await fetch(`${stage.url}/v1/models`)).json();
      deepStrictEqual(
        data.map(({ id, parent }: Record<string, string>) => [id, parent]),
        [[model, null], ["tune", model]],
      );
    }),
);

fact(
  "an adapter loaded while the router runs is found at the first request for it",
  () =>
    withRouter({ sims: [{}, {}] }, async (stage) => {
      const load = { lora_name: "late", lora_path: "/adapters/late" };
      await (await post(`${stage.sims[1].url}/v1/load_lora_adapter`, load)).body?.cancel();
      equal(await servedBy(stage, { model: "late", prompt: "x" }), "sim-1");
    }),
);

fact("the subset header restricts the choice", () =>
  withRouter(three, async (stage) => {
    const subset = (...sims: number[]) => ({
      "x-gateway-destination-endpoint-subset": sims.map((i) => `127.0.0.1:${stage.sims[i].port}`).join(", "),
    });
    for (let i = 0; i < 3; i++) {
      for (const only of [0, 1, 2]) equal(await servedBy(stage, { prompt: `${i}` }, subset(only)), `sim-${only}`);
      notEqual(await servedBy(stage, { prompt: `either ${i}` }, subset(0, 2)), "sim-1");
    }
  }));

fact(
  "Prefer: if-available answers 412 until the prompt is cached where the request would go",
  () =>
    withRouter({ sims: [{}, {}] }, async (stage) => {
      const asked = { model, prompt: prompt("conditions"), max_tokens: 1 };
      const prefer = { headers: { "prefer": "if-available" } };
      const cold = await post(`${stage.url}/v1/completions`, asked, prefer);
      equal(cold.status, 412);
      equal((await openAiError(cold)).code, "prefix_not_cached");
      const home = await servedBy(stage, asked);
      const warm = await post(`${stage.url}/v1/completions`, asked, prefer);
      equal(warm.status, 200, await warm.text());
      equal(warm.headers.get("x-inference-pod"), home);
    }),
);

fact("a session token sends the client back to the endpoint that gave it", () =>
  withRouter(
    {
      ...three,
      config: {
        scheduling: {
          plugins: [{ type: "session-affinity-scorer" }, { type: "max-score-picker" }],
          schedulingProfiles: [{
            name: "default",
            plugins: [{ pluginRef: "session-affinity-scorer" }, { pluginRef: "max-score-picker" }],
          }],
        },
      },
    },
    async (stage) => {
      const seen = new Set<string>();
      for (let i = 0; i < 12; i++) {
        const first = await post(`${stage.url}/v1/completions`, { model, prompt: `${i}`, max_tokens: 1 });
        await first.body?.cancel();
        const token = first.headers.get("x-session-token");
        ok(token);
        const home = first.headers.get("x-inference-pod")!;
        seen.add(home);
        for (let again = 0; again < 3; again++) {
          equal(await servedBy(stage, { prompt: `${i} ${again}` }, { "x-session-token": token }), home);
        }
      }
      equal(seen.size, 3);
    },
  ));

fact("a weighted rewrite spreads sessions over its targets and keeps each at its own", () =>
  withRouter(
    {
      sims: [{ model: "org/a" }, { model: "org/b" }],
      config: {
        models: {
          rewrites: [{
            name: "canary",
            match: ["chat"],
            targets: [{ model: "org/a", weight: 1 }, { model: "org/b", weight: 1 }],
            sticky: "session",
          }],
        },
      },
    },
    async (stage) => {
      const targets = new Map<string, string>();
      for (let i = 0; i < 16; i++) {
        const session = `session-${i}`;
        targets.set(session, await servedBy(stage, { model: "chat", prompt: "x" }, { "x-session-id": session }));
      }
      deepStrictEqual([...new Set(targets.values())].sort(), ["sim-0", "sim-1"]);
      for (const [session, target] of targets) {
        equal(await servedBy(stage, { model: "chat", prompt: "y" }, { "x-session-id": session }), target);
      }
      await servedBy(stage, { model: "chat", prompt: "x" }, { "x-request-id": "rewritten" });
      const line = await stage.accessLine("rewritten");
      deepStrictEqual([line.model, line.rewrite], ["chat", "canary"]);
      ok(line.target_model === "org/a" || line.target_model === "org/b");
    },
  ));

fact("a prompt counts as cached from the first byte of its answer on, however long the answer takes", async () => {
  await withRouter({ sims: [{ speed: 5 }] }, async (stage) => {
    const leave = new AbortController();
    const content = "A prompt of some length. ".repeat(60);
    const response = await fetch(`${stage.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model, stream: true, max_tokens: 20_000, messages: [{ role: "user", content }] }),
      signal: leave.signal,
    });
    const reader = response.body!.getReader();
    await reader.read();
    equal(stage.router.caches.stats().openTickets, 0);
    ok(stage.router.caches.status(0).blocks.routed > 3);
    leave.abort();
    await reader.cancel().catch(() => {});
    await until("the request has ended", () => stage.router.edges.active === 0);
    ok(stage.router.caches.status(0).blocks.routed > 3);
  });
});
