import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { Prng } from "../core/mod.ts";
import { ModelRewriter, type RewriteRule } from "./mod.ts";

function rule(part: Partial<RewriteRule> & Pick<RewriteRule, "name" | "targets">): RewriteRule {
  return { match: [], sticky: "none", ...part };
}

const rewriter = (...rules: RewriteRule[]) => new ModelRewriter(rules, new Prng(42));

function shares(
  subject: ModelRewriter,
  model: string,
  draws: number,
  session?: (i: number) => string,
): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i < draws; i++) {
    const drawn = subject.rewrite(model, { sessionKey: session?.(i) }).model;
    counts.set(drawn, (counts.get(drawn) ?? 0) + 1 / draws);
  }
  return counts;
}

const near = (actual: number | undefined, expected: number) =>
  ok(Math.abs((actual ?? 0) - expected) < 0.02, `${actual} is not near ${expected}`);

Deno.test("rewrite() prefers a rule that names the model over an earlier one for every model", () => {
  const subject = rewriter(
    rule({ name: "any", targets: [{ model: "x" }] }),
    rule({ name: "exact", match: ["a", "b"], targets: [{ model: "y" }] }),
    rule({ name: "late", match: ["a"], targets: [{ model: "z" }] }),
  );
  deepStrictEqual(subject.rewrite("b"), { model: "y", rule: "exact" });
  deepStrictEqual(subject.rewrite("a"), { model: "y", rule: "exact" });
  deepStrictEqual(subject.rewrite("c"), { model: "x", rule: "any" });
  deepStrictEqual(subject.names, ["a", "b"]);
  deepStrictEqual(subject.targets("a"), ["y"]);
});

Deno.test("rewrite() applies one pass only", () => {
  const subject = rewriter(
    rule({ name: "1", match: ["a"], targets: [{ model: "b" }] }),
    rule({ name: "2", match: ["b"], targets: [{ model: "c" }] }),
  );
  equal(subject.rewrite("a").model, "b");
});

Deno.test("rewrite() takes the header's model only where no rule applies", () => {
  const subject = rewriter(rule({ name: "r", match: ["a"], targets: [{ model: "b" }] }));
  deepStrictEqual(subject.rewrite("a", { header: "h" }), { model: "b", rule: "r" });
  deepStrictEqual(subject.rewrite("z", { header: "h" }), { model: "h" });
  deepStrictEqual(subject.rewrite("z", { header: "" }), { model: "z" });
  deepStrictEqual(rewriter().rewrite(""), { model: "" });
});

Deno.test("rewrite() draws by weight, equally without weights, never the unweighted of a mixed rule", () => {
  const weighted = shares(
    rewriter(rule({ name: "w", targets: [{ model: "x", weight: 1 }, { model: "y", weight: 3 }] })),
    "m",
    20_000,
  );
  near(weighted.get("x"), 0.25);
  near(weighted.get("y"), 0.75);
  const equalShares = shares(rewriter(rule({ name: "e", targets: [{ model: "x" }, { model: "y" }] })), "m", 20_000);
  near(equalShares.get("x"), 0.5);
  const mixed = shares(rewriter(rule({ name: "m", targets: [{ model: "x", weight: 5 }, { model: "y" }] })), "m", 1000);
  deepStrictEqual([...mixed.keys()], ["x"]);
});

Deno.test("rewrite() gives a session of a sticky rule one target, over processes, by weight", () => {
  const targets = [{ model: "x", weight: 1 }, { model: "y", weight: 3 }];
  const sticky = rule({ name: "s", sticky: "session", targets });
  const [a, b] = [new ModelRewriter([sticky], new Prng(1)), new ModelRewriter([sticky], new Prng(2))];
  fc.assert(fc.property(fc.string({ minLength: 1 }), (sessionKey) => {
    equal(a.rewrite("m", { sessionKey }).model, b.rewrite("m", { sessionKey }).model);
  }));
  near(shares(a, "m", 20_000, (i) => `session-${i}`).get("y"), 0.75);
  near(shares(a, "m", 20_000).get("y"), 0.75);
});

Deno.test("rewrite() moves only sessions toward the target whose weight grew", () => {
  const at = (weight: number) =>
    rewriter(rule({ name: "s", sticky: "session", targets: [{ model: "old", weight: 10 }, { model: "new", weight }] }));
  const [before, after] = [at(1), at(5)];
  for (let i = 0; i < 5000; i++) {
    const options = { sessionKey: `u${i}` };
    if (before.rewrite("m", options).model === "new") equal(after.rewrite("m", options).model, "new");
  }
});
