"""Decoders that two processes share have the gradients of one process: every one of them, in every mode."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mf_core.testing.processes import sharded_gradients
from mf_core.testing.processes.sharded_gradients import joined, one_process, write_step

from ..support.decoder_families import FAMILIES, SIZES

ROOT = Path(__file__).parents[2]
MODES = {
    "plain": {"model_parallel": 2},
    "positions": {"model_parallel": 2, "use_seq_parallel": True},
    "vocabulary": {"model_parallel": 2, "vocab_emb_dp": False},
}


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen3", "olmo2"])
def test_every_gradient_of_two_processes_is_that_of_one(family, tmp_path):
    model, _ = FAMILIES[family]
    target = f"tests.support.decoder_families:{model.__name__}"
    config = {**SIZES, "num_layers": 1, "attention_bias": True, "head_dim": 12}
    made, rng = sharded_gradients._make(target, config), np.random.default_rng(0)
    weights = {n: rng.normal(0.5 * n.endswith("norm.weight"), 0.3, p.shape).astype(np.float32)
               for n, p in made.parameters_and_names()}  # fmt: skip
    write_step(tmp_path, target, config, weights, rng.integers(0, 60, (2, 9)).astype(np.int32))
    (tmp_path / "parallel.json").write_text(json.dumps(MODES))
    launch = [str(Path(sys.executable).parent / "mf"), "launch", "--workers", "2", "--log-dir", str(tmp_path / "logs")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MF_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([*launch, sharded_gradients.__file__, str(tmp_path)], env=environment, check=True, timeout=600)
    wanted = one_process(tmp_path)
    for mode, settings in MODES.items():
        found = joined(tmp_path / mode, target, config, **settings)
        for name, gradient in wanted.items():
            apart = np.linalg.norm(found[name] - gradient) / np.linalg.norm(gradient)
            assert apart < 1e-4, (mode, name, apart)
