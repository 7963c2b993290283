"""Run files of MindFormers in the terms of ``mf train``."""

import os
import subprocess
import sys

import pytest
import yaml

from mf_core.cli.mindformers_run import is_mindformers_run, translate
from mf_core.errors import ArgumentError, NotRegisteredError, UnsupportedError

from ..support.training import write_jsonl

COMMON = """
seed: 7
run_mode: train
output_dir: ./output
load_checkpoint: ""
resume_training: False
context: {mode: 0, device_target: Ascend, max_call_depth: 10000}
remote_save_url: "Please input obs url on AICC platform."
runner_config: {epochs: 2, batch_size: 16, sink_mode: True, sink_size: 2}
runner_wrapper:
  type: MFTrainOneStepCell
  scale_sense: {type: DynamicLossScaleUpdateCell, loss_scale_value: 4294967296, scale_factor: 2}
  use_clip_grad: True
parallel: {parallel_mode: 1, full_batch: True}
parallel_config: {data_parallel: 8, optimizer_shard: True, micro_batch_num: 1, gradient_aggregation_group: 4}
micro_batch_interleave_num: 1
moe_config: {expert_num: 1, capacity_factor: 1.05}
recompute_config: {recompute: True, mp_comm_recompute: True}
train_dataset: &train_dataset
  data_loader: {type: MindDataset, dataset_dir: ./data, shuffle: True}
  input_columns: [input_ids]
  batch_size: 16
  repeat: 1
train_dataset_task: {type: CausalLanguageModelDataset, dataset_config: *train_dataset}
lr_schedule: {type: polynomial, learning_rate: 0.00005, lr_end: 0.000001, warmup_steps: 2000, total_steps: -1}
layer_decay: 0.65
optimizer: {type: FP32StateAdamWeightDecay, beta1: 0.9, beta2: 0.95, eps: 0.00000001, weight_decay: 0.1}
callbacks:
  - {type: MFLossMonitor}
  - {type: CheckpointMointor, prefix: any, save_checkpoint_steps: 500, integrated_save: False}
  - {type: ObsMonitor}
metric: {type: PerplexityMetric}
"""
GPT2 = """
use_parallel: False
trainer: {type: CausalLanguageModelingTrainer, model_name: gpt2_tiny}
model:
  model_config: {type: GPT2Config, seq_length: 32, hidden_size: 16, num_layers: 1, num_heads: 2, vocab_size: 1024,
    compute_dtype: float16, checkpoint_name_or_path: gpt2_tiny, use_flash_attention: True}
  arch: {type: GPT2LMHeadModel}
"""
PANGU = """
use_parallel: True
trainer: {type: CausalLanguageModelingTrainer, model_name: pangualpha_2_6b}
model:
  model_config: {type: PanguAlphaConfig, num_layers: 32, eos_token_id: 6, checkpoint_name_or_path: pangualpha_2_6b}
  arch: {type: PanguAlphaHeadModel}
"""


def read(*parts, **changes):
    return {**yaml.safe_load("".join(parts)), **changes}


def test_settings_of_gpt2():
    run = read(COMMON, GPT2)
    assert is_mindformers_run(run)
    made, left = translate(run)
    assert made == {
        "seed": 7, "output_dir": "./output", "use_parallel": False, "resume_training": False, "num_train_epochs": 2,
        "per_device_train_batch_size": 16, "sink_mode": True, "sink_size": 2, "initial_loss_scale": 4294967296,
        "recompute": True, "learning_rate": 5e-5, "lr_end": 1e-6, "warmup_steps": 2000, "adam_beta1": 0.9,
        "adam_beta2": 0.95, "adam_epsilon": 1e-8, "weight_decay": 0.1, "task": "text_generation",
        "model": {"model_type": "gpt2", "seq_length": 32, "hidden_size": 16, "num_layers": 1, "num_heads": 2,
                  "vocab_size": 1024},
        "model_name": "gpt2_tiny", "train_dataset": "./data", "lr_scheduler_type": "polynomial", "optim": "adamw",
        "save_steps": 500, "integrated_save": False,
    }  # fmt: skip
    assert left == [
        "context.device_target", "context.max_call_depth", "runner_wrapper.scale_sense.scale_factor",
        "train_dataset.input_columns", "layer_decay", "model.model_config.use_flash_attention",
        "callback CheckpointMointor.prefix", "callback ObsMonitor",
    ]  # fmt: skip


def test_settings_of_pangualpha_in_parallel():
    made, left = translate(read(COMMON, PANGU, run_mode="finetune"))
    assert made["parallel"] == {
        "data_parallel": 8, "optimizer_shard": True, "micro_batch_num": 1, "gradient_aggregation_group": 4,
        "micro_batch_interleave_num": 1,
    }  # fmt: skip
    assert made["model"]["checkpoint_name_or_path"] == "pangualpha_2_6b" and made["model"]["model_type"] == "pangualpha"
    assert {"parallel.parallel_mode", "parallel.full_batch"} <= set(left)
    assert "trainer.model_name (its tokenizer)" in left  # no vocabulary is published for it


def test_adapters_and_a_checkpoint():
    run = read(COMMON, GPT2, load_checkpoint="some/folder")
    run["model"]["model_config"]["pet_config"] = {"pet_type": "lora", "lora_rank": 4, "in_channels": 768}
    made, left = translate(run)
    assert (made["pet_method"], made["lora_rank"]) == ("lora", 4)
    assert made["model"]["checkpoint_name_or_path"] == "some/folder"
    assert "model.model_config.pet_config.in_channels" in left


@pytest.mark.parametrize(
    "changes, expected, words",
    [
        ({"run_mode": "predict"}, ArgumentError, "mf generate"),
        ({"optimizer": {"type": "Came"}}, UnsupportedError, "the optimizer 'Came'"),
        ({"lr_schedule": {"type": "Odd"}}, UnsupportedError, "the schedule 'Odd'"),
        ({"model": {"model_config": {"type": "MambaConfig"}}}, NotRegisteredError, "MambaConfig"),
        ({"model": {}}, ArgumentError, "no model.model_config.type"),
    ],
)
def test_what_cannot_be_translated(changes, expected, words):
    with pytest.raises(expected, match=words):
        translate(read(COMMON, GPT2, **changes))


def test_a_run_by_the_command(tmp_path):
    write_jsonl(tmp_path / "stories.jsonl", [{"text": f"Once there was a fox, number {n}."} for n in range(40)])
    run = read(COMMON, GPT2)
    run["train_dataset"]["data_loader"]["dataset_dir"] = "stories.jsonl"
    (tmp_path / "run_gpt2.yaml").write_text(yaml.safe_dump(run))
    code = "import sys; from mf_core.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "train", "--config", "run_gpt2.yaml", "--set", "max_steps=2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, env={**os.environ})
    assert done.returncode == 0, done.stderr
    assert "2 steps" in done.stdout and "8 settings of run_gpt2.yaml have no counterpart" in done.stderr
    assert (tmp_path / "output" / "model.safetensors").is_file()
