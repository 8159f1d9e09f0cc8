/**
 * Streams held open: `streams.ts URL COUNT`. Prints `{"port"}`, where `GET /` tells `{"open", "whole", "failed", "why"}`: streams
 * whose first chunk has come, those that then brought the second and their end, those that did neither, and why the first
 * of them did not.
 */
import { chunkBytes } from "../lib/chunk.ts";
import { Connection } from "../lib/http.ts";
import { shortBody } from "../lib/prompts.ts";

const [url, count] = Deno.args;
const body = shortBody({ maxTokens: 2, stream: true });
/** Connecting at once: fewer than a listener's backlog holds. */
const openingMax = 50;

const state = { open: 0, whole: 0, failed: 0, why: "" };

/** Runs to the stream's end; `opened` is called at its first byte, or when it fails before. */
async function hold(opened: () => void): Promise<void> {
  let isOpen = false;
  const onBody = () => {
    if (isOpen) return;
    isOpen = true;
    state.open++;
    opened();
  };
  const connection = new Connection({ url }, { onBody, bufferBytes: 2048 });
  try {
    const { bodyBytes } = await connection.ask(body);
    if (Math.floor(bodyBytes / chunkBytes) !== 2) throw new Error(`it brought ${bodyBytes} bytes`);
    state.whole++;
  } catch (error) {
    state.failed++;
    state.why ||= String(error);
  } finally {
    connection.close();
    opened();
  }
}

async function openAll(): Promise<void> {
  let begun = 0;
  const opener = async () => {
    while (begun++ < Number(count)) await new Promise<void>((opened) => void hold(opened));
  };
  await Promise.all(Array.from({ length: openingMax }, opener));
}

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => console.log(JSON.stringify({ port })),
}, () => Response.json(state));
await openAll();
