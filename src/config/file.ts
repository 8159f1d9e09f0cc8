import { dirname, isAbsolute, join } from "node:path";
import { ConfigError } from "../core/mod.ts";
import { type KeysSource, loadKeysText } from "./keys_file.ts";
import { loadConfigText, type RawConfig } from "./load.ts";
import { headerValue } from "./schema_keys.ts";

/**
 * Reads a configuration file, and the EndpointPickerConfig it names when it names one. Paths in it are relative to it and
 * come out as they can be opened from here.
 *
 * Throws a ConfigError for a file that cannot be read, this one or one it names, as well as for what is wrong in it.
 */
export async function readConfigFile(path: string): Promise<RawConfig> {
  const raw = loadConfigText(await readText(path, path, ""), path);
  const { server, admin, discovery, keys, upstream, scheduling, tokens, snapshot, latency } = raw.values;
  const beside = (name: string) => isAbsolute(name) ? name : join(dirname(path), name);
  const read = async (name: string | undefined, ...keyPath: string[]): Promise<Named | undefined> => {
    if (name === undefined) return undefined;
    const named = beside(name);
    return { path: named, text: await readText(named, raw.where(keyPath), keyPath.join(".")) };
  };
  /** A `tls` section, every key of which names a file. */
  const readAll = async <T extends object>(tls: T, section: string): Promise<T> => {
    const paths = Object.entries(tls).map(async ([key, name]) => [key, (await read(name, section, "tls", key))?.path]);
    return Object.fromEntries(await Promise.all(paths)) as T;
  };
  const list = await read(discovery?.file, "discovery", "file");
  const picker = await read(scheduling?.endpointPickerConfig, "scheduling", "endpointPickerConfig");
  const keysFile = await read(keys?.file, "keys", "file");
  const adminToken = await read(admin?.tokenFile, "admin", "tokenFile");
  const authorization = await read(upstream?.authorizationFile, "upstream", "authorizationFile");
  return {
    ...raw,
    ...(keysFile && { keysFile: loadKeysText(keysFile.text, keysFile.path) }),
    secrets: { adminToken: secretIn(adminToken), upstreamAuthorization: secretIn(authorization) },
    files: [picker, keysFile, adminToken, authorization].flatMap((named) => named?.path ?? []),
    values: {
      ...raw.values,
      ...(list && { discovery: { ...discovery, file: list.path } }),
      ...(server?.tls && { server: { ...server, tls: await readAll(server.tls, "server") } }),
      ...(admin?.tls && { admin: { ...admin, tls: await readAll(admin.tls, "admin") } }),
      ...(upstream?.tls && { upstream: { ...upstream, tls: await readAll(upstream.tls, "upstream") } }),
      // Tokenizer files are read when the model is first asked for, the snapshot need not exist yet.
      ...(tokens?.models && {
        tokens: {
          ...tokens,
          models: tokens.models.map((entry) => ({
            ...entry,
            directory: entry.directory === undefined ? undefined : beside(entry.directory),
          })),
        },
      }),
      ...(latency && { latency: latencyFiles(latency, beside) }),
      ...(snapshot?.file !== undefined && { snapshot: { ...snapshot, file: beside(snapshot.file) } }),
    },
    ...(picker && { endpointPickerConfig: { text: picker.text, fileName: picker.path } }),
  };
}

/** The section with paths that can be opened; the files are read where they are used, a snapshot need not exist yet. */
function latencyFiles(latency: Latency, beside: (name: string) => string): Latency {
  const { seedModel, snapshot } = latency;
  const placed = (name: string | undefined) => name === undefined ? undefined : beside(name);
  return {
    ...latency,
    seedModel: { ttft: placed(seedModel?.ttft), tpot: placed(seedModel?.tpot) },
    snapshot: { ...snapshot, file: placed(snapshot?.file) },
  };
}

/** Puts the keys file at `path` in place of the one that the configuration names. Throws a ConfigError. */
export async function withKeysFile(raw: RawConfig, path: string): Promise<RawConfig> {
  const keysFile: KeysSource = loadKeysText(await readText(path, path, ""), path);
  return { ...raw, keysFile, files: [...raw.files ?? [], path] };
}

/** The one line of a file that holds a secret. */
function secretIn(named: Named | undefined): string | undefined {
  if (named === undefined) return undefined;
  const secret = named.text.trim();
  if (headerValue.test(secret)) return secret;
  throw new ConfigError(named.path, "", "must hold one line of printable ASCII");
}

type Latency = NonNullable<RawConfig["values"]["latency"]>;

interface Named {
  readonly path: string;
  readonly text: string;
}

async function readText(path: string, where: string, key: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound
      ? "no such file"
      : error instanceof Deno.errors.PermissionDenied
      ? "permission denied"
      : (error as Error).message;
    throw new ConfigError(where, key, `must be a readable file: ${reason}${key ? `: ${path}` : ""}`);
  }
}
