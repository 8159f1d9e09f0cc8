/** A port with a handler of the test's own, and raw sockets to it. */
import { type Clock, systemClock } from "../../src/core/mod.ts";
import { type ClientRequest, type Handler, Listener, type ListenerOptions } from "../../src/edge/mod.ts";
import { type Answer, answerOf } from "../../src/pipeline/mod.ts";

const encoder = new TextEncoder();

/** An open port, what was asked of it, and the errors it told. */
export interface OpenPort {
  readonly listener: Listener;
  readonly requests: ClientRequest[];
  readonly errors: unknown[];
}

/** Opens a port, runs `use`, and closes it. */
export async function withPort(
  handler: Handler,
  options: Partial<ListenerOptions> & { readonly clock?: Clock },
  use: (port: OpenPort) => Promise<void>,
): Promise<void> {
  const requests: ClientRequest[] = [], errors: unknown[] = [];
  const listener = await Listener.open((request) => {
    requests.push(request);
    return handler(request);
  }, { host: "127.0.0.1", port: 0, clock: systemClock, onError: (error) => errors.push(error), ...options });
  try {
    await use({ listener, requests, errors });
  } finally {
    await listener.close();
  }
}

/** The whole body as text. */
export async function bodyText({ body }: ClientRequest): Promise<string> {
  const into = new Uint8Array(65_536), decoder = new TextDecoder("latin1");
  let text = "";
  for (let n = await body.readInto(into); n > 0; n = await body.readInto(into)) {
    text += decoder.decode(into.subarray(0, n));
  }
  return text;
}

export function plain(text: string, status = 200): Answer {
  return answerOf(new Response(text, { status }));
}

/** Answers with what was sent: method, path and body. */
export const echo: Handler = async (request) => {
  const body = encoder.encode(`${request.method} ${request.path} ${await bodyText(request)}`);
  return { status: 200, headers: new Headers({ "content-type": "text/plain" }), body };
};

/** Answers late: once the request is aborted. */
export const onceAborted: Handler = ({ signal }) =>
  new Promise((resolve) => signal.addEventListener("abort", () => resolve(plain("late"))));

/** Opens a connection, sends the text, and hands it over. */
export async function connected(
  { listener }: OpenPort,
  text: string,
  use: (connection: Deno.TcpConn) => Promise<void>,
): Promise<void> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: listener.port });
  try {
    await send(connection, text);
    await use(connection);
  } finally {
    try {
      connection.close();
    } catch {
      // The test closed it.
    }
  }
}

export async function send(connection: Deno.Conn, text: string): Promise<void> {
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

/** Reads until `until` has come, or to the end; the text so far. */
export async function received(connection: Deno.Conn, until?: string): Promise<string> {
  const into = new Uint8Array(65_536), decoder = new TextDecoder("latin1");
  let text = "";
  while (until === undefined || !text.includes(until)) {
    let n: number | null;
    try {
      n = await connection.read(into);
    } catch {
      return text;
    }
    if (n === null) return text;
    text += decoder.decode(into.subarray(0, n));
  }
  return text;
}
