import { ConfigError, secretHash } from "../core/mod.ts";
import type { KeysSource } from "./keys_file.ts";
import type { RawConfig } from "./load.ts";
import { pathText } from "./source.ts";
import type { AdminConfig, KeyConfig, KeysConfig } from "./types.ts";
import type { Overrides } from "./overrides.ts";
import { adminDefaults } from "./defaults.ts";

/** Rows of the table of quotas are twice as many, so that those of keys just removed need not be free yet. */
export const keysAndTenantsMax = 2048;

const envKeyId = "env";
const hashOfNothing = secretHash("");

type RawKey = NonNullable<KeysSource["values"]["list"]>[number];

/** Keys and tenants of the section, of the keys file and of the environment, as one list each. */
export function resolveKeys(raw: RawConfig, overrides: Overrides, problems: ConfigError[]): KeysConfig {
  const sources: { values: KeysSource["values"]; where: KeysSource["where"]; at: readonly string[] }[] = [];
  const { values, keysFile } = raw;
  if (values.keys) sources.push({ values: values.keys, where: raw.where, at: ["keys"] });
  if (keysFile) sources.push({ ...keysFile, at: [] });
  const keys = new Distinct("id", problems),
    tenants = new Distinct("name", problems),
    hashes = new Map<string, string>();
  const list: KeyConfig[] = [];
  const { apiKey } = overrides;
  if (apiKey !== undefined) {
    list.push(resolveKey({ id: envKeyId, hash: `sha256:${secretHash(apiKey)}`, tenant: "default-flow" }));
    keys.add(envKeyId, "WARMPATH_API_KEY", "");
    hashes.set(list[0].hash, envKeyId);
  }
  const tenantList = sources.flatMap(({ values, where, at }) =>
    (values.tenants ?? []).map((tenant, i) => {
      const path = [...at, "tenants", i, "name"];
      tenants.add(tenant.name, where(path), pathText(path));
      return tenant;
    })
  );
  for (const { values, where, at } of sources) {
    values.list?.forEach((rawKey, i) => {
      const path = (field: string) => [...at, "list", i, field];
      const complain = (field: string, expected: string) =>
        problems.push(new ConfigError(where(path(field)), pathText(path(field)), expected));
      const key = resolveKey(rawKey);
      keys.add(key.id, where(path("id")), pathText(path("id")));
      const other = hashes.get(key.hash);
      if (key.hash === hashOfNothing) complain("hash", "must be the hash of a key: this is the hash of an empty text");
      else if (other !== undefined) complain("hash", `must be unique: it is the key "${other}" as well`);
      hashes.set(key.hash, key.id);
      if (key.shadow && key.disabled) {
        complain("shadow", "must not be set together with disabled: shadow refuses nothing");
      }
      list.push(key);
    });
  }
  const rows = list.length + tenantList.length;
  if (rows > keysAndTenantsMax) {
    const expected = `must be at most ${keysAndTenantsMax} keys and tenants together: current number is ${rows}`;
    problems.push(new ConfigError(raw.where(["keys"]), "keys", expected));
  }
  return {
    enforced: list.length > 0 || sources.some(({ values }) => values.list !== undefined),
    list,
    tenants: tenantList,
  };
}

function resolveKey({ hash, expires, models, key: _, ...key }: RawKey): KeyConfig {
  return {
    ...key,
    hash: hash.slice("sha256:".length),
    tenant: key.tenant ?? key.id,
    models: models ?? [],
    trustFairnessHeader: key.trustFairnessHeader ?? false,
    shadow: key.shadow ?? false,
    disabled: key.disabled ?? false,
    expiresMs: expires,
  };
}

/** Complains of names that came before, wherever they stand. */
class Distinct {
  readonly #seen = new Map<string, string>();

  constructor(readonly field: string, readonly problems: ConfigError[]) {}

  add(name: string, where: string, path: string): void {
    const first = this.#seen.get(name);
    if (first === undefined) this.#seen.set(name, path ? `${path} (${where})` : where);
    else this.problems.push(new ConfigError(where, path, `must be unique: "${name}" is already used by ${first}`));
  }
}

/** The environment wins over the file; of the token only its hash is needed, itself for peers. */
export function resolveAdmin({ values, secrets }: RawConfig, overrides: Overrides): AdminConfig {
  const token = overrides.adminToken ?? secrets?.adminToken;
  const { admin } = values;
  return {
    host: overrides.adminHost ?? admin?.host ?? adminDefaults.host,
    port: overrides.adminPort ?? admin?.port ?? adminDefaults.port,
    tokenHash: token === undefined ? admin?.token?.slice("sha256:".length) : secretHash(token),
    token,
    openMetrics: admin?.openMetrics ?? adminDefaults.openMetrics,
    allowOpen: admin?.allowOpen ?? adminDefaults.allowOpen,
  };
}
