import { doesNotThrow, ok, throws } from "node:assert/strict";
import { RouterError, secretHash } from "../core/mod.ts";
import { type AdminAccess, checkAccess } from "./admin_access.ts";

const open: AdminAccess = { openMetrics: true, allowOpen: false };
const guarded: AdminAccess = { ...open, tokenHash: secretHash("the-token") };
const bearer = (token: string) => new Headers({ authorization: `Bearer ${token}` });

function refused(access: AdminAccess, path: string, headers = new Headers(), peer = "127.0.0.1"): void {
  throws(() => checkAccess(access, path, headers, peer), (error: unknown) => {
    ok(error instanceof RouterError);
    return error.outcome === "unauthorized" && error.code === "invalid_admin_token";
  }, path);
}

function shown(access: AdminAccess, path: string, headers = new Headers(), peer = "127.0.0.1"): void {
  doesNotThrow(() => checkAccess(access, path, headers, peer), path);
}

const pages = [
  "/debug/config",
  "/debug/keys",
  "/debug/decide",
  "/warmpath.x/Fetch",
  "/",
  "/anything",
  "/livez/x",
  "//livez",
];

Deno.test("probes and metrics answer everyone; metrics can be closed", () => {
  for (const access of [open, guarded]) {
    for (const path of ["/livez", "/readyz", "/readyz/", "/metrics"]) shown(access, path, new Headers(), "10.0.0.5");
    refused({ ...access, openMetrics: false }, "/metrics", new Headers(), "10.0.0.5");
    shown({ ...access, openMetrics: false }, "/livez", new Headers(), "10.0.0.5");
  }
});

Deno.test("without a token the other pages answer to this machine alone, or to all where that was allowed", () => {
  for (const path of pages) {
    for (const peer of ["127.0.0.1", "::1", "::ffff:127.0.0.1"]) shown(open, path, new Headers(), peer);
    // A mesh's sidecar speaks for other machines from the third.
    for (const peer of ["10.0.0.5", "2001:db8::5", "127.0.0.6", ""]) refused(open, path, bearer("the-token"), peer);
    shown({ ...open, allowOpen: true }, path, new Headers(), "10.0.0.5");
  }
});

Deno.test("with a token the other pages ask for it, this machine too", () => {
  for (const access of [guarded, { ...guarded, allowOpen: true }]) {
    for (const path of pages) {
      refused(access, path);
      refused(access, path, bearer("another"));
      refused(access, path, bearer(secretHash("the-token")));
      refused(access, path, new Headers({ "x-api-key": "the-token" }));
      shown(access, path, bearer("the-token"), "10.0.0.5");
    }
  }
});
