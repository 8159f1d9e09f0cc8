/**
 * Writes the reference pages under `deploy/reference/` from the tables the program itself runs by. With `--verify`, compares
 * instead of writing and exits 1 on a difference.
 */
import { configReference } from "../src/config/mod.ts";
import { metricsReference } from "../src/telemetry/mod.ts";
import { notYet, registry } from "../src/scheduling/mod.ts";

const root = new URL("..", import.meta.url).pathname;
const folder = "deploy/reference";

function pluginReference(): string {
  const rows = [...registry.values()].map(({ type, kinds, summary, deprecated }) =>
    `| \`${type}\` | ${kinds.join(", ")} | ${summary}${
      deprecated ? ` (deprecated by llm-d: use \`${deprecated}\`)` : ""
    } |`
  );
  const later = [...notYet].map(([type, reason]) => `| \`${type}\` | ${reason} |`);
  return [
    "| Type | Kind | What it does |",
    "|---|---|---|",
    ...rows,
    "",
    "## Not yet",
    "",
    "A configuration that names one of these is refused with the plugin's name and line.",
    "",
    "| Type | Waits for |",
    "|---|---|",
    ...later,
    "",
  ].join("\n");
}

/** Path of each page, with its text. */
export function referencePages(): Map<string, string> {
  const page = (title: string, intro: string, table: string) => `# ${title}\n\n${intro}\n\n${table}`;
  return new Map([
    [
      `${folder}/configuration.md`,
      page(
        "Configuration",
        "Every key of Warmpath's configuration file (YAML or JSON). `deno run -A src/main.ts check FILE` checks one.",
        configReference(),
      ),
    ],
    [
      `${folder}/metrics.md`,
      page(
        "Metrics",
        "Every series of `GET /metrics` on the admin port. Those marked are also exposed under llm-d's name, with llm-d's labels and buckets.",
        metricsReference(),
      ),
    ],
    [
      `${folder}/plugins.md`,
      page(
        "Scheduling plugins",
        "Types that `scheduling.plugins` and an llm-d `EndpointPickerConfig` may name. Each file under `src/scheduling/` begins with its formula, parameters and defaults.",
        pluginReference(),
      ),
    ],
  ]);
}

if (import.meta.main) {
  const verify = Deno.args.includes("--verify");
  let stale = 0;
  if (!verify) await Deno.mkdir(root + folder, { recursive: true });
  for (const [path, text] of referencePages()) {
    if (!verify) await Deno.writeTextFile(root + path, text);
    else if (await Deno.readTextFile(root + path).catch(() => "") !== text) {
      console.error(`${path} is not what the program's tables say: run deno task build`);
      stale++;
    }
  }
  if (stale > 0) Deno.exit(1);
  console.error(`${folder}: ${verify ? "up to date" : "written"}`);
}
