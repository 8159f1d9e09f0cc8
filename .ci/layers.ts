/**
 * The rooms of `src/` and the one rule between them: a file imports its own room and rooms with a strictly lower number,
 * those only through their `mod.ts`. `tests/arch/layers_test.ts` enforces it; `ARCHITECTURE.md` shows the same table.
 *
 * Run `deno run -A .ci/layers.ts` after changing the table: it writes the table into `ARCHITECTURE.md`.
 */
import { fileURLToPath } from "node:url";

/** One folder of `src/`, or `main.ts` itself. */
export interface Room {
  readonly layer: number;
  readonly name: string;
  readonly holds: string;
}

/** Every room; a new folder of `src/` needs a row here. */
export const rooms: readonly Room[] = [
  { layer: 0, name: "core", holds: "vocabulary, errors, clock, seeded chance, bounded containers; no I/O" },
  { layer: 1, name: "config", holds: "raw schema, defaults, resolving to a complete frozen config, llm-d import" },
  { layer: 1, name: "telemetry", holds: "the catalogue of every metric, registry, tracer, logger" },
  { layer: 1, name: "proto", holds: "`.proto` files and the code generated from them" },
  { layer: 1, name: "hotpath", holds: "typed door to the WASM kernels: memory layout, loading, TypeScript twins" },
  {
    layer: 2,
    name: "protocol",
    holds: "bytes in, values out: API dialects, HTTP/1.1, headers, SSE, Prometheus text, error bodies",
  },
  { layer: 3, name: "upstream", holds: "everything that dials a model server: connections, streaming, observation" },
  { layer: 3, name: "scheduling", holds: "where a request goes: filters, scorers, pickers, profiles" },
  {
    layer: 3,
    name: "flow",
    holds: "whether, when and in which order: bands, fairness, ordering, saturation, shedding",
  },
  {
    layer: 3,
    name: "latency",
    holds: "what it will cost: features, prior, forests, their training, labels and calibration",
  },
  { layer: 3, name: "sim", holds: "a model server that behaves like vLLM, for demo, tests and benchmarks" },
  { layer: 3, name: "keys", holds: "who may ask for what: API keys, tenants, quotas in shared memory" },
  {
    layer: 3,
    name: "tokens",
    holds: "text to token ids: chat template, tokenizer, render client, prefix token cache",
  },
  { layer: 4, name: "pool", holds: "which endpoints exist and how they are: discovery, health, load" },
  { layer: 4, name: "kv", holds: "which blocks each endpoint holds" },
  { layer: 5, name: "pipeline", holds: "one request's life: view, place, forward, outcome" },
  { layer: 5, name: "agent", holds: "beside a model server: mirrors its cache, serves it to routers" },
  { layer: 6, name: "edge", holds: "the ports and what answers on them: routes, limits, models, admin" },
  { layer: 7, name: "commands", holds: "composition roots: they wire, start, drain and stop" },
  { layer: 8, name: "main.ts", holds: "the command line; the only place for arguments, exit codes and signals" },
];

/** The room of a path such as `src/kv/index.ts`; undefined outside `src/` and for a folder without a row. */
export function roomOf(path: string): Room | undefined {
  const name = path.match(/^src\/([^/]+)/)?.[1];
  return rooms.find((room) => room.name === name);
}

/** Why the file at `from` must not import the file at `to` (both like `src/kv/index.ts`); undefined when it may. */
export function layerViolation(from: string, to: string): string | undefined {
  const here = roomOf(from);
  const there = roomOf(to);
  if (!here) return `${from}: its folder has no row in .ci/layers.ts`;
  if (!there) return `${from}: imports ${to}, which lies in no room of .ci/layers.ts`;
  if (here === there) return undefined;
  if (there.layer >= here.layer) {
    return `${from}: ${here.name} (${here.layer}) imports ${there.name} (${there.layer}); only lower numbers are allowed`;
  }
  if (to !== `src/${there.name}/mod.ts`) {
    return `${from}: imports ${to}; another room is entered through its mod.ts only`;
  }
  return undefined;
}

/** The table as Markdown. */
export function layerTable(): string {
  const rows = rooms.map(({ layer, name, holds }) =>
    `| ${layer} | \`src/${name}${name.includes(".") ? "" : "/"}\` | ${holds} |`
  );
  return ["| # | Room | Holds |", "|---|---|---|", ...rows].join("\n");
}

const marker = "<!-- layers -->";

/** The text between the two `<!-- layers -->` markers of a document; undefined when there are not exactly two. */
export function tableIn(document: string): string | undefined {
  const parts = document.split(marker);
  return parts.length === 3 ? parts[1].trim() : undefined;
}

if (import.meta.main) {
  const path = fileURLToPath(new URL("../ARCHITECTURE.md", import.meta.url));
  const parts = (await Deno.readTextFile(path)).split(marker);
  if (parts.length !== 3) throw new Error(`Cannot write the table as ARCHITECTURE.md needs two ${marker} markers`);
  await Deno.writeTextFile(path, [parts[0], `\n${layerTable()}\n`, parts[2]].join(marker));
}
