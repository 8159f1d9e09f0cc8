import { bracketed, type Clock, systemClock, type Timer } from "../core/mod.ts";
import { type AppHost, createApp } from "./app.ts";
import { changedFaults, type Fault, type Faults, FaultSource } from "./faults.ts";
import { type GrpcServer, startGrpcServer } from "./grpc.ts";
import { ZmqPublisher } from "./kv/zmq_publisher.ts";
import { ModelServer } from "./model_server.ts";
import { resolveSimOptions, type SimOptions, type SimSettings } from "./options.ts";

/** Where a server tells of its cache and its load, besides HTTP. */
export interface SimFeeds {
  /** ZMQ endpoint of each rank's cache events; empty where none are published. */
  readonly kvEvents: readonly string[];
  /** ZMQ endpoint of each rank's replay; empty where there is none. */
  readonly kvReplay: readonly string[];
  /** `http://host:port` of the gRPC service; absent for none. */
  readonly grpcUrl?: string;
}

/** A listening simulated server. */
export interface SimServer {
  /** `http://host:port`, without a slash at the end. */
  readonly url: string;
  readonly port: number;
  readonly podName: string;
  /** The server behind the port: its engines, adapters and metrics. */
  readonly models: ModelServer;
  /** Where else it can be reached, once that is open; rejects when a port is taken. */
  readonly feeds: Promise<SimFeeds>;
  /** Changes faults by the names `POST /admin/config` takes; throws ConfigError. */
  changeFaults(change: Record<string, unknown>): void;
  /** Closes the port, cuts open connections, ends all requests. Idempotent. */
  stop(): Promise<void>;
}

/** Starts a simulated model server. Throws ConfigError for bad options, Deno's error when the port is taken. */
export function startSimServer(partial: SimSettings = {}, clock: Clock = systemClock): SimServer {
  return new Listener(resolveSimOptions(partial), clock);
}

/** Real milliseconds between attempts to take the port again, should another process hold it meanwhile. */
const reopenRetryMs = 50;

class Listener implements SimServer, AppHost {
  readonly url: string;
  readonly port: number;
  readonly podName: string;
  readonly models: ModelServer;
  readonly #source: FaultSource;
  readonly #clock: Clock;
  readonly #fetch: (request: Request) => Response | Promise<Response>;
  #open: { abort: AbortController; server: Deno.HttpServer<Deno.NetAddr> } | undefined;
  #closing: Promise<void> = Promise.resolve();
  #timer: Timer | undefined;
  #stopped = false;
  #restarts: number;
  #restartDue = false;
  readonly feeds: Promise<SimFeeds>;
  readonly #publishers: ZmqPublisher[] = [];
  #grpc: GrpcServer | undefined;

  constructor(options: SimOptions, clock: Clock) {
    this.#clock = clock;
    this.models = new ModelServer(options, clock);
    this.#source = new FaultSource(options.faults, options.seed, options.name);
    const app = createApp(this.models, this);
    this.#fetch = (request) => app.fetch(request);
    this.port = this.#listen(options.port);
    this.podName = options.name || `sim-${this.port}`;
    this.url = `http://${bracketed(options.hostname)}:${this.port}`;
    this.#restarts = options.faults.restarts;
    this.#apply(options.faults);
    this.feeds = this.#openFeeds();
    // Whoever does not ask for the feeds does not hear of their failure.
    this.feeds.catch(() => {});
  }

  async #openFeeds(): Promise<SimFeeds> {
    const { hostname, grpcPort } = this.models.options;
    try {
      for (const feed of this.models.feeds) this.#publishers.push(await ZmqPublisher.open(feed));
      if (grpcPort !== undefined) this.#grpc = await startGrpcServer(this.models, hostname, grpcPort);
    } catch (error) {
      await this.#closeFeeds();
      throw error;
    }
    return {
      kvEvents: this.#publishers.map(({ endpoint }) => endpoint),
      kvReplay: this.#publishers.map(({ replayEndpoint }) => replayEndpoint).filter((endpoint) => endpoint !== ""),
      ...(this.#grpc && { grpcUrl: this.#grpc.url }),
    };
  }

  async #closeFeeds(): Promise<void> {
    const grpc = this.#grpc;
    this.#grpc = undefined;
    await Promise.all([...this.#publishers.splice(0).map((publisher) => publisher.close()), grpc?.close()]);
  }

  get faults(): Faults {
    return this.#source.faults;
  }

  get kvEndpoint(): string {
    return this.#publishers[0]?.endpoint ?? "";
  }

  nextFault(): Fault | undefined {
    return this.#source.next();
  }

  changeFaults(change: unknown): void {
    this.#apply(changedFaults(this.faults, change));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#close();
    await this.feeds.catch(() => {});
    await this.#closeFeeds();
    await this.#closing;
  }

  #apply(faults: Faults): void {
    this.#source.faults = faults;
    this.models.applyFaults(faults);
    this.#timer?.cancel();
    if (this.#stopped) return;
    if (faults.restarts !== this.#restarts) this.#restartDue = true;
    this.#restarts = faults.restarts;
    if (!faults.refuse && !this.#restartDue) return this.#reopen();
    // The answer to the request that asked for it leaves first.
    this.#timer = this.#clock.after(1, () => {
      this.#close();
      if (this.#restartDue) this.#restart();
      if (!faults.refuse) return this.#reopen();
      if (faults.refuseMs === 0) return;
      this.#timer = this.#clock.after(faults.refuseMs, () => this.#apply({ ...this.faults, refuse: false }));
    });
  }

  #restart(): void {
    this.#restartDue = false;
    this.models.restart();
    for (const publisher of this.#publishers) publisher.disconnect();
    this.#grpc?.disconnect();
  }

  #listen(port: number): number {
    const abort = new AbortController();
    const { hostname } = this.models.options;
    // The app answers errors of handlers; what comes here are cut bodies, and no answer can follow those.
    const onError = () => new Response(null, { status: 500 });
    const server = Deno.serve({ hostname, port, signal: abort.signal, onListen() {}, onError }, this.#fetch);
    this.#open = { abort, server };
    return server.addr.port;
  }

  #close(): void {
    this.models.close();
    if (this.#open === undefined) return;
    const { abort, server } = this.#open;
    this.#open = undefined;
    abort.abort();
    this.#closing = server.finished;
  }

  #reopen(): void {
    if (this.#open !== undefined) return;
    this.#closing.then(() => {
      if (this.#stopped || this.faults.refuse || this.#open !== undefined) return;
      try {
        this.#listen(this.port);
      } catch (error) {
        if (!(error instanceof Deno.errors.AddrInUse)) throw error;
        this.#timer = this.#clock.after(reopenRetryMs, () => this.#reopen());
      }
    });
  }
}
