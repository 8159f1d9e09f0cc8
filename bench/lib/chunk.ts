/** One streamed chunk as vLLM writes it, about 200 bytes. */
export const chunkText = `data: ${
  JSON.stringify({
    id: "chatcmpl-7f9c2ba4e88f827d616045507605853e",
    object: "chat.completion.chunk",
    created: 1_700_000_000,
    model: "bench",
    choices: [{ index: 0, delta: { content: " word" }, logprobs: null, finish_reason: null }],
  })
}\n\n`;

export const chunkBytes = new TextEncoder().encode(chunkText).length;
