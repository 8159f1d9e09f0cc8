import { loadDocument } from "./load.ts";
import { keysFileSchema, type RawKeys } from "./schema_keys.ts";
import { type Path, SourceDocument } from "./source.ts";

/** Keys and tenants from one place, checked one by one. */
export interface KeysSource {
  readonly values: RawKeys;
  /** `file:line` of a key of the document. */
  where(path: Path): string;
}

/** Reads a keys file: `list` and `tenants`, as the section `keys` has them. Throws a ConfigError like `loadConfigText`. */
export function loadKeysText(text: string, fileName: string): KeysSource {
  const source = SourceDocument.parse(text, fileName);
  return { values: loadDocument(keysFileSchema, source), where: (path) => source.where(path) };
}
