"""Structured output: only tokens that a JSON schema, regular expression, grammar or list of choices allows.

The library llguidance (an extra) computes which; a matcher follows each text, and goes back where proposed tokens are
not accepted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, ArgumentTypeError, NotInstalledError, UnsupportedError, shown
from .logits import FORBIDDEN, History, Logits
from .sequences import shared_length

if TYPE_CHECKING:
    from ..tokenization.base import PretrainedTokenizer
    from .config import GenerationConfig

#: The options, of which a call may have one.
STRUCTURE_OPTIONS = ("json_schema", "regex", "grammar", "choices")


class Structure:
    """What texts are to be like.

    Args:
        grammar: As llguidance has it.
        vocabulary: llguidance's tokenizer.
    """

    def __init__(self, grammar: str, vocabulary: Any) -> None:
        self._grammar, self._vocabulary = grammar, vocabulary

    @classmethod
    def of(
        cls, options: Mapping[str, Any], tokenizer: PretrainedTokenizer, config: GenerationConfig
    ) -> Structure | None:
        """Return what a call's options ask for, compiled; None where they ask for nothing.

        Args:
            options: The call's; those of :data:`STRUCTURE_OPTIONS` are read.
            tokenizer: The model's.
            config: The call's settings: its ids of the end end the texts.

        Raises:
            ArgumentError, ArgumentTypeError: An option is malformed, or two are given.
            UnsupportedError: The schema or grammar has what is not supported, or the tokenizer cannot be used.
            NotInstalledError: llguidance is not installed.
        """
        given = {name: options[name] for name in STRUCTURE_OPTIONS if options.get(name) is not None}
        if not given:
            return None
        if len(given) > 1:
            names = " and ".join(given)
            raise ArgumentError(f"{names} are given", value=given, hint="give one of them")
        ((name, value),) = given.items()
        if not config.eos_ids:
            raise ArgumentError(f"{name} needs an id that ends a text", value=value, hint="give eos_token_id")
        try:
            import llguidance
        except ImportError as error:
            raise NotInstalledError(
                f"{name} needs the package llguidance, which is not installed", value="llguidance",
                hint="pip install 'mf-framework[structured]'",
            ) from error
        grammar = _grammar(llguidance.LLMatcher, name, value)
        vocabulary = _vocabulary(llguidance, tokenizer, config.eos_ids)
        problem = llguidance.LLMatcher.validate_grammar(grammar, vocabulary)
        if problem:
            raise UnsupportedError(
                f"{name}={shown(value, 80)} cannot be followed", value=value, why=str(problem).split("\n")[0]
            )
        return cls(grammar, vocabulary)

    def processor(self, prompt: int, rows: int = 1) -> StructureProcessor:
        """Return a logits processor for so many texts, which have a prompt of so many ids in common."""
        from llguidance import LLMatcher

        made = [LLMatcher(self._vocabulary, self._grammar, log_level=0) for _ in range(rows)]
        return StructureProcessor([Matcher(one) for one in made], prompt)


class StructureProcessor:
    """A logits processor that leaves the tokens that may come next.

    Args:
        matchers: One for each row. Beams may change rows: a matcher goes back to what both texts begin with.
        prompt: Ids in the prompt of each row.
    """

    def __init__(self, matchers: Sequence[Matcher], prompt: int) -> None:
        self._matchers, self._prompt = matchers, prompt

    def __call__(self, history: History, logits: Logits) -> Logits:
        """Return the logits with all tokens that must not come next at -inf."""
        out = logits.copy()
        for row, ids, matcher in zip(out, history, self._matchers, strict=True):
            allowed = matcher.allowed([int(index) for index in ids[self._prompt :]])
            if allowed is not None:
                row[: len(allowed)][~allowed[: len(row)]] = FORBIDDEN
                row[len(allowed) :] = FORBIDDEN
        return out


class Matcher:
    """Follows one text.

    Args:
        matcher: llguidance's.
    """

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher
        self._read: list[int] = []

    def allowed(self, new: Sequence[int]) -> NDArray[np.bool_] | None:
        """Return whether each token may follow ``new``; None where ``new`` itself does not match."""
        if not self._follow(new):
            return None
        mask = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        if self._matcher.is_error():
            raise UnsupportedError("the structure of the text cannot be followed any further", value=None,
                                   why=str(self._matcher.get_error()).split("\n")[0])  # fmt: skip
        allowed: NDArray[np.uint8] = np.unpackbits(mask, bitorder="little")
        return allowed.astype(bool)

    def _follow(self, new: Sequence[int]) -> bool:
        """Bring the matcher to the end of ``new``; return False if it ends before.

        Proposals may be longer, and beams that are left for want of others may not match.
        """
        shared = shared_length(self._read, new)
        if shared < len(self._read) and not self._matcher.rollback(len(self._read) - shared):
            self._matcher.reset()
            shared = 0
        count = self._matcher.try_consume_tokens(list(new[shared:])) if len(new) > shared else 0
        self._read = list(new[: shared + count])
        return len(self._read) == len(new)


def _grammar(matcher: Any, name: str, value: Any) -> str:
    """Return a grammar for an option's value."""
    if name == "json_schema":
        return _of_schema(matcher, value)
    if name == "choices":
        if not isinstance(value, (list, tuple)) or not value or not all(isinstance(one, str) and one for one in value):
            raise ArgumentTypeError(f"choices={shown(value)} is no list of texts", value=value)
        escaped = (json.dumps(one, ensure_ascii=False) for one in value)
        return str(matcher.grammar_from_lark(f"start: {' | '.join(escaped)}"))
    if not isinstance(value, str) or not value:
        raise ArgumentTypeError(f"{name}={shown(value)} is no text", value=value)
    return str(matcher.grammar_from_regex(value) if name == "regex" else matcher.grammar_from_lark(value))


def _of_schema(matcher: Any, value: Any) -> str:
    if callable(getattr(value, "model_json_schema", None)):  # a model of pydantic's
        value = value.model_json_schema()
    if not isinstance(value, (Mapping, bool)):
        raise ArgumentTypeError(
            f"json_schema={shown(value)} is neither a dict nor a pydantic model", value=value,
            hint="{'type': 'object', 'properties': {…}}",
        )
    if isinstance(value, bool):  # anything, or nothing
        value = {} if value else {"not": {}}
    try:
        # Without the choice of white space, of which a model may write without end.
        return str(matcher.grammar_from_json_schema(json.dumps(value), overrides={"whitespace_flexible": False}))
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"json_schema={shown(value)} is no JSON schema", value=value, why=str(error)) from error


def _vocabulary(llguidance: Any, tokenizer: Any, eos_ids: Sequence[int]) -> Any:
    """Return llguidance's tokenizer for a tokenizer, cached on it: making one takes up to a second."""
    made = getattr(tokenizer, "_structured_vocabulary", None)
    if made is not None and made[0] == tuple(eos_ids):
        return made[1]
    backend = getattr(tokenizer, "backend", None)
    if backend is None:
        raise UnsupportedError(
            f"{type(tokenizer).__name__} cannot be used for structured output", value=tokenizer,
            why="it is none of the library tokenizers, whose vocabulary is needed byte for byte",
        )
    text = json.loads(backend.to_str())
    text["padding"] = text["truncation"] = None
    vocabulary = llguidance.LLTokenizer(json.dumps(text), n_vocab=tokenizer.max_id + 1, eos_token=list(eos_ids))
    with suppress(AttributeError):
        tokenizer._structured_vocabulary = (tuple(eos_ids), vocabulary)
    return vocabulary
