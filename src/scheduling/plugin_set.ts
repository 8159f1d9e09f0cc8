import { ConfigError } from "../core/mod.ts";
import { type DocumentPath, keyText, type Source } from "./definition.ts";
import { registry, unusableType } from "./registry.ts";
import type { PluginSpec } from "./types.ts";

/** A plugin as written: parameters not yet looked at. */
export interface PluginEntry {
  readonly name?: string;
  readonly type: string;
  readonly parameters?: unknown;
}

/** The plugins of one configuration. Entries are loaded when asked for, so they may refer to each other in any order. */
export class PluginSet {
  readonly warnings: string[] = [];
  readonly #specs: (PluginSpec | undefined)[];
  readonly #added: PluginSpec[] = [];
  readonly #index = new Map<string, number>();

  /** `path` is where the list stands in the document. Throws ConfigError when two entries have one name. */
  constructor(readonly entries: readonly PluginEntry[], readonly source: Source, readonly path: DocumentPath) {
    this.#specs = new Array(entries.length).fill(undefined);
    entries.forEach((entry, i) => {
      const name = entry.name ?? entry.type;
      if (this.#index.has(name)) {
        const at = [...path, i];
        throw new ConfigError(source.where(at), keyText(at), `plugin name "${name}" must be unique`);
      }
      this.#index.set(name, i);
    });
  }

  /** Every plugin, as listed, then those added. Throws ConfigError at the first that cannot be used. */
  all(): readonly PluginSpec[] {
    return [...this.entries.map((_, i) => this.#load(i)), ...this.#added];
  }

  /** The plugin of that name; undefined when there is none. */
  named(name: string): PluginSpec | undefined {
    const i = this.#index.get(name);
    return i === undefined ? this.#added.find((spec) => spec.name === name) : this.#load(i);
  }

  /** The first plugin of `type`. */
  ofType(type: string): PluginSpec | undefined {
    const i = this.entries.findIndex((entry) => entry.type === type);
    return i < 0 ? this.#added.find((spec) => spec.type === type) : this.#load(i);
  }

  /** The first plugin of the first of `types` that has one. */
  ofAnyType(types: readonly string[]): PluginSpec | undefined {
    for (const type of types) {
      const spec = this.ofType(type);
      if (spec) return spec;
    }
    return undefined;
  }

  /** The first plugin of `type`, added with its defaults when there is none. */
  ensure(type: string): PluginSpec {
    const present = this.ofType(type);
    if (present) return present;
    const name = this.named(type) ? `${type}-default` : type;
    const added = registry.get(type)!.load(name, {}, this.source, this.path, this.#context(name, this.path));
    this.#added.push(added);
    return added;
  }

  #load(i: number): PluginSpec {
    const loaded = this.#specs[i];
    if (loaded) return loaded;
    const { type, name = type, parameters } = this.entries[i];
    const at = [...this.path, i];
    const plugin = registry.get(type);
    if (!plugin) {
      throw new ConfigError(this.source.where([...at, "type"]), keyText([...at, "type"]), unusableType(type));
    }
    if (plugin.deprecated) {
      this.warnings.push(`${this.source.where(at)}: ${type} is deprecated, use ${plugin.deprecated}`);
    }
    const path = [...at, "parameters"];
    return this.#specs[i] = plugin.load(name, parameters, this.source, path, this.#context(name, path));
  }

  #context(plugin: string, path: DocumentPath) {
    return {
      find: (types: readonly string[], key: string, name: string | undefined) => {
        if (name === undefined) return this.ofAnyType(types);
        const spec = this.named(name);
        if (spec && types.includes(spec.type)) return spec;
        const at = [...path, key];
        const expected = `plugin "${plugin}": must be the name of a configured ${
          types.join(" or ")
        }: current value is "${name}"`;
        throw new ConfigError(this.source.where(at), keyText(at), expected);
      },
      warn: (message: string) => void this.warnings.push(`${this.source.where(path)}: ${plugin}: ${message}`),
    };
  }
}
