/**
 * `header-based-testing-filter`: keeps the endpoints a test names in the header `test-epp-endpoint-selection`.
 *
 * Keep rule: the header is a comma list of `ip` or `ip:port`; without the header → all; nothing named is a candidate →
 * none. Parameters: none. Limits: lets any client choose its endpoint, so it is for conformance tests only.
 */
import { isListed, parseAddresses } from "../address.ts";
import { definePlugin, noParams } from "../definition.ts";

export const headerBasedTestingFilter = definePlugin({
  type: "header-based-testing-filter",
  kinds: ["filter"],
  summary: "named in a test header",
  params: noParams,
  create: (name) => ({
    type: "header-based-testing-filter",
    name,
    keep(ctx, slots, n) {
      const header = ctx.view.headers.get("test-epp-endpoint-selection");
      if (!header) return n;
      const addresses = parseAddresses(header.split(","));
      let kept = 0;
      for (let i = 0; i < n; i++) if (isListed(ctx.table.meta(slots[i]), addresses)) slots[kept++] = slots[i];
      return kept;
    },
  }),
});
