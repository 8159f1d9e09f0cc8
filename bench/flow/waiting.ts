/** A process in which requests wait and nothing happens; says `{"waiting": COUNT}` when they do. */
import { vtcDefaults } from "../../src/config/mod.ts";
import { Backlog } from "./backlog.ts";

const queued = Number(Deno.args[0]);
const backlog = new Backlog({ endpoints: 8, flows: 1000, queued, fairness: vtcDefaults });
console.log(JSON.stringify({ waiting: backlog.flow.size }));
// The controller's timer keeps no process alive.
setTimeout(() => {}, 3_600_000);
