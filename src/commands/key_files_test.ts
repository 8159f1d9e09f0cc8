import { deepStrictEqual, equal, rejects } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { VirtualClock } from "../core/mod.ts";
import { KeyFiles } from "./key_files.ts";

const golden = (name: string) => fileURLToPath(new URL(`../../tests/golden/tls/${name}`, import.meta.url));

Deno.test("KeyFiles looks at its files every few seconds, tells of a change once and of files it cannot use", async () => {
  const folder = await Deno.makeTempDir();
  const files = { certFile: join(folder, "cert.pem"), keyFile: join(folder, "key.pem") };
  const put = async (touchedS: number) => {
    await Deno.copyFile(golden("server.pem"), files.certFile);
    await Deno.copyFile(golden("server.key"), files.keyFile);
    await Deno.utime(files.certFile, touchedS, touchedS);
  };
  try {
    await put(1);
    const clock = new VirtualClock(), told: string[] = [];
    const keys = await KeyFiles.open(files, "server.tls");
    keys.watch(clock, {
      onChange: () => Promise.resolve(void told.push("change")),
      onRenewed: (key) => told.push(`renewed ${key}`),
      onProblem: (key) => told.push(`problem ${key}`),
    });
    const look = async () => {
      clock.advance(5_000);
      // The look that the clock began goes first.
      await keys.check();
      await Promise.resolve();
      return told.splice(0);
    };
    deepStrictEqual(await look(), []);
    await put(2);
    deepStrictEqual(await look(), ["change", "renewed server.tls"]);
    deepStrictEqual(await look(), []);
    await Deno.writeTextFile(files.certFile, "nothing");
    deepStrictEqual(await look(), ["problem server.tls"]);
    deepStrictEqual(await look(), []);
    equal(keys.pair.cert, await Deno.readTextFile(golden("server.pem")));
    keys.stop();
    await put(3);
    deepStrictEqual(await look(), []);
    await rejects(KeyFiles.open({ ...files, keyFile: golden("ca.pem") }, "admin.tls"), {
      name: "ConfigError",
      key: "admin.tls",
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
