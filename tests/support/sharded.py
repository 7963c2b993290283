"""What the tests of sharded checkpoints share: checkpoints of small models as a run leaves them, and reading them."""

import json

import numpy as np
from mf_pangualpha.config import PanguAlphaConfig
from mf_pangualpha.modeling import PanguAlphaHeadModel
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from mf_core import GPT2Config, GPT2LMHeadModel, TrainingArguments, set_seed
from mf_core.optim.optimizers import make_optimizer

#: Sizes that no number of copies divides: a piece of the joint projection's bias has 27 numbers.
GPT2 = {"vocab_size": 58, "hidden_size": 18, "num_layers": 4, "num_heads": 2, "seq_length": 10}
PANGU = {
    "vocab_size": 52, "hidden_size": 12, "num_layers": 4, "num_heads": 4, "ffn_hidden_size": 20, "seq_length": 8,
    "use_moe": True, "expert_num": 4,
}  # fmt: skip
STATE = {"global_step": 7, "own": ["checkpoint-7"]}


def gpt2(**changes):
    set_seed(3)
    return GPT2LMHeadModel(GPT2Config(**{**GPT2, **changes}))


def pangu(**changes):
    set_seed(4)
    return PanguAlphaHeadModel(PanguAlphaConfig(**{**PANGU, **changes}))


def checkpoint(folder, model, optim="adamw"):
    """Write a checkpoint as a run does, the optimizer's states filled with numbers that are all different."""
    model.save_pretrained(folder)
    for parameter, name in ((p, n) for n, p in model.parameters_and_names()):
        parameter.name = name
    optimizer = make_optimizer(list(model.get_parameters()), TrainingArguments(output_dir=str(folder), optim=optim))
    rng = np.random.default_rng(5)
    states = {name: rng.random(p.shape).astype(np.float32) for name, p in optimizer.state().items()}
    scalars = {"optimizer.updates": np.array(7, np.int32), "step.loss_scale": np.array(1024, np.float32)}
    save_file({**states, **scalars}, folder / "optimizer.safetensors")
    (folder / "trainer_state.json").write_text(json.dumps(STATE))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def tensors(folder):
    """Return all tensors of a folder in the whole form, read by the format's own library."""
    return {kind: load_file(folder / f"{kind}.safetensors") for kind in ("model", "optimizer")}


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for kind, held in wanted.items():
        assert found[kind].keys() == held.keys()
        for name, array in held.items():
            assert (found[kind][name].dtype, found[kind][name].shape) == (array.dtype, array.shape), name
            assert found[kind][name].tobytes() == array.tobytes(), name


def piece(folder, rank, name, kind=""):
    """Return a rank's piece; None: its file has none."""
    path = folder / "shards" / f"rank-{rank:05d}{kind}.safetensors"
    if not path.exists():
        return None
    with safe_open(path, "np") as file:
        return file.get_tensor(name) if name in file.keys() else None  # noqa: SIM118


def rewrite(path, change):
    """Rewrite a safetensors file with the tensors that ``change`` returns."""
    held = load_file(path)
    change(held)
    save_file(held, path)
