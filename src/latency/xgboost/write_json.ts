import { digitsOf, type FileValue } from "./write_values.ts";

/** A document as XGBoost prints JSON: no spaces, floats with an exponent. */
export function encodeJson(value: FileValue): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") return String(value);
  if (value instanceof Float32Array) return `[${Array.from(value, digitsOf).join(",")}]`;
  if (ArrayBuffer.isView(value)) return `[${value.join(",")}]`;
  if (Array.isArray(value)) return `[${value.map(encodeJson).join(",")}]`;
  return `{${Object.entries(value).map(([key, member]) => `${JSON.stringify(key)}:${encodeJson(member)}`).join(",")}}`;
}
