import type { Context } from "hono";
import { z } from "zod";
import type { ModelServer } from "../model_server.ts";
import { type MediaPart, tokenizeChat } from "../tokenizer.ts";
import { checkLength, modelFields, readCall } from "./call.ts";
import { chatPrompt, turnsOf } from "./chat.ts";
import { promptInput, promptsOf } from "./completions.ts";

const chatSchema = z.looseObject({ ...modelFields, ...chatPrompt });

/** `POST /v1/chat/completions/render`: the token ids and media the engine would be given. */
export async function renderChat(server: ModelServer, c: Context): Promise<Response> {
  const { body } = await readCall(server, c, chatSchema);
  const { ids, media } = tokenizeChat(turnsOf(body.messages), body.tools);
  checkLength(server, ids, 0, "messages");
  return c.json({ token_ids: [...ids], ...(media && { features: featuresOf(media) }) });
}

/** Hashes and places of media, by modality. */
function featuresOf(media: readonly MediaPart[]): Record<string, unknown> {
  const hashes: Record<string, string[]> = {};
  const places: Record<string, { offset: number; length: number }[]> = {};
  for (const { hash, offset, length, modality } of media) {
    (hashes[modality] ??= []).push(hash);
    (places[modality] ??= []).push({ offset, length });
  }
  return { mm_hashes: hashes, mm_placeholders: places, kwargs_data: null };
}

const completionSchema = z.looseObject({ ...modelFields, prompt: promptInput });

/** `POST /v1/completions/render`: the token ids of each prompt. */
export async function renderCompletions(server: ModelServer, c: Context): Promise<Response> {
  const { body } = await readCall(server, c, completionSchema);
  const prompts = promptsOf(body.prompt);
  for (const { ids } of prompts) checkLength(server, ids, 0, "prompt");
  return c.json(prompts.map(({ ids }) => ({ token_ids: [...ids], features: null })));
}
