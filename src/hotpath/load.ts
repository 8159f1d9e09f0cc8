import { layoutMemory, type MemoryLayout, type MemorySizes } from "./layout.ts";

/** The kernels' functions; addresses and lengths are byte numbers in the shared memory. */
// deno-lint-ignore no-explicit-any
export type KernelExports = Record<string, (...args: any[]) => any>;

/** One isolate's instance of the kernels over the shared memory. */
export interface HotpathInstance {
  readonly memory: WebAssembly.Memory;
  readonly layout: MemoryLayout;
  readonly kernels: KernelExports;
}

/** Instantiates the module. Pages are reserved, not touched: unused bytes of a region cost no memory. */
export async function instantiate(sizes: MemorySizes, endpointTableBytes: number): Promise<HotpathInstance> {
  const layout = layoutMemory(sizes, endpointTableBytes);
  const memory = new WebAssembly.Memory({ initial: layout.pages, maximum: 65_536, shared: true });
  const bytes = await Deno.readFile(new URL("./warmpath.wasm", import.meta.url));
  const { instance } = await WebAssembly.instantiate(bytes, { env: { memory } });
  return { memory, layout, kernels: instance.exports as unknown as KernelExports };
}
