"""Weights: what is saved comes back bit by bit, what does not fit is named, and files are never written through."""

import hashlib
import json
import os
import re
import resource
import struct
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from mf_core import AutoModel, AutoTokenizer, GPT2Config, GPT2LMHeadModel, set_seed
from mf_core.checkpoint.locate import locate
from mf_core.checkpoint.safetensors_reader import weight_files
from mf_core.checkpoint.shards import bfloat16_bits
from mf_core.checkpoint.weights import load_weights, save_weights
from mf_core.errors import ArgumentError, ConfigError, FileMissingError, IntegrityError, WeightsError
from mf_core.hub import open_source
from mf_core.utils import commit
from mf_core.utils.commit import JOURNAL

SMALL = {"vocab_size": 100, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "seq_length": 64}
FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
GENERATION = "generation_config.json"


def make(seed=6, **changes):
    set_seed(seed)
    model = GPT2LMHeadModel(GPT2Config(**{**SMALL, **changes}))
    for parameter in model.get_parameters():  # biases and norms away from their trivial values
        noise = np.random.standard_normal(parameter.shape).astype(np.float32) * np.float32(0.1)
        parameter.set_data((parameter.astype(ms.float32) + ms.Tensor(noise)).astype(parameter.dtype))
    return model


@pytest.fixture(scope="module")
def model():
    return make()


@pytest.fixture
def saved(model, tmp_path):
    """A directory with the model in one file."""
    model.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def values(model):
    return {name: value.asnumpy() for name, value in model.parameters_and_names()}


def assert_equal(one, other):
    ours, theirs = values(one), values(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype, name
        assert value.tobytes() == theirs[name].tobytes(), name


def rewrite(folder, change):
    """Change a directory's tensors: ``change`` gets a dict of arrays."""
    tensors = load_file(folder / FILE)
    change(tensors)
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, folder / FILE)


def write_raw(path, tensors, pad=8):
    """Write a safetensors file byte by byte: name -> (type, shape, bytes). The header's length is a multiple of pad."""
    header, offset = {}, 0
    for name, (kind, shape, data) in tensors.items():
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % pad)
    if pad == 1 and len(text) % 2 == 0:
        text += b" "
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


# Round trips --------------------------------------------------------------------------------------------------------


def test_what_is_saved_comes_back_bit_by_bit(model, saved):
    assert names_in(saved) == ["config.json", GENERATION, FILE]
    assert_equal(AutoModel.from_pretrained(saved), model)
    tensors = load_file(saved / FILE)
    assert set(tensors) == set(values(model))
    assert tensors["transformer.h.0.attn.c_attn.weight"].shape == (32, 96)


@pytest.mark.parametrize("shard_size", [1, 10_000, 40_000])
def test_shards_with_an_index(shard_size, model, tmp_path):
    model.save_pretrained(tmp_path, shard_size=shard_size)
    index = json.loads((tmp_path / INDEX).read_text())
    shards = sorted(set(index["weight_map"].values()))
    assert names_in(tmp_path) == sorted(["config.json", GENERATION, INDEX, *shards])
    assert shards == [f"model-{n:05d}-of-{len(shards):05d}.safetensors" for n in range(1, len(shards) + 1)]
    assert index["metadata"]["total_size"] == 4 * model.num_parameters()
    assert set(index["weight_map"]) == set(values(model))
    for shard in shards:
        tensors = load_file(tmp_path / shard)
        assert all(index["weight_map"][name] == shard for name in tensors)
        assert len(tensors) == 1 or sum(array.nbytes for array in tensors.values()) <= shard_size
    assert_equal(AutoModel.from_pretrained(tmp_path), model)


def test_a_directory_saved_into_again_has_one_set_of_weights(model, tmp_path):
    changed = make(seed=7)
    (tmp_path / "model-of-somebody.safetensors").write_bytes(b"not ours")
    for shard_size, expected in ((10_000, None), (40_000, None), (10**9, 1), (40_000, None), (10**9, 1)):
        for one in (model, changed):
            one.save_pretrained(tmp_path, shard_size=shard_size)
            others = ("config.json", GENERATION, "model-of-somebody.safetensors")
            kept = {name for name in names_in(tmp_path) if name not in others}
            if expected == 1:
                assert kept == {FILE}
            else:
                index = json.loads((tmp_path / INDEX).read_text())
                assert kept == {INDEX, *index["weight_map"].values()}
            assert_equal(AutoModel.from_pretrained(tmp_path), one)


