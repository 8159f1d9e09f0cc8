/** What is needed before edges can be started in workers. */
import type { Config } from "../config/mod.ts";

/** A configuration as it can be sent to another isolate: a function in it does not travel. */
export function portableConfig(config: Config): Config {
  const { scheduling } = config;
  if (scheduling.from !== "plugins") return config;
  const { where: _, ...plain } = scheduling;
  return { ...config, scheduling: plain };
}

/** The port to share; throws as `listen` does when somebody else has it. */
export function freePort({ host, port }: { readonly host: string; readonly port: number }): number {
  const listener = Deno.listen({ hostname: host, port });
  const { port: taken } = listener.addr as Deno.NetAddr;
  listener.close();
  return taken;
}
