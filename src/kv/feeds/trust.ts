import { type ConnectionOptions, rootCertificates } from "node:tls";

/** Trusts `caCerts` (PEM) besides the well-known authorities, which Node's `ca` alone would replace. */
export function trusting(caCerts: readonly string[] | undefined): ConnectionOptions {
  return caCerts?.length ? { ca: [...rootCertificates, ...caCerts] } : {};
}
