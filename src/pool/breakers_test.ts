import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import fc from "fast-check";
import { AttemptEnd, BreakerState, EndpointState, freePermits, givePermit, Prng, takePermit } from "../core/mod.ts";
import { Ward } from "./ward_testing.ts";

/** A ward with so many endpoints, all ready. */
async function ward(endpoints: number, breaker: ConstructorParameters<typeof Ward>[1] = {}): Promise<Ward> {
  const ward = new Ward({}, breaker);
  for (let i = 0; i < endpoints; i++) ward.add();
  await ward.run(0);
  return ward;
}

Deno.test("a circuit opens after five failures in a row; a check and two good requests close it", async () => {
  const w = await ward(2);
  w.fail(0, 4);
  w.succeed(0, 1);
  w.fail(0, 4);
  deepStrictEqual([w.state(0), w.circuit(0)], ["ready", "closed"]);
  w.fail(0, 1);
  deepStrictEqual([w.state(0), w.circuit(0)], ["unhealthy", "open"]);
  match(w.changes.at(-1)!, /ready > unhealthy: 5 requests in a row failed/);
  const before = w.probes.filter(([slot]) => slot === 0).length;
  await w.run(999);
  equal(w.probes.filter(([slot]) => slot === 0).length, before, "no check while it is open");
  await w.run(252);
  deepStrictEqual([w.state(0), w.circuit(0)], ["ready", "half-open"]);
  w.succeed(0, 1);
  equal(w.circuit(0), "half-open");
  w.succeed(0, 1);
  equal(w.circuit(0), "closed");
  equal(w.table.failures[0], 0);
});

Deno.test("a half-open circuit lets three requests through at once and opens for longer when one fails", async () => {
  const w = await ward(2);
  w.fail(0, 5);
  await w.run(1251);
  const permits = [0, 1, 2, 3].map(() => takePermit(w.table, 0));
  ok(permits.slice(0, 3).every((permit) => permit > 0));
  equal(permits[3], -1);
  givePermit(w.table, 0, permits[0]);
  equal(w.breakers.status(0)!.permits, 1);
  w.fail(0, 1);
  deepStrictEqual([w.circuit(0), w.ejections], ["open", [1000, 2000]]);
  // Those that were sent before it opened again add nothing to the next round.
  await w.run(2251);
  equal(w.circuit(0), "half-open");
  for (const permit of permits.slice(1, 3)) givePermit(w.table, 0, permit);
  equal(freePermits(w.table, 0), 3);
});

Deno.test("a half-open circuit whose requests say nothing opens again; one that nobody tried waits", async () => {
  const w = await ward(2, { probeTimeoutMs: 5000 });
  w.fail(0, 5);
  await w.run(1251);
  await w.run(60_000);
  equal(w.circuit(0), "half-open");
  ok(takePermit(w.table, 0) > 0, "a permit that is never given back");
  await w.run(5000);
  deepStrictEqual([w.circuit(0), w.ejections.at(-1)], ["open", 2000]);
  match(w.breakers.status(0)!.reason!, /said nothing for 5000 ms/);
  await w.run(2251);
  deepStrictEqual([w.circuit(0), freePermits(w.table, 0)], ["half-open", 3]);
});

Deno.test("a failure from before the circuit opened does not count in its half-open time", async () => {
  const w = await ward(2);
  w.fail(0, 5);
  await w.run(1251);
  const generation = w.table.generation[0];
  const late = { slot: 0, generation, end: AttemptEnd.Aborted, firstTokenMs: NaN, workTokens: 0, permit: 0 };
  w.breakers.report(late);
  equal(w.circuit(0), "half-open");
  w.breakers.report({ ...late, end: AttemptEnd.Cancelled, permit: 1 });
  equal(w.circuit(0), "half-open", "a client that left says nothing");
  w.breakers.report({ ...late, permit: 1, generation: generation - 1 });
  equal(w.circuit(0), "half-open", "nor does one of another endpoint in the slot");
  w.fail(0, 1);
  await w.run(2251);
  for (const end of [AttemptEnd.Answered, AttemptEnd.Answered, AttemptEnd.Reset]) {
    w.breakers.report({ ...late, end, permit: 1 });
  }
  equal(w.circuit(0), "half-open", "nor does one of an earlier trial");
  w.breakers.report({ ...late, permit: 2 });
  equal(w.circuit(0), "open");
});

