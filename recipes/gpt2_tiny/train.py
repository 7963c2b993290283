"""Trains ``gpt2_tiny``: stories from the grammar, the vocabulary beside the weights, the library's own Trainer.

    python recipes/gpt2_tiny/train.py OUT

writes ``config.json``, ``model.safetensors`` (fp16) and the vocabulary into OUT. The same seed gives the same stories,
the same first weights and the same order.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import build_tokenizer
import corpus
import numpy as np

from mf_core import AutoConfig, AutoModel, AutoTokenizer, PretrainedTokenizer, Trainer, TrainingArguments, set_seed

#: Row lengths: the beginnings of stories, where a hero is named and named again, then whole stories. A small model
#: takes long to learn that a name comes back; over short rows it is soon found, and then holds over long ones.
BEGINNING, WHOLE = 97, 217


def rows(stories: list[str], tokenizer: PretrainedTokenizer, length: int) -> list[np.ndarray]:
    """Return each story's ids with EOS, cut or padded to ``length``: a story begins at position 0, as prompts do."""
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    result = np.full((len(stories), length), pad, np.int32)
    for row, story in zip(result, stories, strict=True):
        ids = [*tokenizer.encode(story, add_special_tokens=False), eos][:length]
        row[: len(ids)] = ids
    return list(result)


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, nargs=2, default=(1000, 1500), help="on beginnings, on whole stories")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()

    plan = [
        {"length": BEGINNING, "batch_size": 16, "steps": options.steps[0], "schedule": "constant_with_warmup"},
        {"length": WHOLE, "batch_size": 8, "steps": options.steps[1], "schedule": "cosine"},
    ]
    needed = sum(part["batch_size"] * part["steps"] for part in plan)
    stories, _ = corpus.split(needed, held_out=500, seed=options.seed)
    if not (options.out / "vocab.json").exists():
        build_tokenizer.save(build_tokenizer.train(corpus.build(20000, seed=7)), options.out)
    tokenizer = AutoTokenizer.from_pretrained(options.out)
    set_seed(options.seed)
    model = AutoModel.from_config(AutoConfig.from_pretrained("gpt2_tiny"))
    print(f"{model.num_parameters():,} parameters, {len(stories):,} stories")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        for part in plan:
            count = part["batch_size"] * part["steps"]
            mine, stories = stories[:count], stories[count:]
            args = TrainingArguments(
                output_dir=scratch,
                per_device_train_batch_size=part["batch_size"],
                max_steps=part["steps"],
                learning_rate=options.learning_rate,
                weight_decay=0.01,
                adam_beta2=0.99,
                lr_scheduler_type=part["schedule"],
                warmup_steps=100,
                logging_steps=50,
                seed=options.seed,
            )
            data = rows(mine, tokenizer, part["length"])
            trainer = Trainer(args, task="text_generation", model=model, tokenizer=tokenizer, train_dataset=data)
            result = trainer.train()
            print(f"loss {result.loss:.4f} after {result.steps} steps, {result.tokens:,} tokens", flush=True)
    model.save_pretrained(options.out, dtype="float16")
    print(f"{(time.perf_counter() - start) / 60:.1f} min")


if __name__ == "__main__":
    main()
