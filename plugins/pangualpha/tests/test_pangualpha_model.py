"""PanGu-alpha's model against numpy in fp64: forward, padding, cache, gradients, types; and what it refuses."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import ops

from mf_core import PanguAlphaConfig, PanguAlphaHeadModel, set_seed
from mf_core.errors import ArgumentTypeError
from mf_core.nn import ACTIVATIONS, set_random_key

from .numpy_reference import Reference, fast_gelu, loss

SMALL = {
    "vocab_size": 90, "hidden_size": 32, "ffn_hidden_size": 80, "num_layers": 3, "num_heads": 4, "seq_length": 64,
}  # fmt: skip
LIMIT = 2e-5
NO_DROPOUT = {"embedding_dropout_prob": 0.0, "hidden_dropout_rate": 0.0, "attention_dropout_rate": 0.0}


def made(seed=3, **changes):
    """Return a model whose every parameter is away from its trivial initial value."""
    set_seed(seed)
    model = PanguAlphaHeadModel(PanguAlphaConfig(**{**SMALL, "initializer_range": 0.15, **changes}))
    generator = np.random.default_rng(seed)
    for parameter in model.get_parameters():
        noise = generator.standard_normal(parameter.shape).astype(np.float32) * 0.1
        ops.assign(parameter, ms.Tensor(parameter.asnumpy() + noise.astype(parameter.asnumpy().dtype)))
    return model


def reference(model):
    return Reference(model.config, {name: p.asnumpy() for name, p in model.parameters_and_names()})


def ids_of(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 90, shape).astype(np.int32)


def tensor(values):
    return ms.Tensor(np.asarray(values, np.int32))


@pytest.fixture(scope="module")
def model():
    return made()


# Forward ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_layers": 1},
        {"num_layers": 2, "num_heads": 1},
        {"post_layernorm_residual": True},
        {"hidden_act": "gelu"},
        {"hidden_act": "relu"},
        {"hidden_act": "silu"},
        {"layernorm_epsilon": 1e-2},
    ],
    ids=str,
)
def test_logits_are_the_references(changes):
    model = made(**changes)
    ids = ids_of(2, 19)
    logits = model(ms.Tensor(ids))
    assert (logits.shape, logits.dtype) == ((2, 19, 90), ms.float32)
    expected, _ = reference(model)(ids)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(logits.asnumpy(), expected, atol=LIMIT)


def test_each_detail_of_the_query_layer_is_seen_by_the_reference(model):
    """A reference with another top layer would not do: the embedding asks, and no layer norm follows."""
    ids = ids_of(1, 9)
    expected, _ = reference(model)(ids)
    for change in ("top_query_embedding.weight", "top_query_layer.layernorm1.bias", "layernorm.weight"):
        other = reference(model)
        other.arrays[change] = other.arrays[change] + 0.1 * np.arange(32)
        assert np.abs(other(ids)[0] - expected).max() > 1e-2


def test_a_token_sees_nothing_after_it(model):
    ids = ids_of(1, 10)
    changed = ids.copy()
    changed[0, 6:] = (changed[0, 6:] + 1) % 90
    before, after = (model(ms.Tensor(x)).asnumpy()[0] for x in (ids, changed))
    np.testing.assert_array_equal(before[:6], after[:6])
    assert np.abs(before[6:] - after[6:]).max() > 1e-3


def test_positions_may_be_given_under_both_names(model):
    ids = ids_of(2, 7)
    positions = np.stack([np.arange(7) + 20, np.arange(7)[::-1]])
    expected, _ = reference(model)(ids, positions=positions)
    assert np.abs(expected - reference(model)(ids)[0]).max() > 0.1
    for name in ("position_ids", "input_position"):
        np.testing.assert_allclose(model(ms.Tensor(ids), **{name: tensor(positions)}).asnumpy(), expected, atol=LIMIT)
    one_row = model(ms.Tensor(ids), position_ids=tensor(positions[:1])).asnumpy()
    np.testing.assert_allclose(one_row, reference(model)(ids, positions=positions[:1])[0], atol=LIMIT)
    with pytest.raises(ValueError, match="position_ids and input_position"):
        model(ms.Tensor(ids), None, tensor(positions), tensor(positions))


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(model, side):
    ids = ids_of(1, 9)
    padding, nothing = np.full((1, 5), 7, np.int32), np.zeros((1, 5), np.int32)
    rows = [[padding, ids], [nothing, np.ones((1, 9), np.int32)]]
    whole, mask = (np.hstack(row if side == "left" else row[::-1]) for row in rows)
    padded = model(ms.Tensor(whole), ms.Tensor(mask)).asnumpy()
    np.testing.assert_allclose(padded[mask == 1], reference(model)(ids)[0][0], atol=LIMIT)
    np.testing.assert_allclose(padded[mask == 1], reference(model)(whole, mask)[0][mask == 1], atol=LIMIT)
    assert np.isfinite(padded).all()


def test_documents_packed_into_a_row_do_not_see_each_other(model):
    first, second = ids_of(1, 6, seed=1), ids_of(1, 5, seed=2)
    segments = np.array([[1] * 6 + [2] * 5])
    mask = (segments[:, :, None] == segments[:, None, :]).astype(np.int32)
    positions = np.concatenate([np.arange(6), np.arange(5)])[None]
    row = np.hstack([first, second])
    together = model(ms.Tensor(row), ms.Tensor(mask), tensor(positions)).asnumpy()[0]
    np.testing.assert_allclose(together[:6], model(ms.Tensor(first)).asnumpy()[0], atol=LIMIT)
    np.testing.assert_allclose(together[6:], model(ms.Tensor(second)).asnumpy()[0], atol=LIMIT)


def test_the_whole_model_compiles_and_gives_the_same(model):
    ids, mask = ms.Tensor(ids_of(2, 8)), tensor([[0, 0, 1, 1, 1, 1, 1, 1], [1] * 8])

    @ms.jit
    def compiled(ids, mask):
        return model(ids, mask)

    np.testing.assert_allclose(compiled(ids, mask).asnumpy(), model(ids, mask).asnumpy(), atol=LIMIT)


# Cache --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_layers": 1},
        {"post_layernorm_residual": True},
        {"use_moe": True, "expert_num": 3, "per_token_num_experts_chosen": 2},
    ],
    ids=str,
)
def test_every_step_over_the_cache_is_what_the_whole_text_gives(changes, monkeypatch):
    from mf_core.generation import sequences

    model = made(**changes)
    seen = []
    spy = lambda history, logits: seen.append((history[0].copy(), logits[0].copy())) or logits  # noqa: E731
    monkeypatch.setattr(sequences, "build_processors", lambda *_: [spy])
    prompts = [ids_of(n, seed=n).tolist() for n in (3, 17, 20)]
    results = model.generate(prompts, max_new_tokens=12, do_sample=False, eos_token_id=None)
    whole = reference(model)
    for prompt, ids in zip(prompts, results, strict=True):
        expected = whole(np.array([ids]))[0][0]
        mine = [(len(history), logits) for history, logits in seen
                if len(prompt) <= len(history) and history == ids[: len(history)]]  # fmt: skip
        assert [length for length, _ in mine] == list(range(len(prompt), len(prompt) + 12))
        for length, logits in mine:
            np.testing.assert_allclose(logits, expected[length - 1], atol=LIMIT)


def test_greedy_text_alone_is_the_text_in_a_batch(model):
    prompts = [ids_of(n, seed=n).tolist() for n in (1, 13)]
    options = {"max_new_tokens": 10, "do_sample": False, "eos_token_id": None}
    assert model.generate(prompts, **options) == [model.generate(p, **options)[0] for p in prompts]


def test_the_cache_has_slots_for_the_query_layer(model):
    assert model.cache_shape == (3, 4, 8)
    assert [*model.blocks] == [*model.backbone.blocks, model.backbone.top_query_layer]


# Gradients ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "compiled"),
    [
        ({}, False),
        ({}, True),
        ({"post_layernorm_residual": True}, False),
        ({"use_moe": True, "expert_num": 3, "aux_loss_factor": 0.5}, False),
        ({"use_moe": True, "expert_num": 4, "per_token_num_experts_chosen": 2, "aux_loss_factor": 0.5}, True),
    ],
    ids=str,
)
def test_gradients_are_the_references_slopes(changes, compiled):
    """Along a random direction of each parameter, by central differences in fp64."""
    model = made(hidden_size=12, ffn_hidden_size=20, num_heads=2, num_layers=3, seq_length=12, **NO_DROPOUT, **changes)
    model.set_train()
    ids = ids_of(2, 8)
    mask = np.ones_like(ids)
    mask[1, 6:] = 0

    def cost(ids, mask):
        if model.has_auxiliary_loss:
            hidden, balance = model.body(ids, mask)
        else:
            hidden, balance = model.body(ids, mask), 0.0
        logits = model.head(hidden)
        flat = logits[:, :-1].reshape((-1, 90))
        return ops.cross_entropy(flat, ids[:, 1:].reshape((-1,))) + balance

    parameters = model.trainable_params()
    slopes = ms.value_and_grad(cost, None, parameters)
    value, gradients = (ms.jit(slopes) if compiled else slopes)(ms.Tensor(ids), ms.Tensor(mask))
    arrays = {name: p.asnumpy().astype(np.float64) for name, p in model.parameters_and_names()}

    def expected(name, array):
        logits, balance = Reference(model.config, {**arrays, name: array})(ids, mask)
        return loss(logits, ids, balance)

    assert len(parameters) == len(arrays)
    np.testing.assert_allclose(float(value), expected("nothing", 0.0), rtol=1e-5)
    generator = np.random.default_rng(5)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        array, step = arrays[parameter.name], 1e-5
        direction = generator.standard_normal(array.shape)
        slope = (
            expected(parameter.name, array + step * direction) - expected(parameter.name, array - step * direction)
        ) / (2 * step)
        found = float((gradient.asnumpy().astype(np.float64) * direction).sum())
        np.testing.assert_allclose(found, slope, rtol=2e-3, atol=2e-5, err_msg=parameter.name)


# Types and training -------------------------------------------------------------------------------------------------


def test_half_precision_stays_within_a_hundredth_of_the_largest_logit(model):
    """fp16 has 11 bits: a logit of size 1 is known to 0.0005, and three layers add up some ten such errors."""
    half = made(compute_dtype="float16")
    assert half.compute_dtype == "float16"
    ids = ids_of(2, 30)
    expected, _ = reference(model)(ids)
    logits = half(ms.Tensor(ids))
    assert logits.dtype == ms.float32
    difference = np.abs(logits.asnumpy() - expected).max()
    assert 1e-4 < difference < 0.01 * np.abs(expected).max()


def test_softmax_is_half_precision_only_where_the_rest_is_or_when_set(model):
    ids = ids_of(1, 30)
    expected, _ = reference(model)(ids)
    coarse = made(softmax_compute_type="float16")(ms.Tensor(ids)).asnumpy()
    assert np.abs(model(ms.Tensor(ids)).asnumpy() - expected).max() < LIMIT
    assert LIMIT * 5 < np.abs(coarse - expected).max() < 0.01 * np.abs(expected).max()


def test_type_can_be_changed_afterwards():
    # All experts chosen: else a token that likes two equally may get another one.
    changed = made(use_moe=True, expert_num=2, per_token_num_experts_chosen=2)
    exact = changed(ms.Tensor(ids_of(1, 8))).asnumpy()
    changed.set_compute_dtype("float16")
    half = changed(ms.Tensor(ids_of(1, 8))).asnumpy()
    assert 1e-5 < np.abs(half - exact).max() < 0.05
    changed.set_compute_dtype("float32")
    np.testing.assert_array_equal(changed(ms.Tensor(ids_of(1, 8))).asnumpy(), exact)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_fast_gelu_is_the_published_formula_and_never_overflows(dtype):
    x = np.concatenate([np.linspace(-12, 12, 2001), [-6e4, -3e3, -100, 0, 100, 3e3, 6e4]]).astype(dtype)
    slope = ms.grad(lambda t: ACTIVATIONS["quick_gelu"]()(t).sum())(ms.Tensor(x[:-7])).asnumpy()
    middle = x[:-7].astype(np.float64)
    expected = (fast_gelu(middle + 1e-6) - fast_gelu(middle - 1e-6)) / 2e-6
    np.testing.assert_allclose(slope, expected, atol=1e-5 if dtype == np.float32 else 5e-3)
    result = ACTIVATIONS["quick_gelu"]()(ms.Tensor(x)).asnumpy()
    expected = fast_gelu(x.astype(np.float64))
    close = {"rtol": 1e-5, "atol": 1e-6} if dtype == np.float32 else {"rtol": 4e-3, "atol": 1e-3}
    np.testing.assert_allclose(result, expected, **close)
    ends = ms.grad(lambda t: ACTIVATIONS["quick_gelu"]()(t).sum())(ms.Tensor(x[-7:])).asnumpy()
    np.testing.assert_allclose(ends, [0, 0, 0, 0.5, 1, 1, 1], atol=1e-3)


def test_dropout_acts_in_training_only(model):
    ids = ms.Tensor(ids_of(1, 8))
    assert not model.training
    np.testing.assert_array_equal(model(ids).asnumpy(), model(ids).asnumpy())
    model.set_train(True)
    try:
        set_random_key(1)
        first = model(ids).asnumpy()
        set_random_key(2)
        assert np.abs(first - model(ids).asnumpy()).max() > 1e-2
    finally:
        model.set_train(False)


def test_recomputed_layers_give_the_same_gradients():
    def gradients(recompute):
        model = made(use_moe=True, expert_num=2, **NO_DROPOUT).set_train()
        for block in model.blocks if recompute else ():
            block.recompute()

        def cost(ids):
            hidden, balance = model.body(ids)
            logits = model.head(hidden)
            return (logits * logits).mean() + balance

        slopes = ms.jit(ms.grad(cost, None, model.trainable_params()))
        return [g.asnumpy() for g in slopes(ms.Tensor(ids_of(1, 6)))]

    for plain, again in zip(gradients(False), gradients(True), strict=True):
        np.testing.assert_allclose(plain, again, rtol=1e-4, atol=1e-4)


# Names and refusals -------------------------------------------------------------------------------------------------


def test_parameter_names_are_the_documented_ones(model):
    from mf_pangualpha import modeling

    names = {name for name, _ in model.parameters_and_names()}
    block = [f"layernorm{n}.{p}" for n in (1, 2) for p in ("weight", "bias")]
    block += [f"{part}.{p}" for p in ("weight", "bias") for part in (
        "attention.query", "attention.key", "attention.value", "attention.projection", "mlp.mapping", "mlp.projection",
    )]  # fmt: skip
    layers = ("blocks.0", "blocks.1", "top_query_layer")
    expected = {f"{layer}.{name}" for layer in layers for name in block}
    expected |= {"layernorm.weight", "layernorm.bias"}
    expected |= {f"{kind}_embedding.weight" for kind in ("word", "position", "top_query")}
    assert names == {f"backbone.{name}" for name in expected}
    for word in ("word_embedding", "top_query_embedding", "top_query_layer", "layernorm1", "mapping", "router"):
        assert word in modeling.__doc__
    assert model.num_parameters() == 90 * 32 + 2 * 64 * 32 + 3 * (4 * 32 * 33 + 2 * 32 * 80 + 80 + 32 + 4 * 32) + 64


def test_constructor_wants_its_own_config():
    with pytest.raises(ArgumentTypeError, match="built from a PanguAlphaConfig, not str"):
        PanguAlphaHeadModel("pangualpha_2_6b")
