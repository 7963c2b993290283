"""Train a small model on stories, in phases, with the library's own Trainer."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mf_core import PretrainedTokenizer, Trainer, TrainingArguments


class Phase(NamedTuple):
    """Stories as rows of ``length`` ids, each seen once; and how the learning rate goes."""

    length: int
    batch_size: int
    steps: int
    schedule: str

    @property
    def stories(self) -> int:
        """How many stories it takes."""
        return self.batch_size * self.steps


def rows(stories: Sequence[str], tokenizer: PretrainedTokenizer, length: int) -> list[np.ndarray]:
    """Return each story's ids with EOS, cut or padded to ``length``: a story begins at position 0, as prompts do."""
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    result = np.full((len(stories), length), pad, np.int32)
    for row, story in zip(result, stories, strict=True):
        ids = [*tokenizer.encode(story, add_special_tokens=False), eos][:length]
        row[: len(ids)] = ids
    return list(result)


def train(
    model: Any,
    tokenizer: PretrainedTokenizer,
    stories: Sequence[str],
    phases: Sequence[Phase],
    *,
    learning_rate: float,
    seed: int,
) -> None:
    """Train ``model`` on ``stories``, the first of them in the first phase, and print each phase's loss."""
    with tempfile.TemporaryDirectory() as scratch:
        for phase in phases:
            mine, stories = stories[: phase.stories], stories[phase.stories :]
            args = TrainingArguments(
                output_dir=scratch,
                overwrite_output_dir=True,
                per_device_train_batch_size=phase.batch_size,
                max_steps=phase.steps,
                learning_rate=learning_rate,
                weight_decay=0.01,
                adam_beta2=0.99,
                lr_scheduler_type=phase.schedule,
                warmup_steps=100,
                logging_steps=50,
                save_strategy="no",
                seed=seed,
            )
            data = rows(mine, tokenizer, phase.length)
            trainer = Trainer(args, task="text_generation", model=model, tokenizer=tokenizer, train_dataset=data)
            result = trainer.train()
            print(f"loss {result.loss:.4f} after {result.steps} steps, {result.tokens:,} tokens", flush=True)
