/** The pool's small GET requests: metrics, health and model lists, over kept-alive connections of their own. */
import type { EndpointMeta } from "../core/mod.ts";

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
  readonly caCerts?: string[];
  /** PEM client certificate and key, for servers that ask for one. */
  readonly cert?: string;
  readonly key?: string;
  /** Sent with every request, such as an API key the engines want. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** `http://host:port`; an IPv6 host is held with its brackets. */
export function originOf(target: FetchTarget): string {
  return `${target.scheme}://${target.host}:${target.port}`;
}

/** The default {@link FetchText}, on Deno's `fetch`. Redirects are not followed: an endpoint answers for itself. */
export class HttpFetcher {
  readonly #client: Deno.HttpClient;
  readonly #headers: Record<string, string>;

  constructor(options: HttpOptions = {}) {
    const { caCerts, cert, key } = options;
    // Scrape, health and models may overlap at one endpoint: two idle connections a host cover nearly all requests.
    const pool = { poolMaxIdlePerHost: 2, poolIdleTimeout: 60_000, http2: false };
    this.#client = Deno.createHttpClient(cert && key ? { ...pool, caCerts, cert, key } : { ...pool, caCerts });
    // Compressing a page costs the engine more than the loopback or rack bytes it saves.
    this.#headers = { "accept-encoding": "identity", ...options.headers };
  }

  readonly fetch: FetchText = async (target, path, { signal, bytesMax }) => {
    const response = await fetch(originOf(target) + path, {
      client: this.#client,
      headers: this.#headers,
      redirect: "manual",
      signal,
    });
    if (!response.ok) {
      await response.body?.cancel();
      throw new HttpStatusError(response.status, path);
    }
    if (Number(response.headers.get("content-length")) > bytesMax) {
      await response.body?.cancel();
      throw tooLong(path, bytesMax);
    }
    return await readBody(response, path, bytesMax);
  };

  close(): void {
    this.#client.close();
  }
}

async function readBody(response: Response, path: string, bytesMax: number): Promise<Uint8Array> {
  if (!response.body) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let length = 0;
  // Leaving the loop early cancels the body, which frees the connection.
  for await (const chunk of response.body) {
    length += chunk.length;
    if (length > bytesMax) throw tooLong(path, bytesMax);
    chunks.push(chunk);
  }
  if (chunks.length === 1) return chunks[0];
  const body = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}

function tooLong(path: string, bytesMax: number): Error {
  return new Error(`Cannot read ${path} as its body must be at most ${bytesMax} bytes`);
}
