/**
 * The benchmark runner: `deno task bench NAME [flags] [--json] [--smoke] [--record [name]]`.
 *
 * People read stderr: a progress bar, then every figure. With `--json` the last line of stdout is one JSON object
 * `{"bench", "machine", "commit", "command", "figures", …}`. Figures are medians over rounds, with the spread as
 * `NAME_min` and `NAME_max`; what could not be measured is absent.
 */
import { Command, CommanderError } from "commander";
import { connections } from "./connections.ts";
import { decide } from "./decide.ts";
import { fairness } from "./fairness.ts";
import { flow } from "./flow.ts";
import { idle } from "./idle.ts";
import { index } from "./index.ts";
import { type Bench, type Flags, UsageError } from "./lib/bench.ts";
import { commit, machine } from "./lib/machine.ts";
import { longprompt } from "./longprompt.ts";
import { overload } from "./overload.ts";
import { peers } from "./peers.ts";
import { predict } from "./predict.ts";
import { Progress } from "./lib/progress.ts";
import { record, type Result } from "./lib/results.ts";
import { replay } from "./replay.ts";
import { requests } from "./requests.ts";
import { restart } from "./restart.ts";
import { scale } from "./scale.ts";
import { slo } from "./slo.ts";
import { soak } from "./soak.ts";
import { stream } from "./stream.ts";
import { tokens } from "./tokens.ts";

const benches: readonly Bench[] = [
  connections,
  decide,
  fairness,
  flow,
  idle,
  index,
  longprompt,
  overload,
  peers,
  predict,
  replay,
  requests,
  restart,
  scale,
  slo,
  soak,
  stream,
  tokens,
];

interface RunnerFlags {
  readonly json?: boolean;
  readonly smoke?: boolean;
  /** True when the flag was given without a name. */
  readonly record?: string | true;
}

async function runBench(bench: Bench, flags: Flags & RunnerFlags): Promise<void> {
  const progress = new Progress();
  const report = await bench.run(flags, { smoke: flags.smoke === true, progress });
  progress.clear();
  const command = `deno task bench ${shownArgs().join(" ")}`;
  const result: Result = { bench: bench.name, machine: { ...machine() }, commit: commit(), command, ...report };
  const width = Math.max(...Object.keys(result.figures).map((name) => name.length));
  for (const [name, value] of Object.entries(result.figures)) progress.note(`${name.padEnd(width)}  ${value}`);
  if (flags.record) record(flags.record === true ? bench.name : flags.record, result);
  if (flags.json) console.log(JSON.stringify(result));
}

/** The arguments that made the figures, without the way they were shown and kept, and without folders of this machine. */
function shownArgs(): string[] {
  const args = Deno.args.filter((arg) => arg !== "--json");
  const at = args.indexOf("--record");
  if (at >= 0) args.splice(at, args[at + 1]?.startsWith("-") === false ? 2 : 1);
  return args.map((arg) => arg.replace(/(^|[=,])\/[^,]*\//g, "$1"));
}

const program = new Command("bench")
  .description("Measures Warmpath. Every benchmark says in its file's header what it measures and what is simulated.")
  .exitOverride()
  .showHelpAfterError();
for (const bench of benches) {
  const command = program.command(bench.name).description(bench.summary)
    .option("--json", "print the result as one JSON object, the last line of stdout")
    .option("--smoke", "parameters so small that the run takes seconds: shows that it works, measures nothing")
    .option("--record [name]", "keep the result in bench/results/ and in bench/RESULTS.md")
    .action((flags) => runBench(bench, flags));
  for (const { flag, about, fallback } of bench.flags) command.option(flag, about, fallback);
}

try {
  await program.parseAsync(Deno.args, { from: "user" });
} catch (error) {
  if (error instanceof UsageError) console.error(error.message);
  else if (!(error instanceof CommanderError)) throw error;
  Deno.exit(error instanceof CommanderError && error.exitCode === 0 ? 0 : 2);
}
Deno.exit(0);
