import { type Clock, systemClock, type Timer } from "../core/mod.ts";
import { type AppHost, createApp } from "./app.ts";
import { changedFaults, type Fault, type Faults, FaultSource } from "./faults.ts";
import { ModelServer } from "./model_server.ts";
import { resolveSimOptions, type SimOptions } from "./options.ts";

/** A listening simulated server. */
export interface SimServer {
  /** `http://host:port`, without a slash at the end. */
  readonly url: string;
  readonly port: number;
  readonly podName: string;
  /** The server behind the port: its engines, adapters and metrics. */
  readonly models: ModelServer;
  /** Changes faults by the names `POST /admin/config` takes; throws ConfigError. */
  changeFaults(change: Record<string, unknown>): void;
  /** Closes the port, cuts open connections, ends all requests. Idempotent. */
  stop(): Promise<void>;
}

/** Starts a simulated model server. Throws ConfigError for bad options, Deno's error when the port is taken. */
export function startSimServer(partial: Partial<SimOptions> = {}, clock: Clock = systemClock): SimServer {
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

  constructor(options: SimOptions, clock: Clock) {
    this.#clock = clock;
    this.models = new ModelServer(options, clock);
    this.#source = new FaultSource(options.faults, options.seed, options.name);
    const app = createApp(this.models, this);
    this.#fetch = (request) => app.fetch(request);
    this.port = this.#listen(options.port);
    this.podName = options.name || `sim-${this.port}`;
    const host = options.hostname.includes(":") ? `[${options.hostname}]` : options.hostname;
    this.url = `http://${host}:${this.port}`;
    this.#apply(options.faults);
  }

  get faults(): Faults {
    return this.#source.faults;
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
    await this.#closing;
  }

  #apply(faults: Faults): void {
    this.#source.faults = faults;
    this.models.slowDown(faults.slowFactor);
    this.#timer?.cancel();
    if (this.#stopped) return;
    if (!faults.refuse) return this.#reopen();
    // The answer to the request that asked for it leaves first.
    this.#timer = this.#clock.after(1, () => {
      this.#close();
      if (faults.refuseMs === 0) return;
      this.#timer = this.#clock.after(faults.refuseMs, () => this.#apply({ ...this.faults, refuse: false }));
    });
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
