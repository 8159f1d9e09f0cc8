import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { ConfigError, secretHash } from "../core/mod.ts";
import { emptyRawConfig, loadConfigText, loadKeysText, overridesFromEnv, publicConfig, resolveConfig } from "./mod.ts";

const hash = (secret: string) => `sha256:${secretHash(secret)}`;
const [a, b] = [hash("sk-a"), hash("sk-b")];
const secretText = "sk-do-not-show-this-anywhere";

/** Every kind of mistake: the section `keys`, then the messages it must give. */
const mistakes: readonly { name: string; keys: string; messages: readonly string[] }[] = [
  {
    name: "a key as it is",
    keys: `list: [{id: x, key: ${secretText}}]`,
    messages: [
      'k.yaml:1: keys.list[0].hash: must be "sha256:" and 64 hex digits, as `warmpath key` prints',
      "k.yaml:1: keys.list[0].key: must be left out, as keys are not kept in files: write `hash: sha256:` and what " +
      "`printf %s KEY | sha256sum` prints, or make a new key with `warmpath key`",
    ],
  },
  {
    name: "a key in place of its hash",
    keys: `list: [{id: x, hash: ${secretText}}]`,
    messages: ['k.yaml:1: keys.list[0].hash: must be "sha256:" and 64 hex digits, as `warmpath key` prints'],
  },
  {
    name: "the hash of nothing",
    keys: `list: [{id: x, hash: "${hash("")}"}]`,
    messages: ["k.yaml:1: keys.list[0].hash: must be the hash of a key: this is the hash of an empty text"],
  },
  {
    name: "an id and a key that stand twice",
    keys: `list: [{id: x, hash: "${a}"}, {id: x, hash: "${b}"}, {id: y, hash: "${a}"}]`,
    messages: [
      'k.yaml:1: keys.list[1].id: must be unique: "x" is already used by keys.list[0].id (k.yaml:1)',
      'k.yaml:1: keys.list[2].hash: must be unique: it is the key "x" as well',
    ],
  },
  {
    name: "a tenant that stands twice",
    keys: "tenants: [{name: t}, {name: t}]",
    messages: [
      'k.yaml:1: keys.tenants[1].name: must be unique: "t" is already used by keys.tenants[0].name (k.yaml:1)',
    ],
  },
  {
    name: "shadow of what is disabled",
    keys: `list: [{id: x, hash: "${a}", shadow: true, disabled: true}]`,
    messages: ["k.yaml:1: keys.list[0].shadow: must not be set together with disabled: shadow refuses nothing"],
  },
  {
    name: "no date, no models, no limit, no name",
    keys: `list: [{id: "a b", hash: "${a}", expires: 2027-02-30T, models: [], tokensPerMinute: 0}]`,
    messages: [
      'k.yaml:1: keys.list[0].id: must be a name of at most 64 letters, digits and ._:@/-: current value is "a b"',
      "k.yaml:1: keys.list[0].models: must be a list with at least one model name: current value is []",
      "k.yaml:1: keys.list[0].tokensPerMinute: must be an integer from 1 to 1000000000: current value is 0",
      'k.yaml:1: keys.list[0].expires: must be a date such as "2027-01-31" or "2027-01-31T12:00:00Z": ' +
      'current value is "2027-02-30T"',
    ],
  },
  {
    name: "an unknown key",
    keys: `list: [{id: x, hash: "${a}", tokenPerMinute: 5}]`,
    messages: [
      'k.yaml:1: keys.list[0].tokenPerMinute: must be a known key: did you mean "keys.list[0].tokensPerMinute"',
    ],
  },
];

for (const { name, keys, messages } of mistakes) {
  Deno.test(`keys: ${name} is refused by file, line and key, and no secret is shown`, () => {
    throws(() => resolveConfig(loadConfigText(`keys: {${keys}}`, "k.yaml")), (error: Error) => {
      ok(error instanceof ConfigError);
      deepStrictEqual(error.message.split("\n"), messages);
      ok(!error.message.includes(secretText));
      return true;
    });
  });
}

Deno.test("keys of the section, of the keys file and of the environment are one list", () => {
  const raw = {
    ...loadConfigText(
      `keys: {list: [{id: a, hash: "${a}", tenant: t, models: ["m*"]}], tenants: [{name: t}]}`,
      "w.yaml",
    ),
    keysFile: loadKeysText(
      `list:\n- {id: b, hash: "${b}", expires: 2027-01-31}\ntenants: [{name: u, maxConcurrent: 2}]`,
      "k.yaml",
    ),
  };
  const { keys } = resolveConfig(raw, overridesFromEnv({ WARMPATH_API_KEY: "sk-of-the-environment" }));
  equal(keys.enforced, true);
  deepStrictEqual(keys.list.map(({ id, tenant, hash }) => [id, tenant, hash]), [
    ["env", "default-flow", secretHash("sk-of-the-environment")],
    ["a", "t", secretHash("sk-a")],
    ["b", "b", secretHash("sk-b")],
  ]);
  equal(keys.list[2].expiresMs, Date.UTC(2027, 0, 31));
  deepStrictEqual(keys.tenants, [{ name: "t" }, { name: "u", maxConcurrent: 2 }]);
});

