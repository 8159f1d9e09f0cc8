/**
 * Numbers the forest kernel and its TypeScript door agree on. Plain literals only: the AssemblyScript compiler reads this
 * file too, so that an offset exists once.
 */

/** Columns a caller fills, by row; the forests of both targets read the same ones. */
export const featuresMax = 32;
export const targets = 2;
/** Outputs of one target. */
export const groupsMax = 4;

// A packed forest: a header, what each test column is, the trees. All u32 unless said otherwise, little-endian.
//
//   0        32                                  bytes
//   ├────────┼─────────────────┼─ ─ ─┼───────────┤
//   │ header │ test columns×16 │ sets│ trees     │
//   └────────┴─────────────────┴─ ─ ─┴───────────┘
//
// Nodes compare integers. A test column holds, for the rows scored together, a number that orders as a feature's values
// do, with missing values where its nodes want them, or 0 and 1 for a set of categories. So every node is one comparison,
// whatever its feature is.
export const headerBytes = 32;
/** Bytes of the whole; 0: there is none. */
export const bytesAt = 0;
export const groupCountAt = 4;
export const testCountAt = 8;
/** First tree, from the start. */
export const treesAt = 12;
/** f32 an output, added to the margin of every row. */
export const interceptsAt = 16;

/** Feature column; `kind…`; where its set of category codes lies, from the start, and its 32-bit words. */
export const testBytes = 16;
export const testKindAt = 4;
export const testSetAt = 8;
export const testWordsAt = 12;
/** Test columns a forest may have: their addresses in a block fit 16 bits. */
export const testsMax = 256;

/** A value's key; a missing value is more than all, so that it goes right. */
export const kindNumber = 0;
/** A value's key; a missing value is less than all, so that it goes left. */
export const kindNumberMissingLeft = 1;
/** 1 where the code is in the set, which goes right, and where it is missing. */
export const kindSet = 2;
/** 1 where the code is in the set, 0 where it is missing. */
export const kindSetMissingLeft = 3;
/** Codes of categories are below this; a value from here on is in no set. */
export const categoryEnd = 16777216;

// A tree: depth u8 (0: chained), output u8, u16 unused, bytes of the tree u32. Then
// perfect: nodes 1 … 2^depth - 1, breadth first, the children of n being 2n (right) and 2n + 1 (left): key i32, offset of
//   the test column u16, u16 unused; then 2^depth leaves f32.
// chained: nodes from 0 on: key i32, offset of the test column u16, u16 unused, left child u32, the right one following it.
//   A leaf has left child 0, and its value in place of the key.
export const treeHeaderBytes = 8;
export const nodeBytes = 8;
export const chainedNodeBytes = 12;
/** The kernel takes the first levels of a perfect tree at once. */
export const perfectDepthMin = 3;
/** Deeper trees are chained. */
export const perfectDepthMax = 16;
/** Levels walked at most. */
export const depthMax = 255;

// Scratch of an isolate: `featuresMax` columns, the base margin of each target, `groupsMax` outputs of each target, all
// f32 by row with room for a multiple of `lanes` rows; then the block.
/** Rows walked in lockstep. */
export const lanes = 8;
/** Rows scored together: with their test columns and one tree they lie in the first-level cache. */
export const blockRows = 64;
/** Bytes of one test column of a block. */
export const blockColumnBytes = 256;
/** Wherever a 16-bit offset and a row lead lies in the block. */
export const blockBytes = 66048;
