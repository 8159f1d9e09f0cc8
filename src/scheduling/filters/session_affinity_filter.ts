/**
 * `session-affinity-filter`: keeps only the endpoint the session is bound to when it is a candidate, otherwise all.
 *
 * Parameters and limits: see session.ts.
 */
import { definePlugin } from "../definition.ts";
import { createSession, resolveSession, sessionParams } from "../session.ts";

export const sessionAffinityFilter = definePlugin({
  type: "session-affinity-filter",
  kinds: ["filter"],
  summary: "the endpoint the session is bound to, when it is a candidate",
  params: sessionParams,
  resolve: resolveSession,
  create(name, params, env) {
    const session = createSession(params, env);
    return {
      type: "session-affinity-filter",
      name,
      keep(ctx, slots, n) {
        const bound = session.bound(ctx);
        if (bound < 0) return n;
        for (let i = 0; i < n; i++) {
          if (slots[i] !== bound) continue;
          slots[0] = bound;
          return 1;
        }
        return n;
      },
      placed: (ctx, slot) => session.bind(ctx.view, ctx.profile, slot, ctx.nowMs),
      moved: (view, profile, slot, nowMs) => session.bind(view, profile, slot, nowMs),
      responseHeaders: (_, profile, slot) => session.headers(profile, slot),
    };
  },
});
