/** The pool's small GET requests: metrics, health and model lists, over kept-alive connections of their own. */
import { type Clock, concatBytes, type EndpointMeta, type KeyPair } from "../core/mod.ts";
import { type Exchange, UpstreamClient } from "../upstream/mod.ts";

/** Where a request goes. */
export type FetchTarget = Pick<EndpointMeta, "scheme" | "host" | "port">;

export interface FetchLimits {
  /** Ends the request: the implementation must reject once it aborts. */
  readonly signal: AbortSignal;
  /** A longer body is an error. */
  readonly bytesMax: number;
}

/** Fetches the body of a 2xx answer; rejects on any other status (`HttpStatusError`), on a failure and on a body over the limit. */
export type FetchText = (target: FetchTarget, path: string, limits: FetchLimits) => Promise<Uint8Array>;

/** The server answered, and not with 2xx. */
export class HttpStatusError extends Error {
  override readonly name = "HttpStatusError";

  constructor(readonly status: number, path: string) {
    super(`${path} answered with status ${status}`);
  }
}

export interface HttpOptions {
  /** PEM certificates trusted beside the system's. */
  readonly caCerts?: readonly string[];
  /** The certificate and key shown to servers that ask. */
  readonly identity?: () => KeyPair | undefined;
  readonly clock?: Clock;
  /** What endpoints are sent as `authorization` at the time. */
  readonly authorization?: () => string | undefined;
}

// Compressing a page costs the engine more than the loopback or rack bytes it saves.
const headerLines = "accept: */*\r\naccept-encoding: identity\r\n";

/** The default {@link FetchText}, over connections of its own. Redirects are not followed: an endpoint answers for itself. */
export class HttpFetcher {
  readonly #client: UpstreamClient;

  readonly #authorization: () => string | undefined;

  constructor({ caCerts, identity, clock, authorization = () => undefined }: HttpOptions = {}) {
    this.#authorization = authorization;
    // Scrape, health and models may overlap at one endpoint: two idle connections a host cover nearly all requests.
    this.#client = new UpstreamClient({ caCerts, identity, clock, idleConnectionsMax: 2 });
  }

  readonly fetch: FetchText = async (target, path, { signal, bytesMax }) => {
    if (signal.aborted) throw signal.reason;
    const authorization = this.#authorization();
    const credentials = authorization === undefined ? "" : `authorization: ${authorization}\r\n`;
    const exchange = this.#client.send(target, { method: "GET", path, headerLines: headerLines + credentials });
    const stop = () => exchange.cancel();
    signal.addEventListener("abort", stop, { once: true });
    try {
      const { status } = await exchange.head;
      if (status < 200 || status > 299) throw new HttpStatusError(status, path);
      return await readBody(exchange, path, bytesMax);
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    } finally {
      signal.removeEventListener("abort", stop);
      // Does nothing where the body was read to its end.
      exchange.cancel();
    }
  };

  close(): void {
    this.#client.close();
  }
}

async function readBody(exchange: Exchange, path: string, bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (let chunk = await exchange.read(); chunk !== null; chunk = await exchange.read()) {
    length += chunk.length;
    if (length > bytesMax) throw tooLong(path, bytesMax);
    chunks.push(chunk);
  }
  return concatBytes(chunks);
}

function tooLong(path: string, bytesMax: number): Error {
  return new Error(`Cannot read ${path} as its body must be at most ${bytesMax} bytes`);
}
