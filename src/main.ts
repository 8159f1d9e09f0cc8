/** The command line. The only place that reads arguments, sets exit codes and hears signals. */
import { Command, CommanderError } from "commander";
import { checkConfig, type ProcessHost, serve, simulate, simulatorFlags, version } from "./commands/mod.ts";

const host: ProcessHost = {
  env: Deno.env.toObject(),
  out: (text) => void Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`)),
  err: (text) => void Deno.stderr.writeSync(new TextEncoder().encode(`${text}\n`)),
  errIsTerminal: Deno.stderr.isTerminal(),
  onSignal: (signal, listener) => Deno.addSignalListener(signal, listener),
};

const program = new Command("warmpath")
  .description("Routes OpenAI-compatible requests to the model server that will answer soonest.")
  .version(version)
  .exitOverride();

/** Commander exits by itself after help and usage errors; 2 is the code for a mistake of the caller. */
let exitCode = 0;

program.command("serve", { isDefault: true })
  .description("Route requests over a pool of model servers; with neither config nor endpoints, over a simulated one.")
  .option(
    "--config <file>",
    "YAML or JSON configuration, Warmpath's own or an llm-d EndpointPickerConfig (WARMPATH_CONFIG)",
  )
  .option("--endpoints <urls>", "comma-separated URLs of model servers (WARMPATH_ENDPOINTS)")
  .option("--port <port>", "port for clients, 8000 by default (WARMPATH_PORT)")
  .option("--admin-port <port>", "port for metrics, probes and debug pages, 9090 by default (WARMPATH_ADMIN_PORT)")
  .option("--workers <count>", "edge isolates, 1 by default (WARMPATH_WORKERS)")
  .action(async (flags) => void (exitCode = await serve(flags, host)));

program.command("check")
  .description("Check a configuration file and say what is wrong with it.")
  .argument("<file>")
  .action(async (file) => void (exitCode = await checkConfig(file, host)));

const sim = program.command("sim").description("Run a simulated model server that behaves like vLLM.");
for (const { flag, about } of simulatorFlags) sim.option(flag, about);
sim.action(async (flags) => void (exitCode = await simulate(flags, host)));

try {
  await program.parseAsync(Deno.args, { from: "user" });
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  exitCode = error.exitCode === 0 ? 0 : 2;
}
Deno.exit(exitCode);
