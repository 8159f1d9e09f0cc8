import { deepStrictEqual, equal, throws } from "node:assert/strict";
import { ChatTemplate, TemplateError, type TemplateInput } from "./chat_template.ts";
import { parsePythonJson, type PyValue } from "./python_json.ts";

function render(source: string, input: Partial<TemplateInput> = {}, specials: Record<string, string> = {}): string {
  return new ChatTemplate(source, specials, () => Date.UTC(2024, 6, 4, 9, 8, 7)).render({
    messages: [],
    tools: null,
    documents: null,
    addGenerationPrompt: true,
    continueFinalMessage: false,
    variables: new Map(),
    ...input,
  });
}

function messages(...contents: PyValue[]): PyValue[] {
  return contents.map((content, i) =>
    new Map<string, PyValue>([["role", i % 2 === 0 ? "user" : "assistant"], ["content", content]])
  );
}

Deno.test("render() gives special tokens and arguments their names, and leaves the others undefined", () => {
  const source =
    "{{ bos_token }}|{{ eos_token is defined }}|{{ enable_thinking }}|{{ add_generation_prompt }}|{{ tools is none }}";
  equal(
    render(source, { variables: new Map([["enable_thinking", false]]) }, { bos_token: "<s>" }),
    "<s>|False|False|True|True",
  );
});

Deno.test("render() prints numbers and objects as Python does", () => {
  const value = parsePythonJson('{"b": 1.0, "2": [1e-7, 12345678901234567890, -0.0, 3], "1": null}');
  const variables = new Map([["v", value]]);
  equal(
    render("{{ v | tojson }}", { variables }),
    '{"b": 1.0, "2": [1e-07, 12345678901234567890, -0.0, 3], "1": null}',
  );
  equal(render("{{ v.b }} {{ v['2'][0] }}", { variables }), "1.0 1e-07");
  equal(render("{{ 'é\"\\n' | tojson }}"), '"é\\"\\n"');
});

Deno.test("render() prints, joins and concatenates values as Python does", () => {
  const variables = new Map([[
    "v",
    parsePythonJson('{"yes": true, "no": null, "list": ["a", 1.0, false, {"k": [null]}]}'),
  ]]);
  equal(
    render("{{ v.yes }} {{ v.no }} {{ v.list }} {{ v.missing }}|{{ 1 == 2 }}", { variables }),
    "True None ['a', 1.0, False, {'k': [None]}] |False",
  );
  equal(
    render("{{ v.yes ~ v.no ~ 1.0 ~ 'x' }}{{ v.yes | string }}{% if v.no | string == 'None' %}!{% endif %}", {
      variables,
    }),
    "TrueNone1.0xTrue!",
  );
  equal(
    render("{{ v.list[:3] | join('-') }} {{ 'abc' | join('.') }} {{ [true, none] | join }}", { variables }),
    "a-1.0-False a.b.c TrueNone",
  );
  equal(
    render("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(true) }}{% set y %}{{ none }}{% endset %}{{ y }}"),
    "<True>None",
  );
  throws(() => render("{{ v }}", { variables: new Map([["v", ["it's"]]]) }), TemplateError);
});

Deno.test("render() refuses white space that Python trims differently, only where the template trims", () => {
  equal(render("{{ messages[0].content }}", { messages: messages("\ufeffa") }), "\ufeffa");
  throws(() => render("{{ messages[0].content | trim }}", { messages: messages("\ufeffa") }), TemplateError);
  throws(() => render("{{ messages[0].content.strip() }}", { messages: messages("a\x85") }), TemplateError);
});

Deno.test("render() tells the time in UTC", () => {
  equal(render("{{ strftime_now('%d %b %Y %H:%M:%S %A %-d %y %%') }}"), "04 Jul 2024 09:08:07 Thursday 4 24 %");
  throws(() => render("{{ strftime_now('%c') }}"), TemplateError);
});

Deno.test("render() throws what the template raises, and for what it cannot do", () => {
  throws(() => render("{{ raise_exception('roles must alternate') }}"), /roles must alternate/);
  throws(() => render("{{ 1 | unknown_filter }}"), TemplateError);
  throws(() => render("{% for i in range(100000000) %}x{% endfor %}"), TemplateError);
  throws(() => new ChatTemplate("{% if %}", {}, () => 0), TemplateError);
});

Deno.test("render() counts with range() from either end", () => {
  equal(
    render("{{ range(3) | list | tojson }}{{ range(5, 0, -2) | list | tojson }}{{ range(2, 2) | list | tojson }}"),
    "[0, 1, 2][5, 3, 1][]",
  );
});

Deno.test("render() leaves the last message open where it is continued", () => {
  const plain = "{% for m in messages %}<{{ m.content }}>\n{% endfor %}";
  const trimmed = "{% for m in messages %}<{{ m.content | trim }}>\n{% endfor %}";
  const input = { continueFinalMessage: true, addGenerationPrompt: false };
  equal(render(plain, { ...input, messages: messages("a", "b ") }), "<a>\n<b ");
  equal(render(trimmed, { ...input, messages: messages("a", "b ") }), "<a>\n<b");
  const part = new Map([["type", "text"], ["text", "b"]]);
  equal(
    render("{% for m in messages %}{{ m.content[0].text }}!{% endfor %}", { ...input, messages: messages([part]) }),
    "b",
  );
  throws(() => render("{% for m in messages %}x{% endfor %}", { ...input, messages: messages("a") }), TemplateError);
  throws(() => render(plain, { ...input, messages: [] }), TemplateError);
});

Deno.test("contentFormat is openai where the template loops over the parts of a message's content", () => {
  const formats = [
    "{% for m in messages %}{{ m.content }}{% endfor %}",
    "{% for m in messages %}{% for c in m['content'] %}{{ c.text }}{% endfor %}{% endfor %}",
    "{% for m in messages %}{% for c in m.content %}{{ c.text }}{% endfor %}{% endfor %}",
    "{% set rest = messages[1:] %}{% for m in rest %}{% for c in m.content | list %}{{ c }}{% endfor %}{% endfor %}",
    "{% set a = messages %}{% set b = a %}{% for m in b %}{% for c in m['content'] %}{{ c }}{% endfor %}{% endfor %}",
    "{% for m in others %}{% for c in m.content %}{{ c }}{% endfor %}{% endfor %}",
    "{% for m in messages %}{% for t in m.tool_calls %}{{ t }}{% endfor %}{% endfor %}",
  ].map((source) => new ChatTemplate(source, {}, () => 0).contentFormat);
  deepStrictEqual(formats, ["string", "openai", "openai", "openai", "openai", "string", "string"]);
});
