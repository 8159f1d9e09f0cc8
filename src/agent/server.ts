/** The agent's port: gRPC for routers, plain GET requests for people and probes. */
import { createServer as createHttp1, type IncomingMessage, type ServerResponse } from "node:http";
import {
  createSecureServer,
  createServer as createHttp2,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from "node:http2";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { Code, ConnectError, createConnectRouter } from "@connectrpc/connect";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import { type Clock, FeedState, feedStateNames, type KeyPair, within } from "../core/mod.ts";
import { warmpathFeed } from "../proto/mod.ts";
import type { Publisher } from "./publisher.ts";

export interface AgentServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** PEM texts; absent: no TLS. */
  readonly tls?: KeyPair;
  /** `seedCheck` of the agent's tree. */
  readonly seedCheck: bigint;
}

/** What the pages say besides what publishers know. */
export interface PageParts {
  /** More lines of /metrics, each with its newline. */
  readonly metrics?: () => string;
  /** The link to the engine, for /health. */
  readonly link?: (rank: number) => EngineLink;
}

export interface EngineLink {
  readonly address: string;
  readonly connected: boolean;
  /** Why it was lost or not made the last time; "" when it never was. */
  readonly linkError: string;
}

/** A subscription is a few dozen bytes. */
const requestBytesMax = 4096;
/** For the first bytes of a connection, which tell HTTP/1.1 from HTTP/2. */
const firstByteTimeoutMs = 10_000;
const connectionsMax = 1024;
/** "PRI". */
const preface = [0x50, 0x52, 0x49];

/** Serves the publishers, one a data-parallel rank. */
export class AgentServer {
  readonly #server: Server;
  readonly #publishers: readonly Publisher[];
  readonly #options: AgentServerOptions;
  readonly #clock: Clock;
  readonly #pages: PageParts;
  readonly #sockets = new Set<Socket>();

  private constructor(
    publishers: readonly Publisher[],
    options: AgentServerOptions,
    clock: Clock,
    pages: PageParts,
  ) {
    this.#publishers = publishers;
    this.#options = options;
    this.#clock = clock;
    this.#pages = pages;
    this.#server = options.tls ? this.#listenTls(options.tls) : this.#listenPlain();
    this.#server.on(options.tls ? "secureConnection" : "connection", (socket: Socket) => this.#keep(socket));
  }