@pytest.mark.parametrize("shard_size", [10**9, 20_000])
def test_half_precision_halves_the_file_and_rounds(shard_size, model, tmp_path):
    model.save_pretrained(tmp_path, dtype="float16", shard_size=shard_size)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float16"
    if shard_size < 10**9:
        assert json.loads((tmp_path / INDEX).read_text())["metadata"]["total_size"] == 2 * model.num_parameters()
    loaded = values(AutoModel.from_pretrained(tmp_path))
    for name, value in values(model).items():
        assert loaded[name].dtype == np.float32
        np.testing.assert_array_equal(loaded[name], value.astype(np.float16).astype(np.float32))


def kinds_in(folder):
    """The types in a weights file, and that in ``config.json``."""
    with safe_open(folder / FILE, "numpy") as file:
        kinds = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118  # no mapping
    return kinds, json.loads((folder / "config.json").read_text())["dtype"]


@pytest.mark.parametrize(("dtype", "kind"), [("float16", "F16"), ("bfloat16", "BF16")])
def test_weights_are_saved_again_as_the_checkpoint_had_them(dtype, kind, model, tmp_path):
    model.save_pretrained(tmp_path / "narrow", dtype=dtype)
    assert kinds_in(tmp_path / "narrow") == ({kind}, dtype)
    loaded = AutoModel.from_pretrained(tmp_path / "narrow")
    loaded.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / FILE).read_bytes() == (tmp_path / "narrow" / FILE).read_bytes()
    assert kinds_in(tmp_path / "again") == ({kind}, dtype)
    loaded.transformer.ln_f.bias.set_data(ms.Tensor(np.full(32, 1 + 2.0**-20, np.float32)))  # as by training
    loaded.save_pretrained(tmp_path / "trained")
    assert kinds_in(tmp_path / "trained") == ({"F32"}, "float32")
    assert_equal(AutoModel.from_pretrained(tmp_path / "trained"), loaded)


def test_the_nearest_bfloat16_numbers_are_written():
    torch = pytest.importorskip("torch")
    drawn = np.random.default_rng(0).integers(0, 2**32, 4096, np.uint64).astype(np.uint32).view(np.float32)
    numbers = np.concatenate([drawn, np.float32([0.0, -0.0, np.inf, -np.inf, np.nan, 3.4e38, 1e-45, 1.00390625])])
    expected = torch.from_numpy(numbers).bfloat16().float().numpy()
    np.testing.assert_array_equal((bfloat16_bits(numbers).astype(np.uint32) << 16).view(np.float32), expected)


@pytest.mark.parametrize(("kind", "dtype"), [("float16", np.float16), ("bfloat16", np.float32)])
def test_parameters_of_other_types_come_back(kind, dtype, tmp_path):
    half = make(param_init_type=kind)
    half.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / FILE)
    assert {array.dtype for array in tensors.values()} == {np.dtype(dtype)}
    loaded = AutoModel.from_pretrained(tmp_path)
    for name, parameter in loaded.parameters_and_names():
        assert parameter.dtype == getattr(ms, kind)
        np.testing.assert_array_equal(parameter.astype(ms.float32).asnumpy(), tensors[name].astype(np.float32))


def test_numbers_too_large_for_half_precision_are_not_saved_as_infinity(tmp_path):
    large = make()
    large.transformer.ln_f.bias.set_data(ms.Tensor(np.full(32, 1e6, np.float32)))
    with pytest.raises(WeightsError, match=r"'transformer\.ln_f\.bias' holds numbers too large for float16"):
        large.save_pretrained(tmp_path, dtype="float16")
    assert not (tmp_path / FILE).exists()


def test_numbers_too_large_for_half_precision_are_not_loaded_as_infinity(tmp_path):
    large = make()
    large.transformer.ln_f.bias.set_data(ms.Tensor(np.full(32, 1e6, np.float32)))
    large.save_pretrained(tmp_path)
    assert_equal(AutoModel.from_pretrained(tmp_path), large)
    with pytest.raises(WeightsError, match=r"'transformer\.ln_f\.bias' holds numbers too large for float16") as caught:
        AutoModel.from_pretrained(tmp_path, param_init_type="float16")
    assert caught.value.hint == "set param_init_type to float32"


