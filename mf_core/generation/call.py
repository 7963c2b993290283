"""``generate``: ids in, ids out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Tensor

from ..boundary import public
from ..errors import ArgumentError, ArgumentTypeError, UnsupportedError
from .config import GenerationConfig
from .engine import run
from .hooks import Hooks, TokenLogprob
from .options import check_vocabulary
from .sequences import Continuation, prepare
from .speculation import check_speculation
from .structured import Structure
from .text import StopAutomaton, TextFollower

if TYPE_CHECKING:
    from ..models.base import PretrainedModel
    from ..tokenization.base import PretrainedTokenizer

#: Most continuations of one call, and most beams.
_MOST_ROWS = 65_536


@dataclass
class GenerationOutput:
    """What ``generate(…, return_dict_in_generate=True)`` returns; lists have an entry for each continuation.

    Attributes:
        sequences: Ids of prompt and continuation.
        finish_reasons: ``"eos"``, ``"length"`` or ``"stop"``.
        scores: Sums of the log-probabilities that the model gave the new tokens; with beams, what they were compared
            by.
        logprobs: With ``logprobs=k``: what the model thought of each new token.
    """

    sequences: list[list[int]]
    finish_reasons: list[str | None]
    scores: list[float]
    logprobs: list[list[TokenLogprob]] = field(default_factory=list)


@public
def generate(
    model: PretrainedModel,
    input_ids: Any,
    *,
    attention_mask: Any = None,
    token_type_ids: Any = None,
    generation_config: GenerationConfig | Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    assistant_model: PretrainedModel | None = None,
    tokenizer: PretrainedTokenizer | None = None,
    logits_processor: Any = None,
    stopping_criteria: Any = None,
    callbacks: Any = None,
    json_schema: Any = None,
    regex: str | None = None,
    grammar: str | None = None,
    choices: Sequence[str] | None = None,
    logprobs: int | None = None,
    return_dict_in_generate: bool = False,
    **options: Any,
) -> list[list[int]] | GenerationOutput:
    """Return each prompt's ids followed by the generated ones, the end-of-sequence id included.

    Args:
        model: A model that can decode.
        input_ids: One prompt (a list or 1-d array of ids) or several (a list of lists, or a 2-d array or tensor).
        attention_mask: Of the same shape: 0 at padding, which is left out. Without it, rows are stripped of the model's
            ``pad_token_id``, unless that may be a token of the text.
        token_type_ids: As a tokenizer returns them; all of them 0.
        generation_config: Settings instead of the model's own.
        batch_size: Most continuations that are run together; a row that becomes free is used by the next at once. None:
            all together.
        assistant_model: A smaller model with the same vocabulary. It proposes ``num_assistant_tokens`` tokens a step,
            of which the model takes those that it would draw itself: the text is the same and may come faster.
        tokenizer: The model's, for ``stop`` and for structured output.
        logits_processor: A function of ``(ids, logits)``, or a list: arrays ``(rows, length)`` int64 and ``(rows,
            vocabulary)`` fp32; it returns logits. Rows of different lengths come in separate calls.
        stopping_criteria: A function of ``(ids, logits)``, or a list, that returns whether a text ends.
        callbacks: A function, or a list, that is called with a :class:`mf_core.generation.NewToken` for each token.
        json_schema, regex, grammar, choices: What the new text must match; one of a dict or a pydantic model, a regular
            expression, a grammar of Lark, and a list of texts. A text that is cut short does not; its finish reason is
            ``"length"``.
        logprobs: Record the log-probability of each token, and of so many alternatives.
        return_dict_in_generate: Return a :class:`GenerationOutput`.
        **options: Fields of :class:`GenerationConfig`; ``model.generation_config`` has the defaults.

    Raises:
        ArgumentError, ArgumentTypeError: An option is unknown or out of range, or a prompt is empty.
        InputTooLongError: A prompt does not fit.
        UnsupportedError: Options cannot be combined, or the model cannot do what they need.
        CallbackError: One of the caller's functions raised an error.
    """
    if batch_size is not None:
        check_batch_size(batch_size)
    config = GenerationConfig.from_kwargs(base_config(model, generation_config), **options)
    check_vocabulary(config, options, int(model.config.vocab_size))
    prompts = rows_of(input_ids, attention_mask, config)
    _check_token_types(token_type_ids)
    if logprobs is not None and not return_dict_in_generate:
        raise ArgumentError(f"logprobs={logprobs} without return_dict_in_generate=True", value=logprobs,
                            why="a list of ids has no room for them", hint="return_dict_in_generate=True")  # fmt: skip
    hooks = Hooks.of(logits_processor, stopping_criteria, callbacks, return_dict_in_generate, logprobs)
    structure = {"json_schema": json_schema, "regex": regex, "grammar": grammar, "choices": choices}
    for name, value in {"stop": config.stop or None, **structure}.items():
        if value is not None and tokenizer is None:
            raise ArgumentError(f"{name} needs a tokenizer", value=value, hint="generate(…, tokenizer=tokenizer)")
    if tokenizer is not None:
        hooks = replace(hooks, structure=Structure.of(structure, tokenizer, config))
    check_combination(config, hooks, assistant_model, len(prompts))
    check_speculation(model, config, assistant_model)
    sequences = prepare(model, prompts, config)
    if config.stop and tokenizer is not None:
        follow(sequences, config, tokenizer)
    for _ in run(model, sequences, config, hooks, batch_size=batch_size, assistant=assistant_model):
        pass
    ids = [sequence.ids for sequence in sequences]
    if not return_dict_in_generate:
        return ids
    return GenerationOutput(
        ids, [s.finished for s in sequences], [s.score for s in sequences],
        [s.logprobs for s in sequences] if logprobs is not None else [],
    )  # fmt: skip


def base_config(model: PretrainedModel, given: Any) -> GenerationConfig:
    """Return what a call's options change: the settings that it gives, or the model's own."""
    if given is None:
        return model.generation_config
    if isinstance(given, GenerationConfig):
        return given
    if isinstance(given, Mapping):
        return GenerationConfig.from_kwargs({}, **given)
    raise ArgumentTypeError(f"generation_config is a GenerationConfig, not {type(given).__name__}", value=given)


def follow(
    sequences: Sequence[Continuation],
    config: GenerationConfig,
    tokenizer: PretrainedTokenizer,
    kept: Sequence[str] = (),
) -> None:
    """Decode each sequence as it grows, for streams and stop strings; special tokens in ``kept`` stay in the text."""
    automaton = StopAutomaton(config.stop) if config.stop else None
    for sequence in sequences:
        sequence.follower = TextFollower(tokenizer, sequence.ids[: sequence.prompt], automaton, kept)


def check_batch_size(value: Any) -> None:
    """Raise ArgumentError unless it is a whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ArgumentError(f"batch_size={value!r} is not a whole number of at least 1", value=value)


