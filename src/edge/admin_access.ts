import { RouterError, sameHash, secretHash } from "../core/mod.ts";
import { bearerToken } from "../protocol/mod.ts";

/** Whom the operators' pages answer. */
export interface AdminAccess {
  /** SHA-256 of the token in hex. */
  readonly tokenHash?: string;
  readonly openMetrics: boolean;
  readonly allowOpen: boolean;
}

// Whoever watches over the process asks for these from another machine and cannot be given a token: kubelets do not take
// one from a secret.
const probes = new Set(["/livez", "/readyz"]);

// Exactly these: a service mesh's sidecar brings in the traffic of other machines from 127.0.0.6.
const thisMachine = new Set(["127.0.0.1", "::1", "::ffff:127.0.0.1"]);

/**
 * Throws unless the page may be shown. Binding the port to an address that others reach is no mistake, since probes and scrapes
 * need it. So nothing is refused at start: probes stay open, `/metrics` unless it is closed, and the rest asks for the token,
 * or without one answers to this machine alone, which is where `kubectl port-forward` comes from.
 */
export function checkAccess(
  { tokenHash, openMetrics, allowOpen }: AdminAccess,
  path: string,
  headers: Headers,
  peer: string,
): void {
  const page = path.replace(/\/$/, "");
  if (probes.has(page) || openMetrics && page === "/metrics") return;
  if (tokenHash !== undefined) {
    const token = bearerToken(headers.get("authorization"));
    if (token !== undefined && sameHash(secretHash(token), tokenHash)) return;
    throw refusal("This page needs the admin token: send it as `Authorization: Bearer TOKEN`");
  }
  if (allowOpen || thisMachine.has(peer)) return;
  throw refusal("This page answers to its own machine only, as no admin token is configured: set admin.token");
}

function refusal(message: string): RouterError {
  return new RouterError("unauthorized", message, { code: "invalid_admin_token" });
}
