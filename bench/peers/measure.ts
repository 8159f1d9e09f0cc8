/** One round of one program: everything asked of it between its start and its end. */
import { chunkBytes } from "../lib/chunk.ts";
import { Connection, type Target } from "../lib/http.ts";
import { closedLoop, pause } from "../lib/load.ts";
import { addedFirstByte, cpuPerChunk, cpuPerUnit, idleCores, type Streaming } from "../lib/measure.ts";
import { cpuSecondsOfTree, rssMbOfTree } from "../lib/procfs.ts";
import type { Program } from "../lib/programs.ts";
import { Prompts, shortBody } from "../lib/prompts.ts";

export interface Setting extends Streaming {
  readonly rounds: number;
  /** Requests each way in a round of the first-byte measurement. */
  readonly firstBytes: number;
  /** Tokens of the long prompts, by the name they have in figures. */
  readonly prompts: Readonly<Record<string, number>>;
}

/** Figures of one round by name; what could not be measured is NaN. */
export type Round = Record<string, number>;

const connections = 16;
const longConnections = 4;
const short = shortBody({ maxTokens: 60, stream: false });
const oneChunk = shortBody({ maxTokens: 1, stream: true });

/** Measures a program that has just answered its first request, `upstream` being one of its servers. */
export async function measureRound(program: Program, upstream: Target, setting: Setting): Promise<Round> {
  const { seconds, firstBytes, rampMs } = setting;
  const tree = { ...program, cpuClock: cpuSecondsOfTree };
  await checkStream(program.target, setting.gapMs);
  // Compiles the code paths of programs that do so while they run.
  await closedLoop(program.target, connections, seconds, () => short);
  await pause(rampMs / 2);
  const idle = await idleCores([tree], seconds / 2);
  const round: Round = { idle_cores: idle.get(program.name)! };
  round.cpu_us_per_chunk = (await cpuPerChunk(tree, idle, setting))?.us ?? NaN;
  const requests = (next: () => Uint8Array, inFlight: number) =>
    cpuPerUnit(tree, idle, () => closedLoop(program.target, inFlight, seconds, next));
  round.cpu_us_per_request = (await requests(() => short, connections)).us;
  for (const [name, tokens] of Object.entries(setting.prompts)) {
    const prompts = new Prompts({ tokens, sharedShare: 0.95, groups: 8, seed: tokens });
    const next = () => prompts.next({ maxTokens: 60, stream: false });
    round[`cpu_us_per_request_${name}`] = (await requests(next, longConnections)).us;
  }
  const added = await addedFirstByte(upstream, program.target, firstBytes, () => oneChunk);
  round.added_ms_p50 = added.p50;
  round.added_ms_p99 = added.p99;
  round.rss_mb = rssMbOfTree(program.child.pid);
  return round;
}

/** Throws unless a stream of ten chunks comes whole and as it is sent. */
async function checkStream(target: Target, gapMs: number): Promise<void> {
  const chunks = 10;
  const connection = new Connection(target);
  try {
    const { bodyBytes, firstByteMs, ms } = await connection.ask(shortBody({ maxTokens: chunks, stream: true }));
    const came = Math.floor(bodyBytes / chunkBytes);
    if (came !== chunks) throw new Error(`it passed on ${came} chunks of ${chunks}`);
    if (ms - firstByteMs < gapMs * (chunks - 1) / 2) throw new Error(`it held a stream back for ${firstByteMs} ms`);
  } finally {
    connection.close();
  }
}
