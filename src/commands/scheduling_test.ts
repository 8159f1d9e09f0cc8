import { deepStrictEqual, equal, throws } from "node:assert/strict";
import { loadConfigText, resolveConfig } from "../config/mod.ts";
import { schedulingSetup } from "./scheduling.ts";

const setup = (text: string) => schedulingSetup(resolveConfig(loadConfigText(text, "warmpath.yaml")));

Deno.test("schedulingSetup() reads plugins that stand in the configuration file, beside its other scheduling keys", () => {
  const { plan } = setup(`
scheduling:
  seed: 7
  plugins:
  - type: queue-scorer
  - type: max-score-picker
  schedulingProfiles:
  - name: default
    plugins: [{ pluginRef: queue-scorer, weight: 2 }, { pluginRef: max-score-picker }]
`);
  equal(plan.profiles.length, 1);
  deepStrictEqual(plan.profiles[0].scorers.map(({ weight }) => weight), [2]);
});

Deno.test("schedulingSetup() names the line of a plugin that cannot be used", () => {
  throws(
    () => setup("scheduling:\n  plugins:\n  - type: no-such-plugin\n"),
    { name: "ConfigError", message: /^warmpath\.yaml:3: .*no-such-plugin/ },
  );
});