  /** Listens. Rejects with the system's error when the address cannot be had. */
  static async start(
    publishers: readonly Publisher[],
    options: AgentServerOptions,
    clock: Clock,
    pages: PageParts = {},
  ): Promise<AgentServer> {
    const server = new AgentServer(publishers, options, clock, pages);
    await new Promise<void>((resolve, reject) => {
      server.#server.once("error", reject);
      server.#server.listen(options.port, options.host, resolve);
    });
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Ends subscriptions with a word to their readers, then the connections, at the latest after `graceMs`. */
  async stop(graceMs = 1000): Promise<void> {
    for (const publisher of this.#publishers) publisher.close();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await within(this.#clock, graceMs, closed);
    for (const socket of this.#sockets) socket.destroy();
  }

  #listenTls(tls: KeyPair): Server {
    const rpc = this.#rpc();
    return createSecureServer(
      { cert: tls.cert, key: tls.key, allowHTTP1: true },
      (request: Http2ServerRequest, response: Http2ServerResponse) =>
        request.httpVersionMajor === 2
          ? rpc(request, response)
          : this.#page(request as unknown as IncomingMessage, response as unknown as ServerResponse),
    ) as unknown as Server;
  }

  /** Without TLS nothing is negotiated: HTTP/2 is known by the first letters of its preface, which no method has. */
  #listenPlain(): Server {
    const http1 = createHttp1((request, response) => this.#page(request, response));
    const http2 = createHttp2(this.#rpc());
    return createServer((socket) => {
      const timer = this.#clock.after(firstByteTimeoutMs, () => socket.destroy(), { background: true });
      socket.once("close", () => timer.cancel());
      socket.once("data", (first: Uint8Array) => {
        timer.cancel();
        socket.pause();
        socket.unshift(first);
        const isHttp2 = preface.slice(0, first.length).every((byte, i) => byte === first[i]);
        (isHttp2 ? http2 : http1).emit("connection", socket);
        socket.resume();
      });
    });
  }

  #keep(socket: Socket): void {
    socket.on("error", () => socket.destroy());
    if (this.#sockets.size >= connectionsMax) return void socket.destroy();
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 30_000);
  }

  #rpc(): (request: Http2ServerRequest, response: Http2ServerResponse) => void {
    const router = createConnectRouter({
      connect: false,
      grpcWeb: false,
      readMaxBytes: requestBytesMax,
      // Hashes do not compress.
      acceptCompression: [],
    });
    router.service(warmpathFeed.FeedService, {
      subscribe: (request, { signal }) => this.#subscribe(request, signal),
    });
    const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
    return (request, response) => {
      const handler = handlers.get(request.url);
      if (!handler) return this.#page(request, response as unknown as ServerResponse);
      handler(universalRequestFromNodeRequest(request, response, undefined, undefined))
        .then((answer) => universalResponseToNodeResponse(answer, response))
        // The reader is gone, in the middle of a message: its subscription has ended by its signal.
        .catch(() => response.stream?.destroy());
    };
  }

  #subscribe(request: warmpathFeed.SubscribeRequest, signal: AbortSignal): AsyncIterable<warmpathFeed.FeedMessage> {
    const { epoch, seq, seedCheck, client, rank } = request;
    if (seedCheck !== this.#options.seedCheck) {
      throw new ConnectError(
        "the hash seed of the agent must equal that of the router: theirs give different hashes",
        Code.FailedPrecondition,
      );
    }
    const publisher = this.#publishers[rank];
    if (!publisher) {
      const ranks = this.#publishers.length;
      throw new ConnectError(`rank must be below ${ranks}: current value is ${rank}`, Code.InvalidArgument);
    }
    if (client === "" || client.length > 128) {
      throw new ConnectError(`client must have 1 to 128 characters: it has ${client.length}`, Code.InvalidArgument);
    }
    return publisher.subscribe(client, { epoch, seq: Number(seq) }, signal);
  }

  #page(request: Pick<IncomingMessage, "method" | "url">, response: ServerResponse): void {
    const pages: Record<string, [type: string, text: () => string]> = {
      "/health": ["application/json", () => this.#health()],
      "/metrics": ["text/plain; version=0.0.4", () => this.#metrics()],
    };
    const page = request.method === "GET" ? pages[(request.url ?? "").split("?", 1)[0]] : undefined;
    if (!page) {
      response.writeHead(404, { "content-type": "text/plain" });
      return void response.end("Not found\n");
    }
    response.writeHead(200, { "content-type": page[0] });
    response.end(page[1]());
  }

  /** The agent is well when it answers; how its engine is stands in `feeds`. */
  #health(): string {
    const feeds = this.#publishers.map(({ state, reason, log, subscribers }, rank) => ({
      rank,
      state: feedStateNames[state],
      reason,
      seq: log.seq,
      subscribers,
      engine: this.#pages.link?.(rank),
    }));
    const live = this.#publishers.every(({ state }) => state === FeedState.Live);
    return JSON.stringify({ status: "ok", live, feeds }) + "\n";
  }

  #metrics(): string {
    const families: [name: string, type: string, help: string, value: (publisher: Publisher) => number][] = [
      ["state", "gauge", "Feed from the engine: 0 BLIND, 1 RESYNC, 2 SUSPECT, 3 LIVE", ({ state }) => state],
      ["subscribers", "gauge", "Routers subscribed", ({ subscribers }) => subscribers],
      ["deltas_total", "counter", "Deltas written", ({ log }) => log.seq],
      ["delta_log_bytes", "gauge", "Bytes of deltas kept", ({ log }) => log.bytes],
      ["snapshots_total", "counter", "Snapshots sent", ({ snapshots }) => snapshots],
    ];
    const text = families.map(([name, type, help, value]) =>
      `# HELP warmpath_agent_${name} ${help}\n# TYPE warmpath_agent_${name} ${type}\n` +
      this.#publishers.map((publisher, rank) => `warmpath_agent_${name}{rank="${rank}"} ${value(publisher)}\n`).join("")
    );
    return text.join("") + (this.#pages.metrics?.() ?? "");
  }
}
