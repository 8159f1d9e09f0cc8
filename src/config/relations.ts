import { ConfigError } from "../core/mod.ts";
import { formatDuration } from "./units.ts";
import type { RawConfig } from "./load.ts";
import { knowledgeProblems, knowledgeWarnings } from "./relations_knowledge.ts";
import type { Config } from "./types.ts";

/** `[later, earlier]`: pairs of durations whose first must not be below the second. */
const notBelow: readonly { key: string; least: string; values: (config: Config) => readonly [number, number] }[] = [
  {
    key: "pool.load.idleInterval",
    least: "pool.load.busyInterval",
    values: ({ pool: { load } }) => [load.idleIntervalMs, load.busyIntervalMs],
  },
  {
    // Below it every sample of an idle endpoint would turn stale before the next.
    key: "pool.load.staleAfter",
    least: "pool.load.idleInterval",
    values: ({ pool: { load } }) => [load.staleAfterMs, load.idleIntervalMs],
  },
  {
    key: "pool.ejection.timeMax",
    least: "pool.ejection.time",
    values: ({ pool: { ejection } }) => [ejection.timeMaxMs, ejection.timeMs],
  },
];

/** `[section, key, key of its file]`: secrets that stand in the configuration or in a file of their own. */
const secretsOrFiles = [["admin", "token", "tokenFile"], ["upstream", "authorization", "authorizationFile"]] as const;

/** Mistakes that show only when keys are seen together. */
export function relationProblems(config: Config, raw: RawConfig): ConfigError[] {
  const problems: ConfigError[] = [];
  const complain = (key: string, expected: string) =>
    problems.push(new ConfigError(raw.where(key.split(".")), key, expected));

  for (const { key, least, values } of notBelow) {
    const [value, bound] = values(config);
    if (value >= bound) continue;
    const [shown, shownBound] = [formatDuration(value), formatDuration(bound)];
    complain(key, `must be at least ${least} (${shownBound}): current value is ${shown}`);
  }
  const { server, admin } = config;
  const anyHost = ["0.0.0.0", "[::]", "::"];
  const overlap = server.host === admin.host || anyHost.includes(server.host) || anyHost.includes(admin.host);
  if (server.port === admin.port && server.port !== 0 && overlap) {
    complain("admin.port", `must differ from server.port: current value is ${admin.port}`);
  }
  // Each data-parallel rank is an endpoint of its own.
  const rows = config.endpoints.reduce((sum, { ranks }) => sum + ranks, 0);
  if (rows > config.pool.capacity) {
    complain(
      "endpoints",
      `must be at most pool.capacity (${config.pool.capacity}) endpoints: current number is ${rows}`,
    );
  }
  if (config.prefix.tokensMax < config.prefix.blockTokens) {
    const { tokensMax, blockTokens } = config.prefix;
    complain("prefix.tokensMax", `must be at least prefix.blockTokens (${blockTokens}): current value is ${tokensMax}`);
  }
  const { authorization, forwardAuthorization } = config.upstream;
  if (authorization !== undefined && forwardAuthorization) {
    complain(
      "upstream.forwardAuthorization",
      "must not be set together with upstream.authorization, which replaces it",
    );
  }
  for (const [section, field, other] of secretsOrFiles) {
    const values: Readonly<Record<string, unknown>> = raw.values[section] ?? {};
    if (values[field] !== undefined && values[other] !== undefined) {
      complain(`${section}.${other}`, `must not be set together with ${section}.${field}`);
    }
  }
  problems.push(...tlsProblems(raw), ...knowledgeProblems(config, raw));
  for (const alias of Object.keys(config.models.aliases)) {
    const rule = raw.values.models?.rewrites?.find(({ match }) => match?.includes(alias));
    if (!rule) continue;
    const at = raw.where(["models", "aliases", alias]);
    problems.push(
      new ConfigError(at, `models.aliases.${alias}`, `must not be matched by rewrite "${rule.name}" as well`),
    );
  }
  return problems;
}

/** `[key, other]`: neither goes without the other. */
const tlsPairs = [["certFile", "keyFile"], ["keyFile", "certFile"]] as const;

function tlsProblems(raw: RawConfig): ConfigError[] {
  const problems: ConfigError[] = [];
  const { server, admin, upstream } = raw.values;
  for (const [name, tls] of [["server", server?.tls], ["admin", admin?.tls], ["upstream", upstream?.tls]] as const) {
    if (!tls) continue;
    const complain = (key: string, expected: string) =>
      problems.push(new ConfigError(raw.where([name, "tls", key]), `${name}.tls.${key}`, expected));
    for (const [key, other] of tlsPairs) {
      if (tls[key] === undefined && (tls[other] !== undefined || name !== "upstream")) {
        complain(key, "must be set: TLS needs a certificate and its key");
      }
    }
    if ("clientCaFile" in tls && tls.clientCaFile !== undefined) {
      complain(
        "clientCaFile",
        "must be absent: the runtime's TLS cannot ask clients for certificates; put a proxy that does in front",
      );
    }
  }
  return problems;
}

const builtInEngines = ["vllm", "sglang", "trtllm-serve", "triton-tensorrt-llm", "triton"];

/** Settings that work but are likely not meant. */
export function relationWarnings(config: Config): string[] {
  const warnings: string[] = [];
  for (const { name, targets } of config.models.rules) {
    const idle = targets.filter(({ weight }) => weight === undefined).map(({ model }) => model);
    if (idle.length > 0 && idle.length < targets.length) {
      warnings.push(
        `models.rewrites: rule "${name}" never chooses ${idle.join(", ")}: only targets with a weight are drawn ` +
          "where some have one",
      );
    }
  }
  const firstRule = new Map<string, string>();
  for (const { name, match } of config.models.rules) {
    for (const model of match.length > 0 ? match : [""]) {
      const first = firstRule.get(model);
      const what = model === "" ? "every model" : `model "${model}"`;
      if (first === undefined) firstRule.set(model, name);
      else warnings.push(`models.rewrites: rule "${name}" never sees ${what}: rule "${first}" comes first`);
    }
  }
  if (config.snapshot.peers.length > 0 && config.admin.tokenHash !== undefined && config.admin.token === undefined) {
    warnings.push("snapshot.peers are asked without a token, as only its hash is known: set admin.tokenFile");
  }
  warnings.push(...knowledgeWarnings(config));
  const { attemptsMax, hedge, continuation } = config.upstream;
  const { scheduling, latency } = config;
  if (scheduling.from === "policy" && scheduling.policy === "predicted" && !latency.enabled) {
    warnings.push("scheduling.policy: predicted has nothing to decide by while latency.enabled is false");
  }
  if (attemptsMax === 1 && hedge.after !== undefined) {
    warnings.push("upstream.hedge: there is no second attempt while upstream.attemptsMax is 1");
  }
  if (attemptsMax === 1 && continuation) {
    warnings.push("upstream.continuation: no stream goes on elsewhere while upstream.attemptsMax is 1");
  }
  for (const { name, engine } of config.endpoints) {
    if (builtInEngines.includes(engine)) continue;
    warnings.push(`endpoint ${name}: engine "${engine}" is not built in: a core-metrics-extractor must define it`);
  }
  return warnings;
}