Deno.test("openings double up to their limit while requests fail, and are forgotten after a minute closed", async () => {
  const w = await ward(2);
  w.fail(0, 5);
  for (let i = 0; i < 6; i++) {
    await w.run(31_000);
    w.fail(0, 1);
  }
  deepStrictEqual(w.ejections, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  await w.run(31_000);
  w.succeed(0, 2);
  await w.run(60_000);
  w.fail(0, 5);
  equal(w.ejections.at(-1), 1000);
});

Deno.test("an endpoint that did well in between is out for the shortest time again", async () => {
  const w = await ward(2);
  for (const well of [0, 1, 2]) {
    w.fail(0, 5);
    await w.run(8000);
    w.fail(0, 1);
    await w.run(8000);
    w.succeed(0, well);
    w.fail(0, 5);
    await w.run(8000);
    w.succeed(0, 2);
  }
  deepStrictEqual(w.ejections, [1000, 2000, 4000, 1000, 2000, 1000, 1000, 2000, 1000]);
});

Deno.test("half of all requests failing opens a circuit once there are enough of them", async () => {
  const w = await ward(2);
  const prng = new Prng(1);
  for (let i = 0; i < 9; i++) {
    w.fail(0, 1);
    w.succeed(0, 1);
  }
  w.succeed(0, 2);
  w.fail(0, 1);
  equal(w.circuit(0), "closed", "10 of 21");
  equal(w.breakers.status(0)!.failures, 10);
  await w.run(31_000);
  equal(w.breakers.status(0)!.requests, 0);
  for (let i = 0; i < 200 && w.circuit(0) === "closed"; i++) {
    if (prng.below(10) < 6 && w.table.failures[0] < 4) w.fail(0, 1);
    else w.succeed(0, 1);
    await w.run(100);
  }
  deepStrictEqual([w.circuit(0), w.reasons], ["open", ["error-rate"]]);
});

Deno.test("an endpoint far below the others' success rate is taken out, a pool that fails alike is not", async () => {
  const w = await ward(5, { errorRate: 1 });
  for (let i = 0; i < 30; i++) {
    for (let slot = 0; slot < 5; slot++) {
      if (slot === 3 && i % 3 === 0) w.fail(slot, 1);
      else w.succeed(slot, 1);
    }
    await w.run(100);
  }
  await w.run(5000);
  deepStrictEqual([0, 1, 2, 3, 4].map((slot) => w.circuit(slot) === "closed"), [true, true, true, false, true]);
  deepStrictEqual(w.reasons, ["success-rate"]);
  match(w.changes.find((line) => line.includes("unhealthy"))!, /67 % of its requests went well, 100 % of the other/);

  const alike = await ward(5, { errorRate: 1 });
  for (let i = 0; i < 30; i++) {
    for (let slot = 0; slot < 5; slot++) (i + slot) % 3 === 0 ? alike.fail(slot, 1) : alike.succeed(slot, 1);
    await alike.run(100);
  }
  await alike.run(5000);
  deepStrictEqual(alike.reasons, []);
});

/** Sends streams of random length to every endpoint for so long, the slot `slow` being `times` as slow. */
async function stream(w: Ward, slow: number, times: number, ms: number, msPerToken = 1): Promise<void> {
  const prng = new Prng(7);
  for (let t = 0; t < ms; t += 100) {
    for (let slot = 0; slot < w.table.high; slot++) {
      const work = 256 + prng.below(20_000);
      const took = work * msPerToken * (0.5 + prng.float()) * (slot === slow ? times : 1);
      w.report(slot, AttemptEnd.Answered, took, work);
    }
    await w.run(100);
  }
}

Deno.test("an endpoint persistently slower than the others at like work is taken out, once and for longer each time", async () => {
  const w = await ward(4);
  await stream(w, 2, 8, 10_000);
  equal(w.circuit(2), "closed", "not before it was found slow three times");
  await stream(w, 2, 8, 20_000);
  deepStrictEqual([...new Set(w.reasons)], ["slow"]);
  ok([0, 1, 3].every((slot) => w.circuit(slot) === "closed"));
  match(w.breakers.status(2)!.reason!, /first tokens take [6-9]\.\d times as long/);
  const first = w.ejections.length;
  await stream(w, 2, 8, 60_000);
  ok(w.ejections.length > first && w.ejections[1] === 2000, `${w.ejections}`);
});

Deno.test("slowness that is small, short, shared, or between two endpoints takes nobody out", async () => {
  const twice = await ward(4);
  await stream(twice, 2, 2.5, 60_000);
  const fast = await ward(4);
  await stream(fast, 2, 8, 60_000, 0.005);
  const short = await ward(4);
  for (let i = 0; i < 10; i++) {
    await stream(short, 2, 1, 15_000);
    await stream(short, 2, 8, 3000);
  }
  const two = await ward(2);
  await stream(two, 1, 20, 60_000);
  for (const w of [twice, fast, short, two]) deepStrictEqual(w.reasons, []);
  ok(Math.abs(twice.breakers.status(2)!.slowness! - 2.5) < 1);
});

Deno.test("failures keep the last closed endpoints, active checks do not", async () => {
  const w = await ward(3, { readyMin: 2 });
  w.fail(0, 5);
  w.fail(1, 50);
  deepStrictEqual([0, 1, 2].map((slot) => w.state(slot)), ["unhealthy", "ready", "ready"]);
  await w.run(2000);
  equal(w.circuit(0), "half-open");
  w.fail(1, 1);
  equal(w.circuit(1), "closed", "an endpoint on trial does not count as one that takes all requests");
  w.succeed(0, 2);
  w.fail(1, 1);
  equal(w.circuit(1), "open");
  for (const slot of [0, 1, 2]) w.sick.add(slot);
  await w.run(30_000);
  deepStrictEqual([0, 1, 2].map((slot) => w.state(slot)), ["unhealthy", "unhealthy", "unhealthy"]);
});

Deno.test("one on trial does not keep the next that dies in the pool, and stays on trial when the share is reached", async () => {
  const w = await ward(3);
  w.fail(0, 5);
  await w.run(1251);
  w.fail(1, 5);
  deepStrictEqual([0, 1, 2].map((slot) => w.circuit(slot)), ["half-open", "open", "closed"]);
  const permit = takePermit(w.table, 0);
  w.fail(0, 1);
  deepStrictEqual(
    [w.circuit(0), freePermits(w.table, 0)],
    ["half-open", 3],
    "half of the pool is the most that is out",
  );
  givePermit(w.table, 0, permit);
  equal(freePermits(w.table, 0), 3);
  await w.run(1251);
  w.fail(0, 1);
  deepStrictEqual([0, 1, 2].map((slot) => w.circuit(slot)), ["open", "half-open", "closed"]);
});

Deno.test("an endpoint on trial is taken as it is when it is the last one there", async () => {
  const w = await ward(2);
  w.fail(0, 5);
  await w.run(1251);
  equal(w.circuit(0), "half-open");
  w.sick.add(1);
  await w.run(20_000);
  deepStrictEqual([w.state(1), w.circuit(0)], ["unhealthy", "closed"]);
  // And one that comes back alone is not put on trial at all.
  w.fail(0, 20);
  equal(w.circuit(0), "closed");
});

Deno.test("endpoints that are not ready, and all where breakers are off, are left alone", async () => {
  const w = await ward(3);
  w.breakers.untrack(1);
  w.health.untrack(1);
  w.table.setState(1, EndpointState.Draining);
  w.fail(1, 10);
  equal(w.state(1), "draining");
  const off = await ward(3, { enabled: false });
  off.fail(0, 100);
  equal(off.state(0), "ready");
});

Deno.test("without a health check an endpoint comes back for trial when its time is over", async () => {
  const w = new Ward();
  w.add({ kind: "none" });
  w.add({ kind: "none" });
  w.fail(0, 5);
  await w.run(999);
  equal(w.state(0), "unhealthy");
  await w.run(1);
  deepStrictEqual([w.state(0), w.circuit(0), w.probes.length], ["ready", "half-open", 0]);
});

Deno.test("whatever storm comes, enough endpoints stay closed and no round has more requests out than permits", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.integer({ min: 1, max: 8 }), fc.double({ min: 0, max: 1, noNaN: true }), storm),
    { numRuns: 60 },
  );
});

