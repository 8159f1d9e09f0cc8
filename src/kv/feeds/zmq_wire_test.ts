import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { concatBytes } from "../../core/mod.ts";
import {
  commandBytes,
  greeting,
  messageBytes,
  readGreeting,
  readProperties,
  readyCommand,
  subscribeBytes,
  ZmtpError,
  ZmtpReader,
} from "./zmq_wire.ts";

const text = (value: string) => new TextEncoder().encode(value);
const hex = (bytes: Uint8Array) => bytes.toHex();

function feed(reader: ZmtpReader, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) {
    const space = reader.space();
    const part = bytes.subarray(at, at + space.length);
    space.set(part);
    reader.filled(part.length);
    at += part.length;
  }
}

Deno.test("greeting() and commands have the bytes of the specification", () => {
  equal(hex(greeting()), "ff00000000000000007f0301" + hex(text("NULL")) + "00".repeat(48));
  equal(hex(commandBytes("PING", Uint8Array.of(0, 1))), "040704" + hex(text("PING")) + "0001");
  equal(
    hex(readyCommand("SUB")),
    "0426" + "05" + hex(text("READY")) + "0b" + hex(text("Socket-Type")) + "00000003" + hex(text("SUB")) +
      "08" + hex(text("Identity")) + "00000000",
  );
  equal(hex(subscribeBytes("kv@", 1)), "040d09" + hex(text("SUBSCRIBE")) + hex(text("kv@")));
  equal(hex(subscribeBytes("kv@", 0)), "000401" + hex(text("kv@")));
  equal(hex(messageBytes([text("a"), new Uint8Array()])), "010161" + "0000");
  equal(hex(messageBytes([new Uint8Array(256)])), "02" + "0000000000000100" + "00".repeat(256));
});

Deno.test("readGreeting() gives the minor version and refuses what it cannot talk to", () => {
  equal(readGreeting(greeting()), 1);
  const changed = (at: number, ...bytes: number[]) => {
    const other = greeting();
    other.set(bytes, at);
    return other;
  };
  equal(readGreeting(changed(11, 0)), 0);
  throws(() => readGreeting(text("HTTP/1.1 400 Bad Request".padEnd(64))), /does not speak ZMTP/);
  throws(() => readGreeting(changed(10, 2)), /speaks ZMTP 2/);
  throws(() => readGreeting(changed(12, ...text("CURVE"))), /mechanism CURVE/);
});

Deno.test("readProperties() reads what READY holds and refuses what is cut off", () => {
  const reader = new ZmtpReader(1000);
  feed(reader, readyCommand("DEALER"));
  const item = reader.next()!;
  ok(item.command === "READY");
  deepStrictEqual([...readProperties(item.body)], [["socket-type", "DEALER"], ["identity", ""]]);
  for (let length = 1; length < item.body.length; length++) {
    const body = item.body.subarray(0, length);
    if (length !== 22) throws(() => readProperties(body), ZmtpError);
  }
});

Deno.test("ZmtpReader reads any messages and commands, however their bytes are cut", () => {
  const frames = fc.array(fc.uint8Array({ maxLength: 700 }), { minLength: 1, maxLength: 5 });
  const item = fc.oneof(
    frames,
    fc.record({ name: fc.constantFrom("PING", "X"), body: fc.uint8Array() }, { noNullPrototype: true }),
  );
  fc.assert(
    fc.property(fc.array(item, { maxLength: 12 }), fc.array(fc.nat(3000)), (items, cuts) => {
      const bytes = concatBytes(
        [new Uint8Array(), ...items.map((i) => Array.isArray(i) ? messageBytes(i) : commandBytes(i.name, i.body))],
      );
      const reader = new ZmtpReader(100_000);
      const read: unknown[] = [];
      const ends = [...cuts.map((cut) => Math.min(cut, bytes.length)), bytes.length].sort((a, b) => a - b);
      let start = 0;
      for (const end of ends) {
        feed(reader, bytes.subarray(start, end));
        start = end;
        for (let next; (next = reader.next());) {
          read.push(
            next.command === undefined
              ? next.frames.map((frame) => frame.slice())
              : { name: next.command, body: next.body.slice() },
          );
        }
      }
      deepStrictEqual(read, items);
    }),
    { numRuns: 100, seed: 7 },
  );
});

Deno.test("ZmtpReader takes a message up to its limit and refuses larger, endless and unknown ones", () => {
  const reader = () => new ZmtpReader(1 << 20);
  const largest = messageBytes([new Uint8Array((1 << 20) - 9)]);
  const whole = reader();
  feed(whole, largest);
  equal(whole.next()!.command, undefined);
  const claims = reader();
  feed(claims, Uint8Array.of(2, 0, 0, 0, 0, 0, 16, 0, 1));
  throws(() => claims.next(), /above 1048576 bytes/);
  const endless = reader();
  feed(endless, concatBytes(Array.from({ length: 9 }, () => Uint8Array.of(1, 0))));
  throws(() => endless.next(), /more than 8 frames/);
  const unknown = reader();
  feed(unknown, Uint8Array.of(8, 0));
  throws(() => unknown.next(), /flags 8/);
  const nameless = reader();
  feed(nameless, Uint8Array.of(4, 1, 5));
  throws(() => nameless.next(), /without a name/);
});
