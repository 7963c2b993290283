"""Checkpoints of other layouts: MindSpore's files and slices are read as MindSpore reads them, and damage is named."""

import json
import resource
import subprocess
import sys
from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from mindspore.train.checkpoint_pb2 import Checkpoint
from mindspore.train.node_strategy_pb2 import ParallelStrategyMap
from safetensors.numpy import load_file

from mf_core import GPT2Config
from mf_core.checkpoint.shards import LazyTensor, write_shards
from mf_core.conversion import (
    Conversion,
    SlicedCheckpoint,
    is_mindspore_file,
    npy_tensor,
    plan_conversion,
    read_layouts,
    read_mindspore_file,
)
from mf_core.errors import (
    ArgumentError,
    FileMissingError,
    IntegrityError,
    SpecError,
    UnsupportedError,
    WeightsError,
)
from mf_core.plugins.registry import registry
from mf_core.specs import ModelSpec

from ..end_to_end.test_outside_plugin import BODY, CONFIG, MODELING
from ..support.plugin_environment import Plugin, PluginEnvironment

NUMBERS = np.random.default_rng(3)


def array(*shape, dtype=np.float32):
    return NUMBERS.standard_normal(shape).astype(dtype)


def save(path, tensors, **options):
    """Write a file with MindSpore's own function."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parameters = [{"name": name, "data": ms.Tensor(value)} for name, value in tensors.items()]
    ms.save_checkpoint(parameters, str(path), **options)
    path.chmod(0o644)
    return path


def message(*values):
    """Return the bytes of a file with values ``(tag, dims, type, content)``."""
    file = Checkpoint()
    for tag, dims, kind, content in values:
        value = file.value.add()
        value.tag, value.tensor.tensor_type, value.tensor.tensor_content = tag, kind, content
        value.tensor.dims.extend(dims)
    return file.SerializeToString()


# MindSpore's files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"crc_check": True}])
def test_what_mindspore_saves_is_read_bit_by_bit(tmp_path, options):
    tensors = {"a.weight": array(5, 3), "b": array(2, 3, 4, dtype=np.float16), "c": np.float32(2.5), "ж": array(1)}
    path = save(tmp_path / "model.ckpt", tensors, **options)
    assert is_mindspore_file(path)
    found = read_mindspore_file(path)
    assert list(found) == list(tensors)
    for name, value in tensors.items():
        read = found[name].read()
        assert (found[name].shape, found[name].dtype) == (np.shape(value), np.asarray(value).dtype.name)
        assert read.tobytes() == np.asarray(value).tobytes()
        assert (read.shape, read.dtype) == (found[name].shape, found[name].dtype)


def test_bfloat16_is_read_as_float32(tmp_path):
    value = ms.Tensor(array(3, 4), ms.bfloat16)
    ms.save_checkpoint([{"name": "a", "data": value}], str(tmp_path / "model.ckpt"))
    tensor = read_mindspore_file(tmp_path / "model.ckpt")["a"]
    assert tensor.dtype == "float32"
    np.testing.assert_array_equal(tensor.read(), value.float().asnumpy())


def test_numbers_that_are_no_weights_are_listed_and_not_read(tmp_path):
    path = save(tmp_path / "model.ckpt", {"global_step": np.int32(7), "a": array(2)})
    tensor = read_mindspore_file(path)["global_step"]
    assert tensor.dtype == "Int32"
    with pytest.raises(UnsupportedError, match=r"'global_step' in .*model\.ckpt is Int32"):
        tensor.read()


def test_a_tensor_in_pieces_is_one(tmp_path):
    value = array(6, 4)
    pieces = [("a", (6, 4), "Float32", part.tobytes()) for part in np.array_split(value, 4)]
    (tmp_path / "model.ckpt").write_bytes(message(*pieces, ("b", (2,), "Float32", array(2).tobytes())))
    found = read_mindspore_file(tmp_path / "model.ckpt")
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["a"].read(), value)
    np.testing.assert_array_equal(ms.load_checkpoint(str(tmp_path / "model.ckpt"))["a"].asnumpy(), value)


def test_a_file_that_is_cut_off_anywhere_is_reported(tmp_path):
    first, second = message(("first", (4,), "Float32", b"x" * 16)), message(("second", (3, 2), "Float16", b"x" * 12))
    path = tmp_path / "model.ckpt"
    told = 0
    for length in range(1, len(first + second)):
        path.write_bytes((first + second)[:length])
        if length == len(first):
            assert list(read_mindspore_file(path)) == ["first"]
            continue
        with pytest.raises(IntegrityError, match=r"model.ckpt is cut off, damaged") as caught:
            read_mindspore_file(path)
        assert length < len(first) or "'first'" in caught.value.why or "'second'" in caught.value.why
        told += "the tensor 'second' is cut off" in caught.value.why
    assert told >= 12  # wherever it is the content that is cut


@pytest.mark.parametrize(
    "values, words",
    [
        ([("a", (4,), "Float32", b"x" * 12)], r"takes 16 bytes, and it has 12"),
        ([("a", (4,), "Float32", b"x" * 16)] * 2, r"takes 16 bytes, and it has 32"),
        ([(tag, (1,), "Float32", b"x" * 4) for tag in "aba"], r"there is a second tensor 'a'"),
    ],
)
def test_contents_that_do_not_go_with_the_shape(tmp_path, values, words):
    (tmp_path / "model.ckpt").write_bytes(message(*values))
    with pytest.raises(IntegrityError, match=r"model\.ckpt") as caught:
        read_mindspore_file(tmp_path / "model.ckpt")
    assert words in caught.value.why


def test_a_flipped_bit_shows_where_the_file_has_a_checksum(tmp_path):
    path = save(tmp_path / "model.ckpt", {"a": array(50)}, crc_check=True)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="is damaged") as caught:
        read_mindspore_file(path)
    assert "checksum" in caught.value.why


@pytest.mark.parametrize("data", [b"", b"\n", b"{}", b"PK\x03\x04rest", b"\n\xff\xff\xff", bytes(64)])
def test_other_files_are_not_taken_for_checkpoints(tmp_path, data):
    (tmp_path / "model.ckpt").write_bytes(data)
    assert not is_mindspore_file(tmp_path / "model.ckpt")
    assert not is_mindspore_file(tmp_path)


def test_npy(tmp_path):
    value = array(3, 2)
    np.save(tmp_path / "a.npy", value)
    np.testing.assert_array_equal(npy_tensor(tmp_path / "a.npy", "a").read(), value)
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    for name in ("object.npy", "cut.npy"):
        with pytest.raises(IntegrityError, match=f"{name} is not a whole .npy file"):
            npy_tensor(tmp_path / name, "a")


# Slices --------------------------------------------------------------------------------------------------------------

#: The whole shape, the array of devices, the axes, and the optimizer's parallelism (step and size).
LAYOUTS = {
    "rows and optimizer": ((16, 6), (4, 2), (0, -1), 2, 4),
    "columns and optimizer": ((16, 6), (4, 2), (-1, 0), 2, 4),
    "columns and a smaller optimizer": ((16, 6), (4, 2), (-1, 0), 2, 2),
    "a vector": ((16,), (4, 2), (0,), 2, 4),
    "a vector that all hold": ((16,), (4, 2), (-1,), 0, 0),
    "columns": ((16, 6), (4, 2), (-1, 0), 0, 0),
    "both axes": ((16, 8), (4, 2), (0, 1), 0, 0),
    "half of the devices": ((16, 6), (8,), (-1, -1), 1, 4),
    "all devices": ((16, 6), (8,), (-1, -1), 1, 8),
    "the middle axis": ((16, 6), (2, 2, 2), (1, -1), 1, 2),
    "the middle axis, more": ((16, 6), (2, 2, 2), (1, -1), 1, 4),
    "the first axis": ((16, 6), (2, 2, 2), (-1, 2), 1, 4),
    "as many as can be": ((16, 6), (4, 2), (0, -1), 2, -1),
}


def strategy(layouts):
    """Return a strategy file's message."""
    file = ParallelStrategyMap(current_stage=1)
    for name, (_, devices, axes, step, size) in layouts.items():
        item = file.parallel_layout_item.add(param_name=name)
        layout = item.parallel_layouts
        layout.field, layout.opt_weight_shard_step, layout.opt_weight_shard_size = 0, step, size
        layout.dev_matrix.add().dim.extend(devices)
        layout.tensor_map.add().dim.extend(axes)
        layout.param_split_shape.add()
        layout.indices_offset.add()
    return file


