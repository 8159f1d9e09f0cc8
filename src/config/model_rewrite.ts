import type { Prng } from "../core/mod.ts";
import type { RewriteRule } from "./types.ts";

/** What is asked of the endpoint in place of the requested model. */
export interface ModelRewrite {
  readonly model: string;
  /** The rule that decided; absent when no rule did. */
  readonly rule?: string;
}

interface CompiledRule {
  readonly name: string;
  readonly sticky: boolean;
  readonly models: readonly string[];
  /** Running sums of the weights; the last is the whole. */
  readonly sums: readonly number[];
}

/**
 * Chooses the model asked of the endpoint, with the meaning of llm-d's InferenceModelRewrite: a rule that names the
 * model goes before a rule for every model, then the order of writing decides; one pass, so a target is never rewritten
 * again. The target is drawn by weight: without weights all are equal, with some only the weighted are drawn.
 *
 * @example
 * ```ts
 * import { equal } from "node:assert/strict";
 * import { Prng } from "../core/mod.ts";
 * import { ModelRewriter } from "./mod.ts";
 *
 * const rules = [{ name: "canary", match: ["chat"], targets: [{ model: "chat-v2" }], sticky: "none" as const }];
 * const rewriter = new ModelRewriter(rules, new Prng(1));
 * equal(rewriter.rewrite("chat").model, "chat-v2");
 * equal(rewriter.rewrite("other").model, "other");
 * ```
 */
export class ModelRewriter {
  readonly #exact = new Map<string, CompiledRule>();
  readonly #generic?: CompiledRule;
  readonly #rng: Prng;

  constructor(rules: readonly RewriteRule[], rng: Prng) {
    this.#rng = rng;
    for (const rule of rules) {
      const compiled = compileRule(rule);
      if (rule.match.length === 0) this.#generic ??= compiled;
      for (const model of rule.match) {
        if (!this.#exact.has(model)) this.#exact.set(model, compiled);
      }
    }
  }

  /** Names beyond the endpoints' own that clients may ask for, in the order of the rules. */
  get names(): string[] {
    return [...this.#exact.keys()];
  }

  /** Every model a request for `model` may be sent as; empty when no rule applies. */
  targets(model: string): readonly string[] {
    return (this.#exact.get(model) ?? this.#generic)?.models ?? [];
  }

  /**
   * `header` is the model named by the rewrite header: it holds where no rule applies. With `sessionKey` a sticky rule
   * gives every request of the session the same target, in every process with the same rules.
   */
  rewrite(requested: string, options: { readonly header?: string; readonly sessionKey?: string } = {}): ModelRewrite {
    const rule = this.#exact.get(requested) ?? this.#generic;
    if (!rule) return { model: options.header || requested };
    const sticky = rule.sticky && options.sessionKey ? options.sessionKey : undefined;
    const index = sticky === undefined ? this.#draw(rule) : rendezvous(rule, sticky);
    return { model: rule.models[index], rule: rule.name };
  }

  #draw({ sums }: CompiledRule): number {
    if (sums.length === 1) return 0;
    const at = this.#rng.below(sums[sums.length - 1]);
    return sums.findIndex((sum) => at < sum);
  }
}

function compileRule(rule: RewriteRule): CompiledRule {
  const weighted = rule.targets.filter(({ weight }) => weight !== undefined);
  const targets = weighted.length > 0 ? weighted : rule.targets;
  let sum = 0;
  const sums = targets.map(({ weight }) => sum += weight ?? 1);
  return { name: rule.name, sticky: rule.sticky === "session", models: targets.map(({ model }) => model), sums };
}

/**
 * Weighted rendezvous hashing: the target with the largest `weight / -ln(u)`, u uniform in (0, 1) by session and
 * target. A changed weight moves only the sessions that the change needs (Schindelhauer and Schomaker, 2005).
 */
function rendezvous({ models, sums, name }: CompiledRule, sessionKey: string): number {
  let best = 0;
  let bestScore = -1;
  for (let i = 0; i < models.length; i++) {
    const weight = sums[i] - (i > 0 ? sums[i - 1] : 0);
    const score = weight / -Math.log(uniformHash(`${name}\0${models[i]}\0${sessionKey}`));
    if (score > bestScore) [best, bestScore] = [i, score];
  }
  return best;
}

/** A number in (0, 1) that depends on nothing but the text: FNV-1a over UTF-16 units, then murmur3's finaliser. */
function uniformHash(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (((hash ^ (hash >>> 16)) >>> 0) + 0.5) / 0x1_0000_0000;
}
