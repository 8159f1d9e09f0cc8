import type { Config } from "./types.ts";

const hidden = "[hidden]";

/** The configuration as it may be shown: secrets and their hashes are not in it. */
export function publicConfig(config: Config): Config {
  const hide = (secret: string | undefined) => secret === undefined ? undefined : hidden;
  const { admin, keys, latency, upstream } = config;
  return {
    ...config,
    admin: { ...admin, token: hide(admin.token), tokenHash: hide(admin.tokenHash) },
    keys: { ...keys, list: keys.list.map((key) => ({ ...key, hash: hidden })) },
    latency: {
      ...latency,
      training: { ...latency.training, serviceToken: hide(latency.training.serviceToken) },
    },
    upstream: { ...upstream, authorization: hide(upstream.authorization) },
  };
}
