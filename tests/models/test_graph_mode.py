"""GRAPH_MODE, where a model's own calls are compiled: what changes a model shows in its next call."""

import json
import os
import subprocess
import sys

SCRIPT = """
import json, tempfile
import mindspore as ms
import numpy as np
from mf_core import Trainer, TrainingArguments
from mf_core.lora import LoraConfig, add_lora, load_adapter, merge_lora, save_adapter
from tests.support.lora_models import IDS, make, move

ms.set_context(mode=ms.GRAPH_MODE)
folder, found = tempfile.mkdtemp(), {}

def check(name, model, change):
    before = model(IDS).asnumpy()
    result = change()
    found[name] = float(np.abs(model(IDS).asnumpy() - before).max())
    return result

def adapt():
    add_lora(model, LoraConfig(r=2))
    move(model)

model = make()
check("set_compute_dtype", model, lambda: model.set_compute_dtype("float16"))
check("set back", model, lambda: model.set_compute_dtype("float32"))
check("add_lora", model, adapt)
save_adapter(model, f"{folder}/adapter")
check("nothing", model, lambda: None)
merge_lora(model)
model = make()
check("load_adapter", model, lambda: load_adapter(model, f"{folder}/adapter"))
check("weights in 8 bits", model, lambda: (merge_lora(model), model.quantize_weights("int8")))
model = make(num_layers=1, param_init_type="float16")
rows = np.random.default_rng(0).integers(0, 98, (4, 13)).tolist()
args = TrainingArguments(output_dir=f"{folder}/run", batch_size=4, max_steps=1, learning_rate=1e-2)
trainer = Trainer(args, task="text_generation", model=model, train_dataset=rows, eval_dataset=rows)
before = trainer.evaluate()["loss"]
check("training of 16-bit weights", model, trainer.train)
found["evaluation after it"] = before - trainer.evaluate()["loss"]
print(json.dumps(found))
"""


def test_changes_of_a_model_are_seen_by_compiled_calls(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=600,
        env={**os.environ, "MF_CACHE": str(tmp_path)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert found.pop("nothing") == 0
    assert all(change > 1e-4 for change in found.values()), found
