import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { ConfigError } from "../core/mod.ts";
import type { DocumentPath, Source } from "./definition.ts";

/** A YAML (or JSON) document that knows the line of each of its values. */
export class YamlSource implements Source {
  readonly value: unknown;
  readonly #root: Node | null;
  readonly #lines = new LineCounter();
  readonly #resolve: (node: Node) => Node | undefined;

  /** Throws ConfigError when `text` is no well-formed document; `file` is what errors call it. */
  constructor(text: string, readonly file: string) {
    const document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
    const error = document.errors[0];
    if (error) {
      const expected = `must be well-formed YAML: ${error.message}`;
      throw new ConfigError(`${file}:${this.#lines.linePos(error.pos[0]).line}`, "", expected);
    }
    this.#root = document.contents as Node | null;
    this.#resolve = (node) => isAlias(node) ? node.resolve(document) : node;
    try {
      this.value = document.toJS();
    } catch (error) {
      throw new ConfigError(
        `${file}:1`,
        "",
        `must be well-formed YAML: ${error instanceof Error ? error.message : error}`,
      );
    }
  }

  where(path: DocumentPath): string {
    let node: Node | null | undefined = this.#root;
    let at = node?.range?.[0] ?? 0;
    for (const part of path) {
      if (node) node = this.#resolve(node);
      if (isMap(node)) {
        const pair = node.items.find((item) => isScalar(item.key) && item.key.value === part);
        if (!isScalar(pair?.key)) break;
        at = pair.key.range?.[0] ?? at;
        node = pair.value as Node | null;
      } else if (isSeq(node)) {
        node = node.items[part as number] as Node | undefined;
        if (!node) break;
        at = node.range?.[0] ?? at;
      } else break;
    }
    return `${this.file}:${this.#lines.linePos(at).line}`;
  }
}
