// What a value means by where it stands. A rule belongs to a value; the rule of an object names the fields that matter in
// it, the rule of an array that of its elements. The dialects share the rules below the top level: fields of different
// dialects do not collide, and what a part is follows from the field that carries it, so that `type` need not come first.
import {
  apiChat,
  apiCompletions,
  apiEmbeddings,
  apiGenerate,
  apiMessages,
  apiRerank,
  apiResponses,
  apiScore,
  apiSglangGenerate,
  apiTokenize,
  fieldCacheSalt,
  fieldDocuments,
  fieldExtraKey,
  fieldIncludeUsage,
  fieldInput,
  fieldInputIds,
  fieldInstructions,
  fieldLoraPath,
  fieldMaxCompletionTokens,
  fieldMaxOutputTokens,
  fieldMaxTokens,
  fieldMessages,
  fieldModel,
  fieldN,
  fieldNone,
  fieldPreviousResponseId,
  fieldPrompt,
  fieldQuery,
  fieldSamplingMaxNewTokens,
  fieldSamplingMaxTokens,
  fieldSamplingN,
  fieldSamplingParams,
  fieldStream,
  fieldStreamOptions,
  fieldSystem,
  fieldText,
  fieldText1,
  fieldText2,
  fieldTokenIds,
  fieldTools,
  fieldUser,
  rankPrompt,
  rankSecond,
  rankSystem,
  rankTools,
} from "./layout";

export const ruleSkip: u32 = 0;
/** The request object. */
export const ruleTop: u32 = 1;
/** A field whose place is noted; nothing of it belongs to the prompt. */
export const ruleNote: u32 = 2;
export const ruleStreamOptions: u32 = 3;
export const ruleSampling: u32 = 4;
/** Any value, as the JSON text it is. */
export const ruleTools: u32 = 5;
/** Text, or a list of parts whose text it is. */
export const ruleSystem: u32 = 6;
export const ruleSystemPart: u32 = 7;
export const ruleMessages: u32 = 8;
export const ruleMessage: u32 = 9;
/** A list of messages and other items, or text. */
export const ruleInput: u32 = 10;
export const ruleRole: u32 = 11;
export const ruleText: u32 = 12;
/** Text or a list of parts. */
export const ruleContent: u32 = 13;
export const rulePart: u32 = 14;
/** A tool's result: text or a list of parts. */
export const ruleResult: u32 = 15;
/** A part inside a tool's result: it has no result of its own, which bounds the depth of objects that matter. */
export const ruleResultPart: u32 = 16;
export const ruleThinking: u32 = 17;
export const ruleName: u32 = 18;
/** Text, or any other value as JSON text. */
export const ruleArguments: u32 = 19;
export const ruleCalls: u32 = 20;
export const ruleCall: u32 = 21;
export const ruleFunction: u32 = 22;
/** Content of a media part: a string, or an object that holds it. */
export const ruleImage: u32 = 23;
export const ruleAudio: u32 = 24;
export const ruleVideo: u32 = 25;
/** A prompt in any shape: text, texts, token ids, lists of token ids. */
export const rulePrompt: u32 = 26;
export const rulePromptItem: u32 = 27;
export const ruleToken: u32 = 28;
/** Text, a part, or a list of these. */
export const ruleDocuments: u32 = 29;
export const ruleDocument: u32 = 30;
export const ruleSystemText: u32 = 31;
export const ruleImageContent: u32 = 32;
export const ruleAudioContent: u32 = 33;
export const ruleVideoContent: u32 = 34;

// A field of an object that matters, packed: field id << 16 | rank << 8 | rule. 0 for one that does not matter.

// @ts-ignore: decorator
@inline
function member(field: u32, rank: u32, rule: u32): u32 {
  return field << 16 | rank << 8 | rule;
}

// @ts-ignore: decorator
@inline
function is(p: usize, name: string): bool {
  const length = name.length;
  for (let i = 0; i < length; i++) {
    if (load<u8>(p + i) != <u8>load<u16>(changetype<usize>(name) + (<usize>i << 1))) return false;
  }
  return true;
}