def test_saving_that_fails_leaves_the_old_file_whole(model, saved):
    before, size = digest(saved / FILE), (saved / FILE).stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, limits[1]))  # as on a disk that is full half-way
    try:
        with pytest.raises(OSError, match="File too large"):
            model.save_pretrained(saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert digest(saved / FILE) == before
    assert names_in(saved) == ["config.json", GENERATION, FILE]


@pytest.mark.parametrize(
    "options", [{"dtype": "int8"}, {"dtype": "fp16"}, {"shard_size": 0}, {"shard_size": "5GB"}, {"shard_size": 1.5}]
)
def test_options_out_of_range(options, model, tmp_path):
    (name, value) = next(iter(options.items()))
    with pytest.raises(ArgumentError, match=f"{name}={value!r}"):
        save_weights(dict(model.parameters_and_names()), tmp_path, **options)
    assert names_in(tmp_path) == []


def test_saving_returns_the_files(model, tmp_path):
    assert save_weights(dict(model.parameters_and_names()), tmp_path / "new") == [tmp_path / "new" / FILE]
    files = save_weights(dict(model.parameters_and_names()), tmp_path / "parts", shard_size=40_000)
    assert files == weight_files(open_source(str(tmp_path / "parts")))


THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(not THP.exists(), reason="this system has no large pages")
def test_weights_are_mapped_where_large_pages_may_be(saved):
    loaded = AutoModel.from_pretrained(saved)
    mappings = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    (mapped,) = [each for each in mappings if str(saved / FILE) in each]
    assert "hg" in re.search("VmFlags:(.*)", mapped)[1].split()
    before = digest(saved / FILE)
    ms.ops.assign(loaded.transformer.wte.weight, ms.Tensor(np.ones((100, 32), np.float32)))
    assert (loaded.transformer.wte.weight.asnumpy() == 1).all()
    assert digest(saved / FILE) == before


# Checkpoints of others ----------------------------------------------------------------------------------------------


def test_bfloat16_is_read_exactly(model, saved):
    ours = values(model)
    words = {name: (array.view(np.uint32) >> 16).astype(np.uint16) for name, array in ours.items()}
    write_raw(saved / FILE, {name: ("BF16", w.shape, w.tobytes()) for name, w in words.items()})
    for name, array in values(AutoModel.from_pretrained(saved)).items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, (words[name].astype(np.uint32) << 16).view(np.float32))


def test_double_and_half_precision_are_read(model, saved):
    for dtype in (np.float64, np.float16):
        rewrite(saved, lambda tensors, dtype=dtype: tensors.update({n: a.astype(dtype) for n, a in tensors.items()}))
        for name, array in values(AutoModel.from_pretrained(saved)).items():
            assert array.dtype == np.float32
            np.testing.assert_allclose(array, values(model)[name], rtol=1e-3, atol=1e-6)


def test_checkpoint_of_the_body_with_masks_and_a_second_head_loads(model, saved):
    """As the published GPT-2: no "transformer.", causal masks among the weights."""

    def change(tensors):
        body = {name.removeprefix("transformer."): array for name, array in tensors.items()}
        tensors.clear()
        tensors.update(body)
        for layer in range(2):
            tensors[f"h.{layer}.attn.bias"] = np.tril(np.ones((1, 1, 64, 64), np.float32))
            tensors[f"h.{layer}.attn.masked_bias"] = np.float32([-1e4])
        tensors["lm_head.weight"] = body["wte.weight"]

    rewrite(saved, change)
    assert_equal(AutoModel.from_pretrained(saved), model)


def test_a_head_that_is_not_the_embedding_is_used_whatever_the_configuration_says(model, saved, tmp_path):
    head = values(model)["transformer.wte.weight"][::-1].copy()
    rewrite(saved, lambda tensors: tensors.update({"lm_head.weight": head}))
    loaded = AutoModel.from_pretrained(saved)
    assert loaded.config.tie_word_embeddings is False
    np.testing.assert_array_equal(values(loaded)["lm_head.weight"], head)
    ids = ms.Tensor([[1, 2, 3]], ms.int32)
    np.testing.assert_allclose(loaded(ids).asnumpy()[..., ::-1], model(ids).asnumpy(), atol=1e-5)
    loaded.save_pretrained(tmp_path / "again")
    assert_equal(AutoModel.from_pretrained(tmp_path / "again"), loaded)
    with pytest.raises(WeightsError, match="have their own head"):
        model.load(locate(saved))


def test_masks_with_the_prefix_are_no_weights_either(model, saved):
    rewrite(saved, lambda t: t.update({"transformer.h.1.attn.bias": np.ones((1, 1, 4, 4), np.bool_)}))
    assert_equal(AutoModel.from_pretrained(saved), model)


