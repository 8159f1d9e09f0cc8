import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { simFlags } from "./flags.ts";
import { noFaults } from "./faults.ts";
import { resolveSimOptions, type SimSettings } from "./options.ts";

function read(...texts: [string, string][]): SimSettings {
  let options: SimSettings = {};
  for (const [name, text] of texts) {
    const flag = simFlags.find((each) => each.flag.split(" ")[0] === name);
    ok(flag, name);
    options = { ...options, ...flag.parse(text, options) };
  }
  return options;
}

Deno.test("simFlags read every kind of value", () => {
  deepStrictEqual(
    read(
      ["--port", "0"],
      ["--served-model-name", "a, b"],
      ["--lora-modules", "sql=/adapters/sql,chat"],
      ["--decode-base-ms", "10"],
      ["--prefill-tps", "4000"],
      ["--dialect", "sglang"],
      ["--faults", '{"status-rate":0.5}'],
      ["--allow-fault-header", ""],
    ),
    {
      port: 0,
      servedModelNames: ["a", "b"],
      loraModules: [{ name: "sql", path: "/adapters/sql" }, { name: "chat", path: "chat" }],
      cost: { ...resolveSimOptions().cost, stepBaseMs: 10, prefillTokensPerS: 4000 },
      dialect: "sglang",
      faults: { ...noFaults, statusRate: 0.5 },
      allowFaultHeader: true,
    },
  );
});

Deno.test("simFlags refuse what means nothing, naming the flag", () => {
  throws(() => read(["--port", "many"]), /--port: must be a number: current value is "many"/);
  throws(() => read(["--seed", " "]), /--seed/);
  throws(() => read(["--dialect", "tgi"]), /--dialect: must be one of vllm, sglang/);
  throws(() => read(["--lora-modules", "=x"]), /must be NAME=PATH/);
  throws(() => read(["--faults", "{"]), /--faults: must be JSON/);
  throws(() => read(["--faults", '{"color":1}']), /color: must be one of refuse/);
});

Deno.test("simFlags have distinct names and a fallback that is a working value where it is a number", () => {
  equal(new Set(simFlags.map(({ flag }) => flag.split(" ")[0])).size, simFlags.length);
  for (const { flag, fallback, parse } of simFlags) {
    if (flag.endsWith("<n>")) resolveSimOptions(parse(fallback, {}));
  }
});

Deno.test("simFlags gather the cache's options and its events', in vLLM's form too", () => {
  const config = { publisher: "zmq", endpoint: "tcp://*:6000", topic: "kv@", buffer_steps: 50, hwm: 5 };
  const options = read(
    ["--kv-events-config", JSON.stringify(config)],
    ["--kv-events-replay-endpoint", "tcp://*:6001"],
    ["--kv-events-dialect", "sglang-c"],
    ["--kv-events-first-seq", "1"],
    ["--cpu-cache-blocks", "64"],
    ["--offload-events", "location"],
    ["--hash-seed", "0"],
    ["--grpc-port", "0"],
  );
  deepStrictEqual(options, {
    kvEvents: {
      endpoint: "tcp://*:6000",
      topic: "kv@",
      bufferSteps: 50,
      replayEndpoint: "tcp://*:6001",
      dialect: "sglang-c",
      firstSeq: 1,
    },
    kvCache: { cpuBlocks: 64, offloadEvents: "location", hashSeed: "0" },
    grpcPort: 0,
  });
  const { kvCache, kvEvents } = resolveSimOptions(options);
  deepStrictEqual([kvCache.blockHash, kvCache.offloadPolicy, kvEvents.replayForm], ["sglang", "store", "new"]);
  equal(read(["--kv-events-config", "{}"]).kvEvents?.endpoint, "tcp://*:5557");
  equal(read(["--kv-events-config", '{"enable_kv_cache_events":false}']).kvEvents?.endpoint, "");
  equal(read(["--kv-events-config", '{"publisher":"null"}']).kvEvents?.endpoint, "");
  throws(() => read(["--kv-events-config", '{"topic":5}']), /topic: must be a text/);
  throws(() => read(["--kv-events-config", "5"]), /must be an object/);
  throws(() => read(["--kv-events-dialect", "v9"]), /must be one of vllm-v1, /);
});
