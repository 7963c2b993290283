"""LoRA: adapters train and nothing else does, and graphs, generation and folding see them."""

import mindspore as ms
import numpy as np
import pytest

from mf_core import AutoModel, GPT2Config, GPT2LMHeadModel, PretrainedModel, set_seed
from mf_core.errors import ArgumentError, UnsupportedError, WeightsError
from mf_core.lora import LoraConfig, LoraLinear, add_lora, lora_share, merge_lora
from mf_core.nn import Linear, set_random_key, skip_init

from ..support.lora_models import EVERY, IDS, Wrapped, adapted, logits, make, move, names_in, run_script, values


@pytest.fixture(scope="module")
def trained():
    """A model with adapters; tests leave it as it is."""
    return adapted()


# Settings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"r": 0}, {"r": -1}, {"r": True}, {"r": 2.5}, {"lora_alpha": 0}, {"lora_alpha": float("nan")},
        {"lora_dropout": 1}, {"lora_dropout": -0.1}, {"target_modules": "c_attn"}, {"target_modules": ()},
        {"target_modules": ("",)},
    ],
)  # fmt: skip
def test_settings_out_of_range(fields):
    name = next(iter(fields))
    with pytest.raises(ArgumentError, match=f"LoraConfig: {name}"):
        LoraConfig(**fields)


def test_settings_unknown_and_frozen():
    with pytest.raises(ArgumentError, match="no field 'lora_alhpa'") as caught:
        LoraConfig(lora_alhpa=3)
    assert "lora_alpha" in caught.value.hint
    config = LoraConfig()
    with pytest.raises(ArgumentError, match="frozen"):
        config.r = 3
    assert config.r == 8


# Adding -------------------------------------------------------------------------------------------------------------


def test_a_new_adapter_changes_nothing_but_what_is_trained():
    model = make()
    before, weights, cells = logits(model), values(model), dict(model.parameters_and_names())
    add_lora(model, LoraConfig(r=4))
    np.testing.assert_array_equal(logits(model), before)
    assert not model.training
    after = dict(model.parameters_and_names())
    for name, parameter in cells.items():
        assert after[name] is parameter
        assert parameter.name == name
        assert not parameter.requires_grad
        np.testing.assert_array_equal(parameter.asnumpy(), weights[name])
    new = {name: tuple(after[name].shape) for name in after if name not in cells}
    stems = [f"transformer.h.{layer}.attn.c_attn" for layer in range(2)]
    assert new == {**{f"{stem}.lora_A": (4, 32) for stem in stems}, **{f"{stem}.lora_B": (96, 4) for stem in stems}}
    assert [parameter.name for parameter in model.trainable_params()] == list(new)
    for stem in stems:
        first = after[f"{stem}.lora_A"].asnumpy()
        bound = 32**-0.5  # Kaiming-uniform with a = sqrt(5)
        assert 0.9 * bound < abs(first).max() <= bound
        assert abs(first.std() - bound / 3**0.5) < 0.02
        assert not after[f"{stem}.lora_B"].asnumpy().any()


def test_the_seed_decides_how_adapters_begin():
    def first(seed):
        model = make()
        set_seed(seed)
        add_lora(model)
        return model.transformer.h[1].attn.c_attn.lora_A.asnumpy()

    np.testing.assert_array_equal(first(1), first(1))
    assert (first(1) != first(2)).any()


def test_the_share_of_the_smallest_published_model():
    with skip_init():
        model = GPT2LMHeadModel(GPT2Config())
    add_lora(model)
    assert lora_share(model) == (294_912, 124_734_720)
    assert str(lora_share(model)) == "trainable: 294,912 of 124,734,720 weights (0.24 %)"


@pytest.mark.parametrize("use_rslora", [False, True])
def test_the_formula(use_rslora):
    layer = Linear(6, 10, std=0.5)
    x = np.random.default_rng(0).normal(size=(2, 3, 6)).astype(np.float32)
    changed = LoraLinear(layer, LoraConfig(r=4, lora_alpha=6, use_rslora=use_rslora))
    second = np.random.default_rng(1).normal(size=(10, 4)).astype(np.float32)
    ms.ops.assign(changed.lora_B, ms.Tensor(second))
    scaling = 6 / 2 if use_rslora else 6 / 4
    expected = x @ layer.weight.asnumpy() + scaling * (x @ changed.lora_A.asnumpy().T @ second.T)
    np.testing.assert_allclose(changed(ms.Tensor(x)).asnumpy(), expected, rtol=1e-5, atol=1e-5)


def test_targets_are_names_or_their_ends():
    def changed(*targets):
        model = make()
        add_lora(model, LoraConfig(target_modules=targets))
        return [name for name, cell in model.cells_and_names() if isinstance(cell, LoraLinear)]

    assert changed("mlp.c_proj") == [f"transformer.h.{n}.mlp.c_proj" for n in range(2)]
    assert changed("transformer.h.1.mlp.c_fc") == ["transformer.h.1.mlp.c_fc"]
    assert len(changed("c_proj")) == 4
    assert len(changed("c_fc", "mlp.c_fc")) == 2


