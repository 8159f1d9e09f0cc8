import { z } from "zod";

const factors: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

const form = /^([+-]?(?:\d+(?:\.\d*)?|\.\d+))([KMGTPE]i|[numkMGTPE]?)$/;
const scientific = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)[eE][+-]?\d+$/;

/** A Kubernetes quantity as a whole number, rounded up; undefined when the text is none. */
function parseQuantity(text: string): number | undefined {
  const match = form.exec(text);
  const value = match ? Number(match[1]) * factors[match[2]] : scientific.test(text) ? Number(text) : undefined;
  return value === undefined ? undefined : Math.min(Math.ceil(value), Number.MAX_SAFE_INTEGER);
}

/** A Kubernetes quantity that is not negative, such as `10Gi`, `1k`, `500M` or `200`; 0 is read as absent. */
export const quantity = z.unknown().transform((input, context): number | undefined => {
  if (input === undefined || input === null) return undefined;
  const value = typeof input === "number" || typeof input === "string" ? parseQuantity(String(input)) : undefined;
  if (value !== undefined && value >= 0) return value || undefined;
  const message = "must be a quantity of at least 0, such as 10Gi, 1k or 500M";
  context.addIssue({ code: "custom", message, input });
  return z.NEVER;
}).optional();
