// Sizes that the training kernel and its door agree on; the kernel compiles this file too.

/** Bytes of a bin's sums: gradient and hessian, f64. */
export const binBytes = 16;
/** Bytes of a column's sums: 256 bins, and a line more so that equal bins of columns lie in different sets of the cache. */
export const laneBytes = 256 * binBytes + 64;
/** Bytes of the records of the job, a column and a node. */
export const jobBytes = 192;
export const columnBytes = 20;
export const nodeBytes = 144;
/** Bytes of scratch: 256 codes in order, then a weight each. */
export const sortBytes = 256 + 256 * 8;
