/** Requests that wait at endpoints of given capacities, in virtual time, for tests of what is told of them. */
import { type FlowConfig, flowDefaults } from "../config/mod.ts";
import { endpointMeta, EndpointState, EndpointTable, mayPass, VirtualClock } from "../core/mod.ts";
import { FlowController } from "./controller.ts";
import type { FlowAsk } from "./types.ts";

export class ObservedFlow {
  readonly clock = new VirtualClock();
  readonly table: EndpointTable;
  readonly controller: FlowController;
  #ids = 0;

  /** One ready endpoint for each item: its capacity, and its role where it has one. */
  constructor(
    endpoints: readonly { readonly capacity: number; readonly role?: string }[],
    config: Partial<FlowConfig> = {},
  ) {
    const table = this.table = new EndpointTable(Math.max(1, endpoints.length));
    endpoints.forEach(({ capacity, role }, i) => {
      const labels: Record<string, string> = role === undefined ? {} : { "llm-d.ai/role": role };
      const slot = table.add(endpointMeta({ host: "h", port: i, labels }), EndpointState.Ready);
      table.requestCapacity[slot] = capacity;
      table.sampleAtMs[slot] = 0;
    });
    this.controller = new FlowController({
      clock: this.clock,
      table,
      config: { ...flowDefaults, earlyRejection: "off", ...config },
      priorities: [],
      open: (slot) => table.state[slot] === EndpointState.Ready && mayPass(table, slot),
    });
    table.onRoom = (slot) => this.controller.room(slot);
  }

  /** A slot is given so many requests that nobody hears of again. */
  fill(slot: number, count: number): void {
    for (let i = 0; i < count; i++) this.table.inflight(slot, 1, 0, 0);
  }

  /** Asks for a place at any endpoint unless told otherwise. */
  ask(part: Partial<FlowAsk> = {}): void {
    this.controller.enqueue(0, {
      id: ++this.#ids,
      lane: "m",
      model: "m",
      slots: [...this.table.slots()],
      tenant: "t",
      priority: 0,
      receivedAtMs: this.clock.now(),
      promptTokens: 10,
      prefillTokens: 10,
      outputTokens: 5,
      bodyBytes: 100,
      ...part,
    }, () => {});
  }
}
