import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { VirtualClock } from "../core/mod.ts";
import { Logger, type LoggerOptions } from "./mod.ts";

function logger(options: Partial<LoggerOptions> = {}): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  return { log: new Logger({ write: (line) => lines.push(line), clock: new VirtualClock(), ...options }), lines };
}

Deno.test("Logger writes levels at or above its own, and children follow", () => {
  const { log, lines } = logger({ level: "warn" });
  const child = log.child({ room: "pool" });
  log.info("no");
  child.error("yes");
  log.setLevel("debug");
  child.debug("now");
  deepStrictEqual(lines.map((line) => JSON.parse(line).message), ["yes", "now"]);
  equal(JSON.parse(lines[1]).room, "pool");
  equal(child.enabled("debug"), true);
});

Deno.test("Logger keeps its own keys when a field has the same name", () => {
  const { log, lines } = logger();
  log.info("real", { message: "forged", level: "debug", time: 0, x: 1 });
  deepStrictEqual(JSON.parse(lines[0]), { time: "2023-11-14T22:13:20.000Z", level: "info", message: "real", x: 1 });
});

Deno.test("Logger writes one readable line for a terminal", () => {
  const { log, lines } = logger({ format: "text" });
  log.warn("Reload failed", { file: "w.yaml:3", reason: 'must be "x"', none: undefined, n: 1.5 });
  log.info("forged\n2023 ERROR \u001b[31mline", { a: "b\nc" });
  deepStrictEqual(lines, [
    '22:13:20.000 WARN  Reload failed file=w.yaml:3 reason="must be \\"x\\"" n=1.5\n',
    '22:13:20.000 INFO  forged\\n2023 ERROR \\u001b[31mline a="b\\nc"\n',
  ]);
});

Deno.test("Logger hides credentials wherever they stand", () => {
  const { log, lines } = logger();
  const headers = new Headers({ authorization: "Bearer abcdef123456", "x-api-key": "k1234567", accept: "text/plain" });
  log.info("calling with Bearer abcdef123456", {
    headers,
    Authorization: "Basic dXNlcjpwYXNz",
    nested: { apiKey: "k1234567", "set-cookie": "s=k1234567", password: "k1234567", outputTokens: 12 },
    url: "https://user:k1234567@host/path",
    list: ["sk-proj-abcdef123456", "token budget"],
    error: new Error("denied for Bearer abcdef123456", { cause: new Error("key sk-abcdef123456") }),
  });
  const [line] = lines;
  for (const secret of ["abcdef123456", "k1234567", "dXNlcjpwYXNz"]) ok(!line.includes(secret), line);
  const parsed = JSON.parse(line);
  equal(parsed.headers.accept, "text/plain");
  equal(parsed.nested.outputTokens, 12);
  equal(parsed.list[1], "token budget");
  equal(parsed.error.name, "Error");
  equal(parsed.url, "https://[hidden]@host/path");
});

Deno.test("Logger bounds what a field may hold", () => {
  const { log, lines } = logger();
  const loop: Record<string, unknown> = {};
  loop.self = loop;
  log.info("big", {
    text: "x".repeat(1_000_000),
    loop,
    many: Array(100_000).fill(1),
    bytes: new Uint8Array(10_000),
    big: 10n,
    nan: NaN,
    when: new Date(NaN),
    set: new Set([1]),
  });
  ok(lines[0].length < 10_000, `${lines[0].length} characters`);
  const { bytes, big, nan, set, when } = JSON.parse(lines[0]);
  deepStrictEqual({ bytes, big, nan, set, when }, {
    bytes: "10000 bytes",
    big: "10",
    nan: "NaN",
    set: [1],
    when: "Invalid Date",
  });
});
