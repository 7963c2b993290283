"""Chat templates: what they give, how they are kept, and what harm they can do, which is none."""

import json
import resource
import time

import numpy as np
import pytest

from mf_core import AutoTokenizer
from mf_core.errors import ArgumentError, ArgumentTypeError, ChatTemplateError, ConfigError, UnsupportedError

CHATML = """{%- if tools %}
tools: {{ tools | tojson(indent=2) }}
{% endif -%}
{% for message in messages %}
    {% if message.role == 'robot' %}{{ raise_exception('there are no robots: ' ~ message.role) }}{% endif %}
    {{- '<|' + message['role'] + '|>' }}
    {% if message['role'] == 'assistant' %}
        {% generation %}{{ message['content'] }}{{ eos_token }}{% endgeneration %}
    {% else %}
        {{- message['content'] }}
    {% endif %}
{% endfor %}
{% if add_generation_prompt %}<|assistant|>{% endif %}"""
TALK = [
    {"role": "user", "content": "Hi", "name": None},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Bye"},
]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained("gpt2_tiny", chat_template=CHATML)


def text(tokenizer, messages, **options):
    return tokenizer.apply_chat_template(messages, tokenize=False, **options)


# What they give -----------------------------------------------------------------------------------------------------


def test_a_conversation_becomes_a_text_and_its_ids(tokenizer):
    whole = text(tokenizer, TALK, add_generation_prompt=True)
    assert whole == "<|user|>\nHi\n<|assistant|>\nHello!<|endoftext|><|user|>\nBye\n<|assistant|>"
    result = tokenizer.apply_chat_template(TALK, add_generation_prompt=True)
    assert tokenizer.decode(result["input_ids"]) == whole
    assert result["attention_mask"] == [1] * len(result["input_ids"])
    ids = tokenizer.apply_chat_template(TALK, add_generation_prompt=True, return_dict=False, return_tensors="np")
    np.testing.assert_array_equal(ids, [result["input_ids"]])


def test_several_conversations(tokenizer):
    assert text(tokenizer, [TALK[:1], TALK[2:]]) == ["<|user|>\nHi\n", "<|user|>\nBye\n"]
    rows = tokenizer.apply_chat_template([TALK, TALK[:1]], padding=True, return_tensors="np")
    assert rows["input_ids"].shape == rows["attention_mask"].shape
    assert rows["attention_mask"][1].sum() < rows["attention_mask"][0].sum()


@pytest.mark.parametrize("kind", [None, "np", "ms"])
def test_mask_of_what_the_assistant_said(tokenizer, kind):
    options = {"return_assistant_tokens_mask": True, "return_tensors": kind}
    result = tokenizer.apply_chat_template(TALK, **options)
    ids, mask = (np.asarray(result[name]).reshape(-1) for name in ("input_ids", "assistant_masks"))
    assert tokenizer.decode(ids[mask == 1]).strip() == "Hello!<|endoftext|>"
    with pytest.raises(ArgumentError, match="needs a template that marks"):
        tokenizer.apply_chat_template(TALK, chat_template="{{ messages }}", **options)
    with pytest.raises(ArgumentError, match="needs tokenize=True"):
        tokenizer.apply_chat_template(TALK, tokenize=False, **options)


def test_the_last_message_is_continued(tokenizer):
    started = [TALK[0], {"role": "assistant", "content": "Once upon "}]
    assert text(tokenizer, started, continue_final_message=True) == "<|user|>\nHi\n<|assistant|>\nOnce upon "
    parts = [{"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "image"}]}]
    shown = "{% for part in messages[0].content %}{{ part.text }}|{% endfor %}"
    assert text(tokenizer, parts, continue_final_message=True, chat_template=shown) == "one"
    assert parts[0]["content"][0]["text"] == "one"
    with pytest.raises(ArgumentError, match="contradict each other"):
        text(tokenizer, started, continue_final_message=True, add_generation_prompt=True)
    with pytest.raises(ArgumentError, match="does not read 'content'"):
        text(tokenizer, started, continue_final_message=True, chat_template="{# nothing #}")
    with pytest.raises(ArgumentError, match="cannot be continued"):
        text(tokenizer, started, continue_final_message=True, chat_template="{# content #}")


def test_variables_and_special_tokens_are_the_templates(tokenizer):
    template = "{{ bos_token }}{{ mood }}{{ strftime_now('%Y') }}{{ {'é': 1}|tojson }}{% break %}"
    assert text(tokenizer, TALK, chat_template="{{ bos_token }}{{ mood }}", mood="good") == "<|endoftext|>good"
    assert text(tokenizer, TALK, chat_template="{{ bos_token }}", bos_token="!") == "!"
    year = time.strftime("%Y")
    assert text(tokenizer, TALK, chat_template=template[:-11], mood=1) == f'<|endoftext|>1{year}{{"é": 1}}'
    looped = "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m.content }}{% endfor %}"
    assert text(tokenizer, TALK, chat_template=looped) == "Hi"


def test_thinking_goes_by_the_names_that_templates_read(tokenizer):
    template = "{{ messages[0].reasoning_content }}{{ messages[0].thinking }}"
    for name in ("reasoning_content", "thinking", "reasoning"):
        message = {"role": "assistant", "content": "", name: "hm"}
        assert text(tokenizer, [message], chat_template=template) == "hmhm"


# Tools --------------------------------------------------------------------------------------------------------------


def weather(city: str, days: int = 1, unit: "str | None" = None):
    """
    Tell the weather.

    Args:
        city: The city's name,
            in English.
        days: For how long.
        unit: The unit. (choices: ["celsius", "fahrenheit"])

    Returns:
        What it will be.
    """


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "The city's name, in English."},
                "days": {"type": "integer", "description": "For how long."},
                "unit": {
                    "type": "string", "nullable": True, "enum": ["celsius", "fahrenheit"], "description": "The unit.",
                },
            },
            "required": ["city"],
        },
    },
}  # fmt: skip


