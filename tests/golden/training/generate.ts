/**
 * Writes `latency.bin`, the data the trainer is measured by against XGBoost: `deno run -A tests/golden/training/generate.ts`.
 * Little-endian: rows u32, columns u32, the columns one after the other in f32, the labels in f32. `generate.py` learns from
 * it and writes `figures.json`; the data stays as it is when the simulator changes, as the figures belong to it.
 */
import { simulateLatencies } from "../../../bench/predict/latency_data.ts";

const { rows, columns, ttftMs } = simulateLatencies(7000, 1);
const out = new Uint8Array(8 + (columns.length + 1) * rows * 4);
new Uint32Array(out.buffer, 0, 2).set([rows, columns.length]);
for (const [i, values] of [...columns, ttftMs].entries()) {
  new Float32Array(out.buffer, 8 + i * rows * 4, rows).set(values);
}
Deno.writeFileSync(new URL("latency.bin", import.meta.url), out);
