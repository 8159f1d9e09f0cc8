/** Reading `deploy/Dockerfile` and `.dockerignore`, as far as they are used here. */

/** One instruction, with continued lines joined. */
export interface Instruction {
  readonly name: string;
  readonly text: string;
}

/** One `FROM` and what follows it. */
export interface Stage {
  readonly base: string;
  readonly name: string | undefined;
  readonly instructions: readonly Instruction[];
}

/** Stages in order. */
export function parseDockerfile(text: string): Stage[] {
  const stages: { base: string; name: string | undefined; instructions: Instruction[] }[] = [];
  const lines = text.split("\n").filter((line) => !line.startsWith("#")).join("\n").replace(/\\\n\s*/g, "").split("\n");
  for (const line of lines.map((line) => line.trim()).filter((line) => line !== "")) {
    const [, name, rest] = line.match(/^([A-Z]+)\s+(.*)$/) ?? [];
    if (name === undefined) throw new SyntaxError(`Cannot read the Dockerfile line: ${line}`);
    if (name === "FROM") {
      const [base, , stage] = rest.split(/\s+/);
      stages.push({ base, name: stage, instructions: [] });
    } else stages.at(-1)!.instructions.push({ name, text: rest });
  }
  return stages;
}

/** The texts of all instructions of one name. */
export function textsOf(stage: Stage, name: string): string[] {
  return stage.instructions.filter((instruction) => instruction.name === name).map(({ text }) => text);
}

/** A `COPY` taken apart. */
export interface Copy {
  readonly from: string | undefined;
  readonly sources: readonly string[];
  readonly target: string;
}

/** Reads the text of a `COPY` in its plain form. */
export function parseCopy(text: string): Copy {
  const words = text.split(/\s+/);
  const flags = words.filter((word) => word.startsWith("--"));
  const paths = words.filter((word) => !word.startsWith("--"));
  const from = flags.find((flag) => flag.startsWith("--from="))?.slice("--from=".length);
  return { from, sources: paths.slice(0, -1), target: paths.at(-1)! };
}

/** Reads the exec form, which is a JSON array of words. */
export function parseExec(text: string): string[] {
  return JSON.parse(text.slice(text.indexOf("[")));
}

/** Whether `.dockerignore` keeps `path` out: the last pattern that matches the path or a folder above it decides. */
export function isIgnored(dockerignore: string, path: string): boolean {
  let ignored = false;
  for (
    const line of dockerignore.split("\n").map((line) => line.trim()).filter((line) => line && !line.startsWith("#"))
  ) {
    const pattern = line.replace(/^!/, "").replace(/^\/|\/$/g, "");
    const source = pattern.split(/(\*\*\/|\*\*|\*|\?)/).map((piece) =>
      ({ "**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]" })[piece] ??
        piece.replace(/[.+^${}()|[\]\\]/g, "\\$&")
    ).join("");
    if (new RegExp(`^${source}(?:/.*)?$`).test(path)) ignored = !line.startsWith("!");
  }
  return ignored;
}