def test_targets_that_match_nothing_or_no_linear_layer():
    model = make()
    with pytest.raises(ArgumentError, match="GPT2LMHeadModel has no layer 'c_atn'") as caught:
        add_lora(model, LoraConfig(target_modules=("c_fc", "c_atn")))
    assert caught.value.hint == "did you mean 'c_attn'?"
    with pytest.raises(ArgumentError, match="no layer 'query'") as caught:
        add_lora(model, LoraConfig(target_modules=("query",)))
    assert caught.value.hint == "its linear layers are: c_attn, c_proj, c_fc"
    with pytest.raises(ArgumentError, match=r"no layer 'attn\.c_fc'"):
        add_lora(model, LoraConfig(target_modules=("attn.c_fc",)))
    for name, kind in (("wte", "Embedding"), ("ln_1", "LayerNorm"), ("attn", "SelfAttention")):
        with pytest.raises(UnsupportedError, match=rf"'transformer\..*{name}', a {kind}"):
            add_lora(model, LoraConfig(target_modules=(name,)))
    assert model.lora_config is None
    assert len(model.trainable_params()) == len(list(model.get_parameters()))
    add_lora(model)


def test_a_second_set_of_adapters_is_refused(trained):
    before = logits(trained)
    with pytest.raises(ArgumentError, match="has adapters already") as caught:
        add_lora(trained)
    assert "merge_lora" in caught.value.hint
    np.testing.assert_array_equal(logits(trained), before)


def test_a_model_that_names_no_targets_wants_them_named(monkeypatch):
    monkeypatch.setattr(GPT2LMHeadModel, "lora_targets", PretrainedModel.lora_targets)
    with pytest.raises(UnsupportedError, match="does not say which of its layers") as caught:
        add_lora(make())
    assert "target_modules=('c_attn',)" in caught.value.hint


def test_half_precision_weights_keep_adapters_in_single_precision():
    model = adapted(param_init_type="float16")
    kinds = {str(parameter.dtype) for parameter in model.trainable_params()}
    assert kinds == {"Float32"}
    assert model.transformer.h[0].attn.c_attn.weight.dtype == ms.float16
    assert np.isfinite(logits(model)).all()


def test_the_compute_type_of_the_layer_is_that_of_the_adapter():
    model = adapted()
    single = logits(model)
    model.set_compute_dtype("float16")
    layer = model.transformer.h[0].attn.c_attn
    assert layer(ms.Tensor(np.ones((1, 32), np.float32))).dtype == ms.float16
    assert 0 < abs(logits(model) - single).max() < 0.3
    merge_lora(model)
    assert model.transformer.h[0].attn.c_attn.dtype == ms.float16


# Training -----------------------------------------------------------------------------------------------------------


def trainer_of(model, rate=1e-2):
    """Return a compiled step: ids to the loss, and the gradients' names."""
    optimizer = ms.nn.Adam(model.trainable_params(), rate)

    def loss(ids):
        found = model(ids[:, :-1])
        return ms.ops.cross_entropy(found.reshape((-1, found.shape[-1])), ids[:, 1:].reshape((-1,)))

    gradient = ms.value_and_grad(loss, None, optimizer.parameters)

    @ms.jit
    def step(ids):
        value, gradients = gradient(ids)
        optimizer(gradients)
        return value, gradients

    return step, [parameter.name for parameter in optimizer.parameters]


def test_twenty_steps_train_the_adapters_and_no_bit_of_the_weights():
    model = make(num_layers=1, initializer_range=0.05)
    Wrapped(model)(IDS)
    base = values(model)
    add_lora(model, LoraConfig(r=4, lora_dropout=0.1, target_modules=EVERY))
    model.set_train(True)
    start = values(model)
    step, names = trainer_of(model)
    assert len(names) == 4 * 2
    assert all(name.endswith(("lora_A", "lora_B")) for name in names)
    losses = []
    for number in range(20):
        set_random_key(1, number)
        value, gradients = step(IDS)
        losses.append(float(value.asnumpy()))
        assert [g.shape for g in gradients] == [start[name].shape for name in names]
    assert losses[-1] < 0.9 * losses[0]
    assert max(losses[10:]) < losses[0]
    after = values(model)
    for name, array in base.items():
        assert after[name].tobytes() == array.tobytes(), name
    for name in names:
        assert (after[name] != start[name]).any(), name


def test_dropout_depends_on_the_key_and_the_layers_index():
    model = adapted(LoraConfig(r=4, lora_dropout=0.5, target_modules=EVERY), num_layers=1)
    evaluated = logits(model)
    np.testing.assert_array_equal(logits(model), evaluated)
    model.set_train(True)

    def drawn(key):
        set_random_key(key)
        return logits(model)

    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert (drawn(1) != drawn(2)).any()
    assert (drawn(1) != evaluated).any()
    salts = [cell.lora_dropout.row_salt for _, cell in model.cells_and_names() if isinstance(cell, LoraLinear)]
    assert len(set(salts)) == len(salts) == 4


