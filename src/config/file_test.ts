import { deepStrictEqual, equal, rejects } from "node:assert/strict";
import { join } from "node:path";
import { ConfigError } from "../core/mod.ts";
import { readConfigFile, resolveConfig, withKeysFile } from "./mod.ts";

async function withFolder(
  files: Readonly<Record<string, string>>,
  test: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(join(folder, name), text);
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("readConfigFile() refuses a file that is not there", async () => {
  await rejects(readConfigFile("/nowhere/w.yaml"), (error: Error) => {
    equal(error.message, "/nowhere/w.yaml: must be a readable file: no such file");
    return error instanceof ConfigError;
  });
});

Deno.test("readConfigFile() reads the EndpointPickerConfig a file names, relative to the file", async () => {
  const picker = "kind: EndpointPickerConfig\nplugins: []\n";
  const files = { "w.yaml": "workers: 2\nscheduling: {endpointPickerConfig: epp.yaml, seed: 3}\n", "epp.yaml": picker };
  await withFolder(files, async (folder) => {
    const config = resolveConfig(await readConfigFile(join(folder, "w.yaml")));
    equal(config.workers, 2);
    const source = { text: picker, fileName: join(folder, "epp.yaml") };
    deepStrictEqual(config.scheduling, { from: "endpoint-picker-config", source, seed: 3 });
  });
});

Deno.test("readConfigFile() names the key whose file is not there", async () => {
  await withFolder({ "w.yaml": "\nscheduling: {endpointPickerConfig: epp.yaml}\n" }, async (folder) => {
    const [file, picker] = [join(folder, "w.yaml"), join(folder, "epp.yaml")];
    await rejects(readConfigFile(file), {
      message: `${file}:2: scheduling.endpointPickerConfig: must be a readable file: no such file: ${picker}`,
    });
  });
});

Deno.test("readConfigFile() finds other files relative to the file that names them", async () => {
  const files = {
    "w.yaml": "discovery: {file: list.yaml}\nupstream: {attemptsMax: 2, tls: {caFile: ca.pem}}\n" +
      "server: {tls: {certFile: ca.pem, keyFile: ca.pem}}\n",
    "list.yaml": "endpoints: []\n",
    "ca.pem": "",
  };
  await withFolder(files, async (folder) => {
    const config = resolveConfig(await readConfigFile(join(folder, "w.yaml")));
    equal(config.discovery.file, join(folder, "list.yaml"));
    equal(config.upstream.tls.caFile, join(folder, "ca.pem"));
    equal(config.upstream.attemptsMax, 2);
    equal(config.server.tls?.keyFile, join(folder, "ca.pem"));
    await Deno.remove(join(folder, "list.yaml"));
    await rejects(readConfigFile(join(folder, "w.yaml")), {
      message: `${join(folder, "w.yaml")}:1: discovery.file: must be a readable file: no such file: ${
        join(folder, "list.yaml")
      }`,
    });
  });
});

Deno.test("readConfigFile() places what predictions begin with and are kept in beside the file, there or not", async () => {
  const latency = "latency: {seedModel: {ttft: seed/ttft.ubj, tpot: /models/tpot.json}, snapshot: {file: learned}}\n";
  await withFolder({ "w.yaml": latency, "none.yaml": "latency: {seedModel: {}}\n" }, async (folder) => {
    const config = resolveConfig(await readConfigFile(join(folder, "w.yaml")));
    deepStrictEqual(config.latency.seedModel, { ttft: join(folder, "seed/ttft.ubj"), tpot: "/models/tpot.json" });
    deepStrictEqual(config.latency.snapshot, { file: join(folder, "learned"), intervalMs: 60_000 });
    const none = resolveConfig(await readConfigFile(join(folder, "none.yaml"))).latency;
    deepStrictEqual([none.seedModel, none.snapshot], [{}, { intervalMs: 60_000 }]);
  });
});

Deno.test("readConfigFile() reads keys and secrets from the files named, and says where one is wrong", async () => {
  const hash = `sha256:${"0".repeat(64)}`;
  const files = {
    "w.yaml": "keys: {file: keys.yaml}\nadmin: {tokenFile: token}\nupstream: {authorizationFile: engines}\n",
    "keys.yaml": `list: [{id: a, hash: "${hash}"}]\n`,
    "token": "the-token\n",
    "engines": "Bearer theirs\n",
  };
  await withFolder(files, async (folder) => {
    const path = join(folder, "w.yaml"), keys = join(folder, "keys.yaml");
    const config = resolveConfig(await readConfigFile(path));
    deepStrictEqual(config.keys.list.map(({ id }) => id), ["a"]);
    deepStrictEqual([config.admin.token, config.upstream.authorization], ["the-token", "Bearer theirs"]);
    deepStrictEqual(config.files, [keys, join(folder, "token"), join(folder, "engines")]);
    await Deno.writeTextFile(keys, "list: [{id: a}]\n");
    await rejects(readConfigFile(path), {
      message: `${keys}:1: list[0].hash: must be "sha256:" and 64 hex digits, as \`warmpath key\` prints`,
    });
    const other = join(folder, "other.yaml");
    await Deno.writeTextFile(other, `list: [{id: b, hash: "${hash}"}]\n`);
    await Deno.writeTextFile(keys, "list: []\n");
    const replaced = resolveConfig(await withKeysFile(await readConfigFile(path), other));
    deepStrictEqual(replaced.keys.list.map(({ id }) => id), ["b"]);
    await Deno.writeTextFile(join(folder, "token"), "two\nlines\n");
    await rejects(readConfigFile(path), { message: `${join(folder, "token")}: must hold one line of printable ASCII` });
    await Deno.remove(keys);
    await rejects(readConfigFile(path), {
      message: `${path}:1: keys.file: must be a readable file: no such file: ${keys}`,
    });
  });
});
