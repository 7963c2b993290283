"""Translation and summarization: texts in, the texts that an encoder-decoder model answers with out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..errors import ArgumentError, ArgumentTypeError
from ..generation import GenerationConfig, generate
from .text_pipeline import TextPipeline


class TextToTextPipeline(TextPipeline):
    """Answers texts by texts; base of the tasks that do.

    Options of every call:

    * ``prefix`` (default: what the model's configuration has for the task, or nothing): is put before each text, as T5
      needs it: ``"translate English to German: "``.
    * ``batch_size`` (default 8): texts that are run together.
    * ``truncation`` (default False): cut texts that are longer than the context, with a warning that counts them;
      without it, one is an error.
    * the fields of :class:`mf_core.generation.GenerationConfig`: ``max_length`` and ``max_new_tokens`` (tokens of the
      answer), ``num_beams``, ``do_sample``, …

    Class attributes:
        key: What a result calls its texts.
    """

    default_model: ClassVar[str | None] = "t5_small"
    head: ClassVar[str] = "seq2seq_lm"
    key: ClassVar[str]
    names: ClassVar[tuple[str, ...]] = ("prefix", *GenerationConfig.model_fields)

    def check(self, options: Mapping[str, Any]) -> None:
        """See the base class."""
        super().check({name: value for name, value in options.items() if name not in ("max_length", "top_k")})
        if not isinstance(options.get("prefix", ""), str):
            raise ArgumentTypeError(f"prefix={options['prefix']!r} is not a text", value=options["prefix"])

    def limit(self, options: Mapping[str, Any]) -> int:
        """Return the most tokens of a source: the context."""
        return super().limit({})

    @property
    def default_prefix(self) -> str:
        """What is put before texts unless said otherwise."""
        known = self.model.config.extra.get("task_specific_params")
        settings = known.get(self.task) if isinstance(known, Mapping) else None
        prefix = settings.get("prefix") if isinstance(settings, Mapping) else None
        return prefix if isinstance(prefix, str) else ""

    def run(self, items: list[Any], options: Mapping[str, Any]) -> list[Any]:
        """See the base class."""
        prefix = options.get("prefix", self.default_prefix)
        rows = self.encode([prefix + item for item in items], options)
        if any(not row.ids for row in rows):
            raise ArgumentError("a text is empty, and the tokenizer puts no tokens around it", value="")
        given = {name: value for name, value in options.items() if name in GenerationConfig.model_fields}
        found = generate(self.model, [row.ids for row in rows], tokenizer=self.tokenizer, **given)
        assert isinstance(found, list)
        texts = [self.tokenizer.decode(ids, skip_special_tokens=True, strict=False) for ids in found]
        copies = len(texts) // len(items)
        return [{self.key: texts[at : at + copies]} for at in range(0, len(texts), copies)]


class TranslationPipeline(TextToTextPipeline):
    """Translates texts; see :class:`TextToTextPipeline` for the options.

    Returns:
        ``[{"translation_text": [str, …]}, …]``, for each text as many as ``num_return_sequences``.
    """

    task: ClassVar[str] = "translation"
    key: ClassVar[str] = "translation_text"


class SummarizationPipeline(TextToTextPipeline):
    """Summarizes texts; see :class:`TextToTextPipeline` for the options.

    Returns:
        ``[{"summary_text": [str, …]}, …]``, for each text as many as ``num_return_sequences``.
    """

    task: ClassVar[str] = "summarization"
    key: ClassVar[str] = "summary_text"
