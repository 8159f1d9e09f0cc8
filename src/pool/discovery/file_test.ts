import { deepStrictEqual, equal, match, rejects } from "node:assert/strict";
import { ConfigError, systemClock } from "../../core/mod.ts";
import { type DiscoveredEndpoint, endpointId } from "./discovery.ts";
import { endpointFileBytesMax } from "./endpoint_file.ts";
import { FileDiscovery } from "./file.ts";

const ids = (list: readonly DiscoveredEndpoint[]) => list.map(endpointId);

/** What a source said, and a way to wait for the next thing. */
class Listener {
  readonly lists: string[][] = [];
  readonly errors: string[] = [];
  #wake = () => {};

  readonly onChange = (list: readonly DiscoveredEndpoint[]) => (this.lists.push(ids(list)), this.#wake());
  readonly onError = (error: Error) => (this.errors.push(error.message), this.#wake());

  async until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise<void>((resolve) => this.#wake = resolve);
  }
}

const fileText = (...ports: number[]) =>
  `endpoints:\n${ports.map((p) => `  - {name: e${p}, address: 10.0.0.1, port: ${p}}\n`).join("")}`;

async function inDirectory(fn: (path: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    await fn(`${directory}/endpoints.yaml`);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("FileDiscovery follows a write in place, an atomic rename and a swapped link", () =>
  inDirectory(async (path) => {
    await Deno.writeTextFile(path, fileText(1));
    const source = new FileDiscovery(path, systemClock, { pollIntervalMs: 60_000 });
    const heard = new Listener();
    await source.start(heard.onChange, heard.onError);
    deepStrictEqual(heard.lists, [["10.0.0.1:1"]]);

    await Deno.writeTextFile(path, fileText(1, 2));
    await heard.until(() => heard.lists.length === 2);

    await Deno.writeTextFile(`${path}.new`, fileText(3));
    await Deno.rename(`${path}.new`, path);
    await heard.until(() => heard.lists.length === 3);

    await Deno.writeTextFile(`${path}.target`, fileText(4));
    await Deno.symlink(`${path}.target`, `${path}.link`);
    await Deno.rename(`${path}.link`, path);
    await heard.until(() => heard.lists.length === 4);
    source.stop();
    deepStrictEqual(heard.lists.slice(1), [["10.0.0.1:1", "10.0.0.1:2"], ["10.0.0.1:3"], ["10.0.0.1:4"]]);
    deepStrictEqual(heard.errors, []);
  }));

Deno.test("FileDiscovery keeps the old list while the file is bad or gone, says why once, and takes the mended file", () =>
  inDirectory(async (path) => {
    await Deno.writeTextFile(path, fileText(1));
    const source = new FileDiscovery(path, systemClock, { pollIntervalMs: 20, quietMs: 20 });
    const heard = new Listener();
    await source.start(heard.onChange, heard.onError);
    await Deno.writeTextFile(path, "endpoints:\n  - name: a\n");
    await heard.until(() => heard.errors.length === 1);
    equal(heard.errors[0], `${path}:2: endpoints[0].address: is required`);
    await Deno.remove(path);
    await heard.until(() => heard.errors.length === 2);
    match(heard.errors[1], /must be a readable file/);
    await source.check();
    await source.check();
    await Deno.writeTextFile(path, fileText(2));
    await heard.until(() => heard.lists.length === 2);
    source.stop();
    equal(heard.errors.length, 2);
    deepStrictEqual(heard.lists, [["10.0.0.1:1"], ["10.0.0.1:2"]]);
  }));

Deno.test("FileDiscovery polls where no notification comes", () =>
  inDirectory(async (path) => {
    // The link's directory stays still while its target elsewhere changes.
    const elsewhere = await Deno.makeTempDir();
    const target = `${elsewhere}/target`;
    await Deno.writeTextFile(target, fileText(1));
    await Deno.symlink(target, path);
    const source = new FileDiscovery(path, systemClock, { pollIntervalMs: 10, quietMs: 5 });
    const heard = new Listener();
    await source.start(heard.onChange, heard.onError);
    await Deno.writeTextFile(target, fileText(1, 2, 3));
    await heard.until(() => heard.lists.length === 2);
    source.stop();
    equal(heard.lists[1].length, 3);
    await Deno.remove(elsewhere, { recursive: true });
  }));

Deno.test("FileDiscovery refuses to start without a good file", () =>
  inDirectory(async (path) => {
    const { onChange, onError } = new Listener();
    const start = () => new FileDiscovery(path, systemClock).start(onChange, onError);
    await rejects(start(), ConfigError);
    await Deno.writeTextFile(path, "nonsense: 1");
    await rejects(start(), { message: `${path}:1: nonsense: is not a known key: expected one of endpoints` });
    await Deno.writeTextFile(path, "#".repeat(endpointFileBytesMax + 1));
    await rejects(start(), /at most 1048576 bytes/);
  }));
