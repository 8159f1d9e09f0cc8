import { deepStrictEqual, throws } from "node:assert/strict";
import { ConfigError } from "../../core/mod.ts";
import { importEndpointPickerConfig } from "../import_config.ts";

const head = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n";
const read = (parameters: string) =>
  importEndpointPickerConfig(
    `${head}plugins:\n  - type: predicted-latency-producer\n    parameters: ${parameters}\n  - type: queue-scorer\n`,
    "epp.yaml",
  );

Deno.test("predicted-latency-producer says how to predict, and nothing that is not said", () => {
  deepStrictEqual(read("{}").latency, { predicts: true });
  const given = "{sloBufferFactor: 0.9, predictInProduce: false, endpointRoleLabel: role, streamingMode: true}";
  const { latency, warnings } = read(given);
  deepStrictEqual(latency, { tpotBufferFactor: 0.9, predicts: false, roleLabel: "role" });
  deepStrictEqual(warnings, []);
  deepStrictEqual(importEndpointPickerConfig(head, "epp.yaml").latency, undefined);
});

Deno.test("predicted-latency-producer warns of what has no effect", () => {
  const ineffective = "{streamingMode: false, useEncoderCacheFeatures: true, contextTTL: 300000000000, " +
    "samplingMean: 1000, maxDecodeTokenSamplesForPrediction: 0}";
  const { latency, warnings } = read(ineffective);
  deepStrictEqual(latency, { predicts: true });
  deepStrictEqual(
    warnings,
    [
      "streamingMode has no effect, each request tells whether it streams",
      "useEncoderCacheFeatures has no effect, encoder caches are not known",
      "contextTTL has no effect",
      "samplingMean has no effect",
      "maxDecodeTokenSamplesForPrediction has no effect",
    ].map((message) => `epp.yaml:5: predicted-latency-producer: ${message}`),
  );
  deepStrictEqual(read("{contextTTL: 5m}").warnings.length, 1);
});

Deno.test("predicted-latency-producer refuses what cannot be", () => {
  const bad = [
    ["{sloBufferFactor: 0}", "sloBufferFactor"],
    ["{contextTTL: soon}", "contextTTL"],
    ["{prefixMatchInfoProducerName: x}", "prefixMatchInfoProducerName"],
    ["{inFlightLoadProducerName: x}", "inFlightLoadProducerName"],
    ["{encoderCacheMatchInfoProducerName: x}", "encoderCacheMatchInfoProducerName"],
    ["{quantile: 0.9}", "quantile"],
  ];
  for (const [parameters, key] of bad) {
    throws(
      () => read(parameters),
      (error) => error instanceof ConfigError && error.key === `plugins[0].parameters.${key}`,
      parameters,
    );
  }
  throws(
    () =>
      importEndpointPickerConfig(
        `${head}plugins:\n  - type: predicted-latency-producer\n  - {type: predicted-latency-producer, name: second}\n`,
        "epp.yaml",
      ),
    /epp\.yaml:5: plugins\[1\]: must be the only plugin of type predicted-latency-producer/,
  );
});
