/** What the architecture tests know of the repository: its files, and each file's syntax as facts. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { existsSync } from "node:fs";

/** Absolute path of the repository, ending in a slash. */
export const root = fileURLToPath(new URL("../..", import.meta.url));

/** Folders that hold no source of ours. */
const skipped = new Set([".git", "node_modules", "dist"]);

/** Whether there is something at `path`, relative to the repository. */
export function exists(path: string): boolean {
  return existsSync(join(root, path));
}

/** Files under `folder`, relative to the repository and sorted; none when the folder is missing. */
export function filesUnder(folder: string, keep: (path: string) => boolean = () => true): string[] {
  if (!exists(folder)) return [];
  const found: string[] = [];
  for (const entry of Deno.readDirSync(join(root, folder))) {
    if (skipped.has(entry.name)) continue;
    const path = folder === "." ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory) found.push(...filesUnder(path, keep));
    else if (entry.isFile && keep(path)) found.push(path);
  }
  return found.sort();
}

/** The text of a file of the repository. */
export function textOf(path: string): string {
  return Deno.readTextFileSync(join(root, path));
}

/** Written by a person: neither generated nor a fixture. */
export function isOurs(path: string): boolean {
  return !path.startsWith("src/proto/gen/") && !path.startsWith("tests/golden/");
}

/** TypeScript that Deno runs; AssemblyScript under `wasm/` has a grammar of its own. */
export function typescriptUnder(...folders: string[]): string[] {
  return folders.flatMap((folder) => filesUnder(folder, (path) => path.endsWith(".ts") && isOurs(path)));
}

/** True for a file of tests, or of what only tests use. */
export function isTest(path: string): boolean {
  return path.endsWith("_test.ts") || path.endsWith("testing.ts");
}

/** One reference from a file to another module. */
export interface Reference {
  /** As written, such as `./mod.ts` or `hono`. */
  readonly specifier: string;
  /** `type` leaves nothing at run time; `url` is `new URL("./x", import.meta.url)`, as workers and assets are loaded. */
  readonly kind: "value" | "type" | "url";
}

/** What the syntax of one file says. */
export interface Facts {
  readonly references: readonly Reference[];
  /** Functions, methods and closures in the file. */
  readonly functions: number;
  /** Every string literal, template pieces included. */
  readonly strings: readonly string[];
}

type Named = { importKind?: string; exportKind?: string };

function kindOf(declaration: string, names: readonly Named[]): "value" | "type" {
  if (declaration === "type") return "type";
  const typeOnly = names.length > 0 && names.every((name) => (name.importKind ?? name.exportKind) === "type");
  return typeOnly ? "type" : "value";
}

/** Reads the syntax of `text`, which is the content of the file `path`. */
export function factsOf(path: string, text: string): Facts {
  const references: Reference[] = [];
  const strings: string[] = [];
  let functions = 0;
  const count = () => void functions++;
  const refer = (source: { value?: unknown } | null | undefined, kind: Reference["kind"]) => {
    if (typeof source?.value === "string") references.push({ specifier: source.value, kind });
  };
  const visitor: Deno.lint.LintVisitor = {
    ImportDeclaration: (node) => refer(node.source, kindOf(node.importKind, node.specifiers as Named[])),
    ExportAllDeclaration: (node) => refer(node.source, kindOf(node.exportKind, [])),
    ExportNamedDeclaration: (node) => refer(node.source, kindOf(node.exportKind, node.specifiers as Named[])),
    ImportExpression: (node) => refer(node.source as { value?: unknown }, "value"),
    TSImportType: ({ argument }) => {
      if (argument.type === "TSLiteralType") refer(argument.literal as { value?: unknown }, "type");
    },
    NewExpression(node) {
      const [first, second] = node.arguments;
      const isModule = second?.type === "MemberExpression" && second.object.type === "MetaProperty";
      if (isModule && node.callee.type === "Identifier" && node.callee.name === "URL") {
        refer(first as { value?: unknown }, "url");
      }
    },
    Literal(node) {
      if (typeof node.value === "string") strings.push(node.value);
    },
    TemplateElement: (node) => void strings.push(node.cooked),
    FunctionDeclaration: count,
    FunctionExpression: count,
    ArrowFunctionExpression: count,
  };
  const plugin = { name: "facts", rules: { all: { create: () => visitor } } };
  Deno.lint.runPlugin(plugin, join(root, path), text);
  return { references, functions, strings };
}

const cache = new Map<string, Facts>();

/** Facts of a file of the repository, read once. */
export function factsIn(path: string): Facts {
  const known = cache.get(path);
  if (known) return known;
  const facts = factsOf(path, textOf(path));
  cache.set(path, facts);
  return facts;
}

/** The repository's file that a relative reference of `from` means; undefined for packages and built-in modules. */
export function targetOf(from: string, specifier: string): string | undefined {
  return specifier.startsWith(".") ? join(dirname(from), specifier) : undefined;
}
