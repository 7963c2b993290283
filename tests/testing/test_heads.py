"""The kit's checks of models with heads that are not causal: an encoder, a classifier, a model that reads pixels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from mf_core.checkpoint.locate import locate
from mf_core.checkpoint.weights import save_weights
from mf_core.errors import ArgumentError, WeightsError
from mf_core.lora import LoraConfig, add_lora, merge_lora, save_adapter
from mf_core.specs import ConfigSpec, ModelSpec
from mf_core.testing import ModelContract, temporary_plugin
from mf_core.testing.contracts.contract import Fault

from ..support import conformance_encoder
from ..support.conformance_encoder import MarksEncoder, MarksForClassification

MODULE = conformance_encoder.__name__
#: Checks of a model alone; those of its package, and in other processes, are the subject of test_conformance.py.
CHECKS = (
    "logits_have_shape_and_type", "batch_gives_what_rows_give", "padding_changes_nothing", "positions_may_be_given",
    "outputs_depend_on_every_input", "model_computes_in_half_precision", "whole_context_can_be_used",
    "heads_may_be_wider_than_their_share", "gradients_are_numbers_and_reach_every_parameter",
    "training_lowers_the_loss", "plan_names_cells_that_exist", "new_heads_are_initialized_and_trained",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def marks() -> Iterator[None]:
    heads = {"base": "MarksEncoder", "sequence_classification": "MarksForClassification", "images": "MarksForImages"}
    models = [ModelSpec(model_type="marks", target=f"{MODULE}:{cls}", heads=(head,)) for head, cls in heads.items()]
    config = ConfigSpec(model_type="marks", target=f"{MODULE}:MarksConfig")
    with temporary_plugin(config, *models, distribution="mf-marks"):
        yield


def contract(head: str, **more: object) -> ModelContract:
    settings = {"distribution": "mf-marks", "model_type": "marks", "head": head, "config": {"head_dim": 12}, **more}
    return type("Checks", (ModelContract,), settings)()


def outcomes(checks: ModelContract, names: tuple[str, ...] = CHECKS) -> dict[str, str]:
    """Return what failed, and what was skipped, of checks by name."""
    found = {}
    for name in names:
        try:
            getattr(checks, f"test_{name}")()
        except (Fault, pytest.skip.Exception) as error:
            found[name] = str(error)
    return found


@pytest.mark.parametrize("head", ["base", "sequence_classification"])
def test_good_heads_pass(head: str) -> None:
    checks = contract(head)
    assert outcomes(checks) == {}
    assert checks.subject() == f"the model of marks with the head {head}, and head_dim=12"


@pytest.mark.parametrize(
    ("fault", "head", "check", "words"),
    [
        ("ignores padding", "base", "padding_changes_nothing", "the row before padding differ"),
        ("ignores padding", "sequence_classification", "padding_changes_nothing", "attention_mask is 0"),
        ("pools padding", "sequence_classification", "padding_changes_nothing", "pool over the others"),
        ("mixes rows", "base", "batch_gives_what_rows_give", "rows in a batch and rows alone differ"),
        ("forgets the pooler", "sequence_classification", "gradients_are_numbers_and_reach_every_parameter", "pooler"),
        ("half precision", "sequence_classification", "logits_have_shape_and_type", "an output is Float16"),
        ("reads nothing", "sequence_classification", "outputs_depend_on_every_input", "changing input_ids leaves"),
        ("short table", "base", "whole_context_can_be_used", "position.weight has the shape (23, 16)"),
    ],
)
def test_single_faults_are_caught(
    monkeypatch: pytest.MonkeyPatch, fault: str, head: str, check: str, words: str
) -> None:
    monkeypatch.setattr(MarksEncoder, "fault", fault)
    assert words in outcomes(contract(head), (check,))[check]


def test_width_of_heads_is_tried_where_the_configuration_leaves_it_open(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "heads_may_be_wider_than_their_share"
    assert outcomes(contract("base", config={}), (name,)) == {}
    monkeypatch.setattr(MarksEncoder, "fault", "assumes the width")
    assert "with head_dim=16 it fails" in outcomes(contract("base", config={}), (name,))[name]


def test_models_that_read_something_else() -> None:
    def arguments(self: ModelContract, rows: int, length: int | None = None, seed: int = 0) -> dict[str, np.ndarray]:
        return {"pixel_values": np.random.default_rng(seed).standard_normal((rows, 3, 4, 4)).astype(np.float32)}

    checks = contract("images", arguments=arguments)
    skipped = outcomes(checks, CHECKS[:8])
    assert set(skipped) == {"padding_changes_nothing", "positions_may_be_given", "whole_context_can_be_used"}
    assert all("construct has no argument" in why for why in skipped.values())


def test_a_head_that_the_checkpoint_lacks(tmp_path: Path) -> None:
    config = conformance_encoder.MarksConfig()
    body = MarksEncoder(config)
    body.save_pretrained(tmp_path / "body")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)  # folders of earlier checks may be collected meanwhile
        model = MarksForClassification.from_pretrained(tmp_path / "body")
    assert [str(each.message) for each in caught] == [
        f"the weights of {tmp_path / 'body'} have no classifier, which are initialised: "
        "train the model before you use it"
    ]
    assert caught[0].filename == __file__
    first = model.classifier.weight.asnumpy()
    assert 0.01 < first.std() < 0.03
    with pytest.raises(ArgumentError, match="modules_to_save leaves out classifier, which the checkpoint lacks"):
        add_lora(model, LoraConfig(modules_to_save=()))
    add_lora(model, LoraConfig(r=2))
    trained = {parameter.name for parameter in model.trainable_params()}
    assert trained == {f"{layer}.lora_{part}" for layer in "qv" for part in "AB"} | {
        "classifier.weight", "classifier.bias",
    }  # fmt: skip
    ms.ops.assign(model.classifier.bias, ms.Tensor(np.array([1, 2, 3], np.float32)))
    save_adapter(model, tmp_path / "adapter")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = MarksForClassification.from_pretrained(tmp_path / "adapter")
    np.testing.assert_array_equal(back.classifier.weight.asnumpy(), first)
    np.testing.assert_array_equal(back.classifier.bias.asnumpy(), [1, 2, 3])
    merge_lora(back)
    back.save_pretrained(tmp_path / "merged")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MarksForClassification.from_pretrained(tmp_path / "merged")
    with pytest.warns(UserWarning, match="have no classifier, which keep the values that they have"):
        back.load(locate(tmp_path / "body"))
    np.testing.assert_array_equal(back.classifier.bias.asnumpy(), [1, 2, 3])
    (tmp_path / "body" / "model.safetensors").unlink()
    weights = {name: p for name, p in back.parameters_and_names() if name != "classifier.bias"}
    save_weights(weights, tmp_path / "body")
    with pytest.raises(WeightsError, match=r"1 missing, such as 'classifier\.bias'"):
        MarksForClassification.from_pretrained(tmp_path / "body")
