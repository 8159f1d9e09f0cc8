/** A name or an address as it stands in a URL: IPv6 in brackets, which it may have already. */
export function bracketed(host: string): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}

/** The other way round: as the system's resolver takes it, without an IPv6 address's brackets. */
export function unbracketed(host: string): string {
  return host.startsWith("[") ? host.slice(1, -1) : host;
}
