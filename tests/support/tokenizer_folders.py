"""Small folders with a tokenizer, as several versions of ``transformers`` write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

END = "<|endoftext|>"
_BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
TEXTS = ["hello low", "lower, hello!", "", "x <s>hello</s> [MASK] <|user|>low", "é 你 🤗\n\thello  low"]


def _write(folder: Path, **files: Any) -> None:
    for name, data in files.items():
        stem, _, suffix = name.rpartition("_")
        text = data if isinstance(data, str) else json.dumps(data)
        (folder / f"{stem}.{suffix}").write_text(text, encoding="utf-8")


def _bytes(*specials: str) -> Tokenizer:
    words = ["l", "o", "w", "e", "r", "h"]
    vocab = {token: index for index, token in enumerate([*specials, *_BYTES, "lo", "low", "he", "ll", "hell", "hello"])}
    merges = [("l", "o"), ("lo", "w"), ("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o")]
    assert set(words) <= set(vocab)
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in specials])
    return tokenizer


def slow_3(folder: Path) -> None:
    """Version 3's slow GPT-2: vocabulary and merges, strings in the map, added tokens in a file, "max_len"."""
    tokenizer = _bytes(END)
    tokenizer.model.save(str(folder))
    size = tokenizer.get_vocab_size()
    _write(
        folder, config_json={"model_type": "gpt2", "n_layer": 1}, tokenizer_config_json={"max_len": 64},
        special_tokens_map_json={"bos_token": END, "eos_token": END, "unk_token": END, "pad_token": "<pad>"},
        added_tokens_json={"<pad>": size, "<|user|>": size + 1},
    )  # fmt: skip


def fast_4(folder: Path) -> None:
    """Version 4's fast GPT-2: both vocabularies, dicts in the map, no limit, flags that are off."""
    tokenizer = _bytes(END)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer.model.save(str(folder))
    token = {"content": END, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    _write(
        folder, config_json={"model_type": "gpt2", "n_layer": 1, "eos_token_id": [0], "bos_token_id": None},
        special_tokens_map_json={"bos_token": token, "eos_token": token, "unk_token": token},
        tokenizer_config_json={
            "add_bos_token": False, "add_prefix_space": False, "bos_token": {"__type": "AddedToken", **token},
            "eos_token": {"__type": "AddedToken", **token}, "errors": "replace", "model_max_length": 10**30,
            "name_or_path": "x", "pad_token": None, "special_tokens_map_file": None, "tokenizer_class": "GPT2Tokenizer",
        },
    )  # fmt: skip


def flags_of_null(folder: Path) -> None:
    """A file whose flags and lengths are null, beside a post-processor that adds BOS."""
    tokenizer = _bytes("<s>", "</s>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.save(str(folder / "tokenizer.json"))
    _write(
        folder, config_json={"model_type": "gpt2", "n_layer": 1, "pad_token_id": -1},
        tokenizer_config_json={
            "add_bos_token": None, "add_eos_token": None, "model_max_length": None, "bos_token": "<s>",
            "eos_token": "</s>", "unk_token": None, "tokenizer_class": "PreTrainedTokenizerFast", "padding_side": None,
        },
    )  # fmt: skip
    data = json.loads((folder / "tokenizer_config.json").read_text())
    del data["padding_side"]  # which transformers itself refuses as null
    _write(folder, tokenizer_config_json=data)


def table_4_40(folder: Path) -> None:
    """Later versions 4: the table of added tokens, a chat template in the configuration, flags that say otherwise."""
    tokenizer = _bytes("<unk>", "<s>", "</s>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.add_special_tokens([AddedToken("<|user|>", normalized=False)])
    tokenizer.save(str(folder / "tokenizer.json"))
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    names = ["<unk>", "<s>", "</s>"]
    table = {str(tokenizer.token_to_id(token)): {"content": token, **flags} for token in [*names, "<|user|>"]}
    _write(
        folder, config_json={"model_type": "gpt2", "n_layer": 1},
        tokenizer_config_json={
            "add_bos_token": True, "add_eos_token": True, "added_tokens_decoder": table, "unk_token": "<unk>",
            "additional_special_tokens": ["<|user|>"], "bos_token": "<s>", "eos_token": "</s>",
            "chat_template": "{{ bos_token }}{{ messages[0].content }}", "clean_up_tokenization_spaces": False,
            "legacy": False, "model_max_length": 4096, "sp_model_kwargs": {}, "spaces_between_special_tokens": False,
            "tokenizer_class": "PreTrainedTokenizerFast", "use_default_system_prompt": False,
        },
    )  # fmt: skip


def backend_5(folder: Path) -> None:
    """Version 5: its own class, extra special tokens, templates in files."""
    tokenizer = _bytes("<s>", "</s>", "<image>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    _write(
        folder, config_json={"model_type": "gpt2", "n_layer": 1}, chat_template_jinja="{{ messages[0].content }}",
        tokenizer_config_json={
            "backend": "tokenizers", "bos_token": "<s>", "eos_token": "</s>", "extra_special_tokens": ["<image>"],
            "is_local": True, "model_max_length": 1000000000000000019884624838656, "pad_token": "[PAD]",
            "padding_side": "left", "tokenizer_class": "TokenizersBackend",
        },
    )  # fmt: skip
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("rag", encoding="utf-8")


def word_pieces(folder: Path) -> None:
    """A BERT: word pieces, two special tokens around, padding and truncation in the vocabulary's file."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "low", "##er", ",", "!", "x"]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(words[:5])
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=5)
    tokenizer.save(str(folder / "tokenizer.json"))
    _write(
        folder, config_json={"model_type": "bert"},
        tokenizer_config_json={
            "clean_up_tokenization_spaces": True, "cls_token": "[CLS]", "do_lower_case": True, "mask_token": "[MASK]",
            "model_max_length": 512, "pad_token": "[PAD]", "sep_token": "[SEP]", "strip_accents": None,
            "tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]",
        },
    )  # fmt: skip


def unigram(folder: Path) -> None:
    """A T5: a unigram model with the end of text after each."""
    scores = {"<pad>": 0.0, "</s>": 0.0, "<unk>": 0.0, "▁": -3.0, "▁hello": -1.0, "▁low": -1.5, "er": -2.0}
    pieces = list(scores.items())
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>", "<extra_id_0>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    _write(
        folder, config_json={"model_type": "t5"},
        tokenizer_config_json={
            "additional_special_tokens": ["<extra_id_0>"], "eos_token": "</s>", "extra_ids": 1, "pad_token": "<pad>",
            "tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>",
        },
    )  # fmt: skip


def words_only(folder: Path) -> None:
    """A vocabulary of words, with nothing beside it."""
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "hello": 1, "low": 2}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    _write(folder, tokenizer_config_json={"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>"})


FOLDERS: dict[str, Callable[[Path], None]] = {
    make.__name__: make
    for make in (slow_3, fast_4, flags_of_null, table_4_40, backend_5, word_pieces, unigram, words_only)
}
