/** A router's knowledge of its endpoints, gathered as for another router, and how long that holds the event loop. */
export function gatherHeldMs(_endpoints: number, _blocks: number): Promise<number> {
  return Promise.resolve(0);
}