def test_a_header_of_odd_length_is_read(model, saved):
    write_raw(saved / FILE, {n: ("F32", a.shape, a.tobytes()) for n, a in values(model).items()}, pad=1)
    assert (8 + struct.unpack("<Q", (saved / FILE).read_bytes()[:8])[0]) % 4
    loaded = AutoModel.from_pretrained(saved)
    assert_equal(loaded, model)
    ids = ms.Tensor([[1, 2, 3]], ms.int32)
    np.testing.assert_array_equal(loaded(ids).asnumpy(), model(ids).asnumpy())


# What does not fit --------------------------------------------------------------------------------------------------


def test_missing_tensors_are_named(saved):
    rewrite(saved, lambda t: [t.pop(f"transformer.h.1.mlp.c_fc.{part}") for part in ("weight", "bias")])
    with pytest.raises(WeightsError, match=r"do not fit GPT2LMHeadModel: 2 missing, such as") as caught:
        AutoModel.from_pretrained(saved)
    assert caught.value.value == ["transformer.h.1.mlp.c_fc.bias", "transformer.h.1.mlp.c_fc.weight"]
    assert "transformer.h.1.mlp.c_fc.bias" in caught.value.what
    assert str(saved) in caught.value.what


def test_left_over_tensors_are_named(saved):
    rewrite(saved, lambda t: t.update({"score.weight": np.zeros((2, 32), np.float32)}))
    with pytest.raises(WeightsError, match=r"1 left over, such as 'score\.weight'") as caught:
        AutoModel.from_pretrained(saved)
    assert caught.value.value == ["score.weight"]


def test_a_config_of_another_depth_is_found_out(saved):
    with pytest.raises(WeightsError, match=r"12 left over, such as 'transformer\.h\.1\.attn\.c_attn\.bias'") as caught:
        AutoModel.from_pretrained(saved, num_layers=1)
    assert "num_layers" in caught.value.hint
    with pytest.raises(WeightsError, match=r"12 missing, such as 'transformer\.h\.2\.attn\.c_attn\.bias'"):
        AutoModel.from_pretrained(saved, num_layers=3)


def test_missing_and_unused_are_reported_together(saved):
    rewrite(saved, lambda t: t.update({"transformer.ln_g.bias": t.pop("transformer.ln_f.bias")}))
    with pytest.raises(WeightsError, match=r"1 missing, .*'transformer\.ln_f\.bias'; 1 left over, .*ln_g\.bias"):
        AutoModel.from_pretrained(saved)


@pytest.mark.parametrize("change", [lambda a: a.T, lambda a: a[:-1], lambda a: a[None], lambda a: a.reshape(-1)])
def test_tensors_of_another_shape_are_named_with_both(change, saved):
    name = "transformer.wte.weight"
    rewrite(saved, lambda t: t.update({name: change(t[name])}))
    shape = load_file(saved / FILE)[name].shape
    with pytest.raises(WeightsError) as caught:
        AutoModel.from_pretrained(saved)
    assert caught.value.what == f"{name!r} in {FILE} is F32 {shape}; the model wants (100, 32)"
    assert caught.value.value == name


@pytest.mark.parametrize(("kind", "size"), [("I64", 8), ("F8_E4M3", 1), ("BOOL", 1)])
def test_tensors_of_types_that_are_not_read_are_named(kind, size, model, saved):
    tensors = {n: ("F32", a.shape, a.tobytes()) for n, a in values(model).items()}
    tensors["transformer.ln_f.bias"] = (kind, (32,), bytes(32 * size))
    write_raw(saved / FILE, tensors)
    with pytest.raises(WeightsError, match=rf"'transformer\.ln_f\.bias' in model\.safetensors is of the type {kind}"):
        AutoModel.from_pretrained(saved)


# Broken and absent files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 5, 8, 500, -1, -1000])
def test_a_truncated_file_is_found_out_before_any_of_it_is_used(kept, saved):
    data = (saved / FILE).read_bytes()
    (saved / FILE).write_bytes(data[:kept])
    with pytest.raises(IntegrityError, match=r"model\.safetensors is not a whole safetensors file") as caught:
        AutoModel.from_pretrained(saved)
    assert caught.value.value == str(saved / FILE)
    assert "again" in caught.value.hint


@pytest.mark.parametrize(
    "data",
    [
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 500\n",
        b"<html>not found</html>",
        struct.pack("<Q", 10**15) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        bytes(1000),
    ],
    ids=["pointer", "page", "huge header", "no mapping", "zeros"],
)
def test_what_is_no_safetensors_file(data, saved):
    (saved / FILE).write_bytes(data)
    with pytest.raises(IntegrityError, match="is not a whole safetensors file"):
        AutoModel.from_pretrained(saved)


