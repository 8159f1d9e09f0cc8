/**
 * House rules that need a syntax tree. `deno lint` shows them while writing; `tests/arch/tidy_test.ts` applies them to
 * every file, there without regard to ignore comments.
 */
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Lines a function of `src/` may have, tests apart: two screens, so that a third is a decision to split. */
export const functionLinesMax = 80;

function pathOf(context: Deno.lint.RuleContext): string {
  return context.filename.startsWith(root) ? context.filename.slice(root.length) : context.filename;
}

function isTest(path: string): boolean {
  return path.endsWith("_test.ts");
}

/** `Date.now` for the member expression of that text; undefined when either side is computed. */
function memberName(node: Deno.lint.MemberExpression): string | undefined {
  const { object, property } = node;
  if (property.type !== "Identifier" || node.computed) return undefined;
  if (object.type === "Identifier") return `${object.name}.${property.name}`;
  const isGlobal = object.type === "MemberExpression" && memberName(object)?.startsWith("globalThis.");
  return isGlobal ? `${memberName(object)!.slice("globalThis.".length)}.${property.name}` : undefined;
}

interface Ban {
  readonly members?: readonly string[];
  readonly globals?: readonly string[];
  readonly instead: string;
  /** Whether the ban holds in the file at this path. */
  readonly holds: (path: string) => boolean;
}

const bans: Record<string, Ban> = {
  "clock": {
    members: ["Date.now", "performance.now", "AbortSignal.timeout"],
    globals: ["setTimeout", "setInterval"],
    instead: "take a Clock from core",
    holds: (path) => path.startsWith("src/") && path !== "src/core/clock.ts",
  },
  "chance": {
    members: ["Math.random"],
    instead: "take a Prng from core",
    holds: () => true,
  },
  "console": {
    members: ["console.log", "console.info", "console.warn", "console.error", "console.debug", "console.table"],
    instead: "use the logger of telemetry",
    holds: (path) => path.startsWith("src/") && path !== "src/main.ts" && !path.startsWith("src/commands/"),
  },
  "process": {
    members: ["Deno.exit", "Deno.args", "Deno.addSignalListener"],
    instead: "leave arguments, exit codes and signals to src/main.ts",
    holds: (path) => path.startsWith("src/") && path !== "src/main.ts",
  },
};

function banRule(ban: Ban): Deno.lint.Rule {
  return {
    create(context) {
      if (!ban.holds(pathOf(context))) return {};
      const report = (node: Deno.lint.Node, name: string) =>
        context.report({ node, message: `${name} is not allowed here: ${ban.instead}` });
      return {
        MemberExpression(node) {
          const name = memberName(node);
          if (name !== undefined && ban.members?.includes(name)) report(node, name);
          const global = name?.startsWith("globalThis.") ? name.slice("globalThis.".length) : undefined;
          if (global !== undefined && ban.globals?.includes(global)) report(node, global);
        },
        CallExpression(node) {
          if (node.callee.type === "Identifier" && ban.globals?.includes(node.callee.name)) {
            report(node, node.callee.name);
          }
        },
        NewExpression(node) {
          const isNow = node.callee.type === "Identifier" && node.callee.name === "Date" && node.arguments.length === 0;
          if (isNow && ban.members?.includes("Date.now")) report(node, "new Date()");
        },
      };
    },
  };
}

const asAny: Deno.lint.Rule = {
  create(context) {
    const check = (node: Deno.lint.TSAsExpression | Deno.lint.TSTypeAssertion) => {
      if (node.typeAnnotation.type !== "TSAnyKeyword") return;
      context.report({ node, message: "A cast to any is not allowed: parse the value, or cast from unknown" });
    };
    return { TSAsExpression: check, TSTypeAssertion: check };
  },
};

const defaultExport: Deno.lint.Rule = {
  create(context) {
    if (!pathOf(context).startsWith("src/")) return {};
    return {
      ExportDefaultDeclaration(node) {
        context.report({ node, message: "A default export is not allowed: export by name" });
      },
    };
  },
};

const functionLines: Deno.lint.Rule = {
  create(context) {
    const path = pathOf(context);
    if (!path.startsWith("src/") || isTest(path)) return {};
    const check = (node: Deno.lint.Node) => {
      const lines = context.sourceCode.getText(node).split("\n").length;
      if (lines <= functionLinesMax) return;
      context.report({ node, message: `A function of ${lines} lines is too long: at most ${functionLinesMax}` });
    };
    return { FunctionDeclaration: check, FunctionExpression: check, ArrowFunctionExpression: check };
  },
};

/** The rules, under the names that `deno lint` prints: `house/clock` and so on. */
export const plugin: Deno.lint.Plugin = {
  name: "house",
  rules: {
    ...Object.fromEntries(Object.entries(bans).map(([name, ban]) => [name, banRule(ban)])),
    "as-any": asAny,
    "default-export": defaultExport,
    "function-lines": functionLines,
  },
};

export default plugin;
