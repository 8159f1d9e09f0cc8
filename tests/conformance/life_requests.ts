/** What clients of the random lives send. */
import type { Api } from "../../src/core/mod.ts";
import { Prng } from "../../src/core/mod.ts";

/** A request shape with everything that may be known of it beforehand. */
export interface LifeRequest {
  readonly kind: "valid" | "invalid" | "unknown-model" | "passthrough";
  readonly api: Api;
  readonly method: string;
  readonly path: string;
  readonly body: Uint8Array | undefined;
  readonly headers: readonly (readonly [string, string])[];
  /** Model the client names; "" for none. */
  readonly model: string;
  readonly stream: boolean;
  readonly usage: boolean;
}

const encoder = new TextEncoder();
const json = ["content-type", "application/json"] as const;

const models = ["base", "adapter", "other", "alias", "split"];

function chat(prng: Prng, model: string, stream: boolean, usage: boolean, words: number): string {
  const turns = Array.from({ length: 1 + prng.below(4) }, (_, i) => ({
    role: i % 2 === 0 ? "user" : "assistant",
    content: `conversation ${prng.below(12)} turn ${i} ` + "and then ".repeat(words),
  }));
  return JSON.stringify({
    model,
    ...(stream ? { stream: true } : {}),
    ...(usage ? { stream_options: { include_usage: true } } : {}),
    max_tokens: 1 + prng.below(400),
    messages: turns,
  });
}

function valid(prng: Prng): LifeRequest {
  const model = models[prng.below(models.length)];
  const stream = prng.below(2) === 0;
  const usage = stream && prng.below(3) === 0;
  const words = prng.below(40) === 0 ? 20_000 : prng.below(200);
  const kind = prng.below(6);
  const base = { kind: "valid", method: "POST", headers: [json], model, stream, usage } as const;
  if (kind === 0) {
    const body = JSON.stringify({
      model,
      ...(stream ? { stream } : {}),
      prompt: `p${prng.below(20)} `.repeat(words + 1),
    });
    return { ...base, api: "completions", path: "/v1/completions", body: encoder.encode(body), usage: false };
  }
  if (kind === 1) {
    const body = JSON.stringify({ model, input: ["a".repeat(words), "b"] });
    return {
      ...base,
      api: "embeddings",
      path: "/v1/embeddings",
      body: encoder.encode(body),
      stream: false,
      usage: false,
    };
  }
  const body = encoder.encode(chat(prng, model, stream, usage && kind > 2, words));
  if (kind === 2) {
    return { ...base, api: "messages", path: "/v1/messages?beta=true", body, usage: false };
  }
  return { ...base, api: "chat", path: "/v1/chat/completions", body };
}

function invalid(prng: Prng): LifeRequest {
  const { body, ...rest } = valid(prng);
  const base = { ...rest, kind: "invalid" as const, stream: false, usage: false };
  switch (prng.below(5)) {
    case 0:
      return { ...base, body: undefined };
    case 1:
      return { ...base, body: body!.slice(0, prng.below(body!.length)) };
    case 2:
      return { ...base, body: encoder.encode('{"model":"base","messages":3,"prompt":3,"input":3}') };
    case 3:
      return { ...base, body: encoder.encode("[]") };
    default:
      return { ...base, body, headers: [json, ["x-slo-ttft-ms", "soon"]] };
  }
}

function passthrough(prng: Prng): LifeRequest {
  const base = { kind: "passthrough", api: "passthrough", model: "", stream: false, usage: false } as const;
  if (prng.below(2) === 0) {
    return { ...base, method: "GET", path: "/version", body: undefined, headers: [] };
  }
  const body = encoder.encode(prng.below(2) === 0 ? "{broken" : '{"text":"x"}');
  return { ...base, method: "PUT", path: "/own/path?q=1", body, headers: [json] };
}

function any(prng: Prng): LifeRequest {
  const draw = prng.below(100);
  if (draw < 78) return valid(prng);
  if (draw < 88) return invalid(prng);
  if (draw < 94) return passthrough(prng);
  const body = encoder.encode(chat(prng, `nobody-${prng.below(50)}`, false, false, 3));
  return { ...valid(prng), kind: "unknown-model", api: "chat", path: "/v1/chat/completions", body };
}

/** `count` shapes, the same for the same seed. */
export function lifeRequests(count: number, seed: number): LifeRequest[] {
  const prng = new Prng(seed);
  return Array.from({ length: count }, () => any(prng));
}
