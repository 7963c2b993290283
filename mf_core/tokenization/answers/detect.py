"""Which markup a checkpoint's answers have, by its chat template and vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .calls import (
    calls_of_deepseek,
    calls_of_gemma,
    calls_of_json,
    calls_of_llama,
    calls_of_mistral,
    calls_of_python,
    in_escaped_string,
    in_json_string,
)
from .parser import AnswerParser, CallSyntax, HarmonyParser, TagParser, Where
from .xml_calls import XmlCalls, in_parameter

if TYPE_CHECKING:
    from ..base import PretrainedTokenizer

_THINKING = (("<think>", "</think>"), ("[THINK]", "[/THINK]"))
_CALLS = (
    CallSyntax("<tool_call>", "</tool_call>", calls_of_json, in_json_string),
    CallSyntax("[TOOL_CALLS]", None, calls_of_mistral),
    CallSyntax("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", calls_of_deepseek, in_json_string),
    CallSyntax("<|python_tag|>", None, calls_of_llama),
    CallSyntax("<start_function_call>", "<end_function_call>", calls_of_gemma, in_escaped_string),
)
_GEMMA3 = CallSyntax("```tool_code\n", "```", calls_of_python)


def answer_parser(
    tokenizer: PretrainedTokenizer,
    template: str,
    prompt: str,
    *,
    tools: Sequence[Mapping[str, Any]] = (),
    continued: bool = False,
) -> AnswerParser:
    """Return a parser for the answer to a prompt.

    Args:
        tokenizer: The model's: markup that is a token of its vocabulary is read.
        template: The chat template: so is markup that it has.
        prompt: The conversation as the template renders it.
        tools: The schemas of the tools that the prompt was given.
        continued: Whether the answer continues a message.
    """

    def known(mark: str) -> bool:
        return mark in template or tokenizer.token_to_id(mark) is not None

    where: Where = "content" if continued else "start"
    if known("<|channel|>") and known("<|message|>"):
        return HarmonyParser(where, prompt)
    thinking = [pair for pair in _THINKING if known(pair[0]) or known(pair[1])]
    if not continued and any(prompt.rstrip().endswith(opened) for opened, _ in thinking):
        where = "thinking"
    calls = [syntax for syntax in _CALLS if known(syntax.open)]
    if "<function=" in template:
        xml = CallSyntax("<tool_call>", "</tool_call>", XmlCalls(tools), in_parameter)
        calls = [xml if syntax.open == xml.open else syntax for syntax in calls]
    if known("<start_of_turn>"):
        calls.append(_GEMMA3)
    return TagParser(thinking, calls, bool(tools) and known("<|start_header_id|>"), where, prompt)
