"""From a conversation to the stream of an answer, within the model's context."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...errors import ArgumentError, InputTooLongError
from ...generation.config import SAMPLING, GenerationConfig
from ...tasks.conversations import ANSWER_TOKENS
from .talk import Talk


class Answering:
    """A model that answers in conversations, or continues texts where it has no chat template.

    Args:
        pipe: The model's pipeline.
        settings: Options of generation, which are checked.

    Attributes:
        settings: Options of generation that the user has set.
        variables: Variables of the chat template that the user has set.
        last: The stream of the last answer.
    """

    def __init__(self, pipe: Any, settings: dict[str, Any]) -> None:
        self.pipe = pipe
        self.settings = dict(settings)
        self.variables: dict[str, Any] = {}
        self.last: Any = None
        GenerationConfig.from_kwargs(pipe.model.generation_config, **settings)  # mistakes are reported at once

    @property
    def has_template(self) -> bool:
        """Whether the model was trained for conversations: its tokenizer has a chat template."""
        return self.pipe.tokenizer.chat_template is not None

    @property
    def config(self) -> GenerationConfig:
        """The settings of generation: the model's, changed by the user's."""
        return GenerationConfig.merge(self.pipe.model.generation_config, self.settings, warn=False)

    @property
    def context(self) -> int:
        """Most tokens of conversation and answer."""
        most = int(self.pipe.model.max_positions)
        return min(most, self.config.max_length or most)

    def set(self, name: str, value: Any) -> None:
        """Set an option of generation, or a variable that the chat template reads; None as the model has it.

        Raises:
            ArgumentError, ArgumentTypeError: There is no such option, or it cannot have that value.
        """
        is_option = name in GenerationConfig.model_fields
        if not is_option and self.has_template and name in self.pipe.tokenizer.get_chat_template():
            target = self.variables
        else:
            target = self.settings
        before = dict(target)
        target.pop(name, None)
        if value is not None:
            target[name] = value
            if name in SAMPLING and target.get("do_sample") is False:
                del target["do_sample"]  # an option of sampling turns it on, as in a call
        elif not is_option and name not in before:
            GenerationConfig.from_kwargs({}, **{name: None})  # raises: nothing has that name
        try:
            config = GenerationConfig.from_kwargs(self.pipe.model.generation_config, **self.settings)
            if config.num_beams > 1 or config.num_return_sequences > 1:
                raise ArgumentError(
                    f"{name}={value!r}: answers are streamed, one at a time", value=value, hint="mf generate has beams"
                )
        except Exception:
            target.clear()
            target.update(before)
            raise

    def count(self, talk: Talk) -> int:
        """Return how many tokens the model is given of a conversation."""
        tokenizer = self.pipe.tokenizer
        if not self.has_template:
            return len(tokenizer.encode_prompt(talk.text()))
        if not talk.messages():
            return 0
        inputs = tokenizer.apply_chat_template(talk.messages(), add_generation_prompt=True, **self.variables)
        return len(inputs["input_ids"])

    def fit(self, talk: Talk) -> int:
        """Leave out the oldest turns where the context has no room for an answer; return how many.

        Raises:
            InputTooLongError: The last turn alone does not fit.
        """
        context = self.context
        room = max(1, min(self._wanted(), context // 4))
        before = talk.first
        while (count := self.count(talk)) + room > context and talk.first < len(talk.turns) - 1:
            talk.first += 1
        if count >= context:
            talk.first = before
            raise InputTooLongError(
                f"this takes {count} tokens, and the context has {context}, answer included", value=count,
                hint="shorten it",
            )
        return talk.first - before

    def stream(self, talk: Talk) -> Iterator[tuple[str, Any]]:
        """Yield what is new in the answer to the last turn: pairs of ``"content"`` and the like, and text."""
        options = {name: value for name, value in self.settings.items() if name != "max_length"}
        options["max_new_tokens"] = max(1, min(self._wanted(), self.context - self.count(talk)))
        common = {**options, "stream": True, "cache_prompt": True}
        if not self.has_template:
            self.last = self.pipe(talk.text(), return_full_text=False, **common)
            for piece in self.last:
                yield "content", piece
            return
        self.last = self.pipe(
            talk.messages(), chat_template_kwargs=self.variables, continue_final_message=False, **common
        )
        for delta in self.last:
            yield from delta.items()

    def _wanted(self) -> int:
        """Return the most tokens that an answer may have if the context has room."""
        config = self.config
        if config.max_new_tokens is None or "max_new_tokens" in config.implied:
            return ANSWER_TOKENS
        return config.max_new_tokens
