/**
 * Numbers the scan kernel and its TypeScript door agree on. Plain literals only: the AssemblyScript compiler reads this
 * file too, so that an offset or a code exists once.
 */

// API dialects.
export const apiChat = 0;
export const apiCompletions = 1;
export const apiResponses = 2;
export const apiEmbeddings = 3;
export const apiMessages = 4;
export const apiGenerate = 5;
export const apiSglangGenerate = 6;
export const apiTokenize = 7;
export const apiRerank = 8;
export const apiScore = 9;
export const apiPassthrough = 10;

/** Deepest nesting of arrays and objects accepted; the request object itself is level 1. */
export const depthMax = 512;
/** Zero bytes the kernel writes after the body: they end every loop and absorb vector loads. */
export const sentinelBytes = 64;

// The record, in bytes from its start:
//   0 error u32, error offset u32, offset after the opening '{' u32, 1 when the object has no member u32
//   fieldsAt  one (start u32, end u32) a field; an absent field has end 0
//   groupsAt  one prompt group a rank, groupBytes each
// What follows is the kernel's own: its state, an unescaped key, the rank frames, the nesting stack.
export const errorAt = 0;
export const errorOffsetAt = 4;
export const openAt = 8;
export const emptyAt = 12;
export const fieldsAt = 16;
export const groupsAt = 320;
export const stateAt = 512;
export const keyAt = 768;
export const rankFramesAt = 1024;
export const nestingAt = 4096;

// Fields of the request object and of two of its objects.
export const fieldNone = 0;
export const fieldModel = 1;
export const fieldStream = 2;
export const fieldStreamOptions = 3;
export const fieldIncludeUsage = 4;
export const fieldMaxTokens = 5;
export const fieldMaxCompletionTokens = 6;
export const fieldMaxOutputTokens = 7;
export const fieldN = 8;
export const fieldCacheSalt = 9;
export const fieldExtraKey = 10;
export const fieldLoraPath = 11;
export const fieldPreviousResponseId = 12;
export const fieldUser = 13;
export const fieldSamplingParams = 14;
export const fieldSamplingMaxTokens = 15;
export const fieldSamplingMaxNewTokens = 16;
export const fieldSamplingN = 17;
export const fieldTools = 18;
export const fieldInstructions = 19;
export const fieldSystem = 20;
export const fieldMessages = 21;
export const fieldPrompt = 22;
export const fieldInput = 23;
export const fieldTokenIds = 24;
export const fieldInputIds = 25;
export const fieldText = 26;
export const fieldQuery = 27;
export const fieldDocuments = 28;
export const fieldText1 = 29;
export const fieldText2 = 30;
export const fieldCount = 31;

// Prompt groups by rank: the canonical prompt holds them in this order.
export const rankTools = 0;
export const rankSystem = 1;
export const rankPrompt = 2;
export const rankSecond = 3;
export const rankCount = 4;

// A prompt group, in bytes from its start.
export const groupBytes = 48;
export const groupSpanStartAt = 0;
export const groupSpanEndAt = 4;
export const groupTextBytesAt = 8;
export const groupMediaPartsAt = 12;
/** f64: a hostile body may claim more media tokens than 32 bits count. */
export const groupMediaTokensAt = 16;
export const groupTokensAt = 24;
export const groupShapeAt = 28;
export const groupProblemAt = 32;
export const groupProblemOffsetAt = 36;
/** 1 when some of the group's spans found no room. */
export const groupCutAt = 40;

// Shape bits of a prompt: what the value, or the elements of its array, were.
export const shapeString = 1;
export const shapeStrings = 2;
export const shapeTokens = 4;
export const shapeLists = 8;
export const shapeOther = 16;
/** The array has at least one element. */
export const shapeFilled = 32;

// Problems inside a prompt group that make the request unusable.
export const problemItem = 1;
export const problemToken = 2;

/** Largest token id; the value above it separates token lists in the canonical prompt. */
export const tokenIdMax = 4294967294;
export const tokenListSeparator = 4294967295;

// Span kinds. Other than `kindTokens` a kind is the byte that opens the span in the canonical prompt. None of these
// bytes occurs in UTF-8, so text cannot imitate one.
export const kindTokens = 1;
export const kindMedia = 0xc0;
export const kindTools = 0xf5;
export const kindSystem = 0xf6;
export const kindItem = 0xf7;
export const kindRole = 0xf8;
export const kindText = 0xf9;
export const kindCall = 0xfa;
export const kindArguments = 0xfb;
export const kindResult = 0xfc;
export const kindResultOpen = 0xfd;
export const kindResultClose = 0xfe;
export const kindThinking = 0xff;
/** Flag: the span is a JSON string with escapes. */
export const kindEscaped = 0x100;
/** Shift of the media type in a media span's kind. */
export const kindMediaShift = 12;
export const mediaImage = 0;
export const mediaAudio = 1;
export const mediaVideo = 2;

/** Tokens of an image at the default resolution: floor(640 × 360 / 1024). */
export const imageTokens = 225;
/** Tokens of a video at the defaults: 10 s sampled at 2 frames a second, each frame an image. */
export const videoTokens = 4500;
/** Bytes of encoded audio that stand for one token. */
export const audioBytesPerToken = 4;

// Syntax errors.
export const errorNone = 0;
export const errorTop = 1;
export const errorKeyOrClose = 2;
export const errorKey = 3;
export const errorColon = 4;
export const errorCommaObject = 5;
export const errorCommaArray = 6;
export const errorValue = 7;
export const errorStringEnd = 8;
export const errorControl = 9;
export const errorEscape = 10;
export const errorHex = 11;
export const errorUtf8 = 12;
export const errorDigit = 13;
export const errorLiteral = 14;
export const errorTrailing = 15;
export const errorDepth = 16;
export const errorByteOrderMark = 17;
