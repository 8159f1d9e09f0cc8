import { concatBytes } from "../../core/mod.ts";

/** The side of ZeroMQ that tests play: a SUB or DEALER over a plain connection, as little of ZMTP as that takes. */
export class ZmtpClient {
  readonly #connection: Deno.TcpConn;
  #buffer: Uint8Array = new Uint8Array(0);

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  /** Connects to `tcp://host:port` and shakes hands. */
  static async connect(endpoint: string, role: "SUB" | "DEALER"): Promise<ZmtpClient> {
    const [, hostname, port] = endpoint.match(/^tcp:\/\/(.+):(\d+)$/)!;
    return await ZmtpClient.over(await Deno.connect({ hostname, port: Number(port) }), role);
  }

  /** Shakes hands over a connection, whoever dialled it. */
  static async over(connection: Deno.TcpConn, role: "SUB" | "DEALER"): Promise<ZmtpClient> {
    const self = new ZmtpClient(connection);
    const text = new TextEncoder();
    const greeting = new Uint8Array(64);
    greeting.set([0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 1]);
    greeting.set(text.encode("NULL"), 12);
    const ready = concatBytes([
      text.encode("\x05READY\x0bSocket-Type"),
      Uint8Array.of(0, 0, 0, role.length),
      text.encode(role),
    ]);
    await self.write(concatBytes([greeting, Uint8Array.of(4, ready.length), ready]));
    await self.#read(64);
    const [flags] = await self.#frame();
    if (flags !== 4) throw new Error("The peer has not said that it is ready");
    return self;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
  }

  /** Sends short frames as one message. */
  async send(...frames: Uint8Array[]): Promise<void> {
    const flags = (i: number) => i < frames.length - 1 ? 1 : 0;
    await this.write(concatBytes(frames.flatMap((body, i) => [Uint8Array.of(flags(i), body.length), body])));
  }

  /** The next message; rejects when the connection ends. */
  async receive(): Promise<Uint8Array[]> {
    const frames: Uint8Array[] = [];
    for (;;) {
      const [flags, body] = await this.#frame();
      frames.push(body);
      if ((flags & 1) === 0) return frames;
    }
  }

  close(): void {
    this.#connection.close();
  }

  async #frame(): Promise<[flags: number, body: Uint8Array]> {
    const [flags] = await this.#read(1);
    const size = await this.#read(flags & 2 ? 8 : 1);
    const length = size.reduce((sum, byte) => sum * 256 + byte, 0);
    return [flags & ~2, await this.#read(length)];
  }

  async #read(count: number): Promise<Uint8Array> {
    const chunk = new Uint8Array(4096);
    while (this.#buffer.length < count) {
      const length = await this.#connection.read(chunk);
      if (length === null) throw new Error("The connection has ended");
      this.#buffer = concatBytes([this.#buffer, chunk.slice(0, length)]);
    }
    const bytes = this.#buffer.slice(0, count);
    this.#buffer = this.#buffer.slice(count);
    return bytes;
  }
}