def test_bytes_after_the_tensors_are_refused(saved):
    with (saved / FILE).open("ab") as file:
        file.write(b"more")
    with pytest.raises(IntegrityError, match="is not a whole safetensors file"):
        AutoModel.from_pretrained(saved)


def test_absent_weights_name_the_folder_and_a_remedy(saved):
    (saved / FILE).unlink()
    with pytest.raises(FileMissingError, match=rf"has no {FILE} and no {INDEX}") as caught:
        AutoModel.from_pretrained(saved)
    assert str(saved) in caught.value.what
    assert caught.value.why is None
    assert caught.value.hint == "random weights come only from from_config(config)"


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model.bin.index.json"])
def test_a_pickle_is_named_and_not_opened(name, saved):
    (saved / FILE).unlink()
    (saved / name).write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(FileMissingError, match=rf"has no {FILE}") as caught:
        AutoModel.from_pretrained(saved)
    assert caught.value.why == f"it has {name}, a pickle, which can run code when opened"
    assert "safe_serialization=True" in caught.value.hint


def test_an_absent_shard_is_named(model, tmp_path):
    model.save_pretrained(tmp_path, shard_size=40_000)
    next(tmp_path.glob("model-00002-of-*")).unlink()
    with pytest.raises(FileMissingError, match=r"model-00002-of-0000\d\.safetensors"):
        AutoModel.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "index", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": {"a": 3}}', "[" * 99_999]
)
def test_a_broken_index_is_named(index, model, tmp_path):
    model.save_pretrained(tmp_path, shard_size=40_000)
    (tmp_path / INDEX).write_text(index)
    with pytest.raises(IntegrityError, match=r"index\.json is not an index of shards") as caught:
        AutoModel.from_pretrained(tmp_path)
    assert caught.value.value == str(tmp_path / INDEX)
    assert caught.value.why


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/passwd"])
def test_an_index_that_leads_out_of_the_directory_is_refused(name, model, tmp_path):
    model.save_pretrained(tmp_path / "outside")
    model.save_pretrained(tmp_path / "sharded", shard_size=40_000)
    index = json.loads((tmp_path / "sharded" / INDEX).read_text())
    index["weight_map"]["transformer.ln_f.bias"] = name
    (tmp_path / "sharded" / INDEX).write_text(json.dumps(index))
    with pytest.raises(IntegrityError, match="is not an index of shards") as caught:
        AutoModel.from_pretrained(tmp_path / "sharded")
    assert "do not trust that checkpoint" in caught.value.why


# How they are loaded ------------------------------------------------------------------------------------------------


