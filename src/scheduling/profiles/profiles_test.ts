import { equal, ok } from "node:assert/strict";
import { testPlugin, testPool, testView } from "../testing.ts";
import { isProfileHandler } from "../types.ts";

function choose(type: string, params: unknown, headers: Record<string, string>, profiles: string[]): number {
  const handler = testPlugin(type, params, testPool([{}]));
  ok(isProfileHandler(handler));
  return handler.choose(testView({ headers }), profiles);
}

Deno.test("single-profile-handler runs the only profile", () => {
  equal(choose("single-profile-handler", {}, { "epp-profile": "other" }, ["default"]), 0);
});

Deno.test("header-profile-handler runs the profile the header names", () => {
  const profiles = ["prefill", "decode", "batch"];
  equal(choose("header-profile-handler", {}, { "epp-profile": "batch" }, profiles), 2);
  equal(choose("header-profile-handler", {}, {}, profiles), 1);
  equal(choose("header-profile-handler", { defaultProfile: "batch" }, {}, profiles), 2);
  equal(choose("header-profile-handler", { headerName: "X-Lane" }, { "x-lane": "prefill" }, profiles), 0);
  equal(choose("header-profile-handler", {}, { "epp-profile": "nope" }, profiles), -1);
  equal(choose("header-profile-handler", {}, { "epp-profile": "nope" }, ["only"]), 0);
});
