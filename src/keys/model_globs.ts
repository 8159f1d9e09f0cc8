/** Whether a model's name fits one of `patterns`, in which `*` stands for any text; no patterns allow every name. */
export function modelMatcher(patterns: readonly string[]): (model: string) => boolean {
  if (patterns.length === 0) return () => true;
  const exact = new Set(patterns.filter((pattern) => !pattern.includes("*")));
  const globs = patterns.filter((pattern) => pattern.includes("*")).map((pattern) => pattern.split("*"));
  return (model) => exact.has(model) || globs.some((pieces) => fits(model, pieces));
}

/** Whether `text` is these pieces in order with any text between them. Linear: a regular expression may not be. */
function fits(text: string, pieces: readonly string[]): boolean {
  const first = pieces[0], last = pieces[pieces.length - 1];
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  const end = text.length - last.length;
  let at = first.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = text.indexOf(piece, at);
    if (found < 0 || found + piece.length > end) return false;
    at = found + piece.length;
  }
  return true;
}
