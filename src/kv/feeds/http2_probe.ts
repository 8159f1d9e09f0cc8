import { writeAll } from "../../core/mod.ts";

/**
 * Resolves when the server at a plain address greets as HTTP/2 does; rejects with the reason, or the signal's, otherwise.
 * Asked before each connection: Node's HTTP/2 under Deno never returns from reading what is none, such as ZeroMQ's greeting.
 */
export async function probeHttp2(host: string, port: number, signal: AbortSignal): Promise<void> {
  const conn = await Deno.connect({ hostname: host.replace(/^\[|\]$/g, ""), port, signal });
  let closed = false;
  const close = () => {
    if (!closed) conn.close();
    closed = true;
  };
  signal.addEventListener("abort", close, { once: true });
  try {
    signal.throwIfAborted();
    await writeAll(conn, greeting);
    const head = new Uint8Array(frameHeadBytes);
    for (let at = 0; at < head.length;) {
      const count = await conn.read(head.subarray(at));
      if (count === null) throw new Error("the peer does not speak HTTP/2: it closed the connection");
      at += count;
    }
    if (head[0] !== 0 || head[3] !== settingsType) throw new Error("the peer does not speak HTTP/2");
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", close);
    close();
  }
}

const frameHeadBytes = 9;
/** A server's first frame is this one, and short. */
const settingsType = 4;

/** Preface, and a SETTINGS frame without any. */
const greeting = Uint8Array.of(
  ...new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  ...[0, 0, 0, settingsType, 0, 0, 0, 0, 0],
);