def check_combination(config: GenerationConfig, hooks: Hooks, assistant: Any, prompts: int) -> None:
    """Raise for options that exclude each other, and for too many rows.

    Raises:
        UnsupportedError, ArgumentError: The options are named.
    """
    rows = prompts * max(config.num_return_sequences, config.num_beams)
    if rows > _MOST_ROWS:
        raise ArgumentError(
            f"{prompts} prompts with {rows // prompts} texts each are {rows}; a call has at most {_MOST_ROWS}",
            value=rows, hint="call it with fewer prompts at a time",
        )  # fmt: skip
    if config.num_beams == 1:
        return
    why = None
    if assistant is not None:
        why = "assistant_model", "proposed tokens are verified for one text, and beams are several"
    elif hooks.logprobs is not None:
        why = f"logprobs={hooks.logprobs}", "the tokens of a beam are known only when it has won"
    if why is not None:
        raise UnsupportedError(
            f"{why[0]} with num_beams={config.num_beams}", value=config.num_beams, why=why[1],
            hint="leave out one of them",
        )  # fmt: skip


def rows_of(input_ids: Any, attention_mask: Any, config: GenerationConfig) -> list[list[int]]:
    """Return prompts as lists of ids, without padding.

    Raises:
        ArgumentTypeError: There is something else in them.
        ArgumentError: The mask has another shape, or rows may be padded and there is none.
    """
    values = _lists(input_ids)
    if not isinstance(values, (list, tuple)):
        raise ArgumentTypeError(
            f"prompts are lists of ids, not {type(input_ids).__name__}", value=input_ids,
            hint="generate(**tokenizer(text)), or input_ids=tokenizer(text)['input_ids']",
        )  # fmt: skip
    many = bool(values) and isinstance(values[0], (list, tuple))
    rows = [list(row) if isinstance(row, (list, tuple)) else row for row in values] if many else [list(values)]
    for row in rows:
        if not isinstance(row, list) or not all(isinstance(i, int) and not isinstance(i, bool) for i in row):
            raise ArgumentTypeError(f"a prompt is a list of ids, not {row!r:.80}", value=row)
    if attention_mask is None:
        return _without_padding(rows, config)
    mask = _lists(attention_mask)
    mask = mask if many else [mask]
    shapes = [[len(row) if isinstance(row, (list, tuple)) else None for row in side] for side in (rows, mask)]
    if shapes[0] != shapes[1]:
        raise ArgumentError(
            f"attention_mask has rows of {_sizes(shapes[1])} entries, input_ids of {_sizes(shapes[0])}",
            value=shapes[1],
        )  # fmt: skip
    return [[i for i, kept in zip(row, line, strict=True) if kept] for row, line in zip(rows, mask, strict=True)]