/** The member of an object under `rule` whose unescaped key is the `n` bytes at `p`. */
export function memberOf(api: u32, rule: u32, p: usize, n: u32): u32 {
  switch (rule) {
    case ruleTop: return topMember(api, p, n);
    case ruleMessage: return messageMember(p, n);
    case rulePart: return partMember(p, n, true);
    case ruleResultPart: return partMember(p, n, false);
    case ruleSystemPart: return n == 4 && is(p, "text") ? member(0, 0, ruleSystemText) : 0;
    case ruleCall: return n == 8 && is(p, "function") ? member(0, 0, ruleFunction) : 0;
    case ruleFunction:
      if (n == 4 && is(p, "name")) return member(0, 0, ruleName);
      return n == 9 && is(p, "arguments") ? member(0, 1, ruleArguments) : 0;
    case ruleImage: return mediaMember(p, n, ruleImageContent);
    case ruleAudio: return mediaMember(p, n, ruleAudioContent);
    case ruleVideo: return mediaMember(p, n, ruleVideoContent);
    case ruleStreamOptions: return n == 13 && is(p, "include_usage") ? member(fieldIncludeUsage, 0, ruleNote) : 0;
    case ruleSampling:
      if (n == 10 && is(p, "max_tokens")) return member(fieldSamplingMaxTokens, 0, ruleNote);
      if (n == 14 && is(p, "max_new_tokens")) return member(fieldSamplingMaxNewTokens, 1, ruleNote);
      return n == 1 && is(p, "n") ? member(fieldSamplingN, 2, ruleNote) : 0;
    default: return 0;
  }
}

/** A chat or Anthropic message, or an item of a Responses input. */
function messageMember(p: usize, n: u32): u32 {
  switch (n) {
    case 4:
      if (is(p, "role")) return member(0, 0, ruleRole);
      return is(p, "name") ? member(0, 1, ruleName) : 0;
    case 6: return is(p, "output") ? member(0, 5, ruleResult) : 0;
    case 7: return is(p, "content") ? member(0, 2, ruleContent) : 0;
    case 9: return is(p, "arguments") ? member(0, 3, ruleArguments) : 0;
    case 10: return is(p, "tool_calls") ? member(0, 4, ruleCalls) : 0;
    default: return 0;
  }
}

/** A content part or block of any dialect. */
function partMember(p: usize, n: u32, outer: bool): u32 {
  switch (n) {
    case 4:
      if (is(p, "text")) return member(0, 0, ruleText);
      return is(p, "name") ? member(0, 2, ruleName) : 0;
    case 5: return is(p, "input") ? member(0, 3, ruleArguments) : 0;
    case 6: return is(p, "source") ? member(0, 5, ruleImage) : 0;
    case 7: return outer && is(p, "content") ? member(0, 4, ruleResult) : 0;
    case 8: return is(p, "thinking") ? member(0, 1, ruleThinking) : 0;
    case 9:
      if (is(p, "image_url")) return member(0, 6, ruleImage);
      if (is(p, "audio_url")) return member(0, 7, ruleAudio);
      return is(p, "video_url") ? member(0, 8, ruleVideo) : 0;
    case 11: return is(p, "input_audio") ? member(0, 9, ruleAudio) : 0;
    default: return 0;
  }
}

function mediaMember(p: usize, n: u32, rule: u32): u32 {
  if (n == 4 && is(p, "data")) return member(0, 0, rule);
  return n == 3 && is(p, "url") ? member(0, 1, rule) : 0;
}

function topMember(api: u32, p: usize, n: u32): u32 {
  const field = topField(p, n);
  if (field == fieldNone) return 0;
  if (field == fieldStreamOptions) return member(field, 0, ruleStreamOptions);
  if (field == fieldSamplingParams) return member(field, 0, ruleSampling);
  const prompt = promptMember(api, field);
  return prompt ? prompt : member(field, 0, ruleNote);
}

