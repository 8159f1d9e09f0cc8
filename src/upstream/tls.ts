/** TLS to model servers, given up as soon as nobody waits for it. */

/** A certificate chain and its key, as PEM. */
export interface ClientIdentity {
  readonly cert: string;
  readonly key: string;
}

/** A host as the system's resolver takes it: without an IPv6 address's brackets. */
export function bareHost({ host }: { readonly host: string }): string {
  return host.startsWith("[") ? host.slice(1, -1) : host;
}

/** Waits for the handshake; closes the connection when it fails or `signal` aborts. */
export async function shaken(tls: Deno.TlsConn, signal: AbortSignal): Promise<Deno.TlsConn> {
  const stop = () => tls.close();
  signal.addEventListener("abort", stop, { once: true });
  try {
    signal.throwIfAborted();
    await tls.handshake();
    return tls;
  } catch (error) {
    try {
      tls.close();
    } catch {
      // The abort closed it.
    }
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/**
 * Connects with a certificate to show. The runtime takes one only where it makes the TCP connection itself, and cannot be
 * told to stop: a connection that nobody waits for any more is closed when it stands.
 */
export async function dialWithIdentity(
  target: { readonly host: string; readonly port: number },
  identity: ClientIdentity,
  caCerts: string[] | undefined,
  signal: AbortSignal,
): Promise<Deno.TlsConn> {
  const { cert, key } = identity;
  const dialling = Deno.connectTls({
    hostname: bareHost(target),
    port: target.port,
    caCerts,
    cert,
    key,
    alpnProtocols: ["http/1.1"],
  });
  const stopped = Promise.withResolvers<never>();
  const stop = () => stopped.reject(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await shaken(await Promise.race([dialling, stopped.promise]), signal);
  } catch (error) {
    dialling.then((tls) => tls.close()).catch(() => {});
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
