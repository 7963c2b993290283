"""Answers of chat models, in the formats that the families write."""

import random

import pytest

from mf_core import AutoTokenizer
from mf_core.tokenization.answers import answer_parser


class Vocabulary:
    """A tokenizer that has no tokens of markup: what is read is what the template has."""

    def token_to_id(self, token):
        return None


def parse(template, answer, prompt="…", pieces=None, **options):
    """Return the message, after checking that what is given in pieces adds up to it."""
    messages = []
    for seed in range(4):
        parser = answer_parser(Vocabulary(), template, prompt, **options)
        chance, rest, deltas = random.Random(seed), answer, []
        while rest:
            size = len(rest) if seed == 0 else chance.randint(1, 1 if seed == 1 else 7)
            deltas += parser.push(rest[:size])
            rest = rest[size:]
        deltas += parser.finish()
        added = {"role": "assistant", "content": ""}
        for delta in deltas:
            ((key, new),) = delta.items()
            assert new
            added[key] = added[key] + new if key in added else new
        assert added == parser.message
        messages.append(parser.message)
    assert all(message == messages[0] for message in messages)
    for call in messages[0].get("tool_calls", ()):
        assert len(call.pop("id")) == 9
        assert call.pop("type") == "function"
    return messages[0]


def said(content, thought=None, *calls):
    message = {"role": "assistant", "content": content}
    if thought is not None:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = [{"function": {"name": name, "arguments": given}} for name, given in calls]
    return message


QWEN = "<think> </think> <tool_call> </tool_call>"
LLAMA = "<|start_header_id|> <|python_tag|>"
MISTRAL = "[TOOL_CALLS] [THINK]"
DEEPSEEK = "<think> <｜tool▁calls▁begin｜>"
GEMMA = "<start_of_turn> <start_function_call>"
GPT_OSS = "<|channel|> <|message|>"
CODER = "<tool_call> <function= </tool_call>"
TOOLS = [
    {"type": "function", "function": {"name": "say", "parameters": {"type": "object", "properties": {
        "text": {"type": "string"}, "size": {"type": "integer"}, "words": {"type": "array"},
        "loud": {"type": "boolean"}, "mood": {"enum": ["1", "2"]},
        "rest": {"anyOf": [{"type": "object"}, {"type": "null"}]},
    }}}},
]  # fmt: skip
ADD = ("add", {"a": 1, "b": [2.5, "x"]})
NOW = ("now", {})
ADD_JSON = '{"name": "add", "arguments": {"a": 1, "b": [2.5, "x"]}}'


@pytest.mark.parametrize("template", [QWEN, LLAMA, MISTRAL, DEEPSEEK, GEMMA, GPT_OSS, "plain"])
@pytest.mark.parametrize("text", ["", "Hi.", " Hi \n\n there <thin [TOOL <| ", "\n\n", '{"a": "<tool"}', "a < b"])
def test_plain_text_is_kept_as_it_is(template, text):
    assert parse(template, text, tools=TOOLS) == said(text)


