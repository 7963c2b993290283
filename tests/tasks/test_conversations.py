"""``pipeline("text_generation")`` with messages: what comes back, whole and streamed, and what is refused."""

import asyncio
import re

import numpy as np
import pytest

from mf_core import AutoTokenizer, pipeline
from mf_core.errors import ArgumentError, ArgumentTypeError, ChatTemplateError, UnsupportedError

TEMPLATE = """{%- for message in messages -%}
{%- if message.role == 'robot' %}{{ raise_exception('there are no robots') }}{% endif -%}
<|{{ message.role }}|>{{ message.content }}{% for call in message.tool_calls %}{{ call | tojson }}{% endfor %}
{% endfor -%}
{%- if tools %}{{ tools[0].function.name }}<tool_call></tool_call>{% endif -%}
{%- if add_generation_prompt %}<|assistant|>{% if enable_thinking %}<think>{% endif %}{% endif -%}"""
TALK = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Who lives in the wood?"}]
ANSWER = "<think>hm</think> A fox. <tool_call>{\"name\": \"look\", \"arguments\": {\"at\": \"fox 🦊\"}}</tool_call>"


def look(at: str):
    """Look at something.

    Args:
        at: What.
    """


@pytest.fixture(scope="module")
def chat():
    tokenizer = AutoTokenizer.from_pretrained("gpt2_tiny", chat_template=TEMPLATE)
    return pipeline("text_generation", "gpt2_tiny", tokenizer, max_new_tokens=12, do_sample=False)


def saying(chat, text):
    """Return options with which the model says a text."""
    ids = [*chat.tokenizer.encode(text, add_special_tokens=False), chat.tokenizer.eos_token_id]
    starts = {}

    def force(history, logits):
        start = starts.setdefault(bytes(history[0][:1]), history.shape[1])
        out = np.full_like(logits, -np.inf)
        out[:, ids[history.shape[1] - start]] = 0
        return out

    return {"logits_processor": force, "max_new_tokens": 110}


def test_messages_come_back_with_the_answer(chat):
    (result,) = chat(TALK)
    (talk,) = result["text_generation_text"]
    assert talk[:2] == TALK
    assert list(talk[2]) == ["role", "content"]
    prompt = chat.tokenizer.apply_chat_template(TALK, add_generation_prompt=True, tokenize=False)
    (plain,) = chat(prompt, return_full_text=False)[0]["text_generation_text"]
    assert talk[2] == {"role": "assistant", "content": plain}
    assert result["finish_reasons"] == ["length"]
    assert chat(TALK, return_full_text=False)[0]["text_generation_text"] == [[talk[2]]]


def test_several_conversations_and_several_answers(chat):
    other = [{"role": "user", "content": "Hello!"}]
    together = chat([TALK, other])
    assert together == [*chat(TALK), *chat(other)]
    (result,) = chat(TALK, do_sample=True, num_return_sequences=2, seed=1)
    assert [talk[-1]["role"] for talk in result["text_generation_text"]] == ["assistant"] * 2
    (result,) = chat(TALK, num_beams=2, return_scores=True)
    assert len(result["scores"]) == 1
    with pytest.raises(ArgumentTypeError, match=r"message 0 is a str|conversation is a list"):
        chat([TALK, "Hello!"])


@pytest.mark.parametrize("streamed", [False, True])
def test_thinking_and_tool_calls_are_parted(chat, streamed):
    options = {**saying(chat, ANSWER), "tools": [look]}
    if streamed:
        stream = chat(TALK, stream=True, **options)
        deltas = list(stream)
        answer, reason = stream.message, stream.finish_reason
        assert "".join(delta.get("content", "") for delta in deltas) == "A fox."
        assert [call for delta in deltas for call in delta.get("tool_calls", [])] == answer["tool_calls"]
    else:
        (result,) = chat(TALK, **options)
        answer, (reason,) = result["text_generation_text"][0][-1], result["finish_reasons"]
    (call,) = answer.pop("tool_calls")
    assert re.fullmatch("[0-9a-f]{9}", call.pop("id"))
    assert call == {"type": "function", "function": {"name": "look", "arguments": {"at": "fox 🦊"}}}
    assert answer == {"role": "assistant", "content": "A fox.", "reasoning_content": "hm"}
    assert reason == "eos"
    chat([*TALK, {**answer, "tool_calls": [call]}, {"role": "tool", "content": "It is red."}], tools=[look])


def test_what_is_streamed_adds_up_to_the_answer(chat):
    (result,) = chat(TALK)
    stream = chat(TALK, stream=True)
    assert "".join(delta["content"] for delta in stream) == result["text_generation_text"][0][-1]["content"]
    assert stream.tokens == 12
    streams = chat([TALK, TALK[1:]], stream=True, stop=["e"])
    texts = ["", ""]
    for number, delta in streams:
        texts[number] += delta["content"]
    whole = chat([TALK, TALK[1:]], stop=["e"])
    assert texts == [one["text_generation_text"][0][-1]["content"] for one in whole]
    assert [one["content"] for one in streams.messages] == texts
    assert streams.finish_reasons == [one["finish_reasons"][0] for one in whole]

    async def gather():
        return [delta async for delta in chat(TALK, stream=True)]

    assert "".join(delta["content"] for delta in asyncio.run(gather())) == stream.message["content"]


