"""A tokenizer's special tokens: their ids, and which of them are put around a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import ConfigError


class SpecialTokens:
    """The part of a tokenizer that knows its special tokens."""

    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    unk_token: str | None
    add_bos_token: bool
    add_eos_token: bool
    prompt_special_tokens: bool
    _prompts_by_default: ClassVar[bool]

    if TYPE_CHECKING:

        def token_to_id(self, token: str) -> int | None: ...  # noqa: D102

    @property
    def bos_token_id(self) -> int | None:
        """Id of the token that begins a text."""
        return self._special_id(self.bos_token)

    @property
    def eos_token_id(self) -> int | None:
        """Id of the token that ends a text."""
        return self._special_id(self.eos_token)

    @property
    def pad_token_id(self) -> int | None:
        """Id of the padding token."""
        return self._special_id(self.pad_token)

    @property
    def unk_token_id(self) -> int | None:
        """Id of the token for what the vocabulary lacks."""
        return self._special_id(self.unk_token)

    def _special_id(self, token: str | None) -> int | None:
        return None if token is None else self.token_to_id(token)

    def special_ids(self) -> tuple[list[int], list[int]]:
        """Return the ids that a call puts before and after a text's."""
        bos, eos = self.bos_token_id, self.eos_token_id
        before = [bos] if self.add_bos_token and bos is not None else []
        after = [eos] if self.add_eos_token and eos is not None else []
        return before, after

    def _check_token(self, name: str, token: Any) -> None:
        if token is not None and (not isinstance(token, str) or self.token_to_id(token) is None):
            raise ConfigError(f"{name}={token!r} is not in the vocabulary", value=token)

    def _set_special(
        self, add_bos_token: bool | None, add_eos_token: bool | None, prompt_special_tokens: bool | None
    ) -> None:
        """Set the special tokens around ids; None: the class's default."""
        self.add_bos_token = True if add_bos_token is None else add_bos_token
        self.add_eos_token = True if add_eos_token is None else add_eos_token
        default = self._prompts_by_default
        self.prompt_special_tokens = default if prompt_special_tokens is None else prompt_special_tokens
