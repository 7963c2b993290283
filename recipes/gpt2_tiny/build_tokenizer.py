"""Train the tokenizer: a byte-level BPE of 1024 tokens, in GPT-2's files.

python build_tokenizer.py OUT_FOLDER --corpus train.jsonl
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from corpus import build, read_jsonl
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCAB_SIZE = 1024
CONTEXT = 256
END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"
#: Their places are their ids.
SPECIAL_TOKENS = (END_OF_TEXT, PAD)


def _tokenizer(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train(texts: Sequence[str]) -> Tokenizer:
    """Return a tokenizer trained on `texts`. All 256 bytes are in its vocabulary, so that any text can be encoded."""
    tokenizer = _tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write vocab.json, merges.txt and tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.model.save(str(folder))
    config = {
        "tokenizer_class": "GPT2Tokenizer",
        "add_prefix_space": False,
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "unk_token": END_OF_TEXT,
        "pad_token": PAD,
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
    }
    text = json.dumps(config, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8", newline="\n")


def load(folder: Path) -> Tokenizer:
    """Return the tokenizer saved in `folder`."""
    tokenizer = _tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, save, and print how long the stories are in tokens."""
    parser = argparse.ArgumentParser(description="Train the byte-level BPE tokenizer of the stories.")
    parser.add_argument("folder", type=Path, help="where to write vocab.json, merges.txt and tokenizer_config.json")
    parser.add_argument("--corpus", type=Path, help="JSON lines to train on; default: 20000 stories of seed 7")
    options = parser.parse_args(arguments)
    lines = options.corpus.read_text(encoding="utf-8").split("\n") if options.corpus else []
    texts = read_jsonl(lines) or build(20000, 7)
    save(train(texts), options.folder)
    tokenizer = load(options.folder)
    lengths = [len(encoding.ids) for encoding in tokenizer.encode_batch(texts)]
    words = sum(len(text.split()) for text in texts)
    print(
        f"{tokenizer.get_vocab_size()} tokens in {options.folder}; a story is {sum(lengths) / len(texts):.1f} tokens "
        f"(the longest {max(lengths)}), a word {sum(lengths) / words:.2f}"
    )


if __name__ == "__main__":
    main()
