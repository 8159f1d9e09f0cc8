/**
 * `session-affinity-scorer`: 1 for the endpoint the session is bound to, 0 for the others.
 *
 * Parameters and limits: see session.ts.
 */
import { definePlugin } from "../definition.ts";
import { createSession, resolveSession, sessionParams } from "../session.ts";

export const sessionAffinityScorer = definePlugin({
  type: "session-affinity-scorer",
  kinds: ["scorer"],
  summary: "the endpoint the session is bound to",
  params: sessionParams,
  resolve: resolveSession,
  create(name, params, env) {
    const session = createSession(params, env);
    return {
      type: "session-affinity-scorer",
      name,
      category: "affinity",
      score(ctx, slots, n, out) {
        const bound = session.bound(ctx);
        for (let i = 0; i < n; i++) out[i] = slots[i] === bound ? 1 : 0;
      },
      placed: (ctx, slot) => session.bind(ctx.view, ctx.profile, slot, ctx.nowMs),
      moved: (view, profile, slot, nowMs) => session.bind(view, profile, slot, nowMs),
      responseHeaders: (_, profile, slot) => session.headers(profile, slot),
    };
  },
});