@pytest.mark.parametrize(
    ("template", "answer", "message"),
    [
        (QWEN, "<think>\nhm\n\nso\n</think>\n\nHello! ", said("Hello! ", "hm\n\nso")),
        (QWEN, "<think>\n\n</think>\n\nHello!", said("Hello!")),
        (QWEN, "  <think>hm", said("", "hm")),
        (QWEN, "say <think> twice </think>", said("say <think> twice </think>")),
        (QWEN, f"<think>\nhm\n</think>\n\n<tool_call>\n{ADD_JSON}\n</tool_call>", said("", "hm", ADD)),
        (
            QWEN,
            f'Let me see.\n<tool_call>\n{ADD_JSON}\n</tool_call>\n<tool_call>{{"name":"now"}}</tool_call>',
            said("Let me see.", None, ADD, NOW),
        ),
        (QWEN, f"<tool_call>{ADD_JSON}", said("", None, ADD)),
        (QWEN, f"<tool_call>{ADD_JSON}</tool_call> and then", said("and then", None, ADD)),
        (QWEN, "<tool_call>\nnonsense\n</tool_call> x", said("<tool_call>\nnonsense\n</tool_call> x")),
        (QWEN, '<tool_call>{"name": "add", "argum', said('<tool_call>{"name": "add", "argum')),
        (QWEN, r'<tool_call>{"name": "add", "arguments": "{\"a\": 1}"}</tool_call>', said("", None, ("add", {"a": 1}))),
        (QWEN, "<tool_call>" + "[" * 5000 + "</tool_call>", said("<tool_call>" + "[" * 5000 + "</tool_call>")),
        (
            QWEN,
            r'<tool_call>{"name": "say", "arguments": {"text": "\"</tool_call>"}}</tool_call>'
            '<tool_call>{"name": "now"}</tool_call>',
            said("", None, ("say", {"text": '"</tool_call>'}), NOW),
        ),
        (
            QWEN,
            '<tool_call>5"</tool_call> x <tool_call>{"name":"now"}</tool_call>',
            said('<tool_call>5"</tool_call> x', None, NOW),
        ),
        (
            QWEN,
            '<tool_call>5"</tool_call> x <tool_call>"{"name":"now"}</tool_call> y',
            said('<tool_call>5"</tool_call> x <tool_call>"{"name":"now"}</tool_call> y'),
        ),
        (QWEN, '<tool_call>5"</tool_call> x', said('<tool_call>5"</tool_call> x')),
        (
            CODER,
            "So:\n<tool_call>\n<function=say>\n<parameter=text>\n12\n</parameter>\n<parameter=size>\n12\n</parameter>\n"
            '<parameter=words>\n["a", null]\n</parameter>\n<parameter=loud>\nTrue\n</parameter>\n<parameter=mood>\n1\n'
            "</parameter>\n<parameter=rest>\nNone\n</parameter>\n<parameter=more>\nx\n\ny\n</parameter>\n</function>\n"
            "</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>",
            said("So:", None, ("say", {
                "text": "12", "size": 12, "words": ["a", None], "loud": True, "mood": "1", "rest": None,
                "more": "x\n\ny",
            }), NOW),
        ),
        (
            CODER,
            "<tool_call><function=say><parameter=text>a </tool_call> </parameter> <b></parameter>"
            "<parameter=size>many</parameter></function></tool_call>",
            said("", None, ("say", {"text": "a </tool_call> </parameter> <b>", "size": "many"})),
        ),
        (CODER, "<tool_call><function=say>?</function></tool_call>",
         said("<tool_call><function=say>?</function></tool_call>")),
        (CODER, f"<tool_call>{ADD_JSON}</tool_call>", said("", None, ADD)),
        (LLAMA, '{"name": "add", "parameters": {"a": 1}}', said("", None, ("add", {"a": 1}))),
        (LLAMA, '{"type": "function", "function": "now", "parameters": {}}', said("", None, NOW)),
        (LLAMA, '{"name": "now", "parameters": {}}; {"name": "now", "parameters": {}}', said("", None, NOW, NOW)),
        (LLAMA, '{"name": "a", "parameters": {"t": "; {"}}; {"name": "now"}', said("", None, ("a", {"t": "; {"}), NOW)),
        (LLAMA, '{"name": "a; {b", "parameters": {}}', said("", None, ("a; {b", {}))),
        (LLAMA, '{"name": "Ann", "age": [1', said('{"name": "Ann", "age": [1')),
        (LLAMA, '<|python_tag|>search.call(query="a, b")', said("", None, ("search", {"query": "a, b"}))),
        (LLAMA, '<|python_tag|>{"name": "now", "parameters": {}}', said("", None, NOW)),
        (LLAMA, "<|python_tag|>import os\nos.getcwd()", said("<|python_tag|>import os\nos.getcwd()")),
        (MISTRAL, f"[TOOL_CALLS][{ADD_JSON}, {{\"name\": \"now\"}}]", said("", None, ADD, NOW)),
        (MISTRAL, '[TOOL_CALLS]add[ARGS]{"a": 1, "b": [2.5, "x"]}[TOOL_CALLS]now[ARGS]{}', said("", None, ADD, NOW)),
        (MISTRAL, 'So:\n[TOOL_CALLS]now[CALL_ID]123456789[ARGS]{}', said("So:", None, NOW)),
        (MISTRAL, 'now [TOOL_CALLS]now{}', said("now", None, NOW)),
        (MISTRAL, "[THINK]hm[/THINK]Hello!", said("Hello!", "hm")),
        (
            MISTRAL,
            '[TOOL_CALLS]a[ARGS]{"t": "[TOOL_CALLS]x[ARGS]{"}',
            said("", None, ("a", {"t": "[TOOL_CALLS]x[ARGS]{"})),
        ),
        (MISTRAL, "[TOOL_CALLS] soon", said("[TOOL_CALLS] soon")),
        (
            DEEPSEEK,
            "So.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n"
            '{"a": 1, "b": [2.5, "x"]}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n'
            "```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            said("So.", None, ADD, NOW),
        ),
        (
            DEEPSEEK,
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            said("", None, NOW),
        ),
        (
            DEEPSEEK,
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>a\n```json\n"
            '{"t": "\\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
            said("", None, ("a", {"t": "\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"})),
        ),
        (DEEPSEEK, "<｜tool▁calls▁begin｜>?<｜tool▁calls▁end｜>", said("<｜tool▁calls▁begin｜>?<｜tool▁calls▁end｜>")),
        (GEMMA, '```tool_code\nprint(add(a=1, b=[2.5, "x"]))\nnow()\n```', said("", None, ADD, NOW)),
        (GEMMA, "```tool_code\nx = 1\n```", said("```tool_code\nx = 1\n```")),
        (
            GEMMA,
            "<start_function_call>call:add{a:1,b:[2.5,<escape>x<escape>]}<end_function_call>"
            "<start_function_call>call:say{text:<escape>{a: \"b\"}, c:d<escape>,o:{k:true}}<end_function_call>",
            said("", None, ADD, ("say", {"text": '{a: "b"}, c:d', "o": {"k": True}})),
        ),
        (GPT_OSS, "<|channel|>final<|message|>Hello!<|return|>", said("Hello!")),
        (
            GPT_OSS,
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Hello! ",
            said("Hello! ", "hm"),
        ),
        (
            GPT_OSS,
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary<|message|>First"
            "<|end|><|start|>assistant<|channel|>commentary to=functions.add <|constrain|>json<|message|>"
            '{"a": 1, "b": [2.5, "x"]}<|call|>',
            said("First", "hm", ADD),
        ),
        (GPT_OSS, " to=functions.now<|channel|>commentary json<|message|>{}<|call|>", said("", None, NOW)),
        (GPT_OSS, "<|channel|>analysis<|message|>one<|end|><|start|>assistant<|channel|>analysis<|message|>two",
         said("", "one\n\ntwo")),
        (GPT_OSS, "<|channel|>commentary to=functions.now<|message|>oops<|call|>",
         said("<|channel|>commentary to=functions.now<|message|>oops<|call|>")),
        (GPT_OSS, "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|chan", said("", "hm")),
    ],
)  # fmt: skip
def test_answers_become_messages(template, answer, message):
    assert parse(template, answer, tools=TOOLS) == message


def test_thinking_may_begin_in_the_prompt_and_a_message_may_be_continued():
    assert parse(QWEN, "hm\n</think>\n\nHi", "<|im_start|>assistant\n<think>\n") == said("Hi", "hm")
    assert parse(QWEN, "<think>", "…", continued=True) == said("<think>")
    assert parse(GPT_OSS, " you.<|end|>", "…", continued=True) == said(" you.")


def test_json_is_a_call_only_where_there_are_tools():
    answer = '{"name": "Ann", "parameters": {}}'
    assert parse(LLAMA, answer) == said(answer)
    assert parse(LLAMA, answer, tools=TOOLS) == said("", None, ("Ann", {}))


def test_ids_of_calls_differ():
    parser = answer_parser(Vocabulary(), QWEN, "one")
    parser.push('<tool_call>{"name": "now"}</tool_call><tool_call>{"name": "now"}</tool_call>')
    other = answer_parser(Vocabulary(), QWEN, "two")
    other.push('<tool_call>{"name": "now"}</tool_call>')
    calls = parser.message["tool_calls"] + other.message["tool_calls"]
    assert len({call["id"] for call in calls}) == 3


#: Family -> how its template writes a call, what it puts around all of them, and how it begins an answer.
WRITTEN = {
    "qwen": ('<tool_call>\n{"name": "{{ f.name }}", "arguments": {{ f.arguments | tojson }}}\n</tool_call>\n', "", ""),
    "qwen3-coder": (
        "<tool_call>\n<function={{ f.name }}>\n{% for key, value in f.arguments | items %}<parameter={{ key }}>\n"
        "{{ value if value is string else value | tojson }}\n</parameter>\n{% endfor %}</function>\n"
        "</tool_call>\n", "", "",
    ),
    "llama": (
        '{{ "; " if not loop.first }}{"name": "{{ f.name }}", "parameters": {{ f.arguments | tojson }}}', "",
        "<|start_header_id|>",
    ),
    "mistral": ("[TOOL_CALLS]{{ f.name }}[ARGS]{{ f.arguments | tojson }}", "", ""),
    "deepseek": (
        "<｜tool▁call▁begin｜>function<｜tool▁sep｜>{{ f.name }}\n```json\n{{ f.arguments | tojson }}"
        "\n```<｜tool▁call▁end｜>",
        "<｜tool▁calls▁begin｜>{}<｜tool▁calls▁end｜>", "",
    ),
    "gpt-oss": (
        "<|start|>assistant<|channel|>commentary to=functions.{{ f.name }} <|constrain|>json<|message|>"
        "{{ f.arguments | tojson }}<|call|>", "", "",
    ),
}  # fmt: skip
HARD = [
    ("say", {"text": 'é "quoted" \\ {a: 1}; {"name": \n\n  <b>', "size": -3, "words": ["]", None, {"k": []}],
             "loud": False}),
    ("now", {}),
    ("say", {"text": "</tool_call> [TOOL_CALLS]x[ARGS]{ ```", "mood": "2", "rest": {"a": {"b": 1.5}}}),
]  # fmt: skip


@pytest.mark.parametrize("family", WRITTEN)
def test_calls_that_a_template_writes_are_read_back(family):
    one, around, opened = WRITTEN[family]
    calls = "{% for call in m.tool_calls %}{% set f = call.function %}" + one + "{% endfor %}"
    template = (
        "{% for m in messages %}{% if m.tool_calls %}" + (around.format(calls) if around else calls) + "{% endif %}"
        "{% endfor %}{# " + opened + " #}"
    )
    tokenizer = AutoTokenizer.from_pretrained("gpt2_tiny", chat_template=template)
    for wanted in (HARD, HARD[:1], HARD[1:]):
        made = [{"type": "function", "function": {"name": name, "arguments": given}} for name, given in wanted]
        answer = {"role": "assistant", "content": "", "tool_calls": made}
        text = tokenizer.apply_chat_template([answer], tokenize=False)
        assert parse(template, text, tools=TOOLS) == said("", None, *wanted)
