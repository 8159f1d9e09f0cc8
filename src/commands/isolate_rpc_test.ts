import { deepStrictEqual, equal, rejects } from "node:assert/strict";
import { MessageChannel } from "node:worker_threads";
import { IsolateRpc } from "./isolate_rpc.ts";

Deno.test("both sides call each other; errors cross with their message; who is gone answers nothing more", async () => {
  const { port1, port2 } = new MessageChannel();
  const asked: unknown[] = [];
  const calls: { two?: IsolateRpc } = {};
  const one = new IsolateRpc(port1, { double: (n: number) => n * 2 });
  calls.two = new IsolateRpc(port2, {
    fail: () => Promise.reject(new Error("no such thing")),
    keep: async (value: unknown) => {
      asked.push(value);
      return await calls.two!.call("double", 21);
    },
    never: () => new Promise(() => {}),
  });
  const words = new Int32Array(new SharedArrayBuffer(8));
  equal(await one.call("keep", words), 42);
  Atomics.store(words, 0, 7);
  deepStrictEqual(asked, [words], "shared memory stays shared");
  await rejects(one.call("fail"), /^Error: no such thing$/);
  await rejects(one.call("nothing"), Error);
  const waiting = one.call("never");
  one.abandon("The edge is gone");
  await rejects(waiting, /The edge is gone/);
  await rejects(one.call("keep", 1), /The edge is gone/);
  port1.close();
  port2.close();
});

Deno.test("what the other side sent before it was gone is not served after", async () => {
  const { port1, port2 } = new MessageChannel();
  let served = 0;
  const one = new IsolateRpc(port1, { serve: () => served++ });
  const two = new IsolateRpc(port2, {});
  await two.call("serve");
  two.call("serve").catch(() => {});
  one.abandon("The edge is gone");
  // Comes behind it on the same port.
  const behind = Promise.withResolvers<void>();
  port1.on("message", () => behind.resolve());
  port2.postMessage({});
  await behind.promise;
  equal(served, 1);
  port1.close();
  port2.close();
});
