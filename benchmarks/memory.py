"""Memory of training steps: what `mf plan` computes beside what separate processes take.

    python benchmarks/memory.py [--cases plain recompute ...]

What a process takes is the peak of its resident memory over two steps, less what it had after a small graph had run.
Cases of several devices run as a cluster, and the process that takes most is shown.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

#: Sizes beside which a case names what differs.
BASE = {
    "family": "gpt2", "vocab": 4096, "width": 512, "layers": 4, "heads": 8, "length": 256, "rows": 4, "dropout": 0.0,
    "act": None, "dtype": None, "optim": "adamw", "accumulation": 1, "recompute": {}, "parallel": {},
}  # fmt: skip
ALL, ATTENTION = {"recompute": True}, {"select_recompute": True}
CASES = {
    "plain": [
        {},
        {"width": 256, "layers": 8, "rows": 8, "length": 128},
        {"width": 384, "layers": 6, "heads": 12, "length": 512, "rows": 2, "vocab": 2048},
        {"width": 1024, "layers": 3, "length": 64, "rows": 2, "vocab": 1024},
        {"width": 256, "layers": 4, "heads": 4, "length": 128, "rows": 8, "vocab": 16384},
        {"width": 512, "layers": 8, "rows": 8, "vocab": 2048},
    ],
    "recompute": [
        {"recompute": ALL, "layers": 8},
        {"recompute": ALL, "rows": 8, "vocab": 2048},
        {"recompute": ALL, "width": 256, "heads": 8, "length": 512, "rows": 8, "layers": 4, "vocab": 2048},
        {"recompute": ATTENTION, "length": 512, "rows": 2},
    ],
    "dropout": [
        {"dropout": 0.1},
        {"dropout": 0.1, "width": 256, "rows": 8, "length": 128, "vocab": 16384},
        {"dropout": 0.1, "width": 256, "layers": 3, "recompute": ALL},
    ],
    "settings": [
        {"accumulation": 2, "rows": 2},
        {"optim": "sgd"},
        {"optim": "adagrad"},
        {"optim": "adafactor", "layers": 3},
        {"act": "relu", "rows": 8},
        {"dtype": "float16", "width": 256, "rows": 2},
    ],
    "pangualpha": [
        {"family": "pangualpha", "layers": 6},
        {"family": "pangualpha", "width": 256, "rows": 8, "vocab": 16384},
        {"family": "pangualpha", "recompute": ALL, "layers": 6, "rows": 8},
    ],
    "cluster": [
        {"parallel": {"data_parallel": 2}},
        {"parallel": {"data_parallel": 2, "optimizer_shard": True}},
        {"parallel": {"model_parallel": 2}},
        {"parallel": {"model_parallel": 2, "use_seq_parallel": True}},
        {"parallel": {"model_parallel": 2, "vocab_emb_dp": False}, "vocab": 16384},
        {"parallel": {"pipeline_stage": 2, "micro_batch_num": 4}},
    ],
}


def resident(what="VmRSS"):
    return int(re.search(rf"{what}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024


def make_model(case):
    import mf_core

    dropouts = ("embedding_dropout_prob", "hidden_dropout_rate", "attention_dropout_rate")
    fields = {
        "vocab_size": case["vocab"], "hidden_size": case["width"], "num_layers": case["layers"],
        "num_heads": case["heads"], "seq_length": case["length"], "pad_token_id": case["vocab"] - 1,
        **dict.fromkeys(dropouts, case["dropout"]),
    }  # fmt: skip
    if case["act"]:
        fields["hidden_act"] = case["act"]
    if case["family"] == "pangualpha":
        config = mf_core.PanguAlphaConfig(ffn_hidden_size=4 * case["width"], **fields)
        return mf_core.PanguAlphaHeadModel(config)
    return mf_core.GPT2LMHeadModel(mf_core.GPT2Config(**fields))


def measured(case, folder):
    """Train two steps; return the model and the bytes that they took."""
    import mindspore as ms
    import numpy as np

    from mf_core import Callback, Trainer, TrainingArguments, init_context, set_seed
    from mf_core.backends import get_backend

    if case["parallel"]:
        init_context(use_parallel=True)
    get_backend()

    @ms.jit
    def small(x):
        return ms.ops.matmul(x, x) + 1

    small(ms.Tensor(np.ones((64, 64), np.float32))).asnumpy()
    before, peaks = resident(), []

    class Peak(Callback):
        def on_step_end(self, args, state, control, loss=None, **kwargs):
            loss.asnumpy()  # wait for the step
            peaks.append(resident("VmHWM"))

    set_seed(0)
    model = make_model(case)
    count = 2 * case["rows"] * case["accumulation"] * case["parallel"].get("data_parallel", 1)
    rows = list(np.random.default_rng(0).integers(0, case["vocab"] - 1, (count, case["length"] + 1)).astype(np.int32))
    args = TrainingArguments(
        output_dir=folder, batch_size=case["rows"], max_steps=2, learning_rate=1e-4, logging_steps=10,
        save_strategy="no", dtype=case["dtype"], optim=case["optim"], gradient_accumulation_steps=case["accumulation"],
    )  # fmt: skip
    trainer = Trainer(args, task="text_generation", model=model, train_dataset=rows, callbacks=Peak())
    if case["parallel"]:
        trainer.set_parallel_config(**case["parallel"])
    if case["recompute"]:
        trainer.set_recompute_config(**case["recompute"])
    trainer.train()
    return model, max(peaks) - before


def estimated(case, model):
    """Return what the estimate says of this process, in all and by its parts."""
    from mf_core import context
    from mf_core.nn.kernels import in_use
    from mf_core.parallel import ParallelConfig, ParallelPlan, RecomputeConfig, shard_specs
    from mf_core.planner.decoder_shape import DecoderShape
    from mf_core.planner.memory import Estimate, StepShape
    from mf_core.planner.meta_model import build_meta_model

    parallel = ParallelConfig(**case["parallel"])
    layout = parallel.layout(context.current().rank_id if case["parallel"] else 0)
    whole = build_meta_model(type(model), model.config)
    size = 2 if case["dtype"] == "float16" else 4
    step = StepShape(
        case["rows"], case["length"], size, case["optim"], case["accumulation"], parallel,
        RecomputeConfig(**case["recompute"]), kernels=in_use(),
    )  # fmt: skip
    specs = shard_specs(
        whole.parallel_plan or ParallelPlan(), whole.shapes, layout, vocabulary=not parallel.vocab_emb_dp
    )  # fmt: skip
    memory = Estimate(DecoderShape.of(whole), specs, step, layout, len(whole.blocks)).memory()
    return {**memory.as_dict(), "total": memory.total}


def child(case):
    with tempfile.TemporaryDirectory() as folder:
        folder = os.environ.get("MEMORY_OUTPUT", folder)  # of all processes of a cluster
        model, taken = measured(case, folder)
        print("\nRESULT " + json.dumps({"measured": taken, "estimated": estimated(case, model)}), flush=True)


def run(case):
    """Return what a case takes, measured and estimated: of the process that takes most."""
    case = {**BASE, **case}
    devices = 1
    for name in ("data_parallel", "model_parallel", "pipeline_stage"):
        devices *= case["parallel"].get(name, 1)
    command = [sys.executable, __file__, "--child", json.dumps(case)]
    with tempfile.TemporaryDirectory() as folder:
        if devices == 1:
            outputs = [subprocess.run(command, capture_output=True, text=True)]
            texts = [outputs[0].stdout]
        else:
            environment = {**os.environ, "MEMORY_OUTPUT": f"{folder}/out", "MEMORY_CASE": json.dumps(case)}
            environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
            started = ["msrun", f"--worker_num={devices}", f"--local_worker_num={devices}", f"--log_dir={folder}/logs",
                       f"--master_port={free_port()}", "--join=True", __file__]  # fmt: skip
            outputs = [subprocess.run(started, capture_output=True, text=True, env=environment, cwd=folder)]
            texts = [path.read_text() for path in sorted(Path(folder, "logs").glob("worker_*.log"))]
    lines = [re.search(r"RESULT (\{.*\})", text) for text in texts]
    if not texts or not all(lines):
        sys.exit(f"{case} failed:\n{outputs[0].stderr[-2000:]}\n{texts[0][-2000:] if texts else ''}")
    return max((json.loads(line[1]) for line in lines), key=lambda result: result["measured"])


def free_port():
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def main():
    if "MEMORY_CASE" in os.environ:
        return child(json.loads(os.environ["MEMORY_CASE"]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child({**BASE, **options.child})
    print(f"{'measured':>12}{'estimated':>12}{'error':>8}   case")
    for name in options.cases:
        for case in CASES[name]:
            result = run(case)
            taken, said = result["measured"], result["estimated"]["total"]
            settings = " ".join(f"{key}={value}" for key, value in case.items()) or "as BASE"
            error = 100 * (said / taken - 1)
            print(f"{taken / 1e6:9.0f} MB{said / 1e6:9.0f} MB{error:+7.1f}%   {name}: {settings}", flush=True)
    return None


if __name__ == "__main__":
    main()
