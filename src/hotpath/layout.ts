import { blockBytes, featuresMax, groupsMax, lanes, targets } from "./forest_layout.ts";

/** Sizes the shared memory is laid out for; all fixed at start. */
export interface MemorySizes {
  /** Slots of the endpoint table, at most 1,024. */
  readonly endpoints: number;
  /** Bytes for the block tree; 0: none. */
  readonly blockTreeBytes: number;
  /** Longest request body the scan accepts. */
  readonly bodyBytesMax: number;
  /** Prompt tokens hashed for prefix matching; what lies beyond is not matched. */
  readonly prefixTokensMax: number;
  /** Bytes of one packed forest at most; 0: none. @default {0} */
  readonly forestBytes?: number;
  /** Isolates that map the memory, each with a scratch of its own. @default {1} */
  readonly isolates?: number;
}

/** One stretch of the shared memory. */
export interface Region {
  readonly offset: number;
  readonly bytes: number;
}

//   0        64 KiB                                                                                      end
//   ├────────┼────────────────┼────────────┼─────────┼──────┼───────┼────────┼────────┼────────┼──────┼─ ─ ┤
//   │ static │ endpoint table │ block tree │ forests │ body │ spans │ prompt │ hashes │ blocks │ rows │    │
//   └────────┴────────────────┴────────────┴─────────┴──────┴───────┴────────┴────────┴────────┴──────┴─ ─ ┘
// Every region starts on a 64-byte line. "static" is the compiler's own data. The six from "body" on are the scratch of
// one isolate, and follow once for each: the request body, the scan's result and prompt spans, the canonical prompt
// bytes, its block hashes, what goes in and out of the block tree, what goes in and out of the forests.
export interface MemoryLayout {
  readonly endpointTable: Region;
  readonly body: Region;
  readonly spans: Region;
  readonly prompt: Region;
  readonly hashes: Region;
  readonly blockTree: Region;
  readonly blocks: Region;
  /** A state line for each target, then two buffers for each. */
  readonly forests: Region;
  readonly rows: Region;
  /** Pages of 64 KiB the memory needs. */
  readonly pages: number;
}

/** Bytes of a prompt span: start u32, end u32, kind u32. */
export const spanBytes = 12;
/** Prompt spans kept for one request; the text of later ones is counted and not hashed. */
export const spansMax = 262_144;
/** Bytes before the spans: the scan's result record and its nesting stack. */
export const scanRecordBytes = 8192;
/** Bytes of the block tree's scratch, its match result apart: longer input goes in parts. */
export const blockScratchBytes = 1 << 20;
/** Smallest block the hash kernel accepts, in tokens: sizes the hash region. */
export const blockTokensMin = 16;

const pageBytes = 65_536;
const line = 64;

/** Features, then margins, then outputs. */
const rowColumns = featuresMax + targets * (1 + groupsMax);

/** Rows of a forest's columns: an endpoint each, up to whole lanes. */
export function forestRows(endpoints: number): number {
  return Math.ceil(endpoints / lanes) * lanes;
}

/** Where a target's buffer lies in the region of the forests. */
export function forestBufferAt(forestBytes: number, target: number, buffer: number): number {
  return targets * line + (target * 2 + buffer) * Math.ceil(forestBytes / line) * line;
}

/**
 * Places every region, with the scratch of `isolate`; `endpointTableBytes` comes from the table's own size rule. Throws
 * RangeError for more than 4 GiB.
 */
export function layoutMemory(sizes: MemorySizes, endpointTableBytes: number, isolate = 0): MemoryLayout {
  let at = pageBytes;
  const take = (bytes: number): Region => {
    const region = { offset: at, bytes };
    at = Math.ceil((at + bytes) / line) * line;
    return region;
  };
  const forestBytes = sizes.forestBytes ?? 0;
  const shared = {
    endpointTable: take(endpointTableBytes),
    blockTree: take(sizes.blockTreeBytes),
    forests: take(forestBytes ? forestBufferAt(forestBytes, targets, 0) : 0),
  };
  const sharedEnd = at;
  const scratch = () => ({
    // Room after the body, so that vector loads may read past its end.
    body: take(sizes.bodyBytesMax + line),
    spans: take(scanRecordBytes + spansMax * spanBytes),
    prompt: take(sizes.prefixTokensMax * 4 + line),
    hashes: take(Math.ceil(sizes.prefixTokensMax / blockTokensMin) * 8 + line),
    blocks: take(sizes.blockTreeBytes ? blockScratchBytes + sizes.endpoints * 24 + line : 0),
    rows: take(forestBytes ? forestRows(sizes.endpoints) * 4 * rowColumns + blockBytes : 0),
  });
  scratch();
  const scratchBytes = at - sharedEnd;
  const isolates = sizes.isolates ?? 1;
  const pages = Math.ceil((sharedEnd + scratchBytes * isolates) / pageBytes);
  if (pages > 65_536) {
    throw new RangeError(`Cannot lay out ${pages * pageBytes} bytes of shared memory: the limit is 4 GiB`);
  }
  at = sharedEnd + scratchBytes * isolate;
  return { ...shared, ...scratch(), pages };
}
