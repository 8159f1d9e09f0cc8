/** Records runs: the JSON of each under `results/`, and a section of `RESULTS.md` written from it. */

const bench = new URL("../", import.meta.url);

/** A run as it is printed and kept. */
export interface Result {
  readonly bench: string;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly commit: string;
  readonly command: string;
  readonly figures: Readonly<Record<string, number>>;
  readonly [extra: string]: unknown;
}

/**
 * Writes `results/NAME.json` and the section of that name, in place when the page has one, else at its end; under
 * `bench/` unless told otherwise.
 */
export function record(name: string, result: Result, home: URL = bench): void {
  const folder = new URL("results/", home), page = new URL("RESULTS.md", home);
  Deno.mkdirSync(folder, { recursive: true });
  Deno.writeTextFileSync(new URL(`${name}.json`, folder), JSON.stringify(result, null, 2) + "\n");
  const start = `<!-- ${name}: written by the runner -->`, end = `<!-- ${name}: end -->`;
  const section = `${start}\n${sectionOf(name, result)}${end}\n`;
  const text = readPage(page);
  const from = text.indexOf(start), to = text.indexOf(end);
  const kept = from >= 0 && to > from;
  Deno.writeTextFileSync(
    page,
    kept ? text.slice(0, from) + section + text.slice(to + end.length + 1) : `${text.trimEnd()}\n\n${section}`,
  );
}

function readPage(page: URL): string {
  try {
    return Deno.readTextFileSync(page);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "# Results\n";
    throw error;
  }
}

function sectionOf(name: string, result: Result): string {
  const { machine, commit, command, figures } = result;
  const where = `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.os}, Deno ${machine.deno}`;
  const tables = Object.entries(result).filter(([, value]) => isTable(value))
    .map(([key, value]) => rowsTable(key, value as Table));
  return [`## ${name}\n`, `    ${command}\n`, `${where}; commit ${commit}.\n`, ...tables, figuresTable(figures)].join(
    "\n",
  );
}

type Table = Readonly<Record<string, Readonly<Record<string, number | string>>>>;

/** A member whose values are all records of numbers and words: one row each. */
function isTable(value: unknown): value is Table {
  const rows = value !== null && typeof value === "object" ? Object.values(value) : [];
  return rows.length > 0 &&
    rows.every((row) =>
      row !== null && typeof row === "object" && Object.values(row).length > 0 &&
      Object.values(row).every((cell) => typeof cell === "number" || typeof cell === "string")
    );
}

function rowsTable(title: string, table: Table): string {
  const columns = [...new Set(Object.values(table).flatMap((row) => Object.keys(row)))];
  const lines = Object.entries(table).map(([name, row]) =>
    `| ${name} | ${columns.map((c) => row[c] ?? "").join(" | ")} |`
  );
  return [`| ${title} | ${columns.join(" | ")} |`, `|---|${"---:|".repeat(columns.length)}`, ...lines, ""].join("\n");
}

/** One row a figure, its spread beside it. */
function figuresTable(figures: Readonly<Record<string, number>>): string {
  const names = Object.keys(figures).filter((name) => !/_(min|max)$/.test(name) || !(name.slice(0, -4) in figures));
  const rows = names.map((name) => {
    const least = figures[`${name}_min`], most = figures[`${name}_max`];
    return `| ${name} | ${figures[name]} | ${least === undefined ? "" : `${least} to ${most}`} |`;
  });
  return ["| figure | median | spread of the rounds |", "|---|---:|---|", ...rows, ""].join("\n");
}
