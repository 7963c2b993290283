"""The tokenizer of a GGUF file as ``tokenizer.json`` and ``tokenizer_config.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ...errors import IntegrityError, UnsupportedError
from . import pretokenizers
from .header import GGUFHeader

_PREFIX: Final = "tokenizer.ggml."
_UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 2, 3, 4, 6
_SPACE: Final = "\u2581"
#: Name in ``tokenizer_config.json`` -> key of its id in the file.
_ROLES: Final = {
    "bos_token": "bos_token_id", "eos_token": "eos_token_id", "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id", "sep_token": "seperator_token_id", "mask_token": "mask_token_id",
}  # fmt: skip


def tokenizer_files(header: GGUFHeader) -> dict[str, Any]:
    """Return the contents of ``tokenizer.json`` and ``tokenizer_config.json``; empty for a file without a vocabulary.

    Raises:
        IntegrityError: The vocabulary is not whole.
        UnsupportedError: It is of a kind, or splits text in a way, that is not read.
    """
    data = {key[len(_PREFIX) :]: value for key, value in header.metadata.items() if key.startswith(_PREFIX)}
    if "tokens" not in data:
        return {}
    tokens, kind = _strings(header, data, "tokens"), data.get("model")
    if len(set(tokens)) < len(tokens):
        tokens = _distinct(tokens)
    types = data.get("token_type") or [1] * len(tokens)
    if len(types) != len(tokens):
        raise _broken(header, f"it has {len(tokens)} tokens and {len(types)} types of tokens")
    if kind == "gpt2":
        body, adds_bos = _byte_level(header, data, tokens), False
    elif kind == "llama":
        body, adds_bos = _sentence_piece(header, data, tokens, types), True
    else:
        raise UnsupportedError(
            f"the tokenizer in {header.path} is of the kind {kind!r}, which is not read", value=kind,
            hint="give the tokenizer of the original checkpoint: tokenizer='owner/name' or a directory",
        )
    roles = {name: tokens[int(data[key])] for name, key in _ROLES.items() if _is_id(data.get(key), tokens)}
    added = [
        {"id": number, "content": tokens[number], "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": types[number] in (_CONTROL, _UNKNOWN)}
        for number in range(len(tokens)) if types[number] in (_CONTROL, _USER_DEFINED, _UNKNOWN)
    ]  # fmt: skip
    ends = [
        roles.get(name) if data.get(key, default) else None
        for name, key, default in (("bos_token", "add_bos_token", adds_bos), ("eos_token", "add_eos_token", False))
    ]
    contents = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "post_processor": _template(ends[0], ends[1], tokens), **body,
    }  # fmt: skip
    config: dict[str, Any] = {
        **roles, "add_bos_token": ends[0] is not None, "add_eos_token": ends[1] is not None,
        "clean_up_tokenization_spaces": False, "tokenizer_class": "PreTrainedTokenizerFast",
    }  # fmt: skip
    length = header.metadata.get(f"{header.architecture}.context_length")
    if isinstance(length, int):
        config["model_max_length"] = length
    templates = _chat_templates(header.metadata)
    if templates:
        config["chat_template"] = templates
    return {"tokenizer.json": contents, "tokenizer_config.json": config}


def _byte_level(header: GGUFHeader, data: Mapping[str, Any], tokens: Sequence[str]) -> dict[str, Any]:
    name = data.get("pre", "default")
    if not pretokenizers.known(name):
        raise UnsupportedError(
            f"the tokenizer in {header.path} splits text as {name!r} does, which is not known", value=name,
            hint="give the tokenizer of the original checkpoint: tokenizer='owner/name' or a directory",
        )
    return {
        "normalizer": pretokenizers.normalizer(name),
        "pre_tokenizer": pretokenizers.pre_tokenizer(name),
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "ignore_merges": pretokenizers.ignores_merges(name),
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [merge.split(" ", 1) for merge in _strings(header, data, "merges")],
        },
    }  # fmt: skip


def _sentence_piece(
    header: GGUFHeader, data: Mapping[str, Any], tokens: Sequence[str], types: Sequence[int]
) -> dict[str, Any]:
    """SentencePiece's BPE: pieces that are joined by their scores, with byte fallback."""
    scores = data.get("scores")
    if not isinstance(scores, list) or len(scores) != len(tokens):
        raise _broken(header, "its tokens have no scores")
    prefix = bool(data.get("add_space_prefix", True))
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
    decoders: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    ]
    if prefix:
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    unknown = data.get("unknown_token_id")
    unknown_token = tokens[int(unknown)] if unknown is not None and _is_id(unknown, tokens) else None
    normalizers = [{"type": "Prepend", "prepend": _SPACE}, replace] if prefix else [replace]
    return {
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": None,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": unknown_token,
            "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True,
            "ignore_merges": False, "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": _merges(tokens, scores, types),
        },
    }  # fmt: skip