def cut(whole, devices, axes, step, size):
    """Return the slice of each device."""
    owners = {}
    for rank, at in enumerate(np.ndindex(*devices)):
        owners.setdefault(tuple(0 if axis < 0 else at[-1 - axis] for axis in axes), []).append(rank)
    slices = {}
    for index, ranks in owners.items():
        part = whole
        for number, axis in enumerate(axes):
            if axis >= 0:
                part = np.split(part, devices[-1 - axis], number)[index[number]]
        parts = np.split(part, len(ranks) if size == -1 else size) if step else [part]
        slices.update({rank: parts[index % len(parts)] for index, rank in enumerate(ranks)})
    return [slices[rank] for rank in range(8)]


def write_slices(folder, layouts, wholes):
    """Write the strategy and a file for each of 8 devices; return the files."""
    files = {rank: folder / f"rank_{rank}" / f"slice_{rank}.ckpt" for rank in range(8)}
    parts = {name: cut(wholes[name], *layout[1:]) for name, layout in layouts.items()}
    for rank, path in files.items():
        save(path, {name: parts[name][rank] for name in layouts})
    (folder / "strategy.ckpt").write_bytes(strategy(layouts).SerializeToString())
    return files


@pytest.mark.parametrize("name", LAYOUTS)
def test_slices_are_put_together_as_mindspore_does(tmp_path, name):
    layouts = {name: LAYOUTS[name]}
    whole = array(*LAYOUTS[name][0])
    files = write_slices(tmp_path / "slices", layouts, {name: whole})
    sliced = SlicedCheckpoint(files, tmp_path / "slices" / "strategy.ckpt")
    assert sliced.names == [name]
    assert sliced.tensor(name).shape == whole.shape
    np.testing.assert_array_equal(sliced.tensor(name).read(), whole)
    # MindSpore's own function is the judge of how the slices above were cut.
    ms.transform_checkpoints(
        str(tmp_path / "slices"), str(tmp_path / "merged"), "merged", str(tmp_path / "slices" / "strategy.ckpt"), None
    )
    merged = ms.load_checkpoint(str(tmp_path / "merged" / "rank_0" / "merged0.ckpt"))
    np.testing.assert_array_equal(merged[name].asnumpy(), whole)


