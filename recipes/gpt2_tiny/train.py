"""Trains ``gpt2_tiny``: stories from the grammar, the vocabulary beside the weights, the library's own Trainer.

    python recipes/gpt2_tiny/train.py OUT

writes ``config.json``, ``model.safetensors`` (fp16) and the vocabulary into OUT. The same seed gives the same stories,
the same first weights and the same order.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import build_tokenizer
import corpus
import numpy as np

from mf_core import AutoConfig, AutoModel, AutoTokenizer, Trainer, TrainingArguments, set_seed

#: Longest row: the longest story of the corpus and its end fit.
ROW = 217


def rows(stories: list[str], tokenizer: object) -> list[np.ndarray]:
    """Return each story's ids with EOS, padded to ``ROW``: every story begins at position 0, as prompts do."""
    result = []
    for story in stories:
        ids = [*tokenizer.encode(story, add_special_tokens=False), tokenizer.eos_token_id]  # type: ignore[attr-defined]
        if len(ids) > ROW:
            raise SystemExit(f"a story has {len(ids)} ids; ROW is {ROW}")
        result.append(np.array(ids + [tokenizer.pad_token_id] * (ROW - len(ids)), np.int32))  # type: ignore[attr-defined]
    return result


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()

    stories, _ = corpus.split(options.steps * options.batch_size, held_out=500, seed=options.seed)
    if not (options.out / "vocab.json").exists():
        build_tokenizer.save(build_tokenizer.train(corpus.build(20000, seed=7)), options.out)
    tokenizer = AutoTokenizer.from_pretrained(options.out)
    set_seed(options.seed)
    model = AutoModel.from_config(AutoConfig.from_pretrained("gpt2_tiny"))
    print(f"{model.num_parameters():,} parameters, {len(stories):,} stories")
    with tempfile.TemporaryDirectory() as scratch:
        args = TrainingArguments(
            output_dir=scratch,
            per_device_train_batch_size=options.batch_size,
            max_steps=options.steps,
            learning_rate=options.learning_rate,
            weight_decay=0.1,
            adam_beta2=0.99,
            lr_scheduler_type="cosine",
            warmup_steps=100,
            logging_steps=50,
            seed=options.seed,
        )
        trainer = Trainer(
            args, task="text_generation", model=model, tokenizer=tokenizer, train_dataset=rows(stories, tokenizer)
        )
        result = trainer.train()
    model.save_pretrained(options.out, dtype="float16")
    print(f"loss {result.loss:.4f} after {result.steps} steps, {result.tokens:,} tokens, {result.seconds / 60:.1f} min")


if __name__ == "__main__":
    main()