def test_nothing_is_initialised_at_random_on_the_way(model, saved, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("random numbers were drawn")

    for name in ("standard_normal", "normal", "randn", "rand", "uniform"):
        monkeypatch.setattr(np.random, name, refuse)
    with pytest.raises(AssertionError, match="random numbers"):
        GPT2LMHeadModel(GPT2Config(**SMALL))
    before = np.random.get_state()[1].copy()
    assert_equal(AutoModel.from_pretrained(saved), model)
    assert_equal(GPT2LMHeadModel.from_pretrained(saved), model)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("kind", ["F32", "F16"])
def test_training_in_place_leaves_the_file_as_it_was(kind, model, saved):
    if kind == "F16":
        model.save_pretrained(saved, dtype="float16")
    before = digest(saved / FILE)
    options = {"param_init_type": "float16"} if kind == "F16" else {}
    loaded, other = (AutoModel.from_pretrained(saved, **options) for _ in range(2))
    for parameter in loaded.get_parameters():
        ms.ops.assign_add(parameter, ms.ops.ones_like(parameter))
    assert digest(saved / FILE) == before
    for name, value in values(other).items():  # nor is another model of the same file touched
        np.testing.assert_array_equal(values(loaded)[name], value + value.dtype.type(1))


def test_an_optimizer_step_leaves_the_file_as_it_was(saved):
    before = digest(saved / FILE)
    loaded = AutoModel.from_pretrained(saved)
    old = values(loaded)["transformer.wte.weight"].copy()
    optimizer = ms.nn.SGD(loaded.trainable_params(), learning_rate=1.0)
    ids = ms.Tensor([[1, 2, 3, 4]], ms.int32)
    gradient = ms.value_and_grad(lambda: loaded(ids).sum(), None, optimizer.parameters)
    optimizer(gradient()[1])
    assert np.abs(values(loaded)["transformer.wte.weight"] - old).max() > 0
    assert digest(saved / FILE) == before


@pytest.mark.parametrize("shard_size", [10**9, 20_000])
def test_saving_into_the_directory_that_was_loaded_from(shard_size, saved):
    loaded = AutoModel.from_pretrained(saved)
    bias = loaded.transformer.ln_f.bias
    bias.set_data(bias + 1)
    expected = {name: value.copy() for name, value in values(loaded).items()}
    loaded.save_pretrained(saved, shard_size=shard_size)
    for _ in range(2):
        again = AutoModel.from_pretrained(saved)
        for name, value in values(again).items():
            np.testing.assert_array_equal(value, expected[name])
            np.testing.assert_array_equal(values(loaded)[name], expected[name])
        again.save_pretrained(saved)


def test_a_model_outlives_its_file(model, saved):
    loaded = AutoModel.from_pretrained(saved)
    (saved / FILE).unlink()
    assert_equal(loaded, model)


def test_weights_are_put_into_a_model_that_is_there(model, saved):
    other = make(seed=9)
    with pytest.raises(AssertionError):
        assert_equal(other, model)
    load_weights(other, open_source(str(saved)), prefix="transformer.")
    assert_equal(other, model)


# Sizes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "error", "words"),
    [
        ("n_layer", 1_000_000, ConfigError, "num_layers=1000000 is larger than 10000"),
        ("vocab_size", 10**18, ConfigError, "larger than 2147483647"),
        ("n_embd", 10**40, ConfigError, "larger than 1048576"),
        ("n_layer", 10_000, WeightsError, "of a much larger model than the weights at"),
        ("vocab_size", 2**31 - 1, WeightsError, "of a much larger model than the weights at"),
        ("n_positions", 2**31 - 1, ConfigError, "seq_length=2147483647 is larger than 16777216"),
        ("n_positions", 2**24, WeightsError, "of a much larger model than the weights at"),
        ("n_embd", 2**20, WeightsError, "of a much larger model than the weights at"),
    ],
)  # fmt: skip
def test_sizes_that_do_not_fit_the_weights_cost_nothing(field, value, error, words, saved):
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**config, field: value}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(error, match=words):
        AutoModel.from_pretrained(saved)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_verify_finds_a_flipped_bit(model, saved):
    assert_equal(AutoModel.from_pretrained(saved, verify=True), model)
    data = bytearray((saved / FILE).read_bytes())
    data[-3] ^= 16
    (saved / FILE).write_bytes(data)
    AutoModel.from_pretrained(saved)
    for load in (AutoModel, GPT2LMHeadModel):
        with pytest.raises(IntegrityError, match=r"model\.safetensors is damaged"):
            load.from_pretrained(saved, verify=True)


def test_a_save_that_was_cut_short_is_finished_by_the_next_reader(model, saved, monkeypatch):
    """The process ends between the moves of the new files: they are what is read."""
    changed, moves, replace = make(seed=7), [], os.replace

    def one_move(source, target):
        if Path(target).parent.resolve() == saved.resolve() and not str(target).endswith(JOURNAL):
            moves.append(target)
        if len(moves) > 1:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(commit.os, "replace", one_move)
        with pytest.raises(KeyboardInterrupt):
            changed.save_pretrained(saved)
    assert JOURNAL in names_in(saved)
    assert_equal(AutoModel.from_pretrained(saved), changed)
    assert names_in(saved) == ["config.json", GENERATION, FILE]


def test_a_model_that_is_replaced_while_it_is_loaded_is_no_mixture(saved):
    checkpoint = locate(saved)
    other = make(seed=9, num_labels=3)
    other.save_pretrained(saved)
    with pytest.raises(IntegrityError, match="another model was saved into"):
        GPT2LMHeadModel.from_checkpoint(checkpoint)
    assert_equal(AutoModel.from_pretrained(saved), other)


def test_model_and_tokenizer_saved_into_one_folder_one_after_the_other(model, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained("gpt2_tiny")
    for one in (model, make(seed=7)):
        one.save_pretrained(tmp_path, shard_size=40_000)
        tokenizer.save_pretrained(tmp_path)
        assert_equal(AutoModel.from_pretrained(tmp_path), one)
        assert AutoTokenizer.from_pretrained(tmp_path)("Hello")["input_ids"] == tokenizer("Hello")["input_ids"]
    assert not [name for name in names_in(tmp_path) if name.startswith(".")]
