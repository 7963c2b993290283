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


GROUPED = {**SIZES, "num_layers": 1, "attention_bias": True, "head_dim": 12}
WHOLE = {**SIZES, "num_layers": 1, "num_key_value_heads": None}
LATENT = {
    **{name: size for name, size in SIZES.items() if name != "num_key_value_heads"}, "num_layers": 1,
    "attention_bias": True, "kv_lora_rank": 10, "q_lora_rank": 8, "qk_nope_head_dim": 6, "qk_rope_head_dim": 4,
    "v_head_dim": 6, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
}  # fmt: skip
#: Family -> the model, and its configuration.
CASES = {
    **{family: (f"tests.support.decoder_families:{FAMILIES[family][0].__name__}", config)
       for family, config in (("qwen3", GROUPED), ("olmo2", GROUPED), ("gpt_neox", WHOLE), ("bloom", WHOLE))},
    "phi3": ("mf_phi.modeling:Phi3ForCausalLM", {**SIZES, "num_layers": 1}),
    "deepseek_v2": ("mf_deepseek.modeling:DeepseekV2ForCausalLM", LATENT),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("family", CASES)
def test_every_gradient_of_two_processes_is_that_of_one(family, tmp_path):
    target, config = CASES[family]
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
