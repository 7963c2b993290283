"""Which markup a checkpoint's answers have, by its chat template and vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .calls import calls_of_deepseek, calls_of_gemma, calls_of_json, calls_of_llama, calls_of_mistral, calls_of_python
from .parser import AnswerParser, CallSyntax, HarmonyParser, TagParser, Where

if TYPE_CHECKING:
    from ..base import PretrainedTokenizer

_THINKING = (("<think>", "</think>"), ("[THINK]", "[/THINK]"))
_CALLS = (
    CallSyntax("<tool_call>", "</tool_call>", calls_of_json),
    CallSyntax("[TOOL_CALLS]", None, calls_of_mistral),
    CallSyntax("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", calls_of_deepseek),
    CallSyntax("<|python_tag|>", None, calls_of_llama),
    CallSyntax("<start_function_call>", "<end_function_call>", calls_of_gemma),
)
_GEMMA3 = CallSyntax("```tool_code\n", "```", calls_of_python)


def answer_parser(
    tokenizer: PretrainedTokenizer, template: str, prompt: str, *, tools: bool = False, continued: bool = False
) -> AnswerParser:
    """Return a parser for the answer to a prompt.

    Args:
        tokenizer: The model's: markup that is a token of its vocabulary is read.
        template: The chat template: so is markup that it has.
        prompt: The conversation as the template renders it.
        tools: Whether the prompt was given tools.
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
    if known("<start_of_turn>"):
        calls.append(_GEMMA3)
    return TagParser(thinking, calls, tools and known("<|start_header_id|>"), where, prompt)