def _merges(tokens: Sequence[str], scores: Sequence[float], types: Sequence[int]) -> list[list[str]]:
    """Return the pairs that make a piece, in the order in which they are joined: the better the piece, the earlier."""
    others = (_CONTROL, _BYTE, _UNKNOWN)
    mergeable = {token: number for number, token in enumerate(tokens) if types[number] not in others}
    found = []
    for token, number in mergeable.items():
        for cut in range(1, len(token)):
            left, right = mergeable.get(token[:cut]), mergeable.get(token[cut:])
            if left is not None and right is not None:
                found.append((-scores[number], left, right, token[:cut], token[cut:]))
    return [[left, right] for _, _, _, left, right in sorted(found)]


def _template(bos: str | None, eos: str | None, tokens: Sequence[str]) -> dict[str, Any] | None:
    """Return the post-processor that adds what the file says is added."""
    ends = [end for end in (bos, eos) if end is not None]
    if not ends:
        return None

    def sequence(name: str, number: int) -> list[dict[str, Any]]:
        middle: dict[str, Any] = {"Sequence": {"id": name, "type_id": number}}
        first, last = ([] if end is None else [{"SpecialToken": {"id": end, "type_id": number}}] for end in (bos, eos))
        return [*first, middle, *last]

    numbers = {end: tokens.index(end) for end in ends}
    return {
        "type": "TemplateProcessing", "single": sequence("A", 0), "pair": [*sequence("A", 0), *sequence("B", 1)],
        "special_tokens": {end: {"id": end, "ids": [number], "tokens": [end]} for end, number in numbers.items()},
    }  # fmt: skip


def _chat_templates(metadata: Mapping[str, Any]) -> Any:
    """Return the default template, or all of them by name where there are more."""
    start = "tokenizer.chat_template"
    named = {key[len(start) + 1 :]: text for key, text in metadata.items() if key.startswith(f"{start}.")}
    named.pop("names", None)
    default = metadata.get(start)
    if named and default is not None:
        named = {"default": default, **named}
    return [{"name": name, "template": text} for name, text in named.items()] if named else default


def _strings(header: GGUFHeader, data: Mapping[str, Any], key: str) -> list[str]:
    value = data.get(key)
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        raise _broken(header, f"{_PREFIX}{key} is no list of strings")
    return value


def _distinct(tokens: Sequence[str]) -> list[str]:
    """Return unique tokens: a repeated one gets its index appended, so that ids do not change."""
    seen: set[str] = set()
    result = []
    for number, token in enumerate(tokens):
        result.append(f"{token}<{number}>" if token in seen else token)
        seen.add(token)
    return result


def _is_id(value: Any, tokens: Sequence[str]) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(tokens)


def _broken(header: GGUFHeader, why: str) -> IntegrityError:
    return IntegrityError(f"the vocabulary in {header.path} is not whole", value=str(header.path), why=why)
