/**
 * The layering rule of .ci/layers.ts over every file of `src/`, unit tests included: a `_test.ts` file stands under the
 * same rule as its room, so a test that needs a sibling or a higher room belongs in `tests/`, which is free.
 */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { developmentPackages } from "../../.ci/embedded.ts";
import { layerTable, layerViolation, roomOf, rooms, tableIn } from "../../.ci/layers.ts";
import { exists, factsIn, factsOf, filesUnder, isTest, targetOf, textOf } from "./source.ts";

const sources = filesUnder("src", (path) => path.endsWith(".ts"));

Deno.test("layerViolation() allows the own room, and lower rooms through their mod.ts", () => {
  equal(layerViolation("src/scheduling/engine.ts", "src/scheduling/filters/role.ts"), undefined);
  equal(layerViolation("src/scheduling/filters/role.ts", "src/core/mod.ts"), undefined);
  equal(layerViolation("src/main.ts", "src/commands/mod.ts"), undefined);
});

Deno.test("layerViolation() refuses higher and equal numbers, inner files and folders without a row", () => {
  ok(layerViolation("src/core/clock.ts", "src/config/mod.ts")?.includes("only lower numbers"));
  ok(layerViolation("src/sim/step.ts", "src/upstream/mod.ts")?.includes("only lower numbers"));
  ok(layerViolation("src/pool/pool.ts", "src/core/clock.ts")?.includes("through its mod.ts"));
  ok(layerViolation("src/pool/pool.ts", "src/pantry/mod.ts")?.includes("no room"));
  ok(layerViolation("src/pantry/jam.ts", "src/core/mod.ts")?.includes("no row"));
  ok(layerViolation("src/pool/pool.ts", ".ci/build.ts")?.includes("no room"));
});

Deno.test("factsOf() finds every form of reference and ignores comments and text", () => {
  const text = `
    import { a, type B } from "./value.ts";
    import { type C } from "./type_names.ts";
    import type { D } from "./type.ts";
    import "./effect.ts";
    export * from "./star.ts";
    export { e } from "./named.ts";
    export type F = import("./inline.ts").F;
    const g = await import("./dynamic.ts");
    const h = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    // import "./comment.ts";
    const i = 'import "./text.ts"';
  `;
  deepStrictEqual(factsOf("src/kv/x.ts", text).references.map(({ specifier, kind }) => `${kind} ${specifier}`).sort(), [
    "type ./inline.ts",
    "type ./type.ts",
    "type ./type_names.ts",
    "url ./worker.ts",
    "value ./dynamic.ts",
    "value ./effect.ts",
    "value ./named.ts",
    "value ./star.ts",
    "value ./value.ts",
  ]);
});

Deno.test("src/ keeps the layering rule", () => {
  const violations = sources.flatMap((from) =>
    factsIn(from).references.flatMap(({ specifier }) => {
      const to = targetOf(from, specifier);
      return to === undefined ? [] : layerViolation(from, to) ?? [];
    })
  );
  deepStrictEqual([...new Set(violations)], []);
});

Deno.test("src/ and the table of rooms name the same folders, each with a mod.ts", () => {
  const found = [...Deno.readDirSync(new URL("../../src", import.meta.url))].map((entry) => entry.name);
  deepStrictEqual(found.filter((name) => !rooms.some((room) => room.name === name)), [], "without a row");
  deepStrictEqual(rooms.map((room) => room.name).filter((name) => !exists(`src/${name}`)), [], "row without a room");
  const folders = rooms.map((room) => room.name).filter((name) => !name.includes("."));
  deepStrictEqual(folders.filter((name) => !exists(`src/${name}/mod.ts`)), [], "without mod.ts");
});

Deno.test("src/ refers only to files that exist", () => {
  const missing = sources.flatMap((from) =>
    factsIn(from).references.flatMap(({ specifier }) => {
      const to = targetOf(from, specifier);
      return to === undefined || exists(to) ? [] : `${from}: ${specifier}`;
    })
  );
  deepStrictEqual(missing, []);
});

Deno.test("src/ names a .wasm file in hotpath only", () => {
  const elsewhere = sources.filter((path) =>
    roomOf(path)?.name !== "hotpath" && factsIn(path).strings.some((text) => text.endsWith(".wasm"))
  );
  deepStrictEqual(elsewhere, []);
});

Deno.test("src/ has no cycle of run-time imports", () => {
  const edges = new Map(sources.map((from) => [
    from,
    factsIn(from).references.filter(({ kind }) => kind === "value").flatMap(({ specifier }) =>
      targetOf(from, specifier) ?? []
    ),
  ]));
  deepStrictEqual(cyclesIn(edges), []);
});

Deno.test("cyclesIn() names the files of a cycle once", () => {
  const edges = new Map([["a", ["b", "d"]], ["b", ["c"]], ["c", ["b"]], ["d", ["c"]]]);
  deepStrictEqual(cyclesIn(edges), ["b -> c -> b"]);
});

Deno.test("src/ outside tests imports no tests and no development package", () => {
  const violations = sources.filter((path) => !isTest(path)).flatMap((from) =>
    factsIn(from).references.filter(({ specifier }) =>
      isTest(specifier) || developmentPackages.some((name) => specifier === name || specifier.startsWith(`${name}/`))
    ).map(({ specifier }) => `${from}: ${specifier}`)
  );
  deepStrictEqual(violations, []);
});

Deno.test("ARCHITECTURE.md shows the table of rooms", () => {
  equal(tableIn(textOf("ARCHITECTURE.md")), layerTable());
});

/** Cycles of a graph, one a back edge met by a depth-first walk, written `a -> b -> a`. */
function cyclesIn(edges: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>();
  const path: string[] = [];
  const cycles: string[] = [];
  const visit = (node: string) => {
    if (done.has(node)) return;
    const start = path.indexOf(node);
    if (start >= 0) {
      cycles.push([...path.slice(start), node].join(" -> "));
      return;
    }
    path.push(node);
    for (const next of edges.get(node) ?? []) visit(next);
    path.pop();
    done.add(node);
  };
  for (const node of edges.keys()) visit(node);
  return cycles;
}