def _lists(value: Any) -> Any:
    value = value.asnumpy() if isinstance(value, Tensor) else value
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, (list, tuple)):
        return [each.tolist() if isinstance(each, (np.ndarray, np.generic)) else each for each in value]
    return value


def _sizes(sizes: list[int | None]) -> str:
    return ", ".join(map(str, sizes[:4])) + (", …" if len(sizes) > 4 else "")


def _without_padding(rows: list[list[int]], config: GenerationConfig) -> list[list[int]]:
    """Strip rows of padding where it can be distinguished from text; raise where there may be some and it cannot."""
    pad = config.pad_token_id
    if pad is None:
        return rows
    is_text = pad in config.eos_ids or pad == config.bos_token_id
    found = []
    for row in rows:
        left = next((n for n, index in enumerate(row) if index != pad), len(row))
        right = next((n for n, index in enumerate(reversed(row)) if index != pad), len(row))
        found.append((left, right))
    if not is_text:
        kept = [row[left : len(row) - right] for row, (left, right) in zip(rows, found, strict=True)]
        return [short or row for short, row in zip(kept, rows, strict=True)]
    alike = len({len(row) for row in rows}) == 1
    uneven = [alike and len(rows) > 1 and len({counts[side] for counts in found}) > 1 for side in (0, 1)]
    for number, (row, counts) in enumerate(zip(rows, found, strict=True)):
        most = max(counts[side] for side in (0, 1))
        if most < len(row) and (most > 1 or any(counts[side] and uneven[side] for side in (0, 1))):
            raise ArgumentError(
                f"prompt {number} begins or ends with the id {pad}, {most} times, and there is no attention_mask",
                value=pad, why="that is the id of padding and of the beginning or end of a text: it may be either",
                hint="generate(**tokenizer(texts, padding=True)) passes the mask; or leave the padding out",
            )  # fmt: skip
    return rows


def _check_token_types(token_type_ids: Any) -> None:
    if token_type_ids is not None and np.any([np.any(row) for row in _lists(token_type_ids)]):
        raise UnsupportedError(
            "token_type_ids are not all 0", value=token_type_ids, why="a model that continues a text has one type",
            hint="leave them out",
        )  # fmt: skip
