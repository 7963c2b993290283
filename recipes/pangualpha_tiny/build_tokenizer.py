"""Train the tokenizer: SentencePiece's BPE of 1400 pieces over jieba's words, in PanGu-alpha's file.

python build_tokenizer.py OUT_FOLDER --corpus train.jsonl
"""

import argparse
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sentencepiece
from corpus import build, read_jsonl
from mf_pangualpha.tokenization import _segmenter  # the very one that encodes, and it writes no cache

from mf_core import AutoTokenizer

VOCAB_SIZE = 1400
CONTEXT = 168
#: Role -> piece; their places are their ids.
SPECIAL_TOKENS = {"unk": "<unk>", "bos": "<s>", "eos": "<eod>", "pad": "<pad>"}
#: What the tokenizer makes of a text's own spaces and line ends.
BLOCKS = ("▂", "▃")


def train(texts: Sequence[str]) -> bytes:
    """Return a `vocab.model` trained on `texts`, the same bytes each time.

    All 256 bytes are in its vocabulary, so that any text can be encoded; nothing is normalized, so that “，” stays.
    """
    cut = _segmenter().cut
    specials: dict[str, Any] = {f"{role}_id": index for index, role in enumerate(SPECIAL_TOKENS)}
    specials |= {f"{role}_piece": piece for role, piece in SPECIAL_TOKENS.items()}
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(" ".join(cut(text)) for text in texts),
        model_writer=written,
        model_type="bpe",
        vocab_size=VOCAB_SIZE,
        character_coverage=1.0,
        byte_fallback=True,
        normalization_rule_name="identity",
        user_defined_symbols=list(BLOCKS),
        num_threads=1,
        minloglevel=2,
        **specials,
    )
    return written.getvalue()


def save(vocabulary: bytes, folder: Path) -> None:
    """Write vocab.model and tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.model").write_bytes(vocabulary)
    config = {
        "tokenizer_class": "PanguAlphaTokenizer",
        **{f"{role}_token": piece for role, piece in SPECIAL_TOKENS.items()},
        "model_max_length": CONTEXT,
    }
    text = json.dumps(config, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8", newline="\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, save, and print how long the stories are in tokens."""
    parser = argparse.ArgumentParser(description="Train the SentencePiece tokenizer of the stories.")
    parser.add_argument("folder", type=Path, help="where to write vocab.model and tokenizer_config.json")
    parser.add_argument("--corpus", type=Path, help="JSON lines to train on; default: 20000 stories of seed 7")
    options = parser.parse_args(arguments)
    lines = options.corpus.read_text(encoding="utf-8").split("\n") if options.corpus else []
    texts = read_jsonl(lines) or build(20000, 7)
    save(train(texts), options.folder)
    tokenizer = AutoTokenizer.from_pretrained(options.folder)
    lengths = [len(tokenizer.encode(text, add_special_tokens=False)) for text in texts]
    characters = sum(map(len, texts))
    print(
        f"{len(tokenizer)} tokens in {options.folder}; a story is {sum(lengths) / len(texts):.1f} tokens "
        f"(the longest {max(lengths)}), a character {sum(lengths) / characters:.2f}"
    )


if __name__ == "__main__":
    main()
