import { deepStrictEqual } from "node:assert/strict";
import { endpointMeta, EndpointState, EndpointTable, VirtualClock } from "../core/mod.ts";
import { EdgeNews, type EdgeNewsParts } from "./edge_news.ts";

/** Edges that are asked to reconsider when an endpoint becomes ready and nothing waits in the queue yet. */
async function reconsidered(apart: boolean): Promise<number> {
  const table = new EndpointTable(1);
  const slot = table.add(endpointMeta({ host: "h", port: 1 }));
  let asked = 0;
  const flow = { size: 0, look() {} };
  const edges = { tell: () => Promise.resolve(), each: () => Promise.resolve(void asked++) };
  const news = new EdgeNews({ table, clock: new VirtualClock(), edges, flow, apart } as unknown as EdgeNewsParts);
  table.setState(slot, EndpointState.Ready);
  await news.tell();
  return asked;
}

Deno.test("EdgeNews asks edges in workers to reconsider although nothing waits yet: it may be on its way", async () => {
  deepStrictEqual([await reconsidered(true), await reconsidered(false)], [1, 0]);
});
