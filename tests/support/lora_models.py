"""What LoRA's tests share: a small model, adapters that have an effect, a graph, a process."""

import os
import subprocess
import sys

import mindspore as ms
import numpy as np

from mf_core import GPT2Config, GPT2LMHeadModel, set_seed
from mf_core.lora import LoraConfig, add_lora

SMALL = {
    "vocab_size": 100, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "seq_length": 64, "eos_token_id": 99,
    "pad_token_id": 98, "initializer_range": 0.2,
    **dict.fromkeys(("embedding_dropout_prob", "hidden_dropout_rate", "attention_dropout_rate"), 0.0),
}  # fmt: skip
IDS = ms.Tensor(np.random.default_rng(0).integers(0, 98, (2, 12)), ms.int32)
#: The names of all linear layers.
EVERY = ("c_attn", "c_proj", "c_fc")


def make(seed=3, **changes):
    set_seed(seed)
    return GPT2LMHeadModel(GPT2Config(**{**SMALL, **changes}))


def adapted(config=None, seed=3, **changes):
    """A model whose adapters are as if they had been trained: B is not 0."""
    model = make(seed, **changes)
    add_lora(model, config or LoraConfig(r=4, target_modules=EVERY))
    move(model)
    return model


def move(model, seed=7):
    rng = np.random.default_rng(seed)
    for name, parameter in model.parameters_and_names():
        if name.endswith("lora_B"):
            ms.ops.assign(parameter, ms.Tensor(rng.normal(0, 0.1, parameter.shape).astype(np.float32)))


def logits(model):
    return model(IDS).asnumpy()


def values(model):
    return {name: parameter.asnumpy().copy() for name, parameter in model.parameters_and_names()}


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


class Wrapped(ms.nn.Cell):
    def __init__(self, model):
        super().__init__(auto_prefix=False)
        self.model = model

    @ms.jit
    def construct(self, ids):
        return self.model(ids)


def run_script(folder, script, *arguments, **environment):
    (folder / "script.py").write_text(script)
    result = subprocess.run(
        [sys.executable, "script.py", *map(str, arguments)], cwd=folder, capture_output=True, text=True,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout
