import { deepStrictEqual, equal } from "node:assert/strict";
import { nothingReserved, post, reserved, withRouter } from "../e2e/harness.ts";
import { RecordingServer } from "./recording_server.ts";

Deno.test("a request that failed at every ready endpoint goes to one that was taken out", async () => {
  await using ejected = new RecordingServer();
  await using ready = new RecordingServer();
  const config = { pool: { ejection: { time: "30s" } } };
  await withRouter({ endpoints: [ejected.url, ready.url], config }, async (stage) => {
    const send = async () => {
      const { status, body } = await post(`${stage.url}/v1/completions`, { model: "known", prompt: "x" });
      await body?.cancel();
      return status;
    };
    const states = () => stage.router.pool.snapshot().map(({ state }) => state);
    ejected.cuts = 5;
    while (ejected.cuts > 0) equal(await send(), 200);
    deepStrictEqual(states(), ["unhealthy", "ready"]);
    const [before, there] = [ejected.requests.length, ready.requests.length];

    // Twice: what fails on an idle connection is sent again on a fresh one.
    ready.cuts = 2;
    equal(await send(), 200);
    deepStrictEqual([ejected.requests.length - before, ready.requests.length - there], [1, 2]);
    equal(await send(), 200);
    deepStrictEqual([ejected.requests.length - before, ready.requests.length - there], [1, 3]);

    [ejected.cuts, ready.cuts] = [2, 2];
    equal(await send(), 502);
    deepStrictEqual(reserved(stage), nothingReserved);
  });
});