@pytest.fixture
def slices(tmp_path):
    layouts = {name: LAYOUTS[name] for name in ("rows and optimizer", "a vector that all hold")}
    files = write_slices(tmp_path, layouts, {name: array(*layout[0]) for name, layout in layouts.items()})
    return files, tmp_path / "strategy.ckpt"


def test_a_slice_that_is_missing_is_named(slices):
    files, path = slices
    del files[5]
    sliced = SlicedCheckpoint(files, path)
    with pytest.raises(FileMissingError, match=r"no slice_5\.ckpt, which holds a slice of 'rows and optimizer'"):
        sliced.tensor("rows and optimizer")
    assert sliced.tensor("a vector that all hold").read().shape == (16,)  # of which every device has all


def test_slices_of_different_checkpoints(slices):
    files, path = slices
    save(files[3], {"rows and optimizer": array(3, 6), "a vector that all hold": array(16)})
    words = r"in slice_3\.ckpt is float32 \(3, 6\); .* in slice_0\.ckpt is float32 \(2, 6\)"
    with pytest.raises(WeightsError, match=words):
        SlicedCheckpoint(files, path).tensor("rows and optimizer")
    save(files[3], {"rows and optimizer": array(2, 6)})
    with pytest.raises(WeightsError, match=r"slice_0\.ckpt and slice_3\.ckpt only one holds 'a vector that all hold'"):
        SlicedCheckpoint(files, path)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda item: item.parallel_layouts.__setattr__("field", 2), "uneven slices"),
        (lambda item: item.parallel_layouts.param_split_shape[0].dim.extend([3, 4]), "uneven slices"),
        (lambda item: item.parallel_layouts.tensor_map.add().dim.append(1), "several axes of devices"),
        (lambda item: item.parallel_layouts.tensor_map[0].dim.__setitem__(0, 7), "no axes of devices"),
        (lambda item: item.parallel_layouts.__setattr__("opt_weight_shard_step", 3), "do not go with the axes"),
    ],
)
def test_cuts_that_are_not_put_together_are_refused_for_their_tensor_alone(slices, change, words):
    files, path = slices
    file = ParallelStrategyMap.FromString(path.read_bytes())
    change(file.parallel_layout_item[0])
    path.write_bytes(file.SerializeToString())
    sliced = SlicedCheckpoint(files, path)
    with pytest.raises(UnsupportedError, match="the slices of 'rows and optimizer' are not put together") as caught:
        sliced.tensor("rows and optimizer")
    assert words in caught.value.why
    assert sliced.tensor("a vector that all hold").shape == (16,)


