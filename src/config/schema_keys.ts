import type * as z from "zod";
import {
  flag,
  instant,
  integer,
  list,
  optionalNonEmptyList,
  refused,
  requiredSecret,
  requiredText,
  secret,
  section,
  sectionSchema,
  text,
  textSchema,
} from "./fields.ts";

const perMinuteMax = 1_000_000_000;

/** A name in logs and metric labels. */
const name = { form: "a name of at most 64 letters, digits and ._:@/-", pattern: /^[\w.:@/-]{1,64}$/ };

const hash = { form: '"sha256:" and 64 hex digits, as `warmpath key` prints', pattern: /^sha256:[0-9a-f]{64}$/ };

/** What a header that the router sends or asks for holds, whether the configuration or a file of its own says so. */
export const headerValue = /^[\x21-\x7e][\x20-\x7e]{0,4095}$/;

const limits = {
  requestsPerMinute: integer(1, perMinuteMax, {
    about: "Requests a minute, refilled without pause; absent: no limit.",
  }),
  tokensPerMinute: integer(1, perMinuteMax, {
    about: "Tokens a minute, of prompts and answers together, as the engines report them; absent: no limit.",
  }),
  maxConcurrent: integer(1, 1_000_000, { about: "Requests in flight; absent: no limit." }),
};

const key = sectionSchema({
  id: requiredText({ about: "Name in logs, metrics and debug pages.", ...name }),
  hash: requiredSecret({ about: "SHA-256 of the key.", ...hash }),
  key: refused(
    "must be left out, as keys are not kept in files: write `hash: sha256:` and what " +
      "`printf %s KEY | sha256sum` prints, or make a new key with `warmpath key`",
  ),
  tenant: text({ about: "Whom its requests count for, as their fairness id; the key's `id` when absent.", ...name }),
  models: optionalNonEmptyList(textSchema("a model name, in which * stands for any text", /\S/), {
    about:
      "Models it may ask for, by the names clients use, before aliases and rewrites; * stands for any text. Absent: any.",
    form: "a list with at least one model name",
  }),
  priorityMax: integer(-(2 ** 31), 2 ** 31 - 1, {
    about: "Highest priority its requests get, whatever objective they name.",
  }),
  ...limits,
  trustFairnessHeader: flag({
    about:
      "Whether the fairness-id header of its requests counts instead of `tenant`: for a gateway that speaks for many.",
    default: false,
  }),
  shadow: flag({ about: "Whether what would be refused is counted only, and not refused.", default: false }),
  disabled: flag({ about: "Whether the key is refused.", default: false }),
  expires: instant({ about: "When it ceases to be valid." }),
});

const tenant = sectionSchema({
  name: requiredText({ about: "Name that keys give as `tenant`.", ...name }),
  ...limits,
});

const shape = {
  list: list(key, {
    about: "The keys. Even an empty list closes the router to requests without a key.",
    form: "a list of keys",
  }),
  tenants: list(tenant, { about: "Limits that the keys of a tenant share.", form: "a list of tenants" }),
};

/** What a keys file holds. */
export const keysFileSchema = sectionSchema(shape);

export const keys = section("Who may send requests; without it everyone. Keys are known by their hashes.", {
  file: text({
    about:
      "Path of a file with further `list` and `tenants`, relative to this file (WARMPATH_KEYS_FILE); re-read when it " +
      "changes.",
  }),
  ...shape,
});

/** A value of a header that the router sends or asks for. */
export const authorization = (about: string) =>
  secret({ about, form: "a header value of printable ASCII", pattern: headerValue });

export const adminToken = (about: string) => secret({ about, ...hash });

export type RawKeys = z.output<typeof keysFileSchema>;
