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

/** The release this program is. */
export const version = "0.1.0";

/** Exit code for a mistake in what the operator wrote. */
export const exitMisconfigured = 2;
