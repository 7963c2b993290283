"""Training adapters: what is trained, saved, resumed and folded back."""

import json

import numpy as np
import pytest

from mf_core import AutoModel, LoraConfig, merge_lora
from mf_core.errors import ArgumentError

from ..support.training import assert_equal_weights, counting_rows, make_trainer, small_model, weights_of


def base(folder):
    small_model(hidden_dropout_rate=0.1).save_pretrained(folder / "base")
    return str(folder / "base")


def lora_trainer(folder, model, **changes):
    options = {"pet_method": "lora", "eval_dataset": counting_rows(8), **changes.pop("options", {})}
    settings = {"lora_rank": 4, "lora_alpha": 8, "lora_targets": ("c_attn", "c_fc"), "max_steps": 12, **changes}
    if isinstance(model, str):
        model = AutoModel.from_pretrained(model)
    return make_trainer(folder, model=model, options=options, **settings)


def test_adapters_are_trained_and_the_weights_stay(tmp_path, capsys):
    trainer = lora_trainer(tmp_path, base(tmp_path), max_steps=40, save_strategy="steps", save_steps=20)
    before = weights_of(trainer.model)
    count = 4 * (32 + 96) + 4 * (32 + 128)
    assert f"trainable: {count:,} of {trainer.model.num_parameters():,} weights" in capsys.readouterr().err
    result = trainer.train()
    assert result.losses[40] < 0.96 * result.losses[1]
    after = weights_of(trainer.model)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {name for name in before if name.endswith((".lora_A", ".lora_B"))}
    for folder in (tmp_path / "out", tmp_path / "out" / "checkpoint-40"):
        assert {"adapter_config.json", "adapter_model.safetensors"} <= {path.name for path in folder.iterdir()}
        assert not (folder / "model.safetensors").exists()
    written = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (written["r"], written["lora_alpha"], written["base_model_name_or_path"]) == (4, 8, str(tmp_path / "base"))
    loss = trainer.evaluate()["loss"]
    loaded = make_trainer(
        tmp_path, model=AutoModel.from_pretrained(tmp_path / "out"), options={"eval_dataset": counting_rows(8)}
    )
    assert loaded.evaluate()["loss"] == pytest.approx(loss, rel=1e-5)
    merge_lora(trainer.model)
    assert trainer.evaluate()["loss"] == pytest.approx(loss, rel=1e-4)


def test_a_stopped_run_of_adapters_resumes_bit_for_bit(tmp_path):
    name = base(tmp_path)

    class Stop:
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step == 5

    settings = {"save_strategy": "steps", "save_steps": 100, "lora_dropout": 0.1}
    whole = lora_trainer(tmp_path / "whole", name, **settings)
    losses = whole.train().losses
    lora_trainer(tmp_path / "parts", name, options={"callbacks": Stop()}, **settings).train()
    resumed = lora_trainer(tmp_path / "parts", name, **settings)
    assert resumed.train(resume_training=True).losses == losses
    assert_equal_weights(weights_of(whole.model), weights_of(resumed.model))


def test_other_ways_to_say_it(tmp_path):
    config = LoraConfig(r=2, target_modules=("c_proj",))
    trainer = lora_trainer(tmp_path, small_model(), options={"pet_method": config})
    assert trainer.model.lora_config.r == 2
    trainer = lora_trainer(tmp_path, small_model(), options={"pet_method": {"pet_type": "lora", "r": 3}})
    assert trainer.model.lora_config.r == 3
    with pytest.raises(ArgumentError, match="pet_method='ptuning' is not known"):
        lora_trainer(tmp_path, small_model(), options={"pet_method": "ptuning"})
    with pytest.raises(ArgumentError, match="has no layer 'c_atn'"):
        lora_trainer(tmp_path, small_model(), lora_targets=("c_atn",))


def test_the_weights_below_adapters_may_come_from_a_checkpoint(tmp_path):
    make_trainer(tmp_path / "full", max_steps=20).train()
    trainer = lora_trainer(tmp_path, small_model(), max_steps=1)
    trainer.finetune(finetune_checkpoint=tmp_path / "full" / "out")
    trained = weights_of(AutoModel.from_pretrained(tmp_path / "full" / "out"))
    assert_equal_weights(trained, {name: w for name, w in weights_of(trainer.model).items() if "lora" not in name})