Deno.test("a keys file is told apart from the configuration in what is said of it", () => {
  throws(() => loadKeysText("list:\n  - {id: x}\nkeys: 1\n", "k.yaml"), (error: Error) => {
    deepStrictEqual(error.message.split("\n"), [
      'k.yaml:2: list[0].hash: must be "sha256:" and 64 hex digits, as `warmpath key` prints',
      "k.yaml:3: keys: must be a known key: known keys are list, tenants",
    ]);
    return true;
  });
  const raw = {
    ...loadConfigText(`keys: {list: [{id: x, hash: "${a}"}]}`, "w.yaml"),
    keysFile: loadKeysText(`list:\n- {id: x, hash: "${a}"}`, "k.yaml"),
  };
  throws(() => resolveConfig(raw), (error: Error) => {
    deepStrictEqual(error.message.split("\n"), [
      'k.yaml:2: list[0].id: must be unique: "x" is already used by keys.list[0].id (w.yaml:1)',
      'k.yaml:2: list[0].hash: must be unique: it is the key "x" as well',
    ]);
    return true;
  });
});

Deno.test("without keys nobody needs one; with an empty list everybody does", () => {
  const enforced = (text: string) => resolveConfig(loadConfigText(text, "w.yaml")).keys.enforced;
  equal(enforced(""), false);
  equal(enforced("keys: {tenants: [{name: t}]}"), false);
  equal(enforced("keys: {list: []}"), true);
  equal(resolveConfig({ ...emptyRawConfig, keysFile: loadKeysText("list: []", "k.yaml") }).keys.enforced, true);
});

Deno.test("more keys and tenants than the table has rows for are refused", () => {
  const list = Array.from({ length: 2049 }, (_, i) => ({ id: `k${i}`, hash: hash(`sk-${i}`) }));
  throws(
    () => resolveConfig(loadConfigText(JSON.stringify({ keys: { list } }), "w.json")),
    /w\.json:1: keys: must be at most 2048 keys and tenants together: current number is 2049/,
  );
});

Deno.test("secrets of the environment are not shown in what is said of them", () => {
  for (const variable of ["WARMPATH_API_KEY", "WARMPATH_ADMIN_TOKEN", "WARMPATH_UPSTREAM_AUTHORIZATION"]) {
    throws(() => overridesFromEnv({ [variable]: "geheim!\u00e9" }), (error: Error) => {
      equal(error.message, `${variable}: must be 8 to 4096 characters of printable ASCII`);
      return true;
    });
  }
});

Deno.test("the token and the servers' key come from file or environment, not from two places of a file", () => {
  const env = overridesFromEnv({ WARMPATH_ADMIN_TOKEN: "the-token", WARMPATH_UPSTREAM_AUTHORIZATION: "Bearer ours" });
  const text = `admin: {token: "${a}"}\nupstream: {authorization: Bearer theirs}`;
  const fromFile = resolveConfig(loadConfigText(text, "w.yaml"));
  deepStrictEqual([fromFile.admin.tokenHash, fromFile.admin.token], [secretHash("sk-a"), undefined]);
  equal(fromFile.upstream.authorization, "Bearer theirs");
  const config = resolveConfig(loadConfigText(text, "w.yaml"), env);
  deepStrictEqual([config.admin.tokenHash, config.admin.token], [secretHash("the-token"), "the-token"]);
  equal(config.upstream.authorization, "Bearer ours");
  const peers = `${text}\nsnapshot: {peers: ["http://a:9090"]}`;
  ok(resolveConfig(loadConfigText(peers, "w.yaml")).warnings.some((text) => text.startsWith("snapshot.peers")));
  deepStrictEqual(resolveConfig(loadConfigText(peers, "w.yaml"), env).warnings, []);
  throws(
    () => resolveConfig(loadConfigText(`admin:\n  token: "${a}"\n  tokenFile: x\n`, "w.yaml")),
    /w\.yaml:3: admin\.tokenFile: must not be set together with admin\.token/,
  );
  throws(
    () => resolveConfig(loadConfigText("upstream: {authorization: x, forwardAuthorization: true}", "w.yaml")),
    /upstream\.forwardAuthorization: must not be set together with upstream\.authorization/,
  );
});

Deno.test("publicConfig() shows no secret and no hash", () => {
  const text =
    `keys: {list: [{id: a, hash: "${a}"}]}\nadmin: {token: "${b}"}\nupstream: {authorization: Bearer theirs}`;
  const env = overridesFromEnv({ WARMPATH_ADMIN_TOKEN: "the-token", WARMPATH_API_KEY: "the-key-itself" });
  const shown = JSON.stringify(publicConfig(resolveConfig(loadConfigText(text, "w.yaml"), env)));
  for (const secret of ["sk-a", "the-token", "the-key-itself", "Bearer theirs"]) {
    ok(!shown.includes(secret) && !shown.includes(secretHash(secret)), secret);
  }
  ok(shown.includes('"id":"a"'));
});
