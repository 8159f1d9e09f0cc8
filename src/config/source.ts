import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { ConfigError } from "../core/mod.ts";
import { throwProblems } from "./errors.ts";

/** Way to a value in a document: keys of mappings and indexes of lists. */
export type Path = readonly PropertyKey[];

// A configuration is written by people; the size of llm-d's discovery files, which machines write, is the limit.
const textCharsMax = 1 << 20;

/** `endpoints[2].labels.zone`: how a path is named in messages. */
export function pathText(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else text += text === "" ? String(part) : `.${String(part)}`;
  }
  return text;
}

/** A parsed YAML or JSON file that still knows on which line each value stands. */
export class SourceDocument {
  readonly fileName: string;
  /** Plain data; `undefined` for an empty file. */
  readonly value: unknown;
  readonly #document: Document;
  readonly #lines: LineCounter;

  private constructor(document: Document, lines: LineCounter, fileName: string) {
    this.#document = document;
    this.#lines = lines;
    this.fileName = fileName;
    this.value = document.contents === null ? undefined : document.toJS();
  }

  /** Throws a ConfigError for text that is not one well-formed document, naming every syntax mistake. */
  static parse(text: string, fileName: string): SourceDocument {
    if (text.length > textCharsMax) {
      throw new ConfigError(fileName, "", `must be at most ${textCharsMax} characters: current size is ${text.length}`);
    }
    const lines = new LineCounter();
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false });
    const problems = document.errors.map((error) =>
      new ConfigError(`${fileName}:${lines.linePos(error.pos[0]).line}`, "", `must be valid YAML: ${error.message}`)
    );
    if (problems.length === 0) repeatedKeys(document, lines, fileName, problems);
    throwProblems(problems);
    try {
      return new SourceDocument(document, lines, fileName);
    } catch (error) {
      // An alias without an anchor, or aliases that expand without end.
      throw new ConfigError(fileName, "", `must be valid YAML: ${(error as Error).message}`);
    }
  }

  /** `file:line` of the value at `path`, or of the nearest thing around it that exists. */
  where(path: Path): string {
    let node: unknown = this.#document.contents;
    let offset = (node as Node | null)?.range?.[0] ?? 0;
    for (const part of path) {
      if (isAlias(node)) node = node.resolve(this.#document);
      if (isMap(node)) {
        const pair = node.items.find((item) => keyText(item.key) === String(part));
        if (!pair) break;
        offset = (pair.key as Node).range?.[0] ?? offset;
        node = pair.value;
      } else if (isSeq(node) && typeof part === "number" && part < node.items.length) {
        node = node.items[part];
        offset = (node as Node).range?.[0] ?? offset;
      } else break;
    }
    return `${this.fileName}:${this.#lines.linePos(offset).line}`;
  }
}

function keyText(key: unknown): string {
  return isScalar(key) ? String(key.value) : String(key);
}

/** Reports keys that a mapping holds twice, with the line of the first. */
function repeatedKeys(document: Document, lines: LineCounter, fileName: string, problems: ConfigError[]): void {
  const visit = (node: unknown, path: Path): void => {
    if (isSeq(node)) node.items.forEach((item, index) => visit(item, [...path, index]));
    if (!isMap(node)) return;
    const firstLine = new Map<string, number>();
    for (const { key, value } of node.items) {
      const name = keyText(key);
      const line = lines.linePos((key as Node | null)?.range?.[0] ?? 0).line;
      const first = firstLine.get(name);
      if (first === undefined) firstLine.set(name, line);
      else {
        const expected = `must appear once: it already stands on line ${first}`;
        problems.push(new ConfigError(`${fileName}:${line}`, pathText([...path, name]), expected));
      }
      visit(value, [...path, name]);
    }
  };
  visit(document.contents, []);
}

/** The document's `kind`, as llm-d and Kubernetes files carry one; undefined for files without, or not well-formed. */
export function documentKind(text: string): string | undefined {
  const kind = parseDocument(text, { prettyErrors: false, uniqueKeys: false });
  const value = isMap(kind.contents) ? kind.contents.get("kind") : undefined;
  return typeof value === "string" ? value : undefined;
}
