/**
 * Tells one version of a file from the next. Follows links: a mounted ConfigMap or Secret is swapped by its link. Rejects
 * where there is no such file.
 */
export async function fileStamp(path: string): Promise<string> {
  const { mtime, size, ino } = await Deno.stat(path);
  return `${mtime?.getTime()} ${size} ${ino}`;
}
