/**
 * Why a model file is refused: larger than allowed; a Python pickle; XGBoost's binary format before 3.1; none of its
 * formats; not valid JSON or UBJSON; ends too early; nested too deep; more trees, nodes or values than allowed; a member
 * missing or of the wrong form; no tree; a model that is not supported; an objective that is not known.
 */
export type ModelFileFault =
  | "too-large"
  | "pickle"
  | "old-binary"
  | "not-a-model"
  | "syntax"
  | "truncated"
  | "too-deep"
  | "limit"
  | "malformed"
  | "tree"
  | "unsupported"
  | "objective";

/** A model file that is not read. The message says where the fault is. */
export class ModelFileError extends Error {
  override readonly name = "ModelFileError";

  constructor(readonly kind: ModelFileFault, message: string) {
    super(message);
  }
}
