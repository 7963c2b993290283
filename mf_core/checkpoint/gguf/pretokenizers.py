"""How text is split before byte-level BPE, by the name that ``tokenizer.ggml.pre`` gives.

The patterns are those of the published ``tokenizer.json`` files of the models that the names stand for.
"""

from __future__ import annotations

from typing import Any, Final

_CONTRACTIONS: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_TAIL: Final = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _words(digits: str) -> str:
    return rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}|{_TAIL}"


_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED: Final = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTIONS}?|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CONTRACTIONS}?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEKKEN: Final = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DEEPSEEK: Final = (
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
)

#: Name -> regular expressions that split the text one after the other.
_PATTERNS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan"), (_words(r"\p{N}"),)),
    **dict.fromkeys(
        ("llama-bpe", "llama3", "llama-v3", "smaug-bpe", "dbrx", "falcon3", "chatglm-bpe", "glm4", "pixtral", "lfm2",
         "llama4-bpe-plain", "olmo2", "seed-coder-plain"),
        (_words(r"\p{N}{1,3}"),),
    ),
    **dict.fromkeys(("gpt-4o", "llama4", "kanana2"), (_CASED,)),
    "tekken": (_TEKKEN,),
    "deepseek-v3": _DEEPSEEK,
}  # fmt: skip
#: Names whose text is split as GPT-2's; of the second kind, each digit is a word.
_GPT2: Final = {"default", "gpt-2", "gpt2", "phi-2", "olmo", "dolma2", "mpt", "jina-es", "jina-de", "roberta-bpe",
                "gigachat", "exaone", "trillion"}  # fmt: skip
_GPT2_DIGITS: Final = {"smollm", "starcoder", "refact", "command-r", "granite", "codeshell", "minerva-7b", "dots1"}
#: Names whose text is normalised first, and whose words are looked up whole before they are merged.
_NFC: Final = {"qwen2", "deepseek-r1-qwen"}
_WHOLE_WORDS: Final = {"llama-bpe", "llama3", "llama-v3", "gpt-4o", "llama4", "tekken", "falcon3", "pixtral", "lfm2",
                       "llama4-bpe-plain"}  # fmt: skip


def known(name: str) -> bool:
    """Return whether a pre-tokenizer of that name is known."""
    return name in _PATTERNS or name in _GPT2 or name in _GPT2_DIGITS


def normalizer(name: str) -> dict[str, Any] | None:
    """Return the entry ``normalizer`` of a ``tokenizer.json``."""
    return {"type": "NFC"} if name in _NFC else None


def ignores_merges(name: str) -> bool:
    """Return whether a word in the vocabulary is one token, regardless of merges."""
    return name in _WHOLE_WORDS


def pre_tokenizer(name: str) -> dict[str, Any]:
    """Return the entry ``pre_tokenizer`` of a ``tokenizer.json``, for a name that is known."""
    by_regex = name not in _PATTERNS
    last = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": by_regex}
    first: list[dict[str, Any]] = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in _PATTERNS.get(name, ())
    ]
    if name in _GPT2_DIGITS:
        first = [{"type": "Digits", "individual_digits": True}]
    return {"type": "Sequence", "pretokenizers": [*first, last]} if first else last
