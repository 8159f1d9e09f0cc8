import type { Bench } from "./lib/bench.ts";
export const decide: Bench = { name: "decide", summary: "", flags: [], run: () => Promise.resolve({ figures: {} }) };
