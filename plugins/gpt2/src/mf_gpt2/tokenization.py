"""GPT-2's byte-level BPE (Radford et al., 2019, section 2.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import tokenizers

from mf_core.errors import ConfigError, FileMissingError, IntegrityError
from mf_core.hub import Source
from mf_core.tokenization import FastTokenizer, read_tokenizer_json

_END = "<|endoftext|>"


class GPT2Tokenizer(FastTokenizer):
    """Byte-level BPE. Any text has ids, and ids give the same text back.

    That is so where the vocabulary has all bytes, as GPT-2's has; a byte that it lacks becomes ``unk_token``.

    Args:
        vocab_file: ``vocab.json``: token -> id.
        merges_file: ``merges.txt``: one pair a line, the most frequent first.
        backend: A tokenizer of the ``tokenizers`` library, in place of the files.
        add_prefix_space: Whether a text is read as though it began with a space. None: as ``backend`` does, else not.
        **options: See :class:`mf_core.PretrainedTokenizer`. All special tokens are ``<|endoftext|>`` by default.
    """

    options: ClassVar[tuple[str, ...]] = (*FastTokenizer.options, "add_prefix_space")

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
        self.add_prefix_space = _prefix_space(backend, add_prefix_space)
        specials = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), _END)
        chosen = {**specials, **{name: token for name, token in options.items() if token is not None}}
        # Special tokens are found in text as wholes; they must be in the vocabulary already (the base class checks).
        tokens = {chosen[name] for name in specials if isinstance(chosen[name], str)}
        known = {token for token in tokens if backend.token_to_id(token) is not None}
        backend.add_special_tokens([tokenizers.AddedToken(t, normalized=False, special=True) for t in sorted(known)])
        super().__init__(backend, **chosen)
        if backend.model.unk_token is None and self.unk_token in known:
            backend.model.unk_token = self.unk_token  # else the library drops what the vocabulary lacks

    @classmethod
    def load(cls, source: Source, **options: Any) -> GPT2Tokenizer:
        """Read ``tokenizer.json``, which alone has tokens added to the vocabulary, or else the two older files."""
        whole = source.path("tokenizer.json", required=False)
        if whole is not None:
            backend = read_tokenizer_json(whole)
            if not isinstance(backend.model, tokenizers.models.BPE):
                raise IntegrityError(
                    f"{whole} is a {type(backend.model).__name__} tokenizer, not BPE", value=str(whole),
                    hint="use AutoTokenizer, which picks the class",
                )
            return cls(backend=backend, **options)
        vocab, merges = source.path("vocab.json", required=False), source.path("merges.txt", required=False)
        if vocab is None or merges is None:
            raise FileMissingError(
                f"{source.location} has no vocabulary", value=source.location,
                why="there is neither tokenizer.json nor vocab.json with merges.txt",
                hint="AutoTokenizer.from_pretrained('gpt2') has GPT-2's own",
            )
        return cls(vocab, merges, **options)

    def save_vocabulary(self, directory: Path) -> None:
        """Write ``tokenizer.json``, and ``vocab.json`` and ``merges.txt`` for readers that know only those."""
        super().save_vocabulary(directory)
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
