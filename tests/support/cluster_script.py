"""What clusters of tests run: ``cluster_script.py FOLDER`` takes FOLDER/scenarios.json, and writes results.json.

A scenario is a dict: ``name``; ``model`` (changes to a small GPT-2's configuration, or another family's); ``parallel``
(of ``set_parallel_config``); ``recompute``; ``args`` (of TrainingArguments); ``call`` (keywords of ``train``);
``kill`` ([rank, step]: that process kills itself there, when the checkpoint of the step before is written);
``dataset`` ("own": one with its own batches); ``evaluate``; ``error`` (True: the error raised is the result).
"""

import gc
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

import numpy as np

from mf_core import AutoConfig, AutoModel, Callback, Trainer, TrainingArguments, init_context, set_seed
from mf_core.errors import MFError

SMALL = {"model_type": "gpt2", "num_layers": 1, "hidden_size": 16, "num_heads": 4, "vocab_size": 32, "seq_length": 8}
BATCH = 16


class Kill(Callback):
    """Ends a process at a step, as a machine that fails does."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            wanted, end = Path(args.output_dir) / f"checkpoint-{self.step - 1}", time.monotonic() + 60
            while not wanted.is_dir() and time.monotonic() < end:
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)


def rows():
    """Rows in which each id tells the next, most of the time."""
    draw = np.random.default_rng(0)
    made = []
    for _ in range(80):
        ids = draw.integers(0, 32, 9)
        ids[1::2] = (ids[0::2][:4] * 5 + 1) % 32
        made.append({"input_ids": ids.astype(np.int32)})
    return made


def dataset_of(scenario, copies):
    if scenario.get("dataset") != "own":
        return rows()
    from mindspore.dataset import GeneratorDataset

    source = [(row["input_ids"],) for row in rows()]
    return GeneratorDataset(source, column_names=["input_ids"], shuffle=False).batch(BATCH // copies)


def run(scenario, folder, rank, size):
    # Each process has its own weights at first, as when no seed is set.
    set_seed(5 + (rank if scenario.get("seed_by_rank") else 0))
    config = {**SMALL, **scenario.get("model", {})}
    model = AutoModel.from_config(AutoConfig.from_config(config))
    parallel = scenario.get("parallel", {})
    copies = parallel.get("data_parallel", size if not parallel else 1)
    settings = {
        "output_dir": str(folder / scenario.get("output", scenario["name"])), "max_steps": 5, "learning_rate": 1e-2,
        "per_device_train_batch_size": BATCH // copies, "per_device_eval_batch_size": 3, "logging_steps": 1,
        "save_strategy": "no", "weight_decay": 0.1, "gradient_accumulation_steps": 1, **scenario.get("args", {}),
    }  # fmt: skip
    kill = scenario.get("kill")
    trainer = Trainer(
        TrainingArguments(**settings), task="text_generation", model=model, train_dataset=dataset_of(scenario, copies),
        eval_dataset=rows()[:21], callbacks=[Kill(kill[1])] if kill and kill[0] == rank else None,
        pet_method=scenario.get("pet_method", ""),
    )  # fmt: skip
    if size > 1 and parallel:
        trainer.set_parallel_config(**parallel)
    if scenario.get("recompute"):
        trainer.set_recompute_config(recompute=True)
    trained = trainer.train(**scenario.get("call", {}))
    gave = {"losses": list(trained.losses.values()), "tokens": trained.tokens}
    if scenario.get("evaluate"):
        gave["evaluation"] = trainer.evaluate()
    gave["parameters"] = sum(p.size for p in model.get_parameters())
    gave["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return gave


def main():
    folder = Path(sys.argv[1])
    scenarios = json.loads((folder / "scenarios.json").read_text(encoding="utf-8"))
    rank, size = 0, 1
    if "MS_ROLE" in os.environ:
        rank, size = init_context(
            use_parallel=True,
            context_config={"device_target": "CPU"},
            parallel_config={"parallel_mode": "SEMI_AUTO_PARALLEL", "full_batch": True},
        )
    import mindspore as ms  # after the core, which prepares its import

    results = {}
    for scenario in scenarios:
        gc.collect()
        ms.ms_memory_recycle()  # compiling slows down with the graphs of earlier scenarios
        try:
            results[scenario["name"]] = run(scenario, folder, rank, size)
        except MFError as error:
            if not scenario.get("error"):
                raise
            results[scenario["name"]] = {"error": str(error)}
    if rank == 0:
        (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()