async function storm(seed: number, endpoints: number, shareMax: number): Promise<void> {
  const w = await ward(endpoints, { shareMax, baseMs: 50, probeTimeoutMs: 300 });
  const prng = new Prng(seed);
  const failing = Array.from({ length: endpoints }, () => prng.float());
  /** Requests out, by slot and round. */
  const out: { slot: number; permit: number; endsMs: number }[] = [];
  const least = Math.ceil(endpoints * (1 - shareMax));
  for (let i = 0; i < 1500; i++) {
    const slot = prng.below(endpoints);
    if (prng.below(100) === 0) failing[slot] = prng.float();
    const permit = w.table.state[slot] === EndpointState.Ready ? takePermit(w.table, slot) : -1;
    if (permit >= 0) out.push({ slot, permit, endsMs: w.clock.now() + prng.below(400) });
    for (const request of out.filter(({ endsMs }) => endsMs <= w.clock.now())) {
      out.splice(out.indexOf(request), 1);
      // An isolate that died gives nothing back and tells nothing.
      if (prng.below(50) === 0) continue;
      givePermit(w.table, request.slot, request.permit);
      const fails = prng.float() < failing[request.slot];
      const end = prng.below(20) === 0 ? AttemptEnd.Cancelled : fails ? AttemptEnd.Connect : AttemptEnd.Answered;
      const generation = w.table.generation[request.slot];
      w.breakers.report({ ...request, generation, end, firstTokenMs: 5, workTokens: 10 });
    }
    let closed = 0, ready = 0;
    for (let slot = 0; slot < endpoints; slot++) {
      if (w.table.state[slot] === EndpointState.Ready) ready++;
      if (w.table.state[slot] === EndpointState.Ready && w.table.breaker[slot] === BreakerState.Closed) closed++;
      const round = w.table.permits[slot] >>> 8;
      const ofRound = out.filter((one) => one.slot === slot && one.permit > 0 && one.permit === round).length;
      ok(ofRound <= 3, `${ofRound} requests on trial at once`);
    }
    ok(closed >= 1, "one takes all requests");
    ok(ready >= least, `${ready} of ${endpoints} ready, at least ${least} must be`);
    if (prng.below(4) === 0) await w.run(prng.below(20));
  }
  // When all is well again, every circuit closes.
  for (let i = 0; i < 400; i++) {
    for (let slot = 0; slot < endpoints; slot++) if (w.state(slot) === "ready") w.succeed(slot, 1);
    await w.run(100);
  }
  for (let slot = 0; slot < endpoints; slot++) equal(w.circuit(slot), "closed");
}
