/**
 * Session affinity, shared by the filter and the scorer.
 *
 * Parameters: `strategy` encoded_endpoint_header|session_id (the first); `headerName` (`x-session-token`, of the first
 * strategy); `sessionIdConfig` (of the second): `sources[]` of `{header}` or `{attribute: SessionID, producer}` (header
 * `x-session-id`), `evictionTtlSeconds` (300), `evictionSweepSeconds` (10, accepted: expired bindings are dropped as new
 * ones come); `profileName` limits it to one profile.
 *
 * - encoded_endpoint_header: the response carries a token, the client echoes it. The token is the first 128 bits of
 *   HMAC-SHA-256 of the endpoint id under the session key, in base64url: it names no endpoint to the client and cannot
 *   be made without the key. llm-d's own form (base64 of namespace/name) is not accepted.
 * - session_id: the binding is kept here, at most 65,536 of them (about 10 MB), least recently used first out. It moves
 *   only when the bound endpoint is no candidate.
 */
import { createHash, createHmac } from "node:crypto";
import { z } from "zod";
import { type EndpointTable, LruMap, type RequestView } from "../core/mod.ts";
import { headerName, type LoadContext } from "./definition.ts";
import { DerivedColumn } from "./derived.ts";
import type { DecisionContext, HeaderPair, PluginEnv } from "./types.ts";
import type { SessionIdParams } from "./data/session_id_producer.ts";

const bindingsMax = 65_536;
/** Longer ids are hashed, so that a client cannot make the bindings large. */
const idLengthMax = 64;

const source = z.strictObject({
  header: headerName.optional(),
  attribute: z.literal("SessionID", 'must be "SessionID"').optional(),
  producer: z.string().optional(),
}).refine((source) => (source.header === undefined) !== (source.attribute === undefined), {
  message: "must have exactly one of header and attribute",
});

export const sessionParams = z.strictObject({
  strategy: z.enum(["encoded_endpoint_header", "session_id"], "must be encoded_endpoint_header or session_id")
    .default("encoded_endpoint_header"),
  headerName: headerName.default("x-session-token"),
  sessionIdConfig: z.strictObject({
    sources: z.array(source).min(1, "must have at least one source").default([{ header: "x-session-id" }]),
    evictionTtlSeconds: z.number().positive("must be greater than 0").default(300),
    evictionSweepSeconds: z.number().positive("must be greater than 0").default(10),
  }).prefault({}),
  profileName: z.string().optional(),
});

/** Where a session id is read from. */
export type SessionSource = { readonly header: string } | { readonly cookie: string };

export interface SessionConfig {
  readonly strategy: "encoded_endpoint_header" | "session_id";
  readonly headerName: string;
  readonly sources: readonly SessionSource[];
  readonly ttlMs: number;
  readonly profileName?: string;
}

/** Replaces references to session-id producers by what those read. */
export function resolveSession(params: z.output<typeof sessionParams>, context: LoadContext): SessionConfig {
  const sources = params.sessionIdConfig.sources.map((source): SessionSource => {
    if (source.header !== undefined) return { header: source.header };
    const producer = context.find(["session-id-producer"], "sessionIdConfig", source.producer);
    if (!producer) throw context.fail("sessionIdConfig", "must name a source: no session-id-producer is configured");
    const { headerName, cookieName } = producer.params as SessionIdParams;
    return headerName !== undefined ? { header: headerName } : { cookie: cookieName! };
  });
  const { strategy, headerName, profileName, sessionIdConfig } = params;
  return { strategy, headerName, sources, ttlMs: sessionIdConfig.evictionTtlSeconds * 1000, profileName };
}

/** What the filter and the scorer ask. */
export interface Session {
  /** Slot the request's session is bound to, -1 when there is none. */
  bound(ctx: DecisionContext): number;
  bind(view: RequestView, profile: string, slot: number, nowMs: number): void;
  headers(profile: string, slot: number): readonly HeaderPair[];
}

export function createSession(config: SessionConfig, env: PluginEnv): Session {
  return config.strategy === "session_id" ? new SessionBindings(config, env.table) : new SessionTokens(config, env);
}

const noHeaders: readonly HeaderPair[] = [];

class SessionTokens implements Session {
  readonly #tokens: DerivedColumn<string>;

  constructor(readonly config: SessionConfig, env: PluginEnv) {
    this.#tokens = new DerivedColumn(
      env.table,
      (meta) => createHmac("sha256", env.sessionKey).update(meta.id).digest().subarray(0, 16).toString("base64url"),
    );
  }

  bound(ctx: DecisionContext): number {
    if (this.config.profileName !== undefined && this.config.profileName !== ctx.profile) return -1;
    const token = ctx.view.headers.get(this.config.headerName);
    if (!token) return -1;
    for (let slot = 0; slot < ctx.table.high; slot++) {
      if (ctx.table.peek(slot) && this.#tokens.get(slot) === token) return slot;
    }
    return -1;
  }

  bind(): void {}

  headers(profile: string, slot: number): readonly HeaderPair[] {
    if (this.config.profileName !== undefined && this.config.profileName !== profile) return noHeaders;
    if (!this.#tokens.table.peek(slot)) return noHeaders;
    return [[this.config.headerName, this.#tokens.get(slot)]];
  }
}

class SessionBindings implements Session {
  readonly #bindings = new LruMap<string, { readonly endpoint: string; readonly usedAtMs: number }>(bindingsMax);

  constructor(readonly config: SessionConfig, readonly table: EndpointTable) {}

  bound(ctx: DecisionContext): number {
    if (this.config.profileName !== undefined && this.config.profileName !== ctx.profile) return -1;
    const id = sessionId(ctx.view, this.config.sources);
    const binding = id === undefined ? undefined : this.#bindings.peek(id);
    if (!binding || ctx.nowMs - binding.usedAtMs > this.config.ttlMs) return -1;
    return this.table.slotOf(binding.endpoint);
  }

  bind(view: RequestView, profile: string, slot: number, nowMs: number): void {
    if (this.config.profileName !== undefined && this.config.profileName !== profile) return;
    const id = sessionId(view, this.config.sources), endpoint = this.table.peek(slot)?.id;
    if (id === undefined || endpoint === undefined) return;
    this.#bindings.set(id, { endpoint, usedAtMs: nowMs });
    // Least recently used is also least recently stamped: the expired ones stand first. Two a call outruns one new one.
    for (let i = 0; i < 2; i++) {
      const oldest = this.#bindings.entries().next().value;
      if (!oldest || nowMs - oldest[1].usedAtMs <= this.config.ttlMs) return;
      this.#bindings.delete(oldest[0]);
    }
  }

  headers(): readonly HeaderPair[] {
    return noHeaders;
  }
}

/** The first source that is present, shortened to a bounded key. */
function sessionId(view: RequestView, sources: readonly SessionSource[]): string | undefined {
  for (const source of sources) {
    const id = "header" in source ? view.headers.get(source.header) : cookie(view.headers.get("cookie"), source.cookie);
    if (id) return id.length <= idLengthMax ? id : createHash("sha256").update(id).digest("base64url");
  }
  return undefined;
}

/** One cookie of a `cookie` request header (RFC 6265 section 4.2). */
function cookie(header: string | null | undefined, name: string): string | undefined {
  if (!header) return undefined;
  for (const part of header.split(";")) {
    const equals = part.indexOf("=");
    if (equals > 0 && part.slice(0, equals).trim() === name) return part.slice(equals + 1).trim();
  }
  return undefined;
}
