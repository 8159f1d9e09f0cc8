/**
 * `decode-filter`, `prefill-filter`, `encode-filter`: keep endpoints that take one leg of a request.
 *
 * Keep rule, on label `llm-d.ai/role`:
 * - decode: decode, prefill-decode, both, encode-prefill-decode, or no label;
 * - prefill: prefill, encode-prefill, prefill-decode, both, encode-prefill-decode;
 * - encode: encode, encode-prefill, encode-prefill-decode.
 * Parameters: none. Inputs: endpoint labels.
 */
import { definePlugin, noParams } from "../definition.ts";
import { DerivedColumn, keepWhere } from "../derived.ts";
import { roleLabel } from "../labels.ts";

function roleFilter(type: string, summary: string, roles: readonly string[], keepsUnlabelled: boolean) {
  return definePlugin({
    type,
    kinds: ["filter"],
    summary,
    params: noParams,
    create(name, _, { table }) {
      const verdicts = new DerivedColumn(table, (meta) => {
        const role = meta.labels[roleLabel];
        return role === undefined ? keepsUnlabelled : roles.includes(role);
      });
      return { type, name, keep: (_, slots, n) => keepWhere(verdicts, slots, n) };
    },
  });
}

export const decodeFilter = roleFilter(
  "decode-filter",
  "role label allows decode, or is missing",
  ["decode", "prefill-decode", "both", "encode-prefill-decode"],
  true,
);
export const prefillFilter = roleFilter(
  "prefill-filter",
  "role label allows prefill",
  ["prefill", "encode-prefill", "prefill-decode", "both", "encode-prefill-decode"],
  false,
);
export const encodeFilter = roleFilter(
  "encode-filter",
  "role label allows encode",
  ["encode", "encode-prefill", "encode-prefill-decode"],
  false,
);
