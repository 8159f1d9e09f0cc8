import { ConfigError } from "../core/mod.ts";
import { schedulingDefaults } from "./defaults.ts";
import type { RawConfig } from "./load.ts";
import type { SchedulingConfig } from "./types.ts";

/** The one source of scheduling that was configured; complains when there are two. */
export function resolveScheduling(raw: RawConfig, problems: ConfigError[]): SchedulingConfig {
  const { policy, plugins, schedulingProfiles, endpointPickerConfig, seed } = raw.values.scheduling ?? {};
  const chosen = [
    policy !== undefined && "policy",
    (plugins ?? schedulingProfiles) !== undefined && (plugins ? "plugins" : "schedulingProfiles"),
    endpointPickerConfig !== undefined && "endpointPickerConfig",
  ].filter((key) => key !== false);
  if (chosen.length > 1) {
    const key = `scheduling.${chosen[1]}`;
    const expected = `must be absent when scheduling.${chosen[0]} is set: only one of them can decide`;
    problems.push(new ConfigError(raw.where(key.split(".")), key, expected));
  }
  if (schedulingProfiles && !plugins) {
    const expected =
      "must stand beside scheduling.plugins, whose instances it refers to: scheduling.plugins is missing";
    const path = ["scheduling", "schedulingProfiles"];
    problems.push(new ConfigError(raw.where(path), path.join("."), expected));
  }
  if (raw.endpointPickerConfig) return { from: "endpoint-picker-config", source: raw.endpointPickerConfig, seed };
  if (endpointPickerConfig !== undefined) {
    const path = ["scheduling", "endpointPickerConfig"];
    const expected = "must be read together with the file that names it: its text is missing";
    problems.push(new ConfigError(raw.where(path), path.join("."), expected));
  }
  if (plugins) {
    const where = (path: readonly PropertyKey[]) => raw.where(["scheduling", ...path]);
    return { from: "plugins", plugins, schedulingProfiles: schedulingProfiles ?? [], where, seed };
  }
  return { from: "policy", policy: policy ?? schedulingDefaults.policy, seed };
}
