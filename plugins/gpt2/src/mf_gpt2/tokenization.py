"""GPT-2's byte-level BPE (Radford et al., 2019, section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import tokenizers

from mf_core.errors import ConfigError, FileMissingError, IntegrityError
from mf_core.hub import Source
from mf_core.tokenization import (
    TOKENIZER_FILE,
    FastTokenizer,
    padding_options,
    read_tokenizer_json,
    with_added_tokens,
)

_END = "<|endoftext|>"
_NAMES = ("bos_token", "eos_token", "pad_token", "unk_token")


class GPT2Tokenizer(FastTokenizer):
    """Byte-level BPE. Any text has ids, and ids give the same text back.

    That is so where the vocabulary has all bytes, as GPT-2's has; a byte that it lacks becomes ``unk_token``.

    Calls on the presets' tokenizers, and on one that is built from its files here, put BOS and EOS around a text, as
    MindFormers does; prompts of pipelines and saved files have none. Those of other checkpoints put around it what
    their files say, which for GPT-2 is nothing.

    Args:
        vocab_file: ``vocab.json``: token -> id.
        merges_file: ``merges.txt``: one pair a line, the most frequent first.
        backend: A tokenizer of the ``tokenizers`` library, instead of the files.
        add_prefix_space: Whether a text is read as though it began with a space. None: as ``backend`` does, else not.
        **options: See :class:`mf_core.PretrainedTokenizer`. The four special tokens are ``<|endoftext|>`` by default.
    """

    options: ClassVar[tuple[str, ...]] = (*FastTokenizer.options, "add_prefix_space")
    preset_options: ClassVar[Mapping[str, Any]] = {
        "add_bos_token": True, "add_eos_token": True, "prompt_special_tokens": False,
    }  # fmt: skip

    def __init__(
        self,
        vocab_file: str | Path | None = None,
        merges_file: str | Path | None = None,
        *,
        backend: tokenizers.Tokenizer | None = None,
        add_prefix_space: bool | None = None,
        **options: Any,
    ) -> None:
        if backend is None:
            if vocab_file is None or merges_file is None:
                raise FileMissingError(
                    "GPT2Tokenizer needs vocab_file and merges_file",
                    hint="GPT2Tokenizer.from_pretrained('gpt2') has GPT-2's own",
                )
            backend = _read_bpe(Path(vocab_file), Path(merges_file))
            options = {**self.preset_options, **options}
        self.add_prefix_space = _prefix_space(backend, add_prefix_space)
        super().__init__(backend, **{**dict.fromkeys(_NAMES, _END), **options})
        if vocab_file is not None:
            self._name_unknown()

    def _name_unknown(self) -> None:
        """Have bytes that the vocabulary lacks become ``unk_token``; the library drops them otherwise."""
        if self.unk_token is not None:
            self.backend.model.unk_token = self.unk_token

    @classmethod
    def load(cls, source: Source, **options: Any) -> GPT2Tokenizer:
        """Read ``tokenizer.json``, or else ``vocab.json`` and ``merges.txt``."""
        whole = source.path(TOKENIZER_FILE, required=False)
        if whole is not None:
            backend = read_tokenizer_json(whole)
        else:
            vocab, merges = source.path("vocab.json", required=False), source.path("merges.txt", required=False)
            if vocab is None or merges is None:
                raise FileMissingError(
                    f"{source.location} has no vocabulary", value=source.location,
                    why="there is neither tokenizer.json nor vocab.json with merges.txt",
                    hint="AutoTokenizer.from_pretrained('gpt2') has GPT-2's own",
                )
            backend = _read_bpe(vocab, merges)
        options = {**padding_options(backend), **options}
        backend = with_added_tokens(backend, source)
        if backend.token_to_id(_END) is None:  # a vocabulary with other special tokens
            options = {**dict.fromkeys(_NAMES), **options}
        tokenizer = cls(backend=backend, **options)
        if whole is None:
            tokenizer._name_unknown()
        return tokenizer

    def save_vocabulary(self, directory: Path) -> None:
        """Write ``tokenizer.json``, and ``vocab.json`` and ``merges.txt`` for readers that know only those."""
        super().save_vocabulary(directory)
        if isinstance(self.backend.model, tokenizers.models.BPE):
            self.backend.model.save(str(directory))


def _prefix_space(backend: tokenizers.Tokenizer, wanted: bool | None) -> bool:
    """Let a tokenizer put a space before texts as ``wanted``, where it is for it to say; return what it does."""
    if wanted is not None and not isinstance(wanted, bool):
        raise ConfigError(f"add_prefix_space={wanted!r} is neither True nor False", value=wanted)
    splitter = backend.pre_tokenizer
    if not isinstance(splitter, tokenizers.pre_tokenizers.ByteLevel):
        return bool(wanted)
    if wanted is not None:
        splitter.add_prefix_space = wanted
    return bool(splitter.add_prefix_space)


def _read_bpe(vocab_file: Path, merges_file: Path) -> tokenizers.Tokenizer:
    try:
        model = tokenizers.models.BPE.from_file(str(vocab_file), str(merges_file))
    except Exception as error:  # the library raises plain Exception
        missing = next((path for path in (vocab_file, merges_file) if not path.is_file()), None)
        if missing is not None:
            raise FileMissingError(f"there is no file {str(missing)!r}", value=str(missing)) from error
        raise IntegrityError(
            f"{vocab_file} and {merges_file} are not a BPE vocabulary", value=str(vocab_file), why=str(error)
        ) from error
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    return backend
