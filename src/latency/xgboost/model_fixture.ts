/** A small model as the object that XGBoost 3.2 writes as JSON, to be changed by tests. */

export type Members = Record<string, unknown>;

/** Three nodes: feature 0 below 0.5 gives 1, else 2. */
export function treeObject(changes: Members = {}): Members {
  return {
    base_weights: [0, 1, 2],
    categories: [],
    categories_nodes: [],
    categories_segments: [],
    categories_sizes: [],
    default_left: [1, 0, 0],
    id: 0,
    left_children: [1, -1, -1],
    loss_changes: [3, 0, 0],
    parents: [2147483647, 0, 0],
    right_children: [2, -1, -1],
    split_conditions: [0.5, 1, 2],
    split_indices: [0, 0, 0],
    split_type: [0, 0, 0],
    sum_hessian: [2, 1, 1],
    tree_param: { num_deleted: "0", num_feature: "2", num_nodes: "3", size_leaf_vector: "1" },
    ...changes,
  };
}

export interface ModelChanges {
  readonly trees?: readonly Members[];
  /** In place of members of the respective object. */
  readonly model?: Members;
  readonly booster?: Members;
  readonly param?: Members;
  readonly learner?: Members;
  readonly root?: Members;
}

export function modelObject(changes: ModelChanges = {}): Members {
  const { trees = [treeObject()], model, booster, param, learner, root } = changes;
  return {
    learner: {
      attributes: {},
      feature_names: [],
      feature_types: [],
      gradient_booster: {
        model: {
          gbtree_model_param: { num_parallel_tree: "1", num_trees: `${trees.length}` },
          tree_info: trees.map(() => 0),
          trees: trees.map((tree, id) => ({ ...tree, id })),
          ...model,
        },
        name: "gbtree",
        ...booster,
      },
      learner_model_param: { base_score: "[5E-1]", num_class: "0", num_feature: "2", num_target: "1", ...param },
      objective: { name: "reg:squarederror", reg_loss_param: { scale_pos_weight: "1" } },
      ...learner,
    },
    version: [3, 2, 0],
    ...root,
  };
}

export function modelBytes(changes: ModelChanges = {}): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(modelObject(changes)));
}
