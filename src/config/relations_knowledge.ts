/** What the sections about caches and token ids must hold towards each other. */
import { ConfigError } from "../core/mod.ts";
import type { RawConfig } from "./load.ts";
import type { Config, FeedConfig } from "./types.ts";
import { portMax } from "./units.ts";

type Complain = (path: readonly (string | number)[], expected: string) => void;

/** Mistakes that show only when keys are seen together. */
export function knowledgeProblems(config: Config, raw: RawConfig): ConfigError[] {
  const problems: ConfigError[] = [];
  const complain: Complain = (path, expected) => {
    const key = path.reduce<string>((key, part) => typeof part === "number" ? `${key}[${part}]` : `${key}.${part}`, "");
    problems.push(new ConfigError(raw.where([...path]), key.slice(1), expected));
  };
  const { values } = raw;
  feedProblems(config.feed, 1, values.feed, ["feed"], complain);
  // What flags name stands in no file.
  if (config.endpoints.length === values.endpoints?.length) {
    config.endpoints.forEach(({ feed, ranks }, index) => {
      const own = values.endpoints![index].feed;
      // Without a word of its own it is as wrong as the section for all.
      if (own || ranks > 1) feedProblems(feed, ranks, own, ["endpoints", index, "feed"], complain);
    });
  }
  tokensProblems(config, complain);
  return problems;
}

function feedProblems(
  { kind, port, replayPort, tls }: FeedConfig,
  ranks: number,
  raw: NonNullable<RawConfig["values"]["feed"]> | undefined,
  path: readonly (string | number)[],
  complain: Complain,
): void {
  if (kind === "none" && raw && raw.kind === undefined) {
    const set = (["port", "replayPort", "topic", "tls"] as const).find((key) => raw[key] !== undefined);
    if (set !== undefined) complain([...path, "kind"], `must be given where ${set} is: it is missing`);
  }
  if (kind !== "zmq") return;
  if (tls) complain([...path, "tls"], "must be absent or false where kind is zmq, which has no TLS");
  const last = (first: number) => first + ranks - 1;
  for (const [key, value] of [["port", port], ["replayPort", replayPort ?? 0]] as const) {
    if (last(value) <= portMax) continue;
    complain(
      [...path, key],
      `must be at most ${portMax - ranks + 1}, as each of ${ranks} ranks adds its number: ` +
        `current value is ${value}`,
    );
  }
  if (replayPort !== undefined && Math.abs(replayPort - port) < ranks) {
    const events = ranks === 1 ? `port ${port}` : `ports ${port} to ${last(port)}, one a rank`;
    complain([...path, "replayPort"], `must be apart from the feed's ${events}: current value is ${replayPort}`);
  }
}

function tokensProblems({ tokens: { models } }: Config, complain: Complain): void {
  models.forEach(({ model, source, directory }, index) => {
    const path = ["tokens", "models", index] as const;
    if (source === "directory" && directory === undefined) {
      complain([...path, "directory"], 'must be given where the source is "directory"');
    }
    const first = models.findIndex((other) => other.model === model);
    if (first < index) {
      complain([...path, "model"], `must be unique: "${model}" is already used by tokens.models[${first}]`);
    }
  });
}

/** Settings that work but are likely not meant. */
export function knowledgeWarnings({ feed, endpoints, tokens }: Config): string[] {
  const warnings: string[] = [];
  const idle = ({ kind, replayPort, topic }: FeedConfig) =>
    kind !== "zmq" && kind !== "none" && (replayPort !== undefined || topic !== "");
  if (idle(feed)) warnings.push(`feed: replayPort and topic have no effect where kind is ${feed.kind}`);
  for (const { name, feed: own } of endpoints) {
    if (!idle(own) || own.kind === feed.kind) continue;
    warnings.push(`endpoint ${name}: feed.replayPort and feed.topic have no effect where kind is ${own.kind}`);
  }
  for (const { model, source, directory } of tokens.models) {
    if (directory === undefined || source === "directory" || source === "auto") continue;
    warnings.push(`tokens.models: the directory of model "${model}" has no effect where source is ${source}`);
  }
  return warnings;
}
