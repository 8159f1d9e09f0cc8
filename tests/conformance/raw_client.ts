/** A client that sends any bytes and reads what comes back as HTTP/1.1 answers. */

export interface RawAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

const decoder = new TextDecoder("latin1");

/** What a connection gave back until it was closed or had been silent for `quietMs`. */
export interface RawExchange {
  readonly answers: readonly RawAnswer[];
  /** The other side ended the connection. */
  readonly closed: boolean;
}

export interface RawOptions {
  /** The connection is over when nothing comes for so long. */
  readonly quietMs: number;
  /** Answers after which no more are awaited. */
  readonly answersMax: number;
}

/** Sends `parts` in order over one connection. */
export async function rawExchange(
  port: number,
  parts: readonly Uint8Array[],
  { quietMs, answersMax }: RawOptions,
): Promise<RawExchange> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  let received = "", closed = false;
  const sent = (async () => {
    for (const part of parts) {
      for (let at = 0; at < part.length;) at += await connection.write(part.subarray(at));
    }
  })().catch(() => {});
  let quiet = setTimeout(() => connection.close(), quietMs);
  const into = new Uint8Array(65_536);
  try {
    while (parseAnswers(received).length < answersMax) {
      const n = await connection.read(into);
      if (n === null) {
        closed = true;
        break;
      }
      received += decoder.decode(into.subarray(0, n));
      clearTimeout(quiet);
      quiet = setTimeout(() => connection.close(), quietMs);
    }
  } catch (error) {
    closed = error instanceof Deno.errors.ConnectionReset;
  }
  clearTimeout(quiet);
  try {
    connection.close();
  } catch {
    // Closed by the timer.
  }
  await sent;
  return { answers: parseAnswers(received), closed };
}

/** Whole answers at the start of `text`. Throws for what is no answer. */
function parseAnswers(text: string): RawAnswer[] {
  const answers: RawAnswer[] = [];
  for (let at = 0; at < text.length;) {
    const end = text.indexOf("\r\n\r\n", at);
    if (end < 0) break;
    const lines = text.slice(at, end).split("\r\n");
    const status = /^HTTP\/1\.[01] (\d{3})/.exec(lines[0]);
    if (!status) throw new Error(`Not an answer: ${JSON.stringify(lines[0])}`);
    const headers = new Headers(
      lines.slice(1).map((line) => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon), line.slice(colon + 1).trim()] as [string, string];
      }),
    );
    const from = end + 4;
    const chunked = headers.get("transfer-encoding") === "chunked";
    const content = chunked ? chunks(text, from) : plain(text, from, Number(headers.get("content-length") ?? 0));
    if (!content) break;
    // Interim answers are none.
    if (!status[1].startsWith("1")) answers.push({ status: Number(status[1]), headers, body: content.body });
    at = content.end;
  }
  return answers;
}

interface Content {
  readonly body: string;
  /** Where the next answer begins. */
  readonly end: number;
}

/** Undefined while the body is not whole. */
function plain(text: string, from: number, length: number): Content | undefined {
  return from + length > text.length ? undefined : { body: text.slice(from, from + length), end: from + length };
}

function chunks(text: string, from: number): Content | undefined {
  for (let at = from, body = "";;) {
    const end = text.indexOf("\r\n", at);
    if (end < 0) return undefined;
    const size = parseInt(text.slice(at, end), 16);
    at = end + 2 + size + 2;
    if (at > text.length) return undefined;
    if (size === 0) return { body, end: at };
    body += text.slice(end + 2, end + 2 + size);
  }
}