# Graphs -------------------------------------------------------------------------------------------------------------


def test_graphs_made_before_see_adapters_come_change_and_go():
    model = make(num_layers=1)

    @ms.jit
    def function(ids):
        return model(ids)

    cell = Wrapped(model)

    def check():
        expected = logits(model)
        for graph in (function, cell):
            np.testing.assert_allclose(graph(IDS).asnumpy(), expected, atol=1e-5)
        return expected

    plain = check()
    add_lora(model, LoraConfig(r=4, target_modules=EVERY))
    move(model)
    first = check()
    assert abs(first - plain).max() > 0.1
    move(model, seed=8)
    second = check()
    assert abs(second - first).max() > 0.1
    merge_lora(model)
    np.testing.assert_allclose(check(), second, atol=1e-5)
    add_lora(model, LoraConfig(r=2))
    move(model, seed=9)
    assert abs(check() - second).max() > 0.1


def test_graph_mode_as_the_whole_processs_mode(tmp_path):
    script = """
import mindspore as ms, numpy as np
from mf_core import GPT2Config, GPT2LMHeadModel, set_seed
from mf_core.lora import LoraConfig, add_lora, merge_lora
set_seed(1)
model = GPT2LMHeadModel(GPT2Config(vocab_size=50, hidden_size=16, num_layers=1, num_heads=2, seq_length=16))
ids = ms.Tensor([[1, 2, 3, 4]], ms.int32)

def both():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    eager = model(ids).asnumpy()
    ms.set_context(mode=ms.GRAPH_MODE)
    graph = model(ids).asnumpy()
    assert abs(eager - graph).max() < 1e-5, abs(eager - graph).max()
    return graph

plain = both()
add_lora(model, LoraConfig(r=2, lora_alpha=60))
layer = model.transformer.h[0].attn.c_attn
ms.ops.assign(layer.lora_B, ms.Tensor(np.random.standard_normal((48, 2)).astype(np.float32)))
changed = both()
assert abs(changed - plain).max() > 1e-3
merge_lora(model)
assert abs(both() - changed).max() < 1e-5
"""
    run_script(tmp_path, script)
    assert names_in(tmp_path) == ["script.py"]


def test_generating_before_with_and_after_folding():
    model = make()
    prompts = [[5, 6, 7], list(range(20, 40))]
    options = {"max_new_tokens": 30, "min_new_tokens": 30, "do_sample": False}
    plain = model.generate(prompts, **options)
    add_lora(model, LoraConfig(r=4, target_modules=EVERY))
    assert model.generate(prompts, **options) == plain
    move(model)
    changed = model.generate(prompts, **options)
    assert changed != plain
    for prompt, row in zip(prompts, changed, strict=True):
        scores = model(ms.Tensor([row[:-1]], ms.int32)).asnumpy()[0]  # causal: each token's scores, in one pass
        scores[:, 99] = -np.inf
        assert row == prompt + scores[len(prompt) - 1 :].argmax(-1).tolist()
    merge_lora(model)
    assert model.generate(prompts, **options) == changed


# Folding into the weights -------------------------------------------------------------------------------------------


def test_folding_keeps_the_logits_and_gives_the_plain_model_back(tmp_path):
    model = make()
    parameters = dict(model.parameters_and_names())
    frozen = parameters["transformer.wpe.weight"]
    frozen.requires_grad = False
    add_lora(model, LoraConfig(r=4, target_modules=EVERY))
    move(model)
    before = logits(model)
    merge_lora(model)
    np.testing.assert_allclose(logits(model), before, atol=1e-5)
    assert dict(model.parameters_and_names()) == parameters
    assert all(parameter is parameters[name] for name, parameter in model.parameters_and_names())
    assert {type(block.attn.c_attn) for block in model.transformer.h} == {Linear}
    assert [p for p in model.get_parameters() if not p.requires_grad] == [frozen]
    assert model.lora_config is None
    model.save_pretrained(tmp_path)
    np.testing.assert_allclose(logits(AutoModel.from_pretrained(tmp_path)), before, atol=1e-5)


def test_folding_twice_or_without_adapters():
    model = make()
    with pytest.raises(ArgumentError, match="has no adapters") as caught:
        merge_lora(model)
    assert "add_lora" in caught.value.hint


def test_folding_that_leaves_the_range_of_half_precision_changes_nothing():
    model = adapted(param_init_type="float16")
    second = model.transformer.h[1].mlp.c_proj.lora_B
    ms.ops.assign(second, ms.Tensor(np.full(second.shape, 1e6, np.float32)))
    before = values(model)
    with pytest.raises(WeightsError, match=r"'?transformer\.h\.1\.mlp\.c_proj\.weight.* not finite in Float16"):
        merge_lora(model)
    after = values(model)
    assert after.keys() == before.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)
    assert model.lora_config is not None