def test_the_last_message_of_the_assistant_is_continued(chat):
    begun = [*TALK, {"role": "assistant", "content": "A big"}]
    (result,) = chat(begun)
    (talk,) = result["text_generation_text"]
    assert talk[:2] == TALK
    assert talk[2]["content"].startswith("A big")
    assert len(talk) == 3
    stream = chat(begun, stream=True)
    new = "".join(delta["content"] for delta in stream)
    assert talk[2]["content"] == "A big" + new == stream.message["content"]
    ((of_user,),) = chat(TALK, continue_final_message=True, return_full_text=False)[0]["text_generation_text"]
    assert of_user["role"] == "user"
    (fresh,) = chat(begun, continue_final_message=False)[0]["text_generation_text"]
    assert len(fresh) == 4


def test_the_template_has_variables_and_others_may_be_given(chat):
    stream = chat(TALK, stream=True, chat_template_kwargs={"enable_thinking": True}, **saying(chat, "hm</think>Yes."))
    assert list(stream) != []
    assert stream.message == {"role": "assistant", "content": "Yes.", "reasoning_content": "hm"}
    (result,) = chat(TALK, chat_template="{{ messages[1].content }}")
    assert result["text_generation_text"][0][-1]["role"] == "assistant"


def test_parts_of_text_are_text(chat):
    parts = [{"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "there!"}]}]
    plain = [{"role": "user", "content": "Hello\nthere!"}]
    answers = [chat(talk)[0]["text_generation_text"][0][-1] for talk in (parts, plain)]
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("talk", "options", "error", "message"),
    [
        ([], {}, ArgumentTypeError, "a prompt is a string or a list"),
        ([[]], {}, ArgumentError, "at least one message"),
        ([{"role": "robot", "content": "Hi"}], {}, ChatTemplateError, "refuses the conversation: there are no robots"),
        ([{"content": "Hi"}], {}, ArgumentError, "message 0 has no role"),
        ([{"role": "user"}], {}, ArgumentError, "message 0 has no content"),
        ([{"role": "user", "content": " "}], {}, ArgumentError, "message 0, of the user, is empty"),
        ([{"role": "user", "content": 3}], {}, ArgumentTypeError, "the content of message 0 is of type int"),
        ([*TALK, {"role": "assistant", "content": "", "tool_calls": "add"}], {}, ArgumentTypeError,
         "malformed tool_calls: 'add'"),
        ([*TALK, {"role": "assistant", "content": "", "tool_calls": [{"function": {}}]}], {}, ArgumentTypeError,
         "message . has malformed tool_calls"),
        ([{"role": "user", "content": [{"type": "image"}]}], {}, UnsupportedError, "a part of the type 'image'"),
        ([{"role": "user", "content": ["Hi"]}], {}, UnsupportedError, "a part of the type 'str'"),
        ([TALK[0], "Hi"], {}, ArgumentTypeError, "message 1 is a str"),
        (TALK, {"num_beams": 2, "stream": True}, UnsupportedError, "stream=True with num_beams=2"),
        (TALK, {"chat_template": "{% if %}"}, ChatTemplateError, r"malformed: .* \(line 1: \{% if %\}\)"),
        (TALK, {"chat_template": "{{ messages }}", "tools": [look]}, UnsupportedError, "does not read 'tools'"),
        (TALK, {"tools": [{"description": "?"}]}, ArgumentError, "a tool has no name"),
        (TALK, {"tools": "look"}, ArgumentTypeError, "tools are a list"),
        (TALK, {"documents": [{"text": "?"}]}, UnsupportedError, "does not read 'documents'"),
        (TALK, {"chat_template_kwargs": {"mood": 1}}, UnsupportedError, "does not read 'mood'"),
        (TALK, {"chat_template_kwargs": "mood"}, ArgumentTypeError, "is not a dict"),
        (TALK, {"continue_final_message": 2}, ArgumentTypeError, "is not a bool"),
        ("Hi", {"tools": [look]}, ArgumentError, "tools is for conversations"),
        ([*TALK, {"role": "assistant", "tool_calls": [{"name": "look"}]}], {}, ArgumentError,
         "their results are missing"),
    ],
)  # fmt: skip
def test_what_is_refused(chat, talk, options, error, message):
    with pytest.raises(error, match=message):
        chat(talk, **options)


def test_a_model_without_a_template_says_so():
    plain = pipeline("text_generation", "gpt2_tiny")
    with pytest.raises(UnsupportedError, match="has no chat template"):
        plain(TALK)
