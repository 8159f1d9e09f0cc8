import { Environment, Interpreter, Template } from "@huggingface/jinja";
import { PyNumber, type PyValue } from "./python_json.ts";
import { printAsPython, pythonText, type TemplateNode, type TemplateValue, textFunction } from "./template_text.ts";

/** How a template wants the content of messages: one string, or a list of parts. */
export type ContentFormat = "string" | "openai";

/** What a template is rendered with. Names in `variables` that the template does not use have no effect. */
export interface TemplateInput {
  readonly messages: PyValue[];
  readonly tools: PyValue;
  readonly documents: PyValue;
  readonly addGenerationPrompt: boolean;
  /** The last message stays open: the text ends where its content ends. */
  readonly continueFinalMessage: boolean;
  readonly variables: ReadonlyMap<string, PyValue>;
}

/** The template cannot be compiled, or refuses these messages. */
export class TemplateError extends Error {
  override readonly name = "TemplateError";
}

type RuntimeValue = ReturnType<Environment["set"]>;
type RuntimeClass = new (value: unknown) => RuntimeValue;

/** The library's value classes, which it does not export: values made of them keep what plain ones lose. */
function runtimeClass(sample: unknown): RuntimeClass {
  return new Environment().set("sample", sample).constructor as unknown as RuntimeClass;
}
const ArrayValue = runtimeClass([]);
const ObjectValue = runtimeClass({});
const IntegerValue = runtimeClass(1);
const FloatValue = runtimeClass(1.5);
const StringValue = runtimeClass("");
const FunctionValue = runtimeClass(() => null);

function runtimeValue(value: PyValue): RuntimeValue | PyValue {
  if (value instanceof PyNumber) {
    const wrapped = new (value.isFloat ? FloatValue : IntegerValue)(value);
    wrapped.toString = () => value.text;
    return wrapped;
  }
  if (Array.isArray(value)) return new ArrayValue(value.map(runtimeOf));
  if (value instanceof Map) return new ObjectValue(new Map([...value].map(([key, inner]) => [key, runtimeOf(inner)])));
  return value;
}

const scratch = new Environment();

function runtimeOf(value: PyValue): RuntimeValue {
  const made = runtimeValue(value);
  if (made !== null && typeof made === "object" && "type" in made) return made as RuntimeValue;
  scratch.variables.clear();
  return scratch.set("value", made);
}

/** What `textFunction` does: the text of a value, or of each item of a list. */
function textOf([value, each]: TemplateValue[]): RuntimeValue {
  if (each && value.type === "ArrayValue") {
    return new ArrayValue((value.value as TemplateValue[]).map((item) => textOf([item])));
  }
  // A string is joined by its characters.
  if (each) return value as unknown as RuntimeValue;
  const text = pythonText(value);
  if (text === undefined) throw new TemplateError(`Cannot print a ${value.type} as Python does`);
  return new StringValue(text);
}

/** What Python takes for white space and JavaScript not, or the other way round. */
// deno-lint-ignore no-control-regex
const oddSpace = /[\x1c-\x1f\x85\ufeff]/;

/** Refuses strings that trimming treats differently. */
function refuseOddSpace(value: PyValue): void {
  if (typeof value === "string") {
    if (oddSpace.test(value)) {
      throw new TemplateError("Cannot trim a text as Python does: it holds unusual white space");
    }
  } else if (Array.isArray(value)) value.forEach(refuseOddSpace);
  else if (value instanceof Map) value.forEach(refuseOddSpace);
}

/**
 * What the library does in another way than Python: keys sorted by language, words told apart by ASCII letters, the rest
 * of a capitalized text left as it is, tuples of a sorted object printed as lists.
 */
const unlikePython =
  /sort_keys|\|\s*(?:title|capitalize)\b|\.(?:title|capitalize)\(|\|\s*dictsort\s*(?:\|\s*string\s*)?-?\}\}/;

/** Longest list that `range` makes. */
const rangeMax = 100_000;

