/** Authorities and certificates made for one test, by the system's openssl. */
import { ok } from "node:assert/strict";
import { join } from "node:path";

async function openssl(folder: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("openssl", { args, cwd: folder, stderr: "piped" }).output();
  ok(success, new TextDecoder().decode(stderr));
}

/** An authority in a folder of its own, which is removed with everything it signed. */
export class Authority implements AsyncDisposable {
  readonly folder: string;
  readonly caFile: string;

  private constructor(folder: string) {
    this.folder = folder;
    this.caFile = join(folder, "ca.pem");
  }

  static async create(): Promise<Authority> {
    const own = new Authority(await Deno.makeTempDir());
    await openssl(own.folder, ...newKey("ca"), "-x509", "-out", "ca.pem", "-subj", "/CN=test authority");
    return own;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }

  /** The authority's certificate. */
  ca(): Promise<string> {
    return Deno.readTextFile(this.caFile);
  }

  /** Signs a certificate for localhost with this name; the paths of it and its key. */
  async sign(name: string): Promise<{ certFile: string; keyFile: string }> {
    await openssl(this.folder, ...newKey(name), "-out", `${name}.csr`, "-subj", `/CN=${name}`);
    await Deno.writeTextFile(join(this.folder, "names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
    await openssl(
      this.folder,
      ...["x509", "-req", "-in", `${name}.csr`, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"],
      ...["-days", "2", "-extfile", "names", "-out", `${name}.pem`],
    );
    return { certFile: join(this.folder, `${name}.pem`), keyFile: join(this.folder, `${name}.key`) };
  }
}

function newKey(name: string): string[] {
  return ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", `${name}.key`];
}