def test_strategy_files_that_cannot_be_used(slices):
    files, path = slices
    data = path.read_bytes()
    file = ParallelStrategyMap.FromString(data)
    for length in (0, len(data) - 1, 5):
        path.write_bytes(data[:length])
        with pytest.raises(IntegrityError, match=r"strategy\.ckpt"):
            read_layouts(path)
    del file.parallel_layout_item[0]
    path.write_bytes(file.SerializeToString())
    with pytest.raises(WeightsError, match="does not say how 'rows and optimizer' is cut"):
        SlicedCheckpoint(files, path).tensor("rows and optimizer")
    file.parallel_layout_item[0].param_name = "1-a vector"
    path.write_bytes(file.SerializeToString())
    with pytest.raises(UnsupportedError, match="pipeline of stages"):
        read_layouts(path)


# Writing -------------------------------------------------------------------------------------------------------------


def lazy(tensors):
    return [LazyTensor(name, value.shape, value.dtype.name, lambda v=value: v) for name, value in tensors.items()]


def test_files_are_those_of_the_safetensors_library(tmp_path):
    tensors = {
        "half": array(3, dtype=np.float16), "a": array(4, 5).T, "none": array(0, 3), "scalar": array(),
        "long": np.arange(3), "flags": np.array([True, False]),
    }  # fmt: skip
    assert [path.name for path in write_shards(lazy(tensors), tmp_path)] == ["model.safetensors"]
    read = load_file(tmp_path / "model.safetensors")
    assert read.keys() == tensors.keys()
    for name, value in tensors.items():
        assert read[name].dtype == value.dtype
        np.testing.assert_array_equal(read[name], value)


def test_shards_hold_at_most_their_size_and_are_read_once(tmp_path):
    reads = []

    def tensor(name):
        return LazyTensor(name, (25,), "float32", lambda: reads.append(name) or array(25))

    files = write_shards([tensor(name) for name in "abcde"], tmp_path, shard_size=250)
    assert [sorted(load_file(path)) for path in files] == [["a", "b"], ["c", "d"], ["e"]]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 500
    assert index["weight_map"]["c"] == "model-00002-of-00003.safetensors"
    assert reads == list("abcde")


def plan(tensors):
    return Conversion(None, "two tensors", GPT2Config(num_layers=1), "GPT2LMHeadModel", tuple(tensors))


