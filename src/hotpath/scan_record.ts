import * as layout from "./scan_layout.ts";
import type { ByteSpan } from "./scan_result.ts";

/** What the scan found out about one part of the prompt. */
export interface PromptGroup {
  readonly textBytes: number;
  readonly mediaParts: number;
  readonly mediaTokens: number;
  /** Token ids. */
  readonly tokens: number;
  /** Shape bits of the value or of its elements. */
  readonly shape: number;
  /** 0, or what makes the value unusable. */
  readonly problem: number;
  readonly problemOffset: number;
}

/** Read access to the record that the scan kernel leaves. */
export class RequestRecord {
  readonly address: number;
  readonly #words: Uint32Array;
  readonly #floats: Float64Array;

  constructor(buffer: ArrayBufferLike, address: number) {
    this.address = address;
    this.#words = new Uint32Array(buffer, address, layout.stateAt / 4);
    this.#floats = new Float64Array(buffer, address, layout.stateAt / 8);
  }

  get error(): number {
    return this.#words[layout.errorAt / 4];
  }

  get errorOffset(): number {
    return this.#words[layout.errorOffsetAt / 4];
  }

  get open(): number {
    return this.#words[layout.openAt / 4];
  }

  get empty(): boolean {
    return this.#words[layout.emptyAt / 4] === 1;
  }

  /** Where the value of a field lies. */
  field(field: number): ByteSpan | undefined {
    const at = layout.fieldsAt / 4 + field * 2;
    const end = this.#words[at + 1];
    return end === 0 ? undefined : { start: this.#words[at], end };
  }

  group(rank: number): PromptGroup {
    const at = layout.groupsAt + rank * layout.groupBytes;
    const word = (offset: number): number => this.#words[(at + offset) / 4];
    return {
      textBytes: word(layout.groupTextBytesAt),
      mediaParts: word(layout.groupMediaPartsAt),
      mediaTokens: this.#floats[(at + layout.groupMediaTokensAt) / 8],
      tokens: word(layout.groupTokensAt),
      shape: word(layout.groupShapeAt),
      problem: word(layout.groupProblemAt),
      problemOffset: word(layout.groupProblemOffsetAt),
    };
  }
}
