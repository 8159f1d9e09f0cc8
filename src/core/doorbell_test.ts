import { deepStrictEqual, equal } from "node:assert/strict";
import { setImmediate } from "node:timers";
import { systemClock } from "./clock.ts";
import { Doorbell } from "./doorbell.ts";

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

Deno.test("the listener looks at once, after each ring, and no more once it says so", async () => {
  const buffer = new SharedArrayBuffer(Doorbell.bytes + 8);
  const bell = new Doorbell(buffer, 8), other = new Doorbell(buffer, 8);
  // A sleeping listener does not keep the event loop going.
  const awake = systemClock.after(60_000, () => {});
  let looks = 0, listening = true;
  const listened = bell.listen(() => {
    looks++;
    return listening;
  }, turn);
  await turn();
  equal(looks, 1);
  for (const [i, ringer] of [bell, other].entries()) {
    ringer.ring();
    // A sleeper is woken by the system: some turns later, or never.
    for (let turns = 0; looks < i + 2 && turns < 10_000; turns++) await turn();
    equal(looks, i + 2);
  }
  listening = false;
  other.ring();
  await listened;
  awake.cancel();
  equal(looks, 4);
});

Deno.test("a ring during a look is another look, and others have their turn in between", async () => {
  const bell = new Doorbell();
  const order: string[] = [];
  await bell.listen(() => {
    order.push("look");
    bell.ring();
    return order.length < 5;
  }, () => {
    order.push("pause");
    return turn();
  });
  deepStrictEqual(order, ["look", "pause", "look", "pause", "look"]);
});
