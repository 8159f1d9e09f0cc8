import { equal } from "node:assert/strict";
import { sameHash, secretHash } from "./secret.ts";

Deno.test("secretHash() is what sha256sum prints of the secret's bytes", () => {
  equal(secretHash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  // The two bytes of "é" in UTF-8, as a header's value shows them.
  equal(secretHash("\xc3\xa9"), "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c");
});

Deno.test("sameHash() tells equal from unequal, whatever the lengths", () => {
  const hash = secretHash("a");
  equal(sameHash(hash, secretHash("a")), true);
  equal(sameHash(hash, secretHash("b")), false);
  equal(sameHash(hash, hash.slice(1)), false);
  equal(sameHash(hash, ""), false);
});
