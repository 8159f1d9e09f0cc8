/** A name or an address as it stands in a URL: IPv6 in brackets, which it may have already. */
export function bracketed(host: string): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}
