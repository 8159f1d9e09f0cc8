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
    const to = from + Number(headers.get("content-length") ?? 0);
    if (to > text.length) break;
    const interim = status[1].startsWith("1");
    if (!interim) answers.push({ status: Number(status[1]), headers, body: text.slice(from, to) });
    at = interim ? from : to;
  }
  return answers;
}
