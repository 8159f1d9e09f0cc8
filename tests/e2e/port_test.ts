/** Several requests on one connection: their answers never mix, and leaving ends the work for all of them. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { fact, model, nothingReserved, reserved, type Stage, until, withRouter } from "./harness.ts";

const encoder = new TextEncoder();

function streamRequest(tokens: number): string {
  const body = JSON.stringify({ model, prompt: "x", stream: true, max_tokens: tokens });
  return `POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

/** Sends the text on a connection of its own and hands it over once the first answer has begun. */
async function connected(stage: Stage, text: string, use: (connection: Deno.TcpConn) => Promise<void>): Promise<void> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: stage.router.port });
  await connection.write(encoder.encode(text));
  await connection.read(new Uint8Array(1));
  await use(connection);
}

async function rest(connection: Deno.TcpConn): Promise<string> {
  const into = new Uint8Array(65_536), decoder = new TextDecoder();
  let text = "";
  try {
    for (let n = await connection.read(into); n !== null; n = await connection.read(into)) {
      text += decoder.decode(into.subarray(0, n));
    }
  } catch {
    // Reset is an end like another.
  }
  return text;
}

fact(
  "a client that leaves gives back what its pipelined requests hold, the one under way and those behind it",
  () =>
    withRouter(
      { sims: [{ speed: 1 }] },
      (stage) =>
        connected(stage, streamRequest(20_000).repeat(3), async (connection) => {
          equal(reserved(stage).requests, 1);
          connection.close();
          await until("every request has ended", () => stage.router.edges.active === 0);
          deepStrictEqual(reserved(stage), nothingReserved);
          equal(stage.accessLines[0].outcome, "client-disconnect");
        }),
    ),
);

fact(
  "pipelined requests are answered one after the other",
  () =>
    withRouter({ sims: [{}] }, (stage) =>
      connected(
        stage,
        streamRequest(3) + streamRequest(2).replace("host: x", "host: x\r\nconnection: close"),
        async (connection) => {
          const text = await rest(connection);
          const answers = text.split("HTTP/1.1 200 OK");
          equal(answers.length, 2, text);
          for (const answer of answers) equal(answer.match(/\[DONE\]/g)?.length, 1, text);
          connection.close();
        },
      )),
);

fact(
  "garbage behind a request under way ends the connection and never stands in the answer",
  () =>
    withRouter({ sims: [{ speed: 1 }] }, async (stage) => {
      for (const behind of ["garbage in here\r\n\r\n", "CONNECT model:80 HTTP/1.1\r\nhost: x\r\n\r\n"]) {
        await connected(stage, streamRequest(20_000) + behind, async (connection) => {
          const text = await rest(connection);
          ok(!text.includes("HTTP/1.1 4"), text.slice(-300));
          try {
            connection.close();
          } catch {
            // The reset closed it.
          }
        });
        await until("every request has ended", () => stage.router.edges.active === 0);
        deepStrictEqual(reserved(stage), nothingReserved);
      }
    }),
);
