/** Several discovery sources as one list that is replaced while it is in use. */
import type { PoolObserver } from "../observer.ts";
import { type DiscoveredEndpoint, type Discovery, endpointId } from "./discovery.ts";

/** Called with all endpoints wanted; `complete` is false while a source has not given its first list. */
export type ApplyEndpoints = (desired: ReadonlyMap<string, DiscoveredEndpoint>, complete: boolean) => void;

interface Source {
  readonly discovery: Discovery;
  /** Undefined until the source has spoken. */
  list?: readonly DiscoveredEndpoint[];
}

/** Where two sources name the same endpoint, the earlier source's description counts. */
export class DiscoverySet {
  readonly #observer: PoolObserver;
  readonly #apply: ApplyEndpoints;
  #sources: Source[];
  #stopped = false;

  constructor(discovery: readonly Discovery[], observer: PoolObserver, apply: ApplyEndpoints) {
    this.#observer = observer;
    this.#apply = apply;
    this.#sources = discovery.map((discovery) => ({ discovery }));
  }

  /** @throws {ConfigError} The first source's that is written wrongly; all are stopped then. */
  async start(): Promise<void> {
    await this.#startAll(this.#sources);
  }

  stop(): void {
    this.#stopped = true;
    for (const { discovery } of this.#sources) discovery.stop();
    this.#sources = [];
  }

  /** Starts the new sources, then lets the old ones go: on an error the old ones stay and the new ones are stopped. */
  async replace(discovery: readonly Discovery[]): Promise<void> {
    const sources = discovery.map((discovery) => ({ discovery }));
    await this.#startAll(sources);
    if (this.#stopped) return;
    for (const { discovery } of this.#sources) discovery.stop();
    this.#sources = sources;
    this.apply();
  }

  /** Hands over the lists as they are. */
  apply(): void {
    const desired = new Map<string, DiscoveredEndpoint>();
    for (const { list } of this.#sources) {
      for (const found of list ?? []) {
        const id = endpointId(found);
        if (!desired.has(id)) desired.set(id, found);
      }
    }
    this.#apply(desired, this.#sources.every(({ list }) => list !== undefined));
  }

  async #startAll(sources: Source[]): Promise<void> {
    const started = await Promise.allSettled(sources.map((source) => this.#start(source)));
    const failed = started.find((result) => result.status === "rejected");
    if (!failed && !this.#stopped) return;
    for (const { discovery } of sources) discovery.stop();
    if (failed) throw failed.reason;
  }

  #start(source: Source): Promise<void> {
    const { discovery } = source;
    return discovery.start((list) => {
      source.list = list;
      this.#observer.discovered?.(discovery.name, list.length);
      // Sources that are not in use yet only keep their list.
      if (this.#sources.includes(source)) this.apply();
    }, (error) => this.#observer.problem?.(error.message, error));
  }
}
