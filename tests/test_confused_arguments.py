"""Public calls with confused arguments give a result or a clear MFError, and messages that are fit to print."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from mf_core import (
    AutoConfig,
    AutoModel,
    AutoProcessor,
    AutoTokenizer,
    ContextConfig,
    GPT2Config,
    LoraConfig,
    ParallelContextConfig,
    Trainer,
    TrainingArguments,
    get_backend,
    pipeline,
    set_seed,
)
from mf_core.data import open_records, rows, write_mindrecord
from mf_core.generation import GenerationConfig
from mf_core.parallel import ParallelConfig, RecomputeConfig

from .support.confused import draws, report, some

DRAWS = int(os.environ.get("MF_TEST_DRAWS", "700"))
SEED = int(os.environ.get("MF_TEST_SEED", "7"))
TOKENIZER = [
    "text", "text_pair", "add_special_tokens", "padding", "truncation", "max_length", "return_tensors",
    "return_offsets_mapping", "unknown",
]  # fmt: skip
GENERATION = [
    "max_length", "max_new_tokens", "min_length", "do_sample", "top_k", "top_p", "temperature", "repetition_penalty",
    "num_beams", "num_return_sequences", "eos_token_id", "pad_token_id", "stop", "seed", "batch_size", "stream",
    "return_full_text", "return_scores", "unknown", "a\x1b",
]  # fmt: skip


@pytest.fixture(scope="module")
def surfaces():
    """Name -> what makes a call from drawn values: ``(function, args, kwargs)``."""
    tokenizer, processor = AutoTokenizer.from_pretrained("gpt2_tiny"), AutoProcessor.from_pretrained("gpt2_tiny")
    pipe = pipeline("text_generation", "gpt2_tiny")
    model = pipe.model
    short = {"max_new_tokens": 1, "seed": 1}
    trainer = Trainer(model=model, tokenizer=tokenizer, task="text_generation")

    def cls(kind, names=None):
        fields = [*(names or kind.model_fields), "unknown", "num_labels"]
        return lambda value, draw: (kind, (), some(value, fields, draw))

    def method(function, most=2):
        return lambda value, draw: (function, [value() for _ in range(draw.randint(0, most))], {})

    return [
        (
            "AutoConfig.from_pretrained",
            lambda v, d: (AutoConfig.from_pretrained, [v()], some(v, ["revision", "top_k", "x"], d)),
        ),
        ("AutoConfig.from_config", method(AutoConfig.from_config, 1)),
        (
            "AutoModel.from_pretrained",
            lambda v, d: (AutoModel.from_pretrained, [v()], some(v, ["weight_dtype", "x"], d)),
        ),
        ("AutoModel.from_config", method(AutoModel.from_config)),
        (
            "AutoTokenizer.from_pretrained",
            lambda v, d: (AutoTokenizer.from_pretrained, [v()], some(v, ["pad_token", "x"], d)),
        ),
        ("AutoProcessor.from_pretrained", method(AutoProcessor.from_pretrained)),
        ("GPT2Config", cls(GPT2Config)),
        ("TrainingArguments", cls(TrainingArguments)),
        ("LoraConfig", cls(LoraConfig)),
        ("ParallelConfig", cls(ParallelConfig)),
        ("RecomputeConfig", cls(RecomputeConfig)),
        ("ContextConfig", cls(ContextConfig)),
        ("ParallelContextConfig", cls(ParallelContextConfig)),
        ("GenerationConfig", lambda v, d: (GenerationConfig.from_kwargs, [{}], some(v, GENERATION, d))),
        ("tokenizer()", lambda v, d: (tokenizer, [v()], some(v, TOKENIZER[1:], d))),
        ("tokenizer() of a text", lambda v, d: (tokenizer, ["a fox"], some(v, TOKENIZER[1:], d))),
        ("tokenizer.encode", method(tokenizer.encode, 1)),
        ("tokenizer.decode", method(tokenizer.decode, 1)),
        ("tokenizer.batch_decode", method(tokenizer.batch_decode, 1)),
        ("tokenizer.tokenize", method(tokenizer.tokenize, 1)),
        ("tokenizer.convert_tokens_to_ids", method(tokenizer.convert_tokens_to_ids, 1)),
        ("tokenizer.convert_ids_to_tokens", method(tokenizer.convert_ids_to_tokens, 1)),
        ("tokenizer.save_pretrained", method(tokenizer.save_pretrained, 1)),
        ("processor()", method(processor)),
        (
            "pipeline",
            lambda v, d: (pipeline, [v(), v()], some(v, ["tokenizer", "backend", "device_target", "revision"], d)),
        ),
        (
            "pipeline of a model",
            lambda v, d: (pipeline, ["text_generation", model], {"tokenizer": tokenizer, **some(v, GENERATION, d)}),
        ),
        ("pipeline()", lambda v, d: (pipe, [v()], short)),
        ("pipeline() of a text", lambda v, d: (pipe, ["Once"], {**short, **some(v, GENERATION, d)})),
        ("model.generate", lambda v, d: (model.generate, [v()], short)),
        ("model.save_pretrained", lambda v, d: (model.save_pretrained, [v()], some(v, ["dtype", "shard_size"], d))),
        (
            "Trainer",
            lambda v, d: (
                Trainer,
                (),
                {
                    "model": model,
                    **some(v, ["args", "task", "tokenizer", "pet_method", "callbacks", "compute_metrics"], d),
                },
            ),
        ),
        (
            "Trainer.set_parallel_config",
            lambda v, d: (trainer.set_parallel_config, (), some(v, list(ParallelConfig.model_fields), d)),
        ),
        ("Trainer.evaluate", method(trainer.evaluate, 1)),
        ("Trainer.predict", lambda v, d: (trainer.predict, (), {"input_data": v(), "max_new_tokens": 1})),
        ("open_records", method(open_records, 1)),
        ("rows", method(rows)),
        ("write_mindrecord", method(write_mindrecord)),
        ("get_backend", method(get_backend, 1)),
        ("set_seed", method(set_seed, 1)),
    ]


def run(surfaces, seed, count):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return draws(seed, count, surfaces)


def test_calls_give_a_result_or_a_clear_error(surfaces, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    tally = run(surfaces, seed=SEED, count=DRAWS)
    print("\n".join(report(tally)))
    print("\n".join(f"unforeseen: {words}" for words in tally.unforeseen))
    assert not tally.faults, "\n".join(tally.faults)
    assert tally.total == DRAWS


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_many_calls(seed, tmp_path):
    """Each seed in a separate process: 1,000 calls."""
    code = (
        "import sys, pytest; sys.exit(pytest.main(['-q', '-s', '-p', 'no:cacheprovider', '-k', 'clear_error', "
        f"{str(Path(__file__))!r}]))"
    )
    environment = {**os.environ, "MF_TEST_DRAWS": "1000", "MF_TEST_SEED": str(seed)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
