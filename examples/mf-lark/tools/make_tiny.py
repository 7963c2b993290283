"""Make what the preset ``lark_tiny`` ships: a vocabulary and a model that know one short text.

``python tools/make_tiny.py`` writes ``src/mf_lark/data/tiny``; it takes a minute on two cores.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from mf_core import AutoConfig, AutoModel, Trainer, TrainingArguments, set_seed
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from mf_lark.tokenization import LarkTokenizer

FOLDER = Path(__file__).parents[1] / "src" / "mf_lark" / "data" / "tiny"
TEXT = (
    "A llama stood on the hill and hummed. The wind asked what the song was about. The llama thought for a while. "
    "It is about grass, she said, and about the way down to the river. The wind had never been to the river, so it "
    "went to see. All evening the reeds were bending, and the llama hummed on, because a song is finished only when "
    "somebody has gone where it leads."
)


def make_tokenizer() -> LarkTokenizer:
    """Return a byte-level BPE tokenizer that has learned the text: 256 bytes, and pairs that occur in it."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384, special_tokens=["<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    backend.train_from_iterator([TEXT], trainer)
    return LarkTokenizer(backend, bos_token="<s>", eos_token="</s>", pad_token="</s>", add_eos_token=False)


def main() -> None:
    """Train, and write the files."""
    set_seed(1)
    FOLDER.mkdir(parents=True, exist_ok=True)  # the preset names it, so it has to be there before it is filled
    tokenizer = make_tokenizer()
    # The preset's fields, without its weights, which may not be there yet.
    model = AutoModel.from_config(AutoConfig.from_pretrained("lark_tiny"))
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            output_dir=folder, max_steps=200, batch_size=4, learning_rate=5e-3, lr_scheduler_type="cosine",
            warmup_steps=20, logging_steps=50, save_strategy="no",
        )  # fmt: skip
        texts = [{"text": TEXT}] * 32
        Trainer(args, task="text_generation", model=model, tokenizer=tokenizer, train_dataset=texts).train()
    model.save_pretrained(FOLDER, dtype="float16")
    tokenizer.save_pretrained(FOLDER)


if __name__ == "__main__":
    main()
