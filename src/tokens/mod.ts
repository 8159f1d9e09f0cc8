/** Text to token ids, exactly as the engine computes them: chat template, tokenizer, render client, token cache. */
export { type Fetcher } from "./engine_client.ts";
export type { ModelState, ModelStatus } from "./model_tokens.ts";
export type { ChatSettings } from "./prompt_tokenizer.ts";
export { Tokens, type TokensDeps, type TokensStatus } from "./tokens.ts";
export * from "./types.ts";
