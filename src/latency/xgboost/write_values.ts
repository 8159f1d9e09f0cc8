/**
 * What a model file consists of, in either syntax. Arrays of numbers have the widths of XGBoost's own binary files; plain
 * numbers are whole.
 */
export type FileValue =
  | string
  | number
  | Float32Array
  | Int32Array
  | Uint8Array
  | BigInt64Array
  | readonly FileValue[]
  | { readonly [key: string]: FileValue };

/** The shortest digits that give the float again, with an exponent, as XGBoost prints them. */
export function digitsOf(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
  const float = Math.fround(value);
  let low = 1, high = 9;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (Math.fround(Number(float.toPrecision(middle))) === float) high = middle;
    else low = middle + 1;
  }
  // toPrecision() of -0 has no sign.
  const digits = float.toExponential(low - 1).replace("e+", "E").replace("e", "E");
  return Object.is(float, -0) ? `-${digits}` : digits;
}