/** Marks where the last message's content ends, as the reference library does it. */
const openEnd = "CONTINUE_FINAL_MESSAGE_TAG ";

/** A chat template, compiled once. Behaves as `apply_chat_template` of the reference library (transformers). */
export class ChatTemplate {
  readonly contentFormat: ContentFormat;
  readonly #parsed: Template["parsed"];
  readonly #specials: readonly (readonly [string, string])[];
  readonly #trims: boolean;
  readonly #wallMs: () => number;

  /**
   * `specials`: names such as `bos_token` that the template may use. `wallMs`: time for `strftime_now`, read as UTC.
   * Throws a `TemplateError` when the source cannot be compiled.
   */
  constructor(source: string, specials: Readonly<Record<string, string>>, wallMs: () => number) {
    try {
      this.#parsed = new Template(source).parsed;
    } catch (error) {
      throw new TemplateError("Cannot compile the chat template", { cause: error });
    }
    const unlike = unlikePython.exec(source);
    if (unlike) throw new TemplateError(`Cannot follow "${unlike[0]}" as Python does`);
    this.contentFormat = detectContentFormat(this.#parsed);
    this.#trims = /trim|strip|split/.test(source);
    printAsPython(this.#parsed);
    this.#specials = Object.entries(specials);
    this.#wallMs = wallMs;
  }

  /** The prompt; throws a `TemplateError`. */
  render(input: TemplateInput): string {
    try {
      return this.#render(input);
    } catch (error) {
      if (error instanceof TemplateError) throw error;
      throw new TemplateError("Cannot render the chat template", { cause: error });
    }
  }

  #render(input: TemplateInput): string {
    const environment = this.#environment();
    if (this.#trims) refuseOddSpace([input.messages, input.documents, [...input.variables.values()]]);
    const messages = input.continueFinalMessage ? withOpenEnd(input.messages) : input.messages;
    const set = (name: string, value: PyValue) => void environment.setVariable(name, runtimeOf(value));
    for (const [name, text] of this.#specials) set(name, text);
    for (const [name, value] of input.variables) set(name, value);
    set("messages", messages);
    set("tools", input.tools);
    set("documents", input.documents);
    set("add_generation_prompt", input.addGenerationPrompt);
    const text = String((new Interpreter(environment).run(this.#parsed) as { value: unknown }).value);
    return input.continueFinalMessage ? cutAtOpenEnd(text) : text;
  }

  #environment(): Environment {
    const environment = new Environment();
    for (const [name, value] of [["true", true], ["false", false], ["none", null]] as const) {
      environment.set(name, value);
      environment.set(name[0].toUpperCase() + name.slice(1), value);
    }
    environment.set("raise_exception", (message: string) => {
      throw new TemplateError(`The chat template refuses the messages: ${message}`);
    });
    environment.set("range", range);
    environment.setVariable(textFunction, new FunctionValue(textOf));
    environment.set("strftime_now", (format: string) => formatTime(new Date(this.#wallMs()), format));
    return environment;
  }
}

function range(start: number, stop?: number, step: number = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  const count = Math.max(0, Math.ceil((to - from) / step));
  if (!(count <= rangeMax)) throw new TemplateError(`Cannot make a range of ${count} items: at most ${rangeMax}`);
  return Array.from({ length: count }, (_, i) => from + i * step);
}

const months = "January February March April May June July August September October November December".split(" ");
const weekdays = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");

/** Python's `strftime` in UTC and the C locale. */
function formatTime(date: Date, format: string): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const fields: Record<string, string> = {
    Y: String(date.getUTCFullYear()),
    y: two(date.getUTCFullYear() % 100),
    m: two(date.getUTCMonth() + 1),
    d: two(date.getUTCDate()),
    B: months[date.getUTCMonth()],
    b: months[date.getUTCMonth()].slice(0, 3),
    A: weekdays[date.getUTCDay()],
    a: weekdays[date.getUTCDay()].slice(0, 3),
    H: two(date.getUTCHours()),
    M: two(date.getUTCMinutes()),
    S: two(date.getUTCSeconds()),
    "%": "%",
  };
  return format.replace(/%(-?)(.)/g, (_, bare: string, name: string) => {
    const field = fields[name];
    if (field === undefined) throw new TemplateError(`Cannot format time with %${name}`);
    return bare ? field.replace(/^0(?=.)/, "") : field;
  });
}

/** The messages with a mark at the end of the last one's text. */
function withOpenEnd(messages: PyValue[]): PyValue[] {
  const last = messages.at(-1);
  if (!(last instanceof Map)) throw new TemplateError("Cannot continue the final message as there is none");
  const content = last.get("content");
  const marked = new Map(last);
  if (typeof content === "string") marked.set("content", content + openEnd);
  else if (Array.isArray(content)) {
    const at = content.findLastIndex((part) => part instanceof Map && part.has("text"));
    if (at < 0) throw new TemplateError("Cannot continue the final message as it holds no text");
    const part = content[at] as Map<string, PyValue>;
    marked.set("content", content.with(at, new Map(part).set("text", part.get("text") + openEnd)));
  } else throw new TemplateError("Cannot continue the final message as it holds no text");
  return messages.with(-1, marked);
}

function cutAtOpenEnd(text: string): string {
  const at = text.lastIndexOf(openEnd.trim());
  if (at < 0) throw new TemplateError("Cannot continue the final message as the template drops it");
  return text.startsWith(openEnd, at) ? text.slice(0, at) : text.slice(0, at).trimEnd();
}

/**
 * Whether the template loops over the parts of a message's content: `openai` if so. Follows `messages` and variables set
 * to it or to a slice, filter or test of it, loops over those, and loops over `content` of their loop variable.
 */
function detectContentFormat(root: unknown): ContentFormat {
  const nodes: TemplateNode[] = [];
  collect(root, nodes);
  const assigned = (names: Set<string>, matches: (node: TemplateNode, name: string) => boolean) => {
    for (let grew = true; grew;) {
      grew = false;
      for (const node of nodes) {
        const target = node.type === "Set" ? (node.assignee as TemplateNode) : undefined;
        if (target?.type !== "Identifier" || !node.value || names.has(target.value as string)) continue;
        if (![...names].some((name) => matches(node.value as TemplateNode, name))) continue;
        names.add(target.value as string);
        grew = true;
      }
    }
    return names;
  };
  const lists = assigned(new Set(["messages"]), (node, name) => refersTo(node, name));
  const items = new Set<string>();
  for (const node of nodes) {
    if (node.type !== "For" || (node.loopvar as TemplateNode).type !== "Identifier") continue;
    if ([...lists].some((name) => refersTo(node.iterable as TemplateNode, name))) {
      items.add((node.loopvar as TemplateNode).value as string);
    }
  }
  const loops = nodes.some((node) =>
    node.type === "For" && [...items].some((name) => refersTo(node.iterable as TemplateNode, name, "content"))
  );
  return loops ? "openai" : "string";
}

function collect(value: unknown, into: TemplateNode[]): void {
  if (Array.isArray(value)) value.forEach((item) => collect(item, into));
  else if (value !== null && typeof value === "object") {
    if ("type" in value && typeof value.type === "string") into.push(value as TemplateNode);
    for (const inner of Object.values(value)) collect(inner, into);
  }
}

/** Whether `node` is the variable, or its member `key`, possibly sliced, filtered or tested. */
function refersTo(node: TemplateNode, name: string, key?: string): boolean {
  if (node.type === "FilterExpression" || node.type === "TestExpression") {
    return refersTo(node.operand as TemplateNode, name, key);
  }
  if (node.type === "SelectExpression") return refersTo(node.lhs as TemplateNode, name, key);
  if (node.type === "MemberExpression") {
    const property = node.property as TemplateNode;
    if (property.type === "SliceExpression") return refersTo(node.object as TemplateNode, name, key);
    return key !== undefined && property.value === key && refersTo(node.object as TemplateNode, name);
  }
  return key === undefined && node.type === "Identifier" && node.value === name;
}
