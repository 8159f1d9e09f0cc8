import { equal } from "node:assert/strict";
import { VirtualClock } from "../../core/mod.ts";
import { Turns } from "./turns.ts";

Deno.test("Turns are exhausted after their time, for all who share them, until the event loop has gone round", async () => {
  const clock = new VirtualClock();
  const turns = new Turns(clock, 2);
  equal(turns.exhausted(), false);
  clock.advance(1.9);
  equal(turns.exhausted(), false);
  clock.advance(0.1);
  equal(turns.exhausted(), true);
  let rounds = 0;
  const waits = [turns.next(), turns.next()].map((wait) => wait.then(() => rounds++));
  await Promise.resolve();
  equal(rounds, 0);
  await Promise.all(waits);
  equal(rounds, 2);
  equal(turns.exhausted(), false);
});

Deno.test("a turn without work ends by itself", async () => {
  const clock = new VirtualClock();
  const turns = new Turns(clock);
  equal(turns.exhausted(), false);
  await turns.next();
  clock.advance(100);
  equal(turns.exhausted(), false);
});
