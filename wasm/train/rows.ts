// Rows: which a tree learns from, their gradients, their place among the nodes, and what the tree says of them.
import { binAt, chance, columnAt, Job, Node, nodeAt, none } from "./layout";
import { goesRight } from "./split";

/** Chooses rows, each by itself: those taken come first in the order, ascending; all others after them. */
export function sampleRows(j: Job): void {
  let front = <usize>j.orderAt, back = front + (<usize>j.trainingRows << 2);
  const below = j.sampleBelow;
  for (let row: u32 = 0; row < j.trainingRows; row++) {
    const taken = <usize>(below == 0 || chance(j) < below);
    store<u32>(front, row);
    store<u32>(back - 4, row);
    front += taken << 2;
    back -= (1 - taken) << 2;
  }
  j.sampled = <u32>((front - <usize>j.orderAt) >> 2);
}

/** Chooses columns and gives each its place in the histograms. */
export function sampleColumns(j: Job): void {
  const chosen = <usize>j.chosenAt;
  for (let c: u32 = 0; c < j.columns; c++) store<u32>(chosen + (<usize>c << 2), c);
  for (let i: u32 = 0; i < j.columns; i++) {
    const other = i + <u32>((<u64>chance(j) * <u64>(j.columns - i)) >> 32);
    const c = load<u32>(chosen + (<usize>other << 2));
    store<u32>(chosen + (<usize>other << 2), load<u32>(chosen + (<usize>i << 2)));
    store<u32>(chosen + (<usize>i << 2), c);
    columnAt(j, c).lane = i < j.columnsByTree ? 0 : none;
  }
  let lane: u32 = 0;
  for (let c: u32 = 0; c < j.columns; c++) {
    if (columnAt(j, c).lane != none) columnAt(j, c).lane = lane++;
  }
}

/** Gradient and hessian of every row: of half the squared error, or of the pinball loss at `quantile`. */
export function gradients(j: Job, margins: usize, quantile: f32): void {
  const labels = <usize>j.labelsAt, weights = <usize>j.weightsAt;
  let pair = <usize>j.pairsAt;
  for (let at: usize = 0, past = <usize>j.trainingRows << 2; at < past; at += 4, pair += 8) {
    const weight: f32 = weights ? load<f32>(weights + at) : 1;
    const margin = load<f32>(margins + at), label = load<f32>(labels + at);
    const g: f32 = j.quantiles ? (margin >= label ? 1 - quantile : -quantile) : margin - label;
    store<f32>(pair, g * weight);
    store<f32>(pair, weight, 4);
  }
}

/** Puts the node's rows that go left before those that go right, each in order; returns where the latter begin. */
export function partition(j: Job, node: Node): u32 {
  const bins = binAt(j, node.column);
  const from = <usize>j.orderAt + (<usize>node.begin << 2), past = <usize>j.orderAt + (<usize>node.end << 2);
  let left = from, spare = <usize>j.spareAt;
  for (let at = from; at < past; at += 4) {
    const row = load<u32>(at);
    const right = <usize>goesRight(node, load<u8>(bins + (<usize>row << 4)));
    store<u32>(left, row);
    store<u32>(spare, row);
    left += (1 - right) << 2;
    spare += right << 2;
  }
  memory.copy(left, j.spareAt, past - left);
  return <u32>((left - <usize>j.orderAt) >> 2);
}

/** Adds the tree to the margins of all rows. */
export function addTree(j: Job, margins: usize): void {
  const order = <usize>j.orderAt;
  for (let n: u32 = 0; n < j.nodes; n++) {
    const node = nodeAt(j, n);
    if (node.left) continue;
    const past = order + (<usize>node.end << 2);
    for (let at = order + (<usize>node.begin << 2); at < past; at += 4) {
      const margin = margins + (<usize>load<u32>(at) << 2);
      store<f32>(margin, load<f32>(margin) + node.value);
    }
  }
  const past = order + (<usize>j.rows << 2);
  for (let at = order + (<usize>j.sampled << 2); at < past; at += 4) {
    const row = load<u32>(at);
    let node = nodeAt(j, 0);
    while (node.left) {
      node = nodeAt(j, node.left + goesRight(node, load<u8>(binAt(j, node.column) + (<usize>row << 4))));
    }
    const margin = margins + (<usize>row << 2);
    store<f32>(margin, load<f32>(margin) + node.value);
  }
}
