import type { Target } from "./features.ts";
import type { MadeForest } from "./forest_shop.ts";
import type { TrainingParameters, TrainingSet } from "./trainer.ts";

/** What the shop's worker is asked; it answers each in turn. */
export type ToShop =
  | {
    readonly kind: "train";
    readonly set: TrainingSet;
    readonly parameters: TrainingParameters;
    readonly share: number;
  }
  | {
    readonly kind: "open";
    readonly target: Target;
    readonly file: Uint8Array;
    readonly heldBack: readonly Float32Array[];
    readonly quantile: number;
    readonly residual: boolean;
  };

export type FromShop =
  | { readonly kind: "trained"; readonly file: Uint8Array }
  | { readonly kind: "opened"; readonly forest: Omit<MadeForest, "tookMs"> }
  | { readonly kind: "failed"; readonly message: string };
