import { deepStrictEqual, equal, match, throws } from "node:assert/strict";
import { ConfigError, Prng, VirtualClock } from "../../core/mod.ts";
import { type DiscoveredEndpoint, endpointId } from "./discovery.ts";
import { DnsDiscovery, type DnsOptions, type DnsResolver } from "./dns.ts";

/** What the source said. */
class Listener {
  readonly lists: string[][] = [];
  readonly errors: string[] = [];

  readonly onChange = (list: readonly DiscoveredEndpoint[]) => void this.lists.push(list.map(endpointId));
  readonly onError = (error: Error) => void this.errors.push(error.message);
}

class FakeDns implements DnsResolver {
  a: string[] | Error = [];
  aaaa: string[] | Error = new Deno.errors.NotFound("no records");
  srv: { target: string; port: number }[] | Error = [];
  readonly asked: string[] = [];

  // deno-lint-ignore require-await -- A throw must become a rejection.
  async addresses(name: string, family: "A" | "AAAA") {
    this.asked.push(`${family} ${name}`);
    const answer = family === "A" ? this.a : this.aaaa;
    if (answer instanceof Error) throw answer;
    return answer;
  }

  // deno-lint-ignore require-await -- A throw must become a rejection.
  async services(name: string) {
    this.asked.push(`SRV ${name}`);
    if (this.srv instanceof Error) throw this.srv;
    return this.srv;
  }
}

function dns(options: Partial<DnsOptions>, resolver: DnsResolver, clock = new VirtualClock()) {
  const source = new DnsDiscovery({ name: "vllm.svc", type: "A", port: 8000, ...options }, {
    clock,
    prng: new Prng(1),
    resolver,
  });
  return { source, clock, heard: new Listener() };
}

/** Past one interval, and past the promises it sets going. */
async function nextLook(clock: VirtualClock): Promise<void> {
  clock.advance(11_000);
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

Deno.test("DnsDiscovery lists the addresses of both families and follows them", async () => {
  const resolver = new FakeDns();
  const { source, clock, heard } = dns({}, resolver);
  resolver.a = ["10.0.0.2", "10.0.0.1"];
  resolver.aaaa = ["2001:db8::1"];
  await source.start(heard.onChange, heard.onError);
  await nextLook(clock);
  resolver.a = ["10.0.0.1", "10.0.0.3"];
  await nextLook(clock);
  source.stop();
  await nextLook(clock);
  deepStrictEqual(heard.lists, [
    ["10.0.0.1:8000", "10.0.0.2:8000", "[2001:db8::1]:8000"],
    ["10.0.0.1:8000", "10.0.0.3:8000", "[2001:db8::1]:8000"],
  ]);
  equal(resolver.asked.length, 6);
});

Deno.test("DnsDiscovery keeps the old list when a lookup fails, is empty or is unsure", async () => {
  const resolver = new FakeDns();
  const { source, clock, heard } = dns({}, resolver);
  resolver.a = new Error("server failure");
  await source.start(heard.onChange, heard.onError);
  resolver.a = ["10.0.0.1"];
  await nextLook(clock);
  resolver.a = [];
  await nextLook(clock);
  await nextLook(clock);
  resolver.aaaa = ["2001:db8::1"];
  await nextLook(clock);
  resolver.a = ["10.0.0.2"];
  resolver.aaaa = new Error("timed out");
  await nextLook(clock);
  source.stop();
  deepStrictEqual(heard.lists, [["10.0.0.1:8000"]]);
  const errors = heard.errors.map((e) => e.replace("Cannot look up dns vllm.svc, keeping the old list: ", ""));
  deepStrictEqual(errors, ["server failure", "no A records where there were some", "timed out"]);
});

Deno.test("DnsDiscovery reads service records, with the service prefix it was given or the usual one", async () => {
  const resolver = new FakeDns();
  resolver.srv = [{ target: "b.svc.", port: 8001 }, { target: "a.svc.", port: 8000 }];
  const { source, heard } = dns({ type: "SRV", port: undefined, scheme: "https", engine: "sglang" }, resolver);
  await source.start(heard.onChange, heard.onError);
  source.stop();
  deepStrictEqual(heard.lists, [["a.svc:8000", "b.svc:8001"]]);
  const other = dns({ type: "SRV", name: "_grpc._tcp.vllm.svc" }, resolver);
  await other.source.start(other.heard.onChange, other.heard.onError);
  other.source.stop();
  deepStrictEqual(resolver.asked, ["SRV _http._tcp.vllm.svc", "SRV _grpc._tcp.vllm.svc"]);
});

Deno.test("DnsDiscovery gives a silent name server up at the deadline", async () => {
  const clock = new VirtualClock();
  const silent: DnsResolver = {
    addresses: (_n, _f, signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    services: () => Promise.resolve([]),
  };
  const { source, heard } = dns({}, silent, clock);
  const started = source.start(heard.onChange, heard.onError);
  clock.advance(5000);
  await started;
  source.stop();
  match(heard.errors[0], /no answer within 5000 ms/);
});

Deno.test("DnsDiscovery refuses a bad name or port", () => {
  throws(() => dns({ name: "a b" }, new FakeDns()), ConfigError);
  throws(() => dns({ port: undefined }, new FakeDns()), ConfigError);
  throws(() => dns({ port: 70_000 }, new FakeDns()), ConfigError);
});
