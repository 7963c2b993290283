"""The gradients of one training step of a model, computed by this process alone or by a cluster of them.

Run as a script by ``mf launch``: ``sharded_gradients.py FOLDER`` reads ``FOLDER/step.json`` and ``weights.npz``, and
each process writes its gradients, or its shards of them, to ``gradients-RANK.npz``.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def write_step(
    folder: Path, target: str, config: Mapping[str, Any], weights: Mapping[str, np.ndarray], ids: np.ndarray
) -> None:
    """Write the results of a step.

    Args:
        folder: An empty one.
        target: ``"module:Class"`` of the model.
        config: The fields of its configuration.
        weights: Parameter -> value.
        ids: ``(B, S + 1)`` int32.
    """
    np.savez(folder / "weights.npz", **weights)
    step = {"target": target, "config": dict(config), "ids": ids.tolist()}
    (folder / "step.json").write_text(json.dumps(step), encoding="utf-8")


def one_process(folder: Path) -> dict[str, np.ndarray]:
    """Return the gradients that this process computes of the whole model, by parameter."""
    model, ids = _load(folder)
    names, compute = _compute(model)
    return dict(zip(names, (gradient.asnumpy() for gradient in compute(*_batch(ids))), strict=True))


def joined(folder: Path, target: str, config: Mapping[str, Any], **parallel: Any) -> dict[str, np.ndarray]:
    """Return the gradients that the processes of a cluster have written, put together.

    Args:
        folder: The one that they were given.
        target: The model's.
        config: Its configuration's fields.
        **parallel: The settings that they were given.
    """
    from mf_core.parallel.config import ParallelConfig
    from mf_core.parallel.plan import shard_specs

    settings = ParallelConfig(**parallel)
    layout = settings.layout(0)
    model = _make(target, config)
    shapes = {name: tuple(p.shape) for name, p in model.parameters_and_names()}
    specs = shard_specs(model.parallel_plan, shapes, layout, vocabulary=not settings.vocab_emb_dp)
    files = [np.load(folder / f"gradients-{rank}.npz") for rank in range(layout.tensor)]
    return {
        name: files[0][name] if spec.split is None else spec.split.join([file[name] for file in files])
        for name, spec in specs.items() if name in files[0]  # one that is not trained has none
    }


def _make(target: str, config: Mapping[str, Any]) -> Any:
    module, _, name = target.partition(":")
    model = getattr(importlib.import_module(module), name)
    return model(model.config_class(**config))


def _load(folder: Path) -> tuple[Any, np.ndarray]:
    from mindspore import Tensor

    step, weights = json.loads((folder / "step.json").read_text(encoding="utf-8")), np.load(folder / "weights.npz")
    model = _make(step["target"], step["config"])
    for name, parameter in model.parameters_and_names():
        parameter.set_data(Tensor(weights[name]))
    return model, np.array(step["ids"], np.int32)


def _compute(model: Any) -> tuple[list[str], Any]:
    """Return the names of a model's parameters, and a function of a batch that returns their gradients."""
    import mindspore as ms

    from mf_core.tasks.causal_lm import CausalLMRecipe

    model.set_train(True)
    named = {name: p for name, p in model.parameters_and_names() if p.requires_grad}
    network = CausalLMRecipe(model).network()

    def loss(*batch: Any) -> Any:
        return network(*batch)[0]

    compute = ms.jit(ms.value_and_grad(loss, None, tuple(named.values())))
    return list(named), lambda *batch: compute(*batch)[1]


def _batch(ids: np.ndarray) -> tuple[Any, Any]:
    import mindspore as ms

    return ms.Tensor(ids), ms.Tensor(np.ones((len(ids), ids.shape[1] - 1), np.float32))


def main(folder: Path) -> None:
    """Compute this process's part of the step, and write it."""
    from mf_core.context import init_context
    from mf_core.parallel.config import ParallelConfig
    from mf_core.parallel.shard_model import shard_model
    from mf_core.trainer.steps.grad_reducer import GradReducer

    rank, _ = init_context(use_parallel=True, parallel_config={"parallel_mode": "SEMI_AUTO_PARALLEL"})
    for name, settings in json.loads((folder / "parallel.json").read_text(encoding="utf-8")).items():
        model, ids = _load(folder)
        sharded = shard_model(model, ParallelConfig(**settings), rank)
        names, compute = _compute(model)
        reducer = GradReducer(sharded, {n: p for n, p in model.parameters_and_names() if p.requires_grad})
        gradients = reducer.reduce(compute(*_batch(ids)))
        (folder / name).mkdir(exist_ok=True)
        np.savez(
            folder / name / f"gradients-{rank}.npz",
            **{n: gradient.asnumpy() for n, gradient in zip(names, gradients, strict=True)},
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
