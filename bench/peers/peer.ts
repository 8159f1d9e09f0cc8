/** How a peer is had and started: data, one file a peer. */

/** Which package of which registry; the tools' own configuration says where those are. */
export type Package =
  | { readonly pip: string }
  | { readonly npm: string }
  /** Debian packages: the peer's own first, then libraries it needs; unpacked, not installed. */
  | { readonly apt: readonly string[] };

/** What a peer is started with. */
export interface Place {
  /** Where its package is. */
  readonly installed: string;
  /** An empty folder of its own for this start. */
  readonly work: string;
  /** To listen on, at 127.0.0.1. */
  readonly port: number;
  /** Free, for whatever else it opens. */
  readonly adminPort: number;
  /** Hosts with ports of the servers. */
  readonly upstreams: readonly string[];
}

export interface Start {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Written to its work folder first. */
  readonly files?: Readonly<Record<string, string>>;
  /** Each request must have. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Peer {
  readonly name: string;
  readonly package: Package;
  start(place: Place): Start;
}
