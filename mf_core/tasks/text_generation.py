"""Text generation: prompts in, texts out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, ClassVar

from ..auto import AutoModelForCausalLM
from ..boundary import public
from ..errors import ArgumentError, ArgumentTypeError, check_options
from ..generation import GenerationConfig
from ..generation.engine import check_batch_size, defaults, run
from ..generation.rows import CachedRows
from ..generation.sequences import Continuation, FinishReason, prepare
from ..generation.speculation import check_speculation
from ..models.base import PretrainedModel
from ..pipelines import Pipeline
from ..tokenization.base import PretrainedTokenizer

_OWN = ("batch_size", "stream", "return_full_text", "return_scores", "assistant_model", "cache_prompt")
_OPTIONS = (*(field.name for field in fields(GenerationConfig)), *_OWN)


class TextGenerationPipeline(Pipeline):
    """Continues texts.

    Args:
        model: A model with a language-model head.
        tokenizer: Its tokenizer.
        **options: Defaults of the calls; ``assistant_model`` may be named here, too.
    """

    default_model: ClassVar[str | None] = "gpt2"
    head: ClassVar[str] = "causal_lm"
    tokenizer: PretrainedTokenizer

    def __init__(self, model: PretrainedModel, tokenizer: PretrainedTokenizer, **options: Any) -> None:
        check_options(options, _OPTIONS, "text_generation")
        super().__init__(model, tokenizer, **options)
        config = self._config(options)  # so that what is wrong is said here, and not at the first call
        if isinstance(options.get("assistant_model"), str):
            self.options["assistant_model"] = AutoModelForCausalLM.from_pretrained(options["assistant_model"])
        check_speculation(model, config, self.options.get("assistant_model"))
        self._entry: CachedRows | None = None

    def __call__(self, inputs: str | Sequence[str], **options: Any) -> list[dict[str, Any]] | TextStream:
        """Continue one prompt or several.

        Args:
            inputs: A prompt or a list of prompts. No BOS or EOS is added.
            **options: Fields of :class:`mf_core.generation.GenerationConfig` (``max_length``, which counts the prompt,
                ``max_new_tokens``, ``do_sample``, ``top_k``, …; a sampling keyword turns sampling on), and:

                * ``batch_size`` (default: all at once): prompts that are run together; one that is finished makes room
                  for the next at once.
                * ``assistant_model`` (default None): a smaller model with the same vocabulary, which proposes tokens;
                  see :func:`mf_core.generation.generate`.
                * ``cache_prompt`` (default False): keep what was computed of a prompt for the next call, which need not
                  compute again what its prompt begins with in common. The model's weights must not change in between.
                * ``stream`` (default False): return a :class:`TextStream`, which yields text as it is generated; for
                  one prompt.
                * ``return_full_text`` (default True): begin each text with its prompt.
                * ``return_scores`` (default False): add ``scores``: the sum of the log-probabilities that the model
                  gave the new tokens.

        Returns:
            One ``{"text_generation_text": [str, …]}`` a prompt, with ``num_return_sequences`` texts each.

        Raises:
            ArgumentError, ArgumentTypeError: An option is unknown or out of range; a prompt is empty or no string.
            InputTooLongError: A prompt does not fit the context or ``max_length``.
        """
        check_options(options, _OPTIONS, "text_generation")
        merged = {**self.options, **options}
        config = self._config(options)
        assistant = merged.get("assistant_model")
        check_speculation(self.model, config, assistant)
        texts = self._texts(inputs)
        if merged.get("stream", False):
            if not isinstance(inputs, str) or config.num_return_sequences > 1:
                raise ArgumentError("stream=True takes one prompt and returns one text", value=inputs)
            return TextStream(self, texts[0], config, merged)
        size = merged.get("batch_size", len(texts))
        check_batch_size(size)
        return self._continue(texts, config, merged, size)

    def _config(self, options: dict[str, Any]) -> GenerationConfig:
        """Merge, in rising order, the model's defaults, this pipeline's options and the call's."""
        built = {name: value for name, value in self.options.items() if name not in _OWN}
        called = {name: value for name, value in options.items() if name not in _OWN}
        base = GenerationConfig.from_kwargs(defaults(self.model), **built)
        settled = {field.name: getattr(base, field.name) for field in fields(base)}
        return GenerationConfig.from_kwargs(settled, **called)

    def _texts(self, inputs: Any) -> list[str]:
        texts = [inputs] if isinstance(inputs, str) else inputs
        if not isinstance(texts, (list, tuple)) or not texts:
            raise ArgumentTypeError(
                f"a prompt is a string or a list of strings, not {inputs!r:.80}"
                if isinstance(texts, (list, tuple)) else f"a prompt is a string, not {type(inputs).__name__}",
                value=inputs,
            )  # fmt: skip
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise ArgumentTypeError(f"prompt {number} is a {type(text).__name__}, not a string", value=text)
            if not text:
                raise ArgumentError(f"prompt {number} is empty: {text!r}", value=text, hint="give it some text")
        return list(texts)

    def _encode(self, texts: list[str]) -> list[list[int]]:
        return [self.tokenizer.encode_prompt(text) for text in texts]

    def _continue(
        self, texts: list[str], config: GenerationConfig, merged: dict[str, Any], size: int
    ) -> list[dict[str, Any]]:
        continuations = prepare(self.model, self._encode(texts), config)
        scored = bool(merged.get("return_scores", False))
        copies = config.num_return_sequences
        with self._row(merged) as entry:
            for _ in run(
                self.model, continuations, config, self._stopper(config), batch_size=size * copies,
                assistant=merged.get("assistant_model"), entry=entry, scored=scored,
            ):  # fmt: skip
                pass
        full = merged.get("return_full_text", True)
        results = []
        for number, text in enumerate(texts):
            mine = continuations[number * copies : (number + 1) * copies]
            result: dict[str, Any] = {
                "text_generation_text": [(text if full else "") + self._new_text(c, config) for c in mine]
            }
            if scored:
                result["scores"] = [c.score for c in mine]
            results.append(result)
        return results

    def _new_text(self, continuation: Continuation, config: GenerationConfig) -> str:
        text = self._decode(continuation)
        ends = [place for word in config.stop if (place := text.find(word)) >= 0]
        return text[: min(ends)] if ends else text

    def _decode(self, continuation: Continuation) -> str:
        """Return the text of the new tokens: that of all less the prompt's, since a token may join the one before."""
        prompt = continuation.ids[: continuation.prompt]
        whole = self.tokenizer.decode(continuation.ids, skip_special_tokens=True, strict=False)
        before = self.tokenizer.decode(prompt, skip_special_tokens=True, strict=False)
        return whole[len(before) :] if whole.startswith(before) else whole

    @contextmanager
    def _row(self, options: dict[str, Any]) -> Iterator[CachedRows | None]:
        """Lend the row that keeps a prompt to a run; None where none is to be kept."""
        if not options.get("cache_prompt", False):
            yield None
            return
        entry, self._entry = self._entry or CachedRows(self.model, 1), None
        try:
            yield entry
        finally:
            self._entry = entry

    def _stopper(self, config: GenerationConfig) -> Any:
        if not config.stop:
            return None
        return lambda continuation: any(word in self._decode(continuation) for word in config.stop)