def test_tools_are_functions_or_schemas(tokenizer):
    template = "{{ tools | tojson }}"
    for tools in ([weather], [WEATHER]):
        assert json.loads(text(tokenizer, TALK, tools=tools, chat_template=template)) == [WEATHER]

    def silent(city: str):
        pass

    def vague(city: str):
        """Say something."""

    def untyped(city):
        """Say something.

        Args:
            city: One.
        """

    for tool, message in ((silent, "no docstring"), (vague, "does not describe 'city'"), (untyped, "has no type")):
        with pytest.raises(ArgumentError, match=message):
            text(tokenizer, TALK, tools=[tool])
    with pytest.raises(ArgumentTypeError, match="a tool is a function or a JSON schema, not str"):
        text(tokenizer, TALK, tools=["weather"])


# Names and files ----------------------------------------------------------------------------------------------------


def test_named_templates(tokenizer):
    named = AutoTokenizer.from_pretrained("gpt2_tiny", chat_template={"default": "d", "tool_use": "t", "rag": "r"})
    assert text(named, TALK) == "d"
    assert text(named, TALK, tools=[]) == "t"
    assert text(named, TALK, chat_template="rag") == "r"
    assert text(named, TALK, chat_template="{{ 1 }}") == "1"
    with pytest.raises(ArgumentError, match="there is no chat template 'rug'") as caught:
        text(named, TALK, chat_template="rug")
    assert "'rag'" in caught.value.hint
    only = AutoTokenizer.from_pretrained("gpt2_tiny", chat_template={"rag": "r"})
    with pytest.raises(ArgumentError, match="none is the default"):
        text(only, TALK)
    with pytest.raises(UnsupportedError, match="has no chat template"):
        text(AutoTokenizer.from_pretrained("gpt2_tiny"), TALK)
    for wrong in (3, {"a/b": "x"}, {"a": 3}):
        with pytest.raises(ConfigError, match="neither a template nor"):
            AutoTokenizer.from_pretrained("gpt2_tiny", chat_template=wrong)


@pytest.mark.parametrize(
    "value", ["{{ 1 }}", [{"name": "default", "template": "{{ 1 }}"}, {"name": "rag", "template": "é"}], {"rag": "é"}]
)
def test_templates_are_read_from_the_configuration_and_written_as_files(value, tmp_path):
    AutoTokenizer.from_pretrained("gpt2_tiny").save_pretrained(tmp_path / "a")
    file = tmp_path / "a" / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": value}))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "a")
    assert repr(tokenizer).endswith("chat_template=yes)")
    tokenizer.save_pretrained(tmp_path / "b")
    assert "chat_template" not in json.loads((tmp_path / "b" / "tokenizer_config.json").read_text())
    assert (tmp_path / "b" / "chat_template.jinja").exists() == (value != {"rag": "é"})
    again = AutoTokenizer.from_pretrained(tmp_path / "b")
    assert again.chat_template == tokenizer.chat_template
    again.chat_template = None
    again.save_pretrained(tmp_path / "b")
    assert AutoTokenizer.from_pretrained(tmp_path / "b").chat_template is None


# What is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "error", "message"),
    [
        ([], ArgumentError, "at least one message"),
        ("Hi", ArgumentTypeError, "a list of messages, not str"),
        (["Hi"], ArgumentTypeError, "message 0 is a str, not a dict"),
        ([{"content": "Hi"}], ArgumentError, "message 0 has no role"),
        ([{"role": "user", "content": 3}], ArgumentTypeError, "the content of message 0 is of type int"),
        ([TALK, "Hi"], ArgumentTypeError, "conversation 1 is no list"),
        ([{"role": "robot", "content": "Hi"}], ChatTemplateError, r"refuses the conversation: .*robot \(line 5:"),
    ],
)
def test_conversations_that_are_none(tokenizer, messages, error, message):
    with pytest.raises(error, match=message):
        text(tokenizer, messages)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("one\n{% if %}", r"malformed: .* \(line 2: {% if %}\)"),
        ("one\n\n{{ messages[0].a.b }}", r"failed: .*'a'.* \(line 3: {{ messages"),
        ("{{ ''.__class__.__mro__ }}", "__class__.* is unsafe"),
        ("{{ cycler.__init__.__globals__ }}", "is unsafe"),
        ("{{ messages.append(1) }}", "is unsafe"),
        ("{% set ns = namespace(_a=1) %}", "'_a' is private"),
        ("{% include 'x' %}", "no loader"),
        ("{{ 'a' * 10 ** 12 }}", "takes more than 48 MB"),
        ("{% set n = namespace(x='aaaa') %}{% for i in range(50) %}{% set n.x = n.x ~ n.x %}{% endfor %}", "48 MB"),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "takes more than 0.3 s"),
        ("{{ 10 ** (10 ** 10) }}", "takes more than"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    ],
)
def test_templates_that_fail_or_mean_harm(tokenizer, template, message):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ChatTemplateError, match=message):
        text(tokenizer, TALK, chat_template=template)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 << 10
    assert text(tokenizer, TALK, chat_template="{{ 1 }}") == "1"  # the next one is well
