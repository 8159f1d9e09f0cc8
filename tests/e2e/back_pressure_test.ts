/** A client slower than the model server: bytes wait where they are made, not in the router. */
import { equal, ok } from "node:assert/strict";
import { sleep, systemClock } from "../../src/core/mod.ts";
import { fact, model, nothingReserved, reserved, until, withRouter } from "./harness.ts";
import { Recorder } from "./recorder.ts";

const chunkBytes = 64 * 1024;
/** What the kernel holds on two loopback connections at its largest, and then some: a flood passes it in a second. */
const boundBytes = 64 * 1024 * 1024;

/** A server that sends without end, as fast as it is read, and counts. */
class Flood {
  sentBytes = 0;
  cancelled = false;

  answer(): Response {
    const chunk = new TextEncoder().encode(`data: ${"x".repeat(chunkBytes - 8)}\n\n`);
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        this.sentBytes += chunk.length;
        controller.enqueue(chunk);
      },
      cancel: () => {
        this.cancelled = true;
      },
    }, { highWaterMark: 0 });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  }
}

fact("a client that stops reading stops the server; the server is told when that client leaves", async () => {
  const flood = new Flood();
  const recorder = new Recorder({ answer: () => flood.answer() });
  try {
    await withRouter({ endpoints: [recorder.url] }, async (stage) => {
      const client = await Deno.connect({ hostname: "127.0.0.1", port: stage.router.port });
      const body = JSON.stringify({ model, prompt: "x", stream: true });
      const head = `POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n`;
      await client.write(new TextEncoder().encode(head + body));
      await until("the flood has begun", () => flood.sentBytes > 0);
      const stoppedAt = await standstill(() => flood.sentBytes);
      ok(stoppedAt < boundBytes, `${stoppedAt} bytes sent to a client that reads nothing`);
      equal(reserved(stage).requests, 1);

      // It goes on as soon as the client reads again.
      const buffer = new Uint8Array(1 << 20);
      await until("the server sends again", async () => {
        await client.read(buffer);
        return flood.sentBytes > stoppedAt;
      });
      await standstill(() => flood.sentBytes);
      client.close();
      await until("the server's answer is cancelled", () => flood.cancelled);
      await until("nothing is reserved", () => reserved(stage).requests === 0);
      equal(JSON.stringify(reserved(stage)), JSON.stringify(nothingReserved));
      equal(stage.accessLines[0].outcome, "client-disconnect");
    });
  } finally {
    await recorder.stop();
  }
});

/** Waits until a number has not moved for a quarter of a second, and answers it; fails when it passes the bound. */
async function standstill(read: () => number): Promise<number> {
  for (let still = 0, last = read();; still++) {
    await sleep(systemClock, 25);
    if (read() !== last) still = 0;
    last = read();
    if (still >= 10 || last > boundBytes) return last;
  }
}