class TextStream:
    """Yields text as it is generated. Held back: characters not complete yet, and what may begin a stop string.

    Attributes:
        tokens: Number of tokens so far.
        first_token_seconds: Time to the first token; it includes compiling when the shape is new.
        seconds: Time so far.
        finish_reason: ``"eos"``, ``"length"`` or ``"stop"`` once it has ended.
    """

    def __init__(
        self,
        owner: TextGenerationPipeline,
        prompt: str,
        config: GenerationConfig,
        options: dict[str, Any],
    ) -> None:
        self._owner, self._config, self._options = owner, config, options
        self._prompt = prompt if options.get("return_full_text", True) else ""
        (self._continuation,) = prepare(owner.model, owner._encode([prompt]), config)
        self.tokens = 0
        self.first_token_seconds = 0.0
        self.seconds = 0.0
        self._iterator = self._run()

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the text ended; None while it has not."""
        return self._continuation.finished

    def __iter__(self) -> Iterator[str]:
        return self._iterator

    def __next__(self) -> str:
        return next(self._iterator)

    @public
    def _run(self) -> Iterator[str]:
        if self._prompt:
            yield self._prompt
        start = time.perf_counter()
        shown = 0
        with self._owner._row(self._options) as entry:
            for _ in run(
                self._owner.model, [self._continuation], self._config, self._owner._stopper(self._config),
                assistant=self._options.get("assistant_model"), entry=entry,
            ):  # fmt: skip
                self.seconds = time.perf_counter() - start
                if self.tokens == 0:
                    self.first_token_seconds = self.seconds
                self.tokens = len(self._continuation.ids) - self._continuation.prompt
                text = self._owner._new_text(self._continuation, self._config)
                ready = len(text) if self.finish_reason else self._ready(text)
                if ready > shown:
                    yield text[shown:ready]
                    shown = ready

    def _ready(self, text: str) -> int:
        """Return how much of ``text`` no later token can change."""
        end = len(text.rstrip("\ufffd"))
        for word in self._config.stop:
            for size in range(min(len(word) - 1, end), 0, -1):
                if text.endswith(word[:size], 0, end):
                    end -= size
                    break
        return end
