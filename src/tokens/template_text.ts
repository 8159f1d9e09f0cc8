/**
 * How a template turns values into text, where the library does it as JavaScript and the reference as Python: booleans,
 * None, lists and objects that are printed, joined or put together with `~`. The parsed template is rewritten to call a
 * function for it.
 */
import { PyNumber } from "./python_json.ts";

/** A node of a parsed template. */
export interface TemplateNode {
  readonly type: string;
  [member: string]: unknown;
}

/** A value of the interpreter. */
export interface TemplateValue {
  readonly type: string;
  readonly value: unknown;
  toString(): string;
}

/** The name templates call the function by; no template can spell it. */
export const textFunction = " text";

/** Nodes in the body of a block that print nothing themselves. */
const silent = new Set([
  ...["If", "For", "Set", "Macro", "Break", "Continue", "Comment", "FilterStatement", "CallStatement", "StringLiteral"],
]);

const bodies = ["body", "alternate", "defaultBlock"];

/** Rewrites the tree under `node` in place. */
export function printAsPython(node: unknown): void {
  if (Array.isArray(node)) return node.forEach(printAsPython);
  if (node instanceof Map) {
    for (const [key, value] of node) printAsPython([key, value]);
    return;
  }
  if (!isNode(node)) return;
  for (const value of Object.values(node)) printAsPython(value);
  for (const name of bodies) {
    const body = node[name];
    if (Array.isArray(body)) {
      node[name] = body.map((item) => isNode(item) && !silent.has(item.type) ? textOf(item) : item);
    }
  }
  if (node.type === "BinaryExpression" && (node.operator as { value?: string }).value === "~") {
    node.left = textOf(node.left);
    node.right = textOf(node.right);
  }
  if (node.type === "FilterExpression" && filterName(node) === "string") Object.assign(node, textOf(node.operand));
  if (node.type === "FilterExpression" && filterName(node) === "join") node.operand = textOf(node.operand, true);
}

function isNode(value: unknown): value is TemplateNode {
  return value !== null && typeof value === "object" && "type" in value && typeof value.type === "string";
}

function filterName({ filter }: TemplateNode): unknown {
  const named = filter as TemplateNode;
  return named.type === "CallExpression" ? (named.callee as TemplateNode).value : named.value;
}

/** A call of the function on `operand`; with `each`, on every item of a list. */
function textOf(operand: unknown, each = false): TemplateNode {
  const args = each ? [operand, { type: "IntegerLiteral", value: 1 }] : [operand];
  return { type: "CallExpression", callee: { type: "Identifier", value: textFunction }, args };
}

/** Python's `str(value)`; undefined where that is not followed here. */
export function pythonText(value: TemplateValue): string | undefined {
  return value.type === "StringValue"
    ? value.value as string
    : value.type === "UndefinedValue"
    ? ""
    : pythonRepr(value);
}

/** Python's `repr(value)`; undefined for strings that need escapes, and values without one of their own. */
function pythonRepr(value: TemplateValue): string | undefined {
  switch (value.type) {
    case "StringValue":
      return /^[ !#-&(-[\]-~]*$/.test(value.value as string) ? `'${value.value}'` : undefined;
    case "BooleanValue":
      return value.value ? "True" : "False";
    case "NullValue":
      return "None";
    case "IntegerValue":
    case "FloatValue":
      return value.value instanceof PyNumber ? value.value.text : value.toString();
    case "ArrayValue":
      return wrapped("[", (value.value as TemplateValue[]).map(pythonRepr), "]");
    case "ObjectValue": {
      const entries = [...value.value as Map<string, TemplateValue>].map(([key, inner]) => {
        const parts = [pythonRepr({ type: "StringValue", value: key }), pythonRepr(inner)];
        return parts.includes(undefined) ? undefined : parts.join(": ");
      });
      return wrapped("{", entries, "}");
    }
    default:
      return undefined;
  }
}

function wrapped(open: string, parts: (string | undefined)[], close: string): string | undefined {
  return parts.includes(undefined) ? undefined : `${open}${parts.join(", ")}${close}`;
}