def test_a_conversion_that_fails_leaves_everything_as_it_was(tmp_path):
    def fail():
        raise IntegrityError("the source is gone")

    good, bad = lazy({"a": array(3), "b": array(4)}), LazyTensor("c", (2,), "float32", fail)
    with pytest.raises(IntegrityError, match="the source is gone"):
        plan([*good, bad]).write(tmp_path / "new" / "deep")
    assert not (tmp_path / "new").exists()
    plan(good).write(tmp_path / "old", shard_size=12)
    (tmp_path / "old" / "notes.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()}
    assert len(before) == 5  # two shards, their index, the config, the notes
    with pytest.raises(IntegrityError, match="the source is gone"):
        plan([*good, bad]).write(tmp_path / "old", overwrite=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()} == before
    with pytest.raises(ArgumentError, match=r"has a config\.json already") as caught:
        plan(good).write(tmp_path / "old")
    assert "overwrite=True" in caught.value.hint
    plan(good).write(tmp_path / "old", overwrite=True)
    left = sorted(path.name for path in (tmp_path / "old").iterdir())
    assert left == ["config.json", "model.safetensors", "notes.txt"]


def test_a_disk_that_is_full(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            plan(lazy({"a": array(100, 200)})).write(tmp_path / "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


# Plugins and the command ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("converter", ["", "mf_gpt2.convert", "a:b:c", 5])
def test_a_converter_that_is_no_target(converter):
    with pytest.raises(SpecError, match=r"ModelSpec\.converter"):
        ModelSpec(model_type="gpt2", target="mf_gpt2.modeling:Model", converter=converter)


def test_a_family_without_a_converter_and_a_source_that_is_not_there(tmp_path, monkeypatch):
    with pytest.raises(FileMissingError, match="there is no file or folder"):
        plan_conversion(tmp_path / "nowhere.ckpt", "gpt2")
    path = save(tmp_path / "model.ckpt", {"a": array(2)})
    entry = registry.find("model:base", "gpt2")
    without = replace(entry, spec=replace(entry.spec, converter=None))
    monkeypatch.setitem(registry._entries["model:base"], "gpt2", [without])
    with pytest.raises(UnsupportedError, match="mf-gpt2 converts no checkpoints for 'gpt2'"):
        plan_conversion(path, "gpt2")


#: The converter of the manual, for a family that the project knows nothing of.
CONVERTER = """
    from mf_core.conversion import Converter, is_mindspore_file, read_mindspore_file

    class LettersConverter(Converter):
        layouts = ("a MindSpore file",)

        def __init__(self, path):
            self.held, self.description = read_mindspore_file(path), "a MindSpore file"

        @classmethod
        def recognise(cls, source):
            return cls(source) if is_mindspore_file(source) else None

        def config(self):
            return {"vocab_size": self.held["table"].shape[0]} if "table" in self.held else {}

        def tensors(self):
            names = {"table": "embed.weight", "positions": "positions.weight"}
            return [tensor.transposed().renamed("qkv.weight") if name == "dense" else
                    tensor.renamed(names.get(name, name)) for name, tensor in self.held.items()]
"""


@pytest.fixture(scope="module")
def letters(tmp_path_factory, wheelhouse):
    environment = PluginEnvironment(tmp_path_factory.mktemp("letters"), wheelhouse)
    environment.borrow("mf-cpu-backend")
    body = BODY.replace('"causal_lm"))', '"causal_lm"), converter="mf_letters.convert:LettersConverter")')
    body = body.replace(', weights="package:mf_letters/data"', "")
    modules = {"config": CONFIG, "modeling": MODELING, "convert": CONVERTER}
    environment.install(Plugin("mf-letters", body, modules=modules))
    return environment


TENSORS = {"table": array(28, 8), "positions": array(32, 8), "dense": array(24, 8), "qkv.bias": array(24)}


def test_the_command_with_a_family_of_a_third_party(letters):
    save(letters.home / "old.ckpt", TENSORS)
    made = letters.mf("convert", "old.ckpt", "--model", "letters_tiny", "--output", "made", "--dtype", "float16")
    assert made.code == 0, made.stderr
    assert made.stdout.splitlines()[0] == "old.ckpt: a MindSpore file; 696 weights in 4 tensors"
    assert made.stdout.splitlines()[1].startswith("made: config.json, and weights in one file")
    read = load_file(letters.home / "made" / "model.safetensors")
    np.testing.assert_array_equal(read["qkv.weight"], TENSORS["dense"].T.astype(np.float16))
    config = json.loads((letters.home / "made" / "config.json").read_text())
    assert (config["architectures"], config["dtype"], config["hidden_size"]) == (["LettersModel"], "float16", 8)
    code = "from mf_core import AutoModel\nprint(AutoModel.from_pretrained('made').num_parameters())"
    assert letters.run(code).stdout == "696\n"


#: What differs from TENSORS, further arguments, and what is said.
MISFITS = [
    ({"table": array(20, 8)}, [], ["misfit.ckpt is of another model than 'letters_tiny'", "vocab_size=20"]),
    ({"dense": array(8, 24)}, [], ["'dense' in misfit.ckpt makes a 'qkv.weight' of (24, 8)", "wants (8, 24)"]),
    ({"other": array(1)}, [], ["misfit.ckpt do not fit LettersModel: 1 left over, such as 'other'"]),
    ({"dense": None}, [], ["misfit.ckpt do not fit LettersModel: 1 missing, such as 'qkv.weight'"]),
    ({"embed.weight": array(28, 8)}, [], ["'embed.weight' in misfit.ckpt and 'table' in misfit.ckpt are one weight"]),
    ({"qkv.bias": np.arange(24, dtype=np.int32)}, [], ["'qkv.bias' in misfit.ckpt is Int32"]),
    ({"qkv.bias": array(24) + 1e6}, ["--dtype", "float16"], ["'qkv.bias' holds numbers too large for float16"]),
    ({}, ["--set", "hidden_sizes=8"], ["'hidden_sizes'", "did you mean 'hidden_size'"]),
    ({}, ["--set", "hidden_size"], ["'hidden_size' is not NAME=VALUE"]),
]


def test_what_does_not_fit_is_named_and_nothing_is_written(letters):
    runs = []
    for number, (changes, arguments, _) in enumerate(MISFITS):
        tensors = {name: value for name, value in {**TENSORS, **changes}.items() if value is not None}
        save(letters.home / str(number) / "misfit.ckpt", tensors)
        runs.append([f"{number}/misfit.ckpt", "--model", "letters_tiny", "--output", "not_made", *arguments])
    result = letters.run(f"""
        import contextlib, io, json
        from mf_core.cli import main
        told = []
        for arguments in {runs!r}:
            with contextlib.redirect_stderr(io.StringIO()) as errors, contextlib.redirect_stdout(io.StringIO()):
                told.append([main(["convert", *arguments]), errors.getvalue()])
        print(json.dumps(told))
    """)
    for (code, said), (_, _, words) in zip(result.json, MISFITS, strict=True):
        assert code == 2
        for word in words:
            assert word in said
    assert not (letters.home / "not_made").exists()


def test_layouts_that_are_known_are_reported(letters):
    (letters.home / "other.bin").write_bytes(b"PK\x03\x04")
    made = letters.mf("convert", "other.bin", "--model", "letters_tiny", "--output", "not_made")
    assert made.code == 2
    assert "'other.bin' is in no layout that mf-letters converts" in made.stderr
    assert "it converts: a MindSpore file" in made.stderr


def test_where_to_write_is_asked_before_anything_is_read(tmp_path):
    command = [sys.executable, "-c", "import sys; from mf_core.cli import main; sys.exit(main())", "convert", "nowhere"]
    result = subprocess.run([*command, "--model", "./run"], cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, "say where to write: --output DIR" in result.stderr) == (2, True)
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "config.json").write_text("{}")
    result = subprocess.run([*command, "--model", "gpt2"], cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, "'gpt2' has a config.json already" in result.stderr) == (2, True)
