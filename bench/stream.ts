import type { Bench } from "./lib/bench.ts";
export const stream: Bench = { name: "stream", summary: "", flags: [], run: () => Promise.resolve({ figures: {} }) };
