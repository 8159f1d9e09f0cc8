/** Documents against the repository: links lead somewhere, and every example configuration loads. */
import { deepStrictEqual, throws } from "node:assert/strict";
import { dirname, join } from "node:path";
import { schedulingSetup } from "../../src/commands/scheduling.ts";
import { loadConfigText, resolveConfig } from "../../src/config/mod.ts";
import { loadEndpointFile } from "../../src/pool/mod.ts";
import { exists, filesUnder, textOf } from "./source.ts";

const documents = filesUnder(".", (path) => path.endsWith(".md") && !path.startsWith("tests/golden/"));

/** A code block of a document. */
interface Fence {
  readonly language: string;
  readonly line: number;
  readonly text: string;
}

function fencesOf(text: string): Fence[] {
  const fences: Fence[] = [];
  let open: { language: string; line: number; lines: string[] } | undefined;
  text.split("\n").forEach((line, index) => {
    const mark = line.match(/^\s*```(\S*)/);
    if (!mark) open?.lines.push(line);
    else if (!open) open = { language: mark[1], line: index + 1, lines: [] };
    else {
      fences.push({ language: open.language, line: open.line, text: open.lines.join("\n") + "\n" });
      open = undefined;
    }
  });
  if (open) throw new SyntaxError(`Cannot find the end of the code block that opens at line ${open.line}`);
  return fences;
}

/** Targets of the links outside code blocks, without anchors; other sites are left out. */
function localLinksOf(text: string): string[] {
  const prose = text.replace(/^\s*```[\s\S]*?^\s*```/gm, "").replace(/`[^`\n]*`/g, "");
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target)
    .filter((target) => !/^(https?:|mailto:|#)/.test(target))
    .map((target) => target.replace(/#.*$/, ""));
}

Deno.test("localLinksOf() finds links in prose and leaves code and other sites out", () => {
  const text = "[a](b.md#part) [c](https://example.com) [d](#here)\n```sh\n[e](f.md)\n```\n`[g](h.md)` ![i](j.png)";
  deepStrictEqual(localLinksOf(text), ["b.md", "j.png"]);
});

Deno.test("fencesOf() gives language, line and text", () => {
  deepStrictEqual(fencesOf("x\n```yaml\na: 1\n```\n"), [{ language: "yaml", line: 2, text: "a: 1\n" }]);
});

Deno.test("every local link of a document leads to a file", () => {
  const broken = documents.flatMap((path) =>
    localLinksOf(textOf(path)).filter((target) => !exists(join(dirname(path), target)))
      .map((target) => `${path}: ${target}`)
  );
  deepStrictEqual(broken, []);
});

Deno.test("every deno task of a document is a task of deno.json", () => {
  const tasks = Object.keys(JSON.parse(textOf("deno.json")).tasks);
  const unknown = documents.flatMap((path) =>
    [...textOf(path).matchAll(/deno(?:@[\d.]+)? task ([\w:-]+)/g)].map(([, task]) => task)
      .filter((task) => !tasks.includes(task)).map((task) => `${path}: deno task ${task}`)
  );
  deepStrictEqual(unknown, []);
});

Deno.test("every YAML block of a document and every file of deploy/examples loads as a config", () => {
  const blocks = documents.flatMap((path) =>
    fencesOf(textOf(path)).filter(({ language }) => language === "yaml" || language === "yml")
      .map(({ line, text }) => ({ name: `${path}:${line}`, text }))
  );
  const files = filesUnder("deploy/examples", (path) => /\.ya?ml$/.test(path));
  const examples = [...blocks, ...files.map((path) => ({ name: path, text: textOf(path) }))];
  const failures: string[] = [];
  for (const { name, text } of examples) {
    try {
      load(text, name);
    } catch (error) {
      failures.push(`${name}: ${(error as Error).message}`);
    }
  }
  deepStrictEqual(failures, []);
  throws(() => load("noSuchKeyAnywhere: 1\n", "broken.yaml"), "the loader must refuse what it does not know");
});

/** Reads an example as the program would: an endpoint list by its name, anything else as configuration with its plugins. */
function load(text: string, fileName: string): void {
  if (fileName.endsWith("endpoints.yaml")) loadEndpointFile(text, fileName);
  else schedulingSetup(resolveConfig(loadConfigText(text, fileName)));
}
