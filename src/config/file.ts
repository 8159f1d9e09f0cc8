import { dirname, isAbsolute, join } from "node:path";
import { ConfigError } from "../core/mod.ts";
import { loadConfigText, type RawConfig } from "./load.ts";

/**
 * Reads a configuration file, and the EndpointPickerConfig it names when it names one.
 * Throws a ConfigError for a file that cannot be read as well as for what is wrong in it.
 */
export async function readConfigFile(path: string): Promise<RawConfig> {
  const raw = loadConfigText(await readText(path, path, ""), path);
  const named = raw.values.scheduling?.endpointPickerConfig;
  if (named === undefined) return raw;
  const pickerPath = isAbsolute(named) ? named : join(dirname(path), named);
  const keyPath = ["scheduling", "endpointPickerConfig"];
  const text = await readText(pickerPath, raw.where(keyPath), keyPath.join("."));
  return { ...raw, endpointPickerConfig: { text, fileName: pickerPath } };
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