function topField(p: usize, n: u32): u32 {
  switch (n) {
    case 1: return is(p, "n") ? fieldN : fieldNone;
    case 4: return is(p, "user") ? fieldUser : is(p, "text") ? fieldText : fieldNone;
    case 5:
      if (is(p, "model")) return fieldModel;
      if (is(p, "tools")) return fieldTools;
      if (is(p, "input")) return fieldInput;
      return is(p, "query") ? fieldQuery : fieldNone;
    case 6:
      if (is(p, "stream")) return fieldStream;
      if (is(p, "system")) return fieldSystem;
      if (is(p, "prompt")) return fieldPrompt;
      if (is(p, "text_1")) return fieldText1;
      return is(p, "text_2") ? fieldText2 : fieldNone;
    case 8: return is(p, "messages") ? fieldMessages : fieldNone;
    case 9:
      if (is(p, "token_ids")) return fieldTokenIds;
      if (is(p, "input_ids")) return fieldInputIds;
      if (is(p, "documents")) return fieldDocuments;
      if (is(p, "extra_key")) return fieldExtraKey;
      return is(p, "lora_path") ? fieldLoraPath : fieldNone;
    case 10:
      if (is(p, "max_tokens")) return fieldMaxTokens;
      return is(p, "cache_salt") ? fieldCacheSalt : fieldNone;
    case 12: return is(p, "instructions") ? fieldInstructions : fieldNone;
    case 14: return is(p, "stream_options") ? fieldStreamOptions : fieldNone;
    case 15: return is(p, "sampling_params") ? fieldSamplingParams : fieldNone;
    case 17: return is(p, "max_output_tokens") ? fieldMaxOutputTokens : fieldNone;
    case 20: return is(p, "previous_response_id") ? fieldPreviousResponseId : fieldNone;
    case 21: return is(p, "max_completion_tokens") ? fieldMaxCompletionTokens : fieldNone;
    default: return fieldNone;
  }
}

/** The part of the prompt that a field of the request object is in this dialect; 0 for none. */
function promptMember(api: u32, field: u32): u32 {
  const conversation = api == apiChat || api == apiMessages || api == apiTokenize;
  switch (field) {
    case fieldTools: return conversation || api == apiResponses ? member(field, rankTools, ruleTools) : 0;
    case fieldSystem: return api == apiMessages ? member(field, rankSystem, ruleSystem) : 0;
    case fieldInstructions: return api == apiResponses ? member(field, rankSystem, ruleSystem) : 0;
    case fieldMessages: return conversation ? member(field, rankSecond, ruleMessages) : 0;
    case fieldPrompt:
      return api == apiCompletions || api == apiTokenize ? member(field, rankPrompt, rulePrompt) : 0;
    case fieldInput:
      if (api == apiEmbeddings) return member(field, rankPrompt, rulePrompt);
      return api == apiResponses ? member(field, rankPrompt, ruleInput) : 0;
    case fieldTokenIds: return api == apiGenerate ? member(field, rankPrompt, rulePrompt) : 0;
    case fieldInputIds: return api == apiSglangGenerate ? member(field, rankPrompt, rulePrompt) : 0;
    case fieldText: return api == apiSglangGenerate ? member(field, rankSecond, rulePrompt) : 0;
    case fieldQuery: return api == apiRerank ? member(field, rankPrompt, ruleDocuments) : 0;
    case fieldDocuments: return api == apiRerank ? member(field, rankSecond, ruleDocuments) : 0;
    case fieldText1: return api == apiScore ? member(field, rankPrompt, ruleDocuments) : 0;
    case fieldText2: return api == apiScore ? member(field, rankSecond, ruleDocuments) : 0;
    default: return 0;
  }
}

/** Rule of an object that stands where `rule` holds. */
export function objectRule(rule: u32): u32 {
  switch (rule) {
    case ruleTop:
    case ruleMessage:
    case rulePart:
    case ruleResultPart:
    case ruleSystemPart:
    case ruleCall:
    case ruleFunction:
    case ruleImage:
    case ruleAudio:
    case ruleVideo:
    case ruleStreamOptions:
    case ruleSampling: return rule;
    case ruleDocuments:
    case ruleDocument: return rulePart;
    default: return ruleSkip;
  }
}

/** Rule of the elements of an array that stands where `rule` holds. */
export function elementRule(rule: u32): u32 {
  switch (rule) {
    case ruleMessages:
    case ruleInput: return ruleMessage;
    case ruleContent: return rulePart;
    case ruleSystem: return ruleSystemPart;
    case ruleResult: return ruleResultPart;
    case ruleCalls: return ruleCall;
    case rulePrompt: return rulePromptItem;
    case rulePromptItem: return ruleToken;
    case ruleDocuments: return ruleDocument;
    default: return ruleSkip;
  }
}
