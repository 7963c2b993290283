"""Text generation: prompts in, texts out; or conversations in, answers out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
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
from ..generation.structured import STRUCTURE_OPTIONS, Structure
from ..generation.text import TextFollower
from ..models.base import PretrainedModel
from ..pipelines import Pipeline
from ..tokenization.base import PretrainedTokenizer
from .conversations import (
    ANSWER_TOKENS,
    CONVERSATION_OPTIONS,
    Conversation,
    is_batch,
    is_conversation,
    read_conversations,
)

if TYPE_CHECKING:
    from .message_stream import MessageStream, MessageStreams
    from .text_stream import TextStream, TextStreams

_OWN = (
    "batch_size", "stream", "return_full_text", "return_scores", "logprobs", "assistant_model", "cache_prompt",
    "generation_config", "logits_processor", "stopping_criteria", "callbacks", *CONVERSATION_OPTIONS,
    *STRUCTURE_OPTIONS,
)  # fmt: skip
_OPTIONS = (*GenerationConfig.model_fields, *_OWN)


class TextGenerationPipeline(Pipeline):
    """Continues texts, and answers in conversations.

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
        self, inputs: str | Sequence[Any], **options: Any
    ) -> list[dict[str, Any]] | TextStream | TextStreams | MessageStream | MessageStreams:
        """Continue one prompt or several, or answer in one conversation or several.

        Args:
            inputs: A prompt or a list of prompts, to which no BOS or EOS is added. Or a conversation: a list of
                messages (dicts with ``role`` and ``content``), or a list of such lists, which the chat template
                renders. Where the assistant said the last message, the answer continues it.
            **options: Fields of :class:`mf_core.generation.GenerationConfig` (``max_length``, which counts the prompt,
                ``max_new_tokens``, ``do_sample``, ``top_k``, …; an option of sampling turns sampling on), and:

                * ``batch_size`` (default: all at once): prompts that are run together; one that is finished makes room
                  for the next at once.
                * ``generation_config``: settings instead of the model's own.
                * ``assistant_model`` (default None): a smaller model with the same vocabulary, which proposes tokens;
                  see :func:`mf_core.generation.generate`.
                * ``cache_prompt`` (default False): keep what was computed of a prompt for the next call, which need not
                  compute again what its prompt begins with in common. The model's weights must not change in between.
                * ``stream`` (default False): return a :class:`~mf_core.tasks.text_stream.TextStream`, which yields text
                  as it is generated, or a :class:`~mf_core.tasks.message_stream.MessageStream`, which yields what is
                  new in the answer; for a list, a stream of ``(number, text or what is new)``.
                * ``return_full_text`` (default True): begin each text with its prompt, and each conversation with the
                  messages that were given; streams of answers never do.
                * ``return_scores`` (default False): add ``scores``: the sum of the log-probabilities that the model
                  gave the new tokens; with beams, that by which they were compared.
                * ``logprobs`` (default None): add ``logprobs``: of each new token and of so many alternatives.
                * ``logits_processor``, ``stopping_criteria``, ``callbacks``: functions; see
                  :func:`mf_core.generation.generate`.
                * ``json_schema`` (a dict or a pydantic model), ``regex``, ``grammar`` (of Lark) or ``choices`` (a list
                  of texts): what the new text must match; one that is cut short does not, and its finish reason is
                  ``"length"``.
                * for conversations ``tools``, ``documents`` and ``chat_template``, as in
                  :meth:`~mf_core.PretrainedTokenizer.apply_chat_template`; ``chat_template_kwargs``: a dict of further
                  variables of the template; ``continue_final_message`` (default None: if the assistant said it).

        Returns:
            One ``{"text_generation_text": [text, …]}`` a prompt, with ``num_return_sequences`` texts each, and beside
            scores and for structured output also ``finish_reasons``. Instead of a text, a conversation gives the
            messages with the answer as the last: ``content``, what the model thought as ``reasoning_content``, and the
            tools that it calls as ``tool_calls``; and always ``finish_reasons``.

        Raises:
            ArgumentError, ArgumentTypeError: An option is unknown or out of range; a prompt is empty or no string; a
                message is malformed.
            InputTooLongError: A prompt does not fit the context or ``max_length``.
            UnsupportedError: Options cannot be combined; the tokenizer has no chat template.
            ChatTemplateError: The chat template refuses a conversation, or fails.
            CallbackError: One of the caller's functions raised an error.
        """
        _check_names(options)
        merged = {**self.options, **options}
        config = self._config(options)
        check_vocabulary(config, {**self.options, **options}, int(self.model.config.vocab_size))
        conversations = self._conversations(inputs, options)
        if conversations and "max_new_tokens" in config.implied:
            config = config.model_copy(update={"max_new_tokens": ANSWER_TOKENS})
        texts = self._texts(inputs) if conversations is None else [one.prompt for one in conversations]
        hooks = self._hooks(merged, Structure.of(merged, self.tokenizer, config))
        assistant = merged.get("assistant_model")
        check_speculation(self.model, config, assistant)
        check_combination(config, hooks, assistant, len(texts))
        size = merged.get("batch_size", len(texts))
        check_batch_size(size)
        streamed = merged.get("stream", False)
        if streamed:
            _check_stream(config)
        made = prepare(self.model, self._encode(texts, special=conversations is None), config)
        if not streamed:
            self._run(made, config, hooks, merged, size)
            if conversations is None:
                return self._results(texts, made, config, hooks, full=merged.get("return_full_text", True))
            return self._answers(conversations, made, config, hooks, full=merged.get("return_full_text", True))
        if conversations is not None:
            from .message_stream import MessageStream, MessageStreams

            answers = MessageStreams(self, conversations, made, config, hooks, merged, size)
            return answers if is_batch(inputs) else MessageStream(answers)
        from .text_stream import TextStream, TextStreams

        follow(made, config, self.tokenizer)
        prompts = texts if merged.get("return_full_text", True) else []
        streams = TextStreams(self, prompts, made, config, hooks, merged, size)
        return TextStream(streams) if isinstance(inputs, str) else streams

    def _config(self, options: dict[str, Any]) -> GenerationConfig:
        """Merge, in rising order, the model's defaults, this pipeline's options and the call's."""
        called = _fields(options)
        if options.get("generation_config") is not None:
            return GenerationConfig.from_kwargs(base_config(self.model, options["generation_config"]), **called)
        base = base_config(self.model, self.options.get("generation_config"))
        built = GenerationConfig.merge(base, _fields(self.options), warn=False)
        return GenerationConfig.from_kwargs(built, **called)

    def _hooks(self, merged: dict[str, Any], structure: Structure | None) -> Hooks:
        names = ("logits_processor", "stopping_criteria", "callbacks")
        functions = {name: merged.get(name) for name in names}
        hooks = Hooks.of(**functions, scored=merged.get("return_scores", False), logprobs=merged.get("logprobs"))
        return hooks if structure is None else replace(hooks, structure=structure)

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

    def _conversations(self, inputs: Any, options: dict[str, Any]) -> list[Conversation] | None:
        """Return the conversations that were given; None for texts."""
        if is_conversation(inputs):
            return read_conversations(inputs, self.tokenizer, {**self.options, **options})
        name = next((name for name in CONVERSATION_OPTIONS if options.get(name) is not None), None)
        if name is not None:
            raise ArgumentError(
                f"{name} is for conversations, and the prompt is a text", value=options[name],
                hint="[{'role': 'user', 'content': …}] is a conversation",
            )
        return None

    def _encode(self, texts: list[str], *, special: bool) -> list[list[int]]:
        if special:
            return [self.tokenizer.encode_prompt(text) for text in texts]
        return [self.tokenizer.encode(text, add_special_tokens=False) for text in texts]

    def _run(
        self,
        continuations: list[Continuation],
        config: GenerationConfig,
        hooks: Hooks,
        merged: dict[str, Any],
        size: int,
    ) -> None:
        """Complete the continuations."""
        if config.stop:
            follow(continuations, config, self.tokenizer)
        with self._row(merged) as entry:
            for _ in run(
                self.model, continuations, config, hooks,
                batch_size=size * max(config.num_return_sequences, config.num_beams),
                assistant=merged.get("assistant_model"), entry=entry,
            ):  # fmt: skip
                pass

    def _results(
        self, texts: list[str], made: list[Continuation], config: GenerationConfig, hooks: Hooks, *, full: bool
    ) -> list[dict[str, Any]]:
        copies, results = config.num_return_sequences, []
        for number, text in enumerate(texts):
            mine = made[number * copies : (number + 1) * copies]
            new = [(text if full else "") + self._new_text(one, config) for one in mine]
            results.append({"text_generation_text": new, **self._recorded(mine, hooks)})
        return results

    def _answers(
        self,
        conversations: list[Conversation],
        made: list[Continuation],
        config: GenerationConfig,
        hooks: Hooks,
        *,
        full: bool,
    ) -> list[dict[str, Any]]:
        copies, results = config.num_return_sequences, []
        for number, conversation in enumerate(conversations):
            mine, talks = made[number * copies : (number + 1) * copies], []
            for one in mine:
                parser = conversation.parser(self.tokenizer)
                parser.push(self._marked_text(one, config, parser.marks))
                parser.finish()
                talks.append(conversation.answered(parser.message, full=full))
            reasons = {"finish_reasons": [one.finished for one in mine]}
            results.append({"text_generation_text": talks, **reasons, **self._recorded(mine, hooks)})
        return results

    def _recorded(self, made: list[Continuation], hooks: Hooks) -> dict[str, Any]:
        """Return what the call asks to be recorded of a prompt's continuations."""
        result: dict[str, Any] = {}
        if hooks.structure is not None:
            result["finish_reasons"] = [one.finished for one in made]
        if hooks.scored or hooks.logprobs is not None:
            result["finish_reasons"] = [one.finished for one in made]
            result["scores"] = [one.score for one in made]
        if hooks.logprobs is not None:
            result["logprobs"] = [[self._shown(token) for token in one.logprobs] for one in made]
        return result

    def _marked_text(self, continuation: Continuation, config: GenerationConfig, kept: Sequence[str]) -> str:
        """Return the new text with the special tokens in ``kept``, up to a stop string."""
        follow([continuation], config, self.tokenizer, kept)
        follower, new = continuation.follower, continuation.ids[continuation.prompt :]
        assert isinstance(follower, TextFollower)
        if continuation.finished == "stop" and new[-1] in config.stop_token_ids:
            new = new[:-1]
        for index in new:
            if follower.push(index):
                break
        follower.finish()
        return follower.text

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
        """Return the cached row of a prompt for one run; None where none is kept."""
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
    """Raise for unsupported options, then for unknown ones."""
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
