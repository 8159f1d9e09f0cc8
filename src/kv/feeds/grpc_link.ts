import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { bracketed } from "../../core/mod.ts";
import { probeHttp2 } from "./http2_probe.ts";
import { trusting } from "./trust.ts";

/** A gRPC port. */
export interface GrpcPlace {
  /** A name or an address; IPv6 with or without brackets. */
  readonly host: string;
  readonly port: number;
  /** Default false: HTTP/2 without TLS, as engines serve it. */
  readonly tls?: boolean;
  /** PEM certificates trusted besides the well-known authorities. */
  readonly caCerts?: readonly string[];
}

export interface GrpcLimits {
  /** Longest message taken. */
  readonly messageBytesMax: number;
  /** Time after which a silent connection is pinged. */
  readonly pingIntervalMs: number;
  /** Time a ping may go unanswered before the connection is given up. */
  readonly pingTimeoutMs: number;
}

/** One HTTP/2 connection, opened by the first call and given up with `close`. */
export class GrpcLink {
  readonly address: string;
  readonly transport: Transport;
  readonly #place: GrpcPlace;
  readonly #manager: Http2SessionManager;

  constructor(place: GrpcPlace, { messageBytesMax, pingIntervalMs, pingTimeoutMs }: GrpcLimits) {
    this.#place = place;
    this.address = grpcAddress(place);
    this.#manager = new Http2SessionManager(
      this.address,
      // The manager's timer for idle connections outlives them; the pings find dead ones.
      { pingIntervalMs, pingTimeoutMs, idleConnectionTimeoutMs: Infinity },
      trusting(place.caCerts),
    );
    this.transport = createGrpcTransport({
      baseUrl: this.address,
      sessionManager: this.#manager,
      readMaxBytes: messageBytesMax,
      // Token ids and hashes in a local network: packing costs more than it saves.
      acceptCompression: [],
    });
  }

  /** To be awaited before the first call; see `probeHttp2`. TLS says itself what the peer speaks. */
  async ready(signal: AbortSignal): Promise<void> {
    const { host, port, tls } = this.#place;
    if (!tls) await probeHttp2(host, port, signal);
  }

  close(): void {
    this.#manager.abort();
  }
}

/** `http://host:port`, `https` with TLS. */
export function grpcAddress({ host, port, tls }: GrpcPlace): string {
  return `${tls ? "https" : "http"}://${bracketed(host)}:${port}`;
}
