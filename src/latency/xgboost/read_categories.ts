import type { Numbers, Part } from "./document.ts";

/**
 * `gradient_booster.model.cats`: the categories of each feature in the order of their codes. Features without are left
 * out; undefined when there are none. Throws ModelFileError.
 */
export function readCategoryNames(
  cats: Part,
  features: number,
): ReadonlyMap<number, readonly (string | number)[]> | undefined {
  const entries = cats.get("enc").parts();
  if (entries.length > features) cats.fail(`at most ${features} entries of enc: there are ${entries.length}`);
  const names = new Map<number, readonly (string | number)[]>();
  entries.forEach((entry, feature) => {
    const values = entry.get("values");
    const offsets = entry.find("offsets");
    const categories = offsets ? textsOf(values, offsets) : Array.from(values.numbers());
    if (categories.length > 0) names.set(feature, categories);
  });
  return names.size > 0 ? names : undefined;
}

/** Category i is the text of the bytes from offset i to offset i + 1. */
function textsOf(values: Part, offsets: Part): string[] {
  const bytes = Uint8Array.from(values.numbers()), ends: Numbers = offsets.numbers();
  const utf8 = new TextDecoder();
  const texts: string[] = [];
  for (let i = 1; i < ends.length; i++) {
    if (!(ends[i - 1] >= 0 && ends[i - 1] <= ends[i] && ends[i] <= bytes.length)) offsets.fail("ascending offsets");
    texts.push(utf8.decode(bytes.subarray(ends[i - 1], ends[i])));
  }
  return texts;
}
