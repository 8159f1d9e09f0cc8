/** Gets peers by the machine's own package tools into a folder that is gone after the run. */
import type { Package } from "./peer.ts";

/** Runs a tool to its end; its words are the error's when it fails. */
async function run(program: string, args: readonly string[], cwd: string): Promise<string> {
  const command = new Deno.Command(program, { args: [...args], cwd, stdin: "null", stdout: "piped", stderr: "piped" });
  const { success, stdout, stderr } = await command.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
  if (!success) throw new Error(`${program} ${args[0]} failed: ${lastLines(`${text(stdout)}\n${text(stderr)}`)}`);
  return text(stdout);
}

/** The end of what a program said, in one line. */
export function lastLines(text: string): string {
  return text.trim().split("\n").slice(-3).join(" | ").slice(-300);
}

/** Installs into `folder`; the version it got. */
export async function install(what: Package, folder: string): Promise<string> {
  await Deno.mkdir(folder, { recursive: true });
  if ("pip" in what) {
    await run("python3", ["-m", "pip", "install", "--quiet", "--target", folder, what.pip], folder);
    return what.pip.split("==")[1];
  }
  if ("npm" in what) {
    await run("npm", ["install", "--prefix", folder, "--no-audit", "--no-fund", "--ignore-scripts", what.npm], folder);
    return what.npm.slice(what.npm.lastIndexOf("@") + 1);
  }
  await run("apt-get", ["download", ...what.apt], folder);
  const files = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => name.endsWith(".deb"));
  for (const file of files) await run("dpkg", ["-x", file, "."], folder);
  const own = files.find((file) => file.startsWith(`${what.apt[0]}_`))!;
  return await run("dpkg-deb", ["-f", own, "Version"], folder);
}
