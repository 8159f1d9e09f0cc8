import { connect, createServer, type Server, type Socket } from "node:net";
import type { Clock, Timer } from "../../core/mod.ts";
import type { KvFeed, KvMessage } from "./kv_feed.ts";
import { bindsTo, endpointOfRank } from "./kv_options.ts";
import { messageBytes, ZmtpPeer, type ZmtpRole } from "./zmtp_peer.ts";

/** Bytes kept for a slow subscriber; further messages are lost without a word, as at ZeroMQ's high-water mark. */
const backlogBytesMax = 64 << 20;

/** Real milliseconds between attempts to reach a collector. */
const redialMs = 100;

/** Marks the end of a replay. */
const endOfReplay = new Uint8Array(8).fill(0xff);

const noBytes = new Uint8Array(0);

function seqFrame(seq: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(seq));
  return bytes;
}

/** Host and port, or path, of a ZMQ endpoint; `*` is every interface. Throws RangeError for any other transport. */
function placeOf(endpoint: string): { host?: string; port: number } | { path: string } {
  const tcp = endpoint.match(/^tcp:\/\/\[?(.+?)\]?:(\d+)$/);
  if (tcp !== null) return { port: Number(tcp[2]), ...(tcp[1] !== "*" && { host: tcp[1] }) };
  if (endpoint.startsWith("ipc://")) return { path: endpoint.slice("ipc://".length) };
  throw new RangeError(`Cannot open an endpoint as it must begin with tcp:// or ipc://: current value is ${endpoint}`);
}

async function listen(endpoint: string, onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer(onConnection);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(placeOf(endpoint), resolve);
  });
  return server;
}

/** Where a listening server is dialled from the same machine. */
function reachable(server: Server, endpoint: string): string {
  const address = server.address();
  if (address === null || typeof address === "string") return endpoint;
  const everywhere = address.address === "::" || address.address === "0.0.0.0";
  const host = everywhere ? "127.0.0.1" : address.family === "IPv6" ? `[${address.address}]` : address.address;
  return `tcp://${host}:${address.port}`;
}

const startsWith = (bytes: Uint8Array, prefix: Uint8Array) =>
  prefix.length <= bytes.length && prefix.every((byte, i) => bytes[i] === byte);

/** The sockets of one feed: PUB for what happens, ROUTER for what is asked again, in ZeroMQ's protocol. */
export class ZmqPublisher {
  readonly #feed: KvFeed;
  readonly #clock: Clock;
  readonly #topic: Uint8Array;
  readonly #servers: Server[] = [];
  readonly #peers = new Set<ZmtpPeer>();
  /** Prefixes each subscriber asked for. */
  readonly #subscriptions = new Map<ZmtpPeer, Uint8Array[]>();
  readonly #unlisten: () => void;
  #dialled: Socket | undefined;
  #redial: Timer | undefined;
  #closed = false;
  #endpoint = "";
  #replayEndpoint = "";

  private constructor(feed: KvFeed) {
    this.#feed = feed;
    this.#clock = feed.source.clock;
    this.#topic = new TextEncoder().encode(feed.options.topic);
    this.#unlisten = feed.listen((message) => this.#publish(message));
  }

  /** Opens the sockets of `feed` at the endpoints of its options, for its rank. Rejects when a port is taken. */
  static async open(feed: KvFeed): Promise<ZmqPublisher> {
    const self = new ZmqPublisher(feed);
    const { endpoint, replayEndpoint } = feed.options;
    const { rank } = feed.source;
    try {
      const address = endpointOfRank(endpoint, rank);
      if (bindsTo(endpoint)) self.#endpoint = await self.#bind(address, "PUB");
      else self.#dial(address);
      if (replayEndpoint !== "") {
        self.#replayEndpoint = await self.#bind(endpointOfRank(replayEndpoint, rank), "ROUTER");
      }
      return self;
    } catch (error) {
      await self.close();
      throw error;
    }
  }

  /** Where to subscribe; "" when the publisher connects. */
  get endpoint(): string {
    return this.#endpoint;
  }

  /** Where to ask for replay; "" for nowhere. */
  get replayEndpoint(): string {
    return this.#replayEndpoint;
  }

  /** Cuts every connection, as when the process dies; the ports stay open for its successor. */
  disconnect(): void {
    for (const peer of this.#peers) peer.close();
  }

  /** Closes the ports and cuts every connection; what has not left is lost. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#unlisten();
    this.#redial?.cancel();
    this.#dialled?.destroy();
    const closing = this.#servers.splice(0).map((server) =>
      new Promise<void>((resolve) => server.close(() => resolve()))
    );
    this.disconnect();
    await Promise.all(closing);
  }

  async #bind(endpoint: string, role: ZmtpRole): Promise<string> {
    const server = await listen(endpoint, (socket) => this.#accept(socket, role));
    this.#servers.push(server);
    return reachable(server, endpoint);
  }

  /** Connects to a collector, again and again. */
  #dial(endpoint: string): void {
    const socket = connect(placeOf(endpoint));
    this.#dialled = socket;
    // The close that follows is what is acted on.
    socket.on("error", () => {});
    socket.on("connect", () => this.#accept(socket, "PUB"));
    socket.on("close", () => {
      if (!this.#closed) this.#redial = this.#clock.after(redialMs, () => this.#dial(endpoint));
    });
  }

  #accept(socket: Socket, role: ZmtpRole): void {
    const peer: ZmtpPeer = new ZmtpPeer(socket, role, {
      message: (frames) => role === "PUB" ? this.#subscribe(peer, frames) : this.#resend(peer, frames),
      closed: () => {
        this.#peers.delete(peer);
        this.#subscriptions.delete(peer);
      },
    });
    this.#peers.add(peer);
  }

  /** A subscription is a 1 and a prefix, its end a 0 and the same prefix. */
  #subscribe(peer: ZmtpPeer, [message]: readonly Uint8Array[]): void {
    const prefix = message.slice(1);
    const prefixes = this.#subscriptions.get(peer) ?? [];
    if (message[0] === 1) return void this.#subscriptions.set(peer, [...prefixes, prefix]);
    const at = prefixes.findIndex((each) => each.length === prefix.length && startsWith(each, prefix));
    this.#subscriptions.set(peer, prefixes.filter((_, i) => i !== at));
  }

  #publish({ seq, payload }: KvMessage): void {
    if (this.#subscriptions.size === 0) return;
    const bytes = messageBytes([this.#topic, seqFrame(seq), payload]);
    for (const [peer, prefixes] of this.#subscriptions) {
      if (peer.backlogBytes > backlogBytesMax) continue;
      if (prefixes.some((prefix) => startsWith(this.#topic, prefix))) peer.write(bytes);
    }
  }

  /** Sends what is kept from the asked number on. A request of another shape is ignored, as engines do. */
  #resend(peer: ZmtpPeer, frames: readonly Uint8Array[]): void {
    const [delimiter, start] = frames;
    if (frames.length !== 2 || delimiter.length !== 0 || start.length !== 8) return;
    const from = Number(new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0));
    const kept = this.#feed.replay(from);
    if (kept === undefined) return;
    const topic = this.#feed.options.replayForm === "new" ? [this.#topic] : [];
    for (const { seq, payload } of kept) peer.write(messageBytes([noBytes, ...topic, seqFrame(seq), payload]));
    peer.write(messageBytes([noBytes, ...topic.map(() => noBytes), endOfReplay, noBytes]));
  }
}
