import { deepStrictEqual, equal, throws } from "node:assert/strict";
import { flowDefaults, loadConfigText, resolveConfig } from "../config/mod.ts";
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

Deno.test("schedulingSetup() has the file's flow control, with what plugins add to it", () => {
  deepStrictEqual(setup("").flow, flowDefaults);
  equal(setup("flow: {enabled: false}").flow.enabled, false);
  const { flow } = setup(`
flow: {ttl: 5s, fairnessHeaders: [x-team, session-id]}
scheduling:
  plugins: [{ type: agent-identity }, { type: queue-scorer }]
`);
  equal(flow.ttlMs, 5000);
  deepStrictEqual(flow.fairnessHeaders, [
    "x-team",
    "session-id",
    "x-claude-code-session-id",
    "x-session-affinity",
    "session_id",
  ]);
});

Deno.test("schedulingSetup() has an EndpointPickerConfig's flow control where its gate is on, else its detector", () => {
  const head = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n";
  const picker = (body: string, own = "") => {
    const raw = loadConfigText(own, "warmpath.yaml");
    const source = { text: head + body, fileName: "epp.yaml" };
    return schedulingSetup(resolveConfig({ ...raw, endpointPickerConfig: source }));
  };
  const gate = "featureGates: [flowControl]\nplugins: [{type: queue-scorer}]\n";
  const on = picker(`${gate}flowControl: {defaultRequestTTL: 7s}\n`);
  deepStrictEqual([on.flow.ttlMs, on.flow.earlyRejection], [7000, "off"]);
  deepStrictEqual(on.warnings, []);
  const ignored = "flow: has no effect, as the EndpointPickerConfig has feature gate flowControl on";
  deepStrictEqual(picker(gate, "flow: {ttl: 5s}").warnings, [ignored]);
  const off = picker("flowControl: {saturationDetector: {pluginRef: utilization-detector}}\n", "flow: {ttl: 5s}");
  deepStrictEqual([off.flow.ttlMs, off.flow.saturation.detector], [5000, "utilization"]);
});

Deno.test("schedulingSetup() predicts as the file says, and as a producer of predictions says where one is listed", () => {
  const plain = setup("latency: {slo: {tpotBufferFactor: 1.5}, quantile: 0.95}").latency;
  deepStrictEqual([plain.slo.tpotBufferFactor, plain.quantile, plain.predicts, plain.roleLabel], [
    1.5,
    0.95,
    true,
    undefined,
  ]);
  const listed = (parameters: string) =>
    setup(`
latency: {slo: {tpotBufferFactor: 1.5}}
scheduling:
  plugins:
  - type: latency-scorer
  - {type: predicted-latency-producer, parameters: ${parameters}}
`).latency;
  const { slo, predicts, roleLabel } = listed("{sloBufferFactor: 0.8, predictInProduce: false, endpointRoleLabel: r}");
  deepStrictEqual([slo.tpotBufferFactor, predicts, roleLabel], [0.8, false, "r"]);
  equal(listed("{}").slo.tpotBufferFactor, 1.5);
});

Deno.test("schedulingSetup() has the policy predicted refuse as the file says", () => {
  const admitter = (text: string) =>
    setup(`scheduling: {policy: predicted}\n${text}`).plan.plugins.find(({ kinds }) => kinds.includes("admitter"))
      ?.params;
  deepStrictEqual(admitter(""), { mode: "sheddable", admitProbability: 0.9 });
  deepStrictEqual(admitter("latency: {slo: {admission: all, admitProbability: 0.8}}"), {
    mode: "all",
    admitProbability: 0.8,
  });
  deepStrictEqual(admitter("latency: {slo: {admission: off}}"), undefined);
});
