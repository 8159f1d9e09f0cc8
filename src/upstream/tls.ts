/** TLS to model servers, given up as soon as nobody waits for it. */
import { closeQuietly, type KeyPair, unbracketed } from "../core/mod.ts";

/** Waits for the handshake; closes the connection when it fails or `signal` aborts. */
export async function shaken(tls: Deno.TlsConn, signal: AbortSignal): Promise<Deno.TlsConn> {
  const stop = () => tls.close();
  signal.addEventListener("abort", stop, { once: true });
  try {
    signal.throwIfAborted();
    await tls.handshake();
    return tls;
  } catch (error) {
    // The abort may have closed it.
    closeQuietly(tls);
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
  identity: KeyPair,
  caCerts: string[] | undefined,
  signal: AbortSignal,
): Promise<Deno.TlsConn> {
  const { cert, key } = identity;
  const dialling = Deno.connectTls({
    hostname: unbracketed(target.host),
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
