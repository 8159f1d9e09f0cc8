import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { linkOf } from "./objectives.ts";

function outputs(objective: string, ...margins: number[]): number[] {
  const row = Float32Array.from(margins);
  linkOf(objective)!.toOutputs(row);
  return [...row];
}

Deno.test("linkOf() gives identity, exponential and logistic links", () => {
  deepStrictEqual(outputs("reg:quantileerror", 1.5, -2), [1.5, -2]);
  deepStrictEqual(outputs("reg:gamma", 0, 1), [1, Math.fround(Math.E)]);
  deepStrictEqual(outputs("binary:logistic", 0, 1000), [0.5, 1]);
  ok(outputs("binary:logistic", -1000)[0] > 0, "does not overflow");
  deepStrictEqual(outputs("binary:hinge", -1, 0, 0.1), [0, 0, 1]);
});

Deno.test("linkOf() takes all classes of a row together", () => {
  const row = outputs("multi:softprob", 1000, 1000, -1000);
  deepStrictEqual(row, [0.5, 0.5, 0]);
  deepStrictEqual(outputs("multi:softmax", 1, 3, 2), [1, 1, 1]);
});

Deno.test("a margin made of an output gives it back", () => {
  for (const objective of ["reg:squarederror", "reg:tweedie", "reg:logistic", "binary:logitraw"]) {
    const { toMargin } = linkOf(objective)!;
    const margin = toMargin(0.3);
    equal(margin, Math.fround(margin), "float32");
    ok(Math.abs(outputs(objective, margin)[0] - 0.3) < 1e-7, objective);
  }
  equal(linkOf("reg:logistic")!.toMargin(0), linkOf("reg:logistic")!.toMargin(1e-6));
  equal(linkOf("reg:gamma")!.toMargin(-1), NaN);
});

Deno.test("linkOf() knows no objective of another name", () => {
  equal(linkOf("reg:squared"), undefined);
  equal(linkOf("constructor"), undefined);
});
