/** Replays what `deploy/Dockerfile` does with files, in a scratch folder and without a container engine. */
import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { dirname, join } from "node:path";
import { developmentPackages, embeddedFiles, permissions } from "../../.ci/embedded.ts";
import { isIgnored, parseCopy, parseDockerfile, parseExec, type Stage, textsOf } from "./dockerfile.ts";
import { exists, filesUnder, root, textOf } from "./source.ts";

const [build, final, ...more] = parseDockerfile(textOf("deploy/Dockerfile"));
const dockerignore = textOf(".dockerignore");

Deno.test("isIgnored() lets the last matching pattern decide", () => {
  const text = "**\n!src\n**/*_test.ts\n!deploy/*.ts";
  deepStrictEqual(
    ["README.md", "src/kv/index.ts", "src/kv/index_test.ts", "deploy/x.ts", "deploy/in/x.ts"].map((path) =>
      isIgnored(text, path)
    ),
    [true, false, true, false, true],
  );
});

Deno.test("the image has two stages and ends as an unprivileged user with ports and a health check", () => {
  equal(more.length, 0);
  equal(build.name, "build");
  equal(textsOf(final, "USER").at(-1), "65532:65532");
  deepStrictEqual(textsOf(final, "EXPOSE"), ["8000 9090"]);
  const check = parseExec(textsOf(final, "HEALTHCHECK")[0]);
  equal(check.at(-1), "deploy/healthcheck.ts");
  ok(!check.includes("-A") && !check.includes("--allow-all"));
});

Deno.test("the image starts the program with the listed permissions, from the cache, under the lock file", () => {
  deepStrictEqual(parseExec(textsOf(final, "ENTRYPOINT")[0]), [
    ...["deno", "run", "--cached-only", "--frozen"],
    ...permissions,
    "src/main.ts",
  ]);
  deepStrictEqual(parseExec(textsOf(final, "CMD")[0]), ["serve"]);
});

Deno.test("the image caches the packages of every module it may start", () => {
  const install = textsOf(build, "RUN").find((text) => text.startsWith("deno install"))!;
  const modules = ["src/main.ts", ...embeddedFiles.filter((file) => file.endsWith(".ts")), "deploy/healthcheck.ts"];
  deepStrictEqual(install.split(" ").filter((word) => word.endsWith(".ts")), modules);
  match(install, /--frozen/);
});

Deno.test("the image leaves out the packages of development", () => {
  const remove = textsOf(build, "RUN").find((text) => text.startsWith("deno remove"))!;
  deepStrictEqual(remove.split(" ").slice(3), [...developmentPackages]);
});

Deno.test("the image, the gate and the README name the same version of Deno", () => {
  const versions = ["deploy/Dockerfile", ".ci/run", "README.md"].filter(exists).flatMap((path) =>
    [...textOf(path).matchAll(/deno(?:@|_version=)(\d+\.\d+\.\d+)/g)].map(([, version]) => version)
  );
  deepStrictEqual([...new Set(versions)].length, 1);
});

Deno.test("every COPY of the image has a source", () => {
  const copies = textsOf(build, "COPY").map(parseCopy);
  const missing = copies.flatMap(({ sources }) => sources).filter((source) => contextFiles(source).length === 0);
  deepStrictEqual(missing, []);
  const made = [...copies.map(() => "/app"), "/deno-dir", "/usr/local/bin/deno"];
  const taken = textsOf(final, "COPY").map(parseCopy);
  deepStrictEqual(taken.filter(({ from, sources }) => from !== "build" || !made.includes(sources[0])), []);
});

Deno.test("the files of the image are enough to build and start it", async () => {
  const scratch = await Deno.makeTempDir({ prefix: "warmpath-image-" });
  try {
    const app = join(scratch, "app");
    await replayCopies(build, app);
    deepStrictEqual(embeddedFiles.filter((file) => !filesExist(app, file)), []);
    for (const command of textsOf(build, "RUN").filter((text) => text.startsWith("deno "))) {
      await runDeno(app, command.split(" ").slice(1));
    }
    const help = await runDeno(app, [...parseExec(textsOf(final, "ENTRYPOINT")[0]).slice(1), "--help"]);
    match(help, /serve/);
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
});

Deno.test("healthcheck.ts tells 200 from other answers and from silence", async () => {
  let status = 200;
  const paths: string[] = [];
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    paths.push(new URL(request.url).pathname);
    return new Response("body", { status });
  });
  const args = parseExec(textsOf(final, "HEALTHCHECK")[0]).slice(1);
  const check = async () => {
    const env = { WARMPATH_ADMIN_PORT: String(server.addr.port), NO_COLOR: "1" };
    const { code } = await new Deno.Command(Deno.execPath(), { args, cwd: root, env, stderr: "null" }).output();
    return code;
  };
  equal(await check(), 0);
  status = 503;
  equal(await check(), 1);
  deepStrictEqual(paths, ["/livez", "/livez"]);
  await server.shutdown();
  equal(await check(), 1);
});

/** Files of the build context that a `COPY` of `source` takes. */
function contextFiles(source: string): string[] {
  const files = exists(source) && Deno.statSync(join(root, source)).isFile ? [source] : filesUnder(source);
  return files.filter((path) => !isIgnored(dockerignore, path));
}

function filesExist(folder: string, path: string): boolean {
  try {
    return Deno.statSync(join(folder, path)).isFile;
  } catch {
    return false;
  }
}

/** Copies what the stage copies from the build context; its working directory becomes `app`. */
async function replayCopies(stage: Stage, app: string): Promise<void> {
  for (const { sources, target } of textsOf(stage, "COPY").map(parseCopy)) {
    for (const source of sources) {
      for (const file of contextFiles(source)) {
        const inside = file.slice(source.length);
        const to = join(app, target.endsWith("/") ? join(target, file) : target + inside);
        await Deno.mkdir(dirname(to), { recursive: true });
        await Deno.copyFile(join(root, file), to);
      }
    }
  }
}

/** Runs deno and gives back its output; throws with what it printed when it fails. */
async function runDeno(cwd: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = new TextDecoder().decode(stdout);
  ok(success, `deno ${args.join(" ")}\n${text}${new TextDecoder().decode(stderr)}`);
  return text;
}
