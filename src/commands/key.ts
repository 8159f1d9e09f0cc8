import { Buffer } from "node:buffer";
import { secretHash } from "../core/mod.ts";
import type { ProcessHost } from "./process.ts";

const keyBytes = 32;

/** Makes an API key of 256 random bits and prints it, once, with the hash that configurations hold. Returns the exit code. */
export function makeKey(host: Pick<ProcessHost, "out">): number {
  const random = crypto.getRandomValues(new Uint8Array(keyBytes));
  const key = `sk-${Buffer.from(random).toString("base64url")}`;
  host.out(`key:  ${key}`);
  host.out(`hash: sha256:${secretHash(key)}`);
  return 0;
}
