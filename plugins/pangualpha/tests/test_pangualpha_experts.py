"""Mixtures of experts against numpy: who computes what, the balance loss, padding, graphs."""

import mindspore as ms
import numpy as np
import pytest

from mf_core import PanguAlphaConfig, PanguAlphaHeadModel, set_seed
from mf_core.errors import ConfigError

from .numpy_reference import Reference

SMALL = {
    "vocab_size": 90, "hidden_size": 32, "ffn_hidden_size": 40, "num_layers": 3, "num_heads": 4, "seq_length": 64,
    "initializer_range": 0.3, "use_moe": True,
    "embedding_dropout_prob": 0.0, "hidden_dropout_rate": 0.0, "attention_dropout_rate": 0.0,
}  # fmt: skip


def made(**changes):
    set_seed(4)
    return PanguAlphaHeadModel(PanguAlphaConfig(**{**SMALL, **changes})).set_train()


def with_balance(model, *arguments):
    """Return the logits and the balance loss of one pass in training."""
    hidden, balance = model.body(*arguments)
    return model.head(hidden), balance


def reference(model):
    return Reference(model.config, {name: p.asnumpy() for name, p in model.parameters_and_names()})


def ids_of(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 90, shape).astype(np.int32)


@pytest.mark.parametrize(("experts", "chosen"), [(2, 1), (4, 1), (4, 2), (5, 3), (3, 3)])
def test_logits_and_balance_loss_are_the_references(experts, chosen):
    model = made(expert_num=experts, per_token_num_experts_chosen=chosen)
    ids = ids_of(3, 21)
    logits, balance = with_balance(model, ms.Tensor(ids))
    expected, expected_balance = reference(model)(ids)
    np.testing.assert_allclose(logits.asnumpy(), expected, atol=3e-5)
    np.testing.assert_allclose(float(balance), expected_balance, rtol=1e-5)
    np.testing.assert_array_equal(model(ms.Tensor(ids)).asnumpy(), logits.asnumpy())


def test_padding_has_no_part_in_the_loss():
    model = made(expert_num=4)
    ids = ids_of(2, 12)
    mask = np.ones_like(ids)
    mask[0, :7] = mask[1, 10:] = 0
    _, balance = with_balance(model, ms.Tensor(ids), ms.Tensor(mask))
    np.testing.assert_allclose(float(balance), reference(model)(ids, mask)[1], rtol=1e-5)
    others = np.where(mask == 1, ids, (ids + 31) % 90).astype(np.int32)
    _, same = with_balance(model, ms.Tensor(others), ms.Tensor(mask))
    np.testing.assert_allclose(float(same), float(balance), rtol=1e-6)
    assert abs(float(with_balance(model, ms.Tensor(ids))[1]) - float(balance)) > 1e-5
    square = mask[:, None, :] * mask[:, :, None]
    positions = np.maximum(mask.cumsum(1) - 1, 0).astype(np.int32)
    _, packed = with_balance(model, ms.Tensor(ids), ms.Tensor(square), ms.Tensor(positions))
    np.testing.assert_allclose(float(packed), float(balance), rtol=1e-5)


def test_what_other_rows_hold_changes_nothing():
    """No expert has a capacity, so nothing is dropped however many tokens want the same one."""
    model = made(expert_num=4)
    ids = ids_of(1, 16)
    alone = model(ms.Tensor(ids)).asnumpy()[0]
    crowd = np.repeat(ids, 6, 0)
    np.testing.assert_allclose(model(ms.Tensor(crowd)).asnumpy(), np.broadcast_to(alone, (6, 16, 90)), atol=1e-5)


def test_loss_is_least_where_experts_have_equal_parts():
    model = made(expert_num=4, aux_loss_factor=1.0)
    routers = [p for name, p in model.parameters_and_names() if name.endswith("router.weight")]
    assert len(routers) == 2
    ids = ms.Tensor(ids_of(4, 30))
    uneven = float(with_balance(model, ids)[1])
    for router in routers:
        ms.ops.assign(router, ms.Tensor(router.asnumpy() * 1e-4))
    nearly_even = float(with_balance(model, ids)[1])
    np.testing.assert_allclose(nearly_even, 2.0, atol=1e-2)  # 1 for each block with experts
    assert uneven > nearly_even + 0.02


def test_factor_weighs_the_loss():
    ids = ms.Tensor(ids_of(1, 9))
    one, three, none = (float(with_balance(made(expert_num=3, aux_loss_factor=f), ids)[1]) for f in (1, 3, 0))
    np.testing.assert_allclose(three, 3 * one, rtol=1e-6)
    assert none == 0 < one


def test_graphs_have_both_results():
    model = made(expert_num=3, per_token_num_experts_chosen=2)
    ids, mask = ms.Tensor(ids_of(2, 8)), ms.Tensor(np.array([[0, 0, 1, 1, 1, 1, 1, 1], [1] * 8], np.int32))

    @ms.jit
    def compiled(ids, mask):
        return with_balance(model, ids, mask)

    for graph, eager in zip(compiled(ids, mask), with_balance(model, ids, mask), strict=True):
        np.testing.assert_allclose(graph.asnumpy(), eager.asnumpy(), atol=1e-5)


def test_the_loss_balances_tokens_over_experts():
    """Descending along it alone makes the parts equal: the gradient has the right sign and reaches the routers."""
    model = made(expert_num=4, aux_loss_factor=1.0, num_layers=2)
    ids = ms.Tensor(ids_of(4, 32))
    parameters = [p for p in model.trainable_params() if p.name.endswith("router.weight")]
    ms.ops.assign(parameters[0], parameters[0] * 3)  # begins far from equal

    def cost(ids):
        _, balance = with_balance(model, ids)
        return balance

    slopes = ms.jit(ms.value_and_grad(cost, None, parameters))
    first, _ = slopes(ids)
    for _ in range(60):
        last, gradients = slopes(ids)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            ms.ops.assign(parameter, parameter - 0.5 * gradient)
    assert float(first) > 1.05
    assert float(last) < 1.02


def test_without_the_switch_or_with_one_expert_there_is_one_layer():
    for changes in ({"use_moe": False, "expert_num": 4}, {"expert_num": 1}):
        model = made(**changes)
        assert not any("router" in name for name, _ in model.parameters_and_names())
        assert not model.has_auxiliary_loss
        assert model.body(ms.Tensor(ids_of(1, 5))).shape == (1, 5, model.config.hidden_size)


def test_the_query_layer_has_no_experts():
    names = [name for name, _ in made(expert_num=2).parameters_and_names()]
    assert sum("experts" in name for name in names) == 2 * 2 * 4
    assert not any("experts" in name for name in names if "top_query_layer" in name)


def test_more_experts_than_there_are_cannot_be_chosen():
    with pytest.raises(ConfigError, match="per_token_num_experts_chosen=3 is more than expert_num=2"):
        PanguAlphaConfig(use_moe=True, expert_num=2, per_token_num_experts_chosen=3)


def test_a_round_trip_keeps_experts(tmp_path):
    model = made(expert_num=3, per_token_num_experts_chosen=2).set_train(False)
    model.save_pretrained(tmp_path)
    loaded = PanguAlphaHeadModel.from_pretrained(tmp_path)
    assert (loaded.config.expert_num, loaded.config.per_token_num_experts_chosen) == (3, 2)
    ids = ms.Tensor(ids_of(1, 5))
    np.testing.assert_array_equal(loaded(ids).asnumpy(), model(ids).asnumpy())
