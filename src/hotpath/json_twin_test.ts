import { deepStrictEqual, equal, throws } from "node:assert/strict";
import { LocatedJson } from "./json_twin.ts";

const located = (text: string, depthMax = 8) => new LocatedJson(new TextEncoder().encode(text), depthMax);

Deno.test("LocatedJson finds values by path, the last of equal keys, null as absent", () => {
  const json = located('{"a" : {"b":[1, "x,]" , {}]}, "n":null, "\\u0061":{"b": [ true,"\\"" ]}}');
  const list = json.field("a.b")!;
  equal(json.raw(list), '[ true,"\\"" ]');
  deepStrictEqual(list.items.map((item) => [item.type, json.raw(item)]), [["literal", "true"], ["string", '"\\""']]);
  equal(json.field("n"), undefined);
  equal(json.raw(json.member("n")!), "null");
  equal(json.field("a.b.c"), undefined);
});

Deno.test("LocatedJson throws on deeper nesting than allowed", () => {
  equal(located('{"a":[{}]}', 3).root.type, "object");
  throws(() => located('{"a":[{}]}', 2), RangeError);
});
