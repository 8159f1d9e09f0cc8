import { bracketed } from "../core/mod.ts";

/** What a command may ask of the process it runs in; `main.ts` gives the real one, tests one of their own. */
export interface ProcessHost {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Writes one line to standard output: access log and results. */
  out(line: string): void;
  /** Writes one line to standard error: logs and what people read. */
  err(line: string): void;
  readonly errIsTerminal: boolean;
  onSignal(signal: "SIGTERM" | "SIGINT" | "SIGHUP", listener: () => void): void;
}

const encoder = new TextEncoder();

/** Writes a line at once and whole. To a pipe that nobody reads any more nothing is written: serving goes on without it. */
export function writeLine(stream: { writeSync(bytes: Uint8Array): number }, line: string): void {
  const bytes = encoder.encode(`${line}\n`);
  try {
    for (let at = 0; at < bytes.length;) at += stream.writeSync(bytes.subarray(at));
  } catch {
    // There is no other place to say so.
  }
}

/** The release this program is. */
export const version = "0.1.0";

/** Exit code for a mistake in what the operator wrote. */
export const exitMisconfigured = 2;

/** Resolves at the next SIGTERM or SIGINT. */
export function untilSignal(host: ProcessHost): Promise<void> {
  return new Promise((resolve) => {
    host.onSignal("SIGTERM", resolve);
    host.onSignal("SIGINT", resolve);
  });
}

/** A host to call, as it stands in a URL, of one that is listened on. */
export function callableHost(host: string): string {
  return host === "0.0.0.0" || host === "::" ? "127.0.0.1" : bracketed(host);
}
