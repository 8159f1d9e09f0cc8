/** The command line. The only place that reads arguments, sets exit codes and hears signals. */
import { Command, CommanderError } from "commander";
import {
  agent,
  agentFlags,
  checkConfig,
  exitMisconfigured,
  makeKey,
  type ProcessHost,
  serve,
  simFlags,
  simulate,
  version,
  writeLine,
} from "./commands/mod.ts";
import { systemClock } from "./core/mod.ts";
import { LineWriter } from "./telemetry/mod.ts";

/** The access log, and what commands print. */
const out = new LineWriter({ stream: Deno.stdout, clock: systemClock });

const host: ProcessHost = {
  env: Deno.env.toObject(),
  out: (line) => out.write(line),
  err: (line) => writeLine(Deno.stderr, line),
  errIsTerminal: Deno.stderr.isTerminal(),
  onSignal: (signal, listener) => Deno.addSignalListener(signal, listener),
};

let exitCode = 0;

const program = new Command("warmpath")
  .description("Routes OpenAI-compatible requests to the model server that will answer soonest.")
  .version(version)
  .exitOverride();

program.command("serve", { isDefault: true })
  .description("Route requests over a pool of model servers; with neither config nor endpoints, over a simulated one.")
  .option("--config <file>", "YAML or JSON file, Warmpath's own or an llm-d EndpointPickerConfig (WARMPATH_CONFIG)")
  .option("--endpoints <urls>", "comma-separated URLs of model servers (WARMPATH_ENDPOINTS)")
  .option("--host <address>", "address for clients, 0.0.0.0 by default (WARMPATH_HOST)")
  .option("--port <port>", "port for clients, 8000 by default (WARMPATH_PORT)")
  .option("--admin-host <address>", "address of the admin port, 127.0.0.1 by default (WARMPATH_ADMIN_HOST)")
  .option("--admin-port <port>", "port for metrics, probes and debug pages, 9090 by default (WARMPATH_ADMIN_PORT)")
  .option("--workers <count>", "edge isolates, 1 by default, auto for all cores but one (WARMPATH_WORKERS)")
  .action(async (flags) => void (exitCode = await serve(flags, host)));

program.command("check")
  .description("Check a configuration file and say what is wrong with it.")
  .argument("<file>")
  .action(async (file) => void (exitCode = await checkConfig(file, host)));

program.command("key")
  .description("Make an API key: print it once, with the hash to configure.")
  .action(() => void (exitCode = makeKey(host)));

const agentCommand = program.command("agent")
  .description("Run beside a model server: mirror its KV cache and its load, and serve both to routers.")
  .action(async (flags) => void (exitCode = await agent(flags, host)));
for (const { flag, help } of agentFlags) agentCommand.option(flag, help);

const sim = program.command("sim").description("Run a simulated model server that behaves like vLLM.");
let simOptions = {};
for (const { flag, help, fallback, parse } of simFlags) {
  sim.option(flag, `${help} (default: ${fallback})`);
  const name = flag.split(" ")[0].slice(2);
  sim.on(`option:${name}`, (text) => void (simOptions = { ...simOptions, ...parse(text ?? "", simOptions) }));
}
sim.action(async () => void (exitCode = await simulate(simOptions, host)));

try {
  await program.parseAsync(Deno.args, { from: "user" });
} catch (error) {
  if (error instanceof CommanderError) exitCode = error.exitCode === 0 ? 0 : exitMisconfigured;
  else if (error instanceof Error && error.name === "ConfigError") {
    host.err(error.message);
    exitCode = exitMisconfigured;
  } else throw error;
}
await out.flush(1000);
Deno.exit(exitCode);
