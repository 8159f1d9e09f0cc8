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

/** What other isolates need to map the same memory; it can be sent to them. */
export interface SharedHotpath {
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module;
}

/** Makes the memory. Pages are reserved, not touched: unused bytes of a region cost no memory. */
export async function makeShared(sizes: MemorySizes, endpointTableBytes: number): Promise<SharedHotpath> {
  const { pages } = layoutMemory(sizes, endpointTableBytes);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: 65_536, shared: true });
  return { memory, module: await compileKernels() };
}

let compiled: Promise<WebAssembly.Module> | undefined;

/** Compiled once an isolate, so that what ran often stays optimised. */
function compileKernels(): Promise<WebAssembly.Module> {
  return compiled ??= Deno.readFile(new URL("./warmpath.wasm", import.meta.url)).then((bytes) =>
    WebAssembly.compile(bytes)
  );
}

/** The kernels over a memory that serves something else than routing. */
export async function loadKernels(memory: WebAssembly.Memory): Promise<KernelExports> {
  const instance = await WebAssembly.instantiate(await compileKernels(), { env: { memory } });
  return instance.exports as unknown as KernelExports;
}

/** The kernels over a memory, with the scratch of one isolate. */
export async function mapShared(
  { memory, module }: SharedHotpath,
  sizes: MemorySizes,
  endpointTableBytes: number,
  isolate: number,
): Promise<HotpathInstance> {
  const layout = layoutMemory(sizes, endpointTableBytes, isolate);
  const instance = await WebAssembly.instantiate(module, { env: { memory } });
  return { memory, layout, kernels: instance.exports as unknown as KernelExports };
}

/** The kernels over a memory of their own. */
export async function instantiate(sizes: MemorySizes, endpointTableBytes: number): Promise<HotpathInstance> {
  return await mapShared(await makeShared(sizes, endpointTableBytes), sizes, endpointTableBytes, 0);
}
