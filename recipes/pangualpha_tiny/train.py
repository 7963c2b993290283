"""Trains ``pangualpha_tiny``: stories from the grammar, the vocabulary beside the weights, the library's own Trainer.

    python recipes/pangualpha_tiny/train.py OUT

writes ``config.json``, ``model.safetensors`` (fp16) and the vocabulary into OUT. The same seed gives the same stories,
the same first weights and the same order.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import _common  # noqa: F401
import build_tokenizer
import corpus
import training

from mf_core import AutoConfig, AutoModel, AutoTokenizer, set_seed

#: Row lengths: the beginnings of stories, where a hero is named and named again, then whole stories.
BEGINNING, WHOLE = 81, build_tokenizer.CONTEXT + 1

CONFIG = {
    "model_type": "pangualpha",
    "vocab_size": build_tokenizer.VOCAB_SIZE,
    "hidden_size": 128,
    "num_layers": 6,
    "num_heads": 4,
    "ffn_hidden_size": 512,
    "seq_length": build_tokenizer.CONTEXT,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "eod_token_id": 2,
    "pad_token_id": 3,
    "max_decode_length": build_tokenizer.CONTEXT,
    "temperature": 0.7,
    "initializer_range": 0.08,
    "embedding_dropout_prob": 0.0,
    "hidden_dropout_rate": 0.0,
    "attention_dropout_rate": 0.0,
}


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--steps", type=int, nargs=3, default=(3000, 2500, 4000), help="on beginnings, on whole stories, and once more"
    )
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()

    phases = (
        training.Phase(BEGINNING, 16, options.steps[0], "constant_with_warmup"),
        training.Phase(WHOLE, 8, options.steps[1], "cosine"),
        training.Phase(WHOLE, 8, options.steps[2], "cosine"),
    )
    needed = sum(phase.stories for phase in phases)
    stories, _ = corpus.split(needed, held_out=500, seed=options.seed)
    if not (options.out / "vocab.model").exists():
        build_tokenizer.save(build_tokenizer.train(corpus.build(20000, seed=7)), options.out)
    tokenizer = AutoTokenizer.from_pretrained(options.out)
    set_seed(options.seed)
    model = AutoModel.from_config(AutoConfig.from_config(CONFIG))
    print(f"{model.num_parameters():,} parameters, {len(stories):,} stories")
    start = time.perf_counter()
    training.train(model, tokenizer, stories, phases, learning_rate=options.learning_rate, seed=options.seed)
    model.save_pretrained(options.out, dtype="float16")
    print(f"{(time.perf_counter() - start) / 60:.1f} min")


if __name__ == "__main__":
    main()
