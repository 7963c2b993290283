"""A step that does not fit: what the user reads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mf_core import TrainingArguments
from mf_core.trainer.memory import estimate_memory

from ..support.training import small_model

#: The address space may grow by a little only, once everything is loaded: less than the logits take, so
#: that much of it is left when they are refused.
CHILD = """
import re, resource, sys
import numpy as np
from tests.support.training import make_trainer, small_model
from pathlib import Path

model = small_model(vocab_size=65536, hidden_size=64, num_layers=1, seq_length=256)
rows = [np.arange(257, dtype=np.int32)] * 64

class Limit:
    def on_train_begin(self, args, state, control, **kwargs):
        used = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
        resource.setrlimit(resource.RLIMIT_AS, (used + 1_600_000_000,) * 2)

make_trainer(Path(sys.argv[1]), model=model, dataset=rows, batch_size=32, options={"callbacks": Limit()}).train()
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="limits the memory by Linux's means")
def test_the_error_names_the_batch_and_what_to_change(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 1
    told = done.stderr[done.stderr.index("[MF504]") :]
    assert "a step of 32 rows of 256 tokens: it takes about " in told
    assert "activations" in told
    for setting in ("per_device_train_batch_size", "max_seq_length", "recompute=True"):
        assert setting in told


def test_the_estimate_grows_with_what_it_is_made_of():
    model, args = small_model(hidden_size=128, num_layers=2, seq_length=256), TrainingArguments()
    parts = estimate_memory(model, args, 8, 256)
    assert parts["weights"] == 4 * model.num_parameters()
    assert parts["optimizer"] == 2 * parts["gradients"] == 2 * parts["weights"]
    # Gradients come as activations go, so activations are what a step takes beyond the gradients.
    one, two, four = (estimate_memory(model, args, rows, 256)["activations"] for rows in (8, 16, 32))
    assert four - two == pytest.approx(2 * (two - one), rel=0.01) and two > 1.9 * one
    less = estimate_memory(model, TrainingArguments(recompute=True, optim="sgd"), 8, 256)
    assert less["activations"] < parts["activations"] and less["optimizer"] == 0
