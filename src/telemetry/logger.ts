import type { Clock } from "../core/mod.ts";
import { scrub, scrubText } from "./scrub.ts";

export const logLevels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];
/** Named values beside a message; errors, plain data and what JSON takes. */
export type LogFields = Readonly<Record<string, unknown>>;

export interface LoggerOptions {
  /** Receives one line with its newline: standard error, or a test's list. */
  readonly write: (line: string) => void;
  readonly clock: Clock;
  /** Least severe level that is written; `info` by default. */
  readonly level?: LogLevel;
  /** `text` is for people at a terminal, `json` (the default) for machines. */
  readonly format?: "json" | "text";
}

/** Levels shared by a logger and its children, so that a reload changes all. */
interface Sink {
  readonly write: (line: string) => void;
  readonly clock: Clock;
  readonly format: "json" | "text";
  threshold: number;
}

/**
 * Writes one line a message. Secrets are left out: values of credential fields, bearer tokens and keys inside text.
 *
 * @example
 * ```ts
 * import { equal } from "node:assert/strict";
 * import { VirtualClock } from "../core/mod.ts";
 * import { Logger } from "./mod.ts";
 *
 * const lines: string[] = [];
 * const log = new Logger({ write: (line) => lines.push(line), clock: new VirtualClock() });
 * log.info("Endpoint ejected", { endpoint: "10.0.0.1:8000", failures: 5 });
 * equal(
 *   lines[0],
 *   '{"time":"2023-11-14T22:13:20.000Z","level":"info","message":"Endpoint ejected","endpoint":"10.0.0.1:8000","failures":5}\n',
 * );
 * ```
 */
export class Logger {
  readonly #sink: Sink;
  readonly #fields: LogFields;

  constructor(options: LoggerOptions, fields: LogFields = {}) {
    const { write, clock, level = "info", format = "json" } = options;
    this.#sink = "threshold" in options
      ? options as Sink
      : { write, clock, format, threshold: logLevels.indexOf(level) };
    this.#fields = fields;
  }

  /** A logger whose every line carries `fields` as well; its level follows this one's. */
  child(fields: LogFields): Logger {
    return new Logger(this.#sink, { ...this.#fields, ...fields });
  }

  setLevel(level: LogLevel): void {
    this.#sink.threshold = logLevels.indexOf(level);
  }

  /** Whether a message of `level` would be written: for fields that are costly to make. */
  enabled(level: LogLevel): boolean {
    return logLevels.indexOf(level) >= this.#sink.threshold;
  }

  debug(message: string, fields?: LogFields): void {
    this.#log("debug", message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#log("info", message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#log("warn", message, fields);
  }

  error(message: string, fields?: LogFields): void {
    this.#log("error", message, fields);
  }

  #log(level: LogLevel, message: string, fields?: LogFields): void {
    if (!this.enabled(level)) return;
    const { write, clock, format } = this.#sink;
    const time = new Date(clock.wallMs()).toISOString();
    const shown = scrub({ ...this.#fields, ...fields }) as Record<string, unknown>;
    const text = scrubText(message);
    if (format === "json") {
      // The line's own keys come first and are not overwritten by fields of the same name.
      const head = { time, level, message: text };
      write(JSON.stringify(Object.assign({ ...head }, shown, head)) + "\n");
    } else write(textLine(time, level, text, shown));
  }
}

function textLine(time: string, level: LogLevel, message: string, fields: Record<string, unknown>): string {
  const pairs = Object.entries(fields).filter(([, value]) => value !== undefined).map(([key, value]) => {
    const plain = typeof value === "string" && /^[\w.:/@#+-]+$/.test(value);
    return ` ${key}=${plain ? value : JSON.stringify(value)}`;
  });
  // JSON's escapes keep a message from forging lines or moving the cursor.
  const oneLine = JSON.stringify(message).slice(1, -1).replaceAll('\\"', '"');
  return `${time.slice(11, 23)} ${level.toUpperCase().padEnd(5)} ${oneLine}${pairs.join("")}\n`;
}
