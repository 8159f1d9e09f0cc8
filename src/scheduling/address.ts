import { type EndpointMeta, unbracketed } from "../core/mod.ts";

/** An endpoint as a proxy or a header names it; without a port every port of the host is meant. */
export interface Address {
  /** Lower case, IPv6 without brackets. */
  readonly host: string;
  readonly port?: number;
}

/** Reads `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address; undefined when it is none of them. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([^\[\]]+)\]|([^:\[\]]+))(?::(\d{1,5}))?$/.exec(text.trim());
  if (!match) {
    // Two colons and no brackets: all of it is the host.
    return /^[0-9a-fA-F:.%]*:[0-9a-fA-F:.%]*:[0-9a-fA-F:.%]*$/.test(text.trim())
      ? { host: text.trim().toLowerCase() }
      : undefined;
  }
  const host = (match[1] ?? match[2]).toLowerCase();
  if (match[3] === undefined) return { host };
  const port = Number(match[3]);
  return port >= 1 && port <= 65535 ? { host, port } : undefined;
}

/** Entries that cannot be read match nothing. */
export function parseAddresses(entries: readonly string[]): Address[] {
  return entries.map(parseAddress).filter((address) => address !== undefined);
}

/** Whether any of `addresses` names the endpoint. All ranks behind one port match alike. */
export function isListed(meta: EndpointMeta, addresses: readonly Address[]): boolean {
  const host = unbracketed(meta.host).toLowerCase();
  return addresses.some((address) =>
    address.host === host && (address.port === undefined || address.port === meta.port)
  );
}
