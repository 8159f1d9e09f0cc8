import { ConfigError } from "../core/mod.ts";
import { workersMax } from "./defaults.ts";
import { currentValue, throwProblems } from "./errors.ts";
import { countForm, parseServerUrl, type ServerAddress, urlForm } from "./fields.ts";
import { portMax } from "./units.ts";

/** An endpoint that no file names; a flag gives its address alone. */
export interface EndpointOverride extends ServerAddress {
  readonly feed?: { readonly kind: "zmq"; readonly port: number; readonly replayPort: number };
}

/** What flags and environment variables may set; absent follows the file. */
export interface Overrides {
  readonly configPath?: string;
  /** Replaces the file's `endpoints`; its `discovery` stays. */
  readonly endpoints?: readonly EndpointOverride[];
  readonly host?: string;
  readonly port?: number;
  readonly adminHost?: string;
  readonly adminPort?: number;
  readonly workers?: number | "auto";
  /** Replaces the file's `keys.file`. */
  readonly keysFile?: string;
  /** A key beside the configured ones. */
  readonly apiKey?: string;
  readonly adminToken?: string;
  readonly upstreamAuthorization?: string;
  readonly trainerToken?: string;
}

/** Values of the flags as typed; absent when not given. */
export interface Flags {
  readonly config?: string;
  readonly endpoints?: string;
  readonly host?: string;
  readonly port?: string;
  readonly adminHost?: string;
  readonly adminPort?: string;
  readonly workers?: string;
}

interface Setting {
  /** Absent for what has no flag: secrets, which every user of the machine would see in the list of processes. */
  readonly flag?: string;
  readonly option?: keyof Flags;
  readonly variable: string;
  readonly sets: keyof Overrides;
  /** Answers undefined for a value that is not of `form`. */
  readonly parse: (text: string) => string | number | readonly ServerAddress[] | undefined;
  readonly form: string;
  /** No message shows the value. */
  readonly hidden?: boolean;
}

const integer = (min: number, max: number) => ({
  form: `an integer from ${min} to ${max}`,
  parse: (text: string) => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN;
    return value >= min && value <= max ? value : undefined;
  },
});

const workers = {
  form: countForm(1, workersMax),
  parse: (text: string) => text === "auto" ? text : integer(1, workersMax).parse(text),
};

const address = {
  form: "an address to listen on, such as 0.0.0.0 or 127.0.0.1",
  parse: (text: string) => /^[\w.:-]{1,253}$/.test(text) ? text : undefined,
};

const secret = {
  form: "8 to 4096 characters of printable ASCII",
  parse: (text: string) => /^[\x21-\x7e][\x20-\x7e]{7,4095}$/.test(text) ? text : undefined,
  hidden: true,
};

const settings: readonly Setting[] = [
  {
    flag: "--config",
    option: "config",
    variable: "WARMPATH_CONFIG",
    sets: "configPath",
    form: "a path",
    parse: (text) => text || undefined,
  },
  {
    flag: "--endpoints",
    option: "endpoints",
    variable: "WARMPATH_ENDPOINTS",
    sets: "endpoints",
    form: `a comma-separated list without repetition; each item ${urlForm}`,
    parse: parseEndpoints,
  },
  { flag: "--host", option: "host", variable: "WARMPATH_HOST", sets: "host", ...address },
  { flag: "--port", option: "port", variable: "WARMPATH_PORT", sets: "port", ...integer(0, portMax) },
  { flag: "--admin-host", option: "adminHost", variable: "WARMPATH_ADMIN_HOST", sets: "adminHost", ...address },
  {
    flag: "--admin-port",
    option: "adminPort",
    variable: "WARMPATH_ADMIN_PORT",
    sets: "adminPort",
    ...integer(0, portMax),
  },
  { flag: "--workers", option: "workers", variable: "WARMPATH_WORKERS", sets: "workers", ...workers },
  {
    variable: "WARMPATH_KEYS_FILE",
    sets: "keysFile",
    form: "a path",
    parse: (text) => text || undefined,
  },
  { variable: "WARMPATH_API_KEY", sets: "apiKey", ...secret },
  { variable: "WARMPATH_ADMIN_TOKEN", sets: "adminToken", ...secret },
  { variable: "WARMPATH_UPSTREAM_AUTHORIZATION", sets: "upstreamAuthorization", ...secret },
  { variable: "WARMPATH_TRAINER_TOKEN", sets: "trainerToken", ...secret },
];

function parseEndpoints(text: string): readonly ServerAddress[] | undefined {
  const addresses = text.split(",").map((item) => parseServerUrl(item.trim()));
  if (!addresses.every((address) => address !== undefined)) return undefined;
  const distinct = new Set(addresses.map((address) => `${address.host}:${address.port}`));
  return distinct.size === addresses.length ? addresses : undefined;
}

function collect(where: (setting: Setting) => string, value: (setting: Setting) => string | undefined): Overrides {
  const overrides: Record<string, unknown> = {};
  const problems: ConfigError[] = [];
  for (const setting of settings) {
    const text = value(setting);
    if (text === undefined) continue;
    const parsed = setting.parse(text);
    if (parsed !== undefined) overrides[setting.sets] = parsed;
    else {
      const shown = setting.hidden ? "" : `: ${currentValue(text)}`;
      problems.push(new ConfigError(where(setting), "", `must be ${setting.form}${shown}`));
    }
  }
  throwProblems(problems);
  return overrides;
}

/** Reads the `WARMPATH_*` variables; an empty one counts as absent. Throws a ConfigError that names the variable. */
export function overridesFromEnv(env: Readonly<Record<string, string | undefined>>): Overrides {
  return collect(({ variable }) => variable, ({ variable }) => env[variable] || undefined);
}

/** Reads the flags. Throws a ConfigError that names the flag. */
export function overridesFromFlags(flags: Flags): Overrides {
  return collect(({ flag }) => flag!, ({ option }) => option && flags[option]);
}

/** Flags win over environment variables. */
export function mergeOverrides(flags: Overrides, env: Overrides): Overrides {
  return { ...env, ...flags };
}
