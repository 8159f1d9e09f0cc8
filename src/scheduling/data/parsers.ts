/**
 * llm-d's request parsers, accepted by name. Warmpath reads every dialect it knows by its path, so naming one changes
 * nothing but what is listed. Parameters: none.
 */
import { definePlugin, noParams, type PluginType } from "../definition.ts";

function parserType(type: string, summary: string): PluginType {
  return definePlugin({ type, kinds: ["parser"], summary, params: noParams });
}

export const parserTypes: readonly PluginType[] = [
  parserType("openai-parser", "OpenAI paths"),
  parserType("anthropic-parser", "Anthropic messages"),
  parserType("vllmhttp-parser", "vLLM tokens-in generate"),
  parserType("sglanghttp-parser", "SGLang native generate"),
  parserType("passthrough-parser", "any other path"),
];
