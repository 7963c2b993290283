"""Text generation: prompts in, texts out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from ..auto import AutoModelForCausalLM
from ..errors import ArgumentError, ArgumentTypeError, UnsupportedError, check_options
from ..generation import GenerationConfig
from ..generation.call import base_config, check_batch_size, check_combination, follow
from ..generation.engine import run
from ..generation.hooks import Hooks, TokenLogprob
from ..generation.options import check_vocabulary
from ..generation.rows import CachedRows
from ..generation.sequences import Continuation, prepare
from ..generation.speculation import check_speculation
from ..models.base import PretrainedModel
from ..pipelines import Pipeline
from ..tokenization.base import PretrainedTokenizer

if TYPE_CHECKING:
    from .text_stream import TextStream, TextStreams

_OWN = (
    "batch_size", "stream", "return_full_text", "return_scores", "logprobs", "assistant_model", "cache_prompt",
    "generation_config", "logits_processor", "stopping_criteria", "callbacks",
)  # fmt: skip
_OPTIONS = (*GenerationConfig.model_fields, *_OWN)


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
        _check_names(options)
        super().__init__(model, tokenizer, **options)
        # So that mistakes are reported here, and not at the first call.
        config = GenerationConfig.from_kwargs(base_config(model, options.get("generation_config")), **_fields(options))
        if isinstance(options.get("assistant_model"), str):
            self.options["assistant_model"] = AutoModelForCausalLM.from_pretrained(options["assistant_model"])
        check_speculation(model, config, self.options.get("assistant_model"))
        self._entry: CachedRows | None = None

    def __call__(
        self, inputs: str | Sequence[str], **options: Any
    ) -> list[dict[str, Any]] | TextStream | TextStreams:
        """Continue one prompt or several.

        Args:
            inputs: A prompt or a list of prompts. No BOS or EOS is added.
            **options: Fields of :class:`mf_core.generation.GenerationConfig` (``max_length``, which counts the prompt,
                ``max_new_tokens``, ``do_sample``, ``top_k``, …; an option of sampling turns sampling on), and:

                * ``batch_size`` (default: all at once): prompts that are run together; one that is finished makes room
                  for the next at once.
                * ``generation_config``: settings in place of the model's own.
                * ``assistant_model`` (default None): a smaller model with the same vocabulary, which proposes tokens;
                  see :func:`mf_core.generation.generate`.
                * ``cache_prompt`` (default False): keep what was computed of a prompt for the next call, which need not
                  compute again what its prompt begins with in common. The model's weights must not change in between.
                * ``stream`` (default False): return a :class:`~mf_core.tasks.text_stream.TextStream`, which yields text
                  as it is generated; for a list of prompts, a stream of ``(number, text)``.
                * ``return_full_text`` (default True): begin each text with its prompt.
                * ``return_scores`` (default False): add ``scores``: the sum of the log-probabilities that the model
                  gave the new tokens; with beams, that by which they were compared.
                * ``logprobs`` (default None): add ``logprobs``: of each new token and of so many alternatives.
                * ``logits_processor``, ``stopping_criteria``, ``callbacks``: functions; see
                  :func:`mf_core.generation.generate`.

        Returns:
            One ``{"text_generation_text": [str, …]}`` a prompt, with ``num_return_sequences`` texts each, and beside
            scores also ``finish_reasons``.

        Raises:
            ArgumentError, ArgumentTypeError: An option is unknown or out of range; a prompt is empty or no string.
            InputTooLongError: A prompt does not fit the context or ``max_length``.
            UnsupportedError: Options cannot be combined.
            CallbackError: One of the caller's functions raised an error.
        """
        from .text_stream import TextStream, TextStreams

        _check_names(options)
        merged = {**self.options, **options}
        config = self._config(options)
        check_vocabulary(config, {**self.options, **options}, int(self.model.config.vocab_size))
        texts = self._texts(inputs)
        hooks = self._hooks(merged)
        assistant = merged.get("assistant_model")
        check_speculation(self.model, config, assistant)
        check_combination(config, hooks, assistant, len(texts))
        size = merged.get("batch_size", len(texts))
        check_batch_size(size)
        if not merged.get("stream", False):
            return self._continue(texts, config, hooks, merged, size)
        _check_stream(config)
        made = prepare(self.model, self._encode(texts), config)
        follow(made, config, self.tokenizer)
        streams = TextStreams(self, texts, made, config, hooks, merged, size)
        return TextStream(streams) if isinstance(inputs, str) else streams

    def _config(self, options: dict[str, Any]) -> GenerationConfig:
        """Merge, in rising order, the model's defaults, this pipeline's options and the call's."""
        called = _fields(options)
        if options.get("generation_config") is not None:
            return GenerationConfig.from_kwargs(base_config(self.model, options["generation_config"]), **called)
        base = base_config(self.model, self.options.get("generation_config"))
        built = GenerationConfig.merge(base, _fields(self.options), warn=False)
        return GenerationConfig.from_kwargs(built, **called)

    def _hooks(self, merged: dict[str, Any]) -> Hooks:
        names = ("logits_processor", "stopping_criteria", "callbacks")
        functions = {name: merged.get(name) for name in names}
        return Hooks.of(**functions, scored=merged.get("return_scores", False), logprobs=merged.get("logprobs"))

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
        self, texts: list[str], config: GenerationConfig, hooks: Hooks, merged: dict[str, Any], size: int
    ) -> list[dict[str, Any]]:
        continuations = prepare(self.model, self._encode(texts), config)
        if config.stop:
            follow(continuations, config, self.tokenizer)
        copies = config.num_return_sequences
        with self._row(merged) as entry:
            for _ in run(
                self.model, continuations, config, hooks, batch_size=size * max(copies, config.num_beams),
                assistant=merged.get("assistant_model"), entry=entry,
            ):  # fmt: skip
                pass
        full = merged.get("return_full_text", True)
        results = []
        for number, text in enumerate(texts):
            mine = continuations[number * copies : (number + 1) * copies]
            result: dict[str, Any] = {
                "text_generation_text": [(text if full else "") + self._new_text(c, config) for c in mine]
            }
            if hooks.scored or hooks.logprobs is not None:
                result["finish_reasons"] = [c.finished for c in mine]
                result["scores"] = [c.score for c in mine]
            if hooks.logprobs is not None:
                result["logprobs"] = [[self._shown(token) for token in c.logprobs] for c in mine]
            results.append(result)
        return results

    def _shown(self, said: TokenLogprob) -> dict[str, Any]:
        """Return a token's log-probability with texts beside the ids."""

        def one(index: int, logprob: float) -> dict[str, Any]:
            return {"id": index, "token": self.tokenizer.decode([index], strict=False), "logprob": logprob}

        return {**one(said.id, said.logprob), "top": [one(*pair) for pair in said.top]}

    def _new_text(self, continuation: Continuation, config: GenerationConfig) -> str:
        """Return the text of the new tokens: that of all less the prompt's, since a token may join the one before."""
        follower = continuation.follower
        if follower is not None:
            follower.finish()
            return follower.text
        ids = continuation.ids
        if continuation.finished == "stop" and ids[-1] in config.stop_token_ids:
            ids = ids[:-1]
        prompt = continuation.ids[: continuation.prompt]
        whole = self.tokenizer.decode(ids, skip_special_tokens=True, strict=False)
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


def _fields(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _OWN}


def _check_names(options: dict[str, Any]) -> None:
    """Refuse what generation knows and does not have, and then what nothing knows."""
    for name in _fields(options):
        GenerationConfig.check_supported(name)
    check_options(options, (*_OPTIONS, "stop_strings"), "text_generation")


def _check_stream(config: GenerationConfig) -> None:
    for name in ("num_beams", "num_return_sequences"):
        if (count := getattr(config, name)) > 1:
            raise UnsupportedError(
                f"stream=True with {name}={count}", value=count,
                why="a text is known only when all beams have ended" if name == "num_beams"
                else "a stream is one text of each prompt",
                hint=f"{name}=1, or stream=False",
            )  # fmt: skip
