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

#: Letters of upper and lower case, as DeepSeek's first vocabulary lists them.
_CASED_LETTERS: Final = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373"
    "\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f"
    "\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
    "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d"
    "\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb"
    "\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128"
    "\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4"
    "\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf"
    "\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
    "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
)
_HAN_AND_HANGUL: Final = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_DEEPSEEK_LLM: Final = (
    "[\r\n]", rf"\s?[{_CASED_LETTERS}]+",
    r"\s?[!-/:-~" "\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002" "]+", r"\s+$", _HAN_AND_HANGUL,
)  # fmt: skip
_DEEPSEEK_CODER: Final = ("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _HAN_AND_HANGUL)

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
    "deepseek-llm": _DEEPSEEK_LLM,
    "deepseek-coder": _DEEPSEEK_CODER,
    "bloom": (r" ?[^(\s|[.,!?…。，、।۔،])]+",),
}  # fmt: skip
#: Names whose text is split as GPT-2's; of the second kind, each digit is a word.
_GPT2: Final = {"default", "gpt-2", "gpt2", "phi-2", "olmo", "dolma2", "mpt", "jina-es", "jina-de", "roberta-bpe",
                "gigachat", "exaone", "trillion"}  # fmt: skip
_GPT2_DIGITS: Final = {"smollm", "starcoder", "refact", "command-r", "granite", "codeshell", "minerva-7b", "dots1"}
#: Names with patterns after which each digit is a word.
_THEN_DIGITS: Final = {"deepseek-llm", "deepseek-coder"}
#: Names whose text is normalised first, and whose words are looked up whole before they are merged.
_NFC: Final = {"qwen2", "deepseek-r1-qwen", "command-r", "olmo"}
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
    if name in _GPT2_DIGITS or name in _THEN_DIGITS:
        first.append({"type": "Digits", "individual_digits": True})
    return {"type": "Sequence", "pretokenizers": [*first, last]} if first else last
