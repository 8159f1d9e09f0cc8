/** Clients that come when they come: requests at random times, each one's fate recorded. */
import { Prng, sleep, systemClock } from "../../src/core/mod.ts";

/** How one request went, as its client saw it. */
export interface Fate {
  readonly id: string;
  readonly stream: boolean;
  readonly status: number;
  /** Characters of the answer, before the event that tells of its early end. */
  readonly bytes: number;
  readonly complete: boolean;
  /** Since the load began. */
  readonly startedAtMs: number;
  readonly durationMs: number;
  readonly problem?: string;
}

export interface LoadOptions {
  readonly url: string;
  readonly model: string;
  readonly requestsPerS: number;
  readonly durationMs: number;
  readonly seed: number;
  /** Share of the requests that stream. */
  readonly streams: number;
  /** Least and most tokens of an answer. */
  readonly tokens: readonly [least: number, most: number];
}

/** Open loop: arrivals are a Poisson process that waits for no answer. Resolves when every request has ended. */
export async function openLoad(options: LoadOptions): Promise<Fate[]> {
  const { requestsPerS, durationMs, seed } = options;
  const prng = new Prng(seed);
  const startMs = systemClock.now();
  const running: Promise<Fate>[] = [];
  for (let at = 0;;) {
    at += prng.exponential(1000 / requestsPerS);
    if (at > durationMs) return await Promise.all(running);
    await sleep(systemClock, Math.max(0, startMs + at - systemClock.now()));
    running.push(send(options, prng.fork(), `chaos-${running.length}`, startMs));
  }
}

async function send(
  { url, model, streams, tokens: [least, most] }: LoadOptions,
  prng: Prng,
  id: string,
  startMs: number,
): Promise<Fate> {
  const stream = prng.float() < streams;
  const from = systemClock.now();
  const content = `Conversation ${prng.below(30)}: ` + "tell me more of it. ".repeat(1 + prng.below(60));
  const body = JSON.stringify({
    model,
    stream,
    max_tokens: least + prng.below(most - least + 1),
    messages: [{ role: "user", content }],
  });
  let status = 0, text = "", problem: string | undefined;
  try {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-request-id": id },
      body,
    });
    status = response.status;
    for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) text += piece;
  } catch (error) {
    problem = String(error);
  }
  const complete = status === 200 && problem === undefined && (stream ? endsWell(text) : isAnswer(text));
  return {
    id,
    stream,
    status,
    bytes: status === 200 ? text.split('\n\ndata: {"error"', 1)[0].length : 0,
    complete,
    startedAtMs: from - startMs,
    durationMs: systemClock.now() - from,
    problem: problem ?? (complete ? undefined : text.slice(-200)),
  };
}

function endsWell(text: string): boolean {
  return text.endsWith("data: [DONE]\n\n") && !text.includes('"error":');
}

function isAnswer(text: string): boolean {
  try {
    return JSON.parse(text).object === "chat.completion";
  } catch {
    return false;
  }
}
