"""Checkpoints in the sharded form: every number comes back as it was, whatever the layouts, and damage is named."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mf_core import AutoModel
from mf_core.checkpoint.consolidate import whole_tensors
from mf_core.checkpoint.reshard import merge, split, write_whole
from mf_core.checkpoint.sharded import Index, is_sharded, shard_file
from mf_core.checkpoint.shards import LazyTensor, write_file
from mf_core.checkpoint.tensor_shards import ShardedTensor, shard_of, state_entries, writes
from mf_core.errors import ArgumentError, CheckpointError, FileMissingError, IntegrityError, UnsupportedError
from mf_core.parallel import Layout, Split

from ..support.sharded import assert_same, checkpoint, gpt2, pangu, piece, rewrite, tensors

#: data, tensor, pipeline, expert; whether the copies share the optimizer's states; whether the vocabulary is split.
LAYOUTS = [
    (Layout(), False, False),
    (Layout(4), True, False),
    (Layout(2, 2), False, True),
    (Layout(1, 2, 2), False, False),
    (Layout(4, 2, 2), True, True),
    (Layout(1, 1, 4), True, False),
]
EXPERTS = [
    (Layout(4, 1, 1, 2), False, False),
    (Layout(4, 2, 2, 4), True, True),
    (Layout(2, 4, 1, 2), True, False),
    (Layout(3, 1, 2), True, False),
]


@pytest.fixture(scope="module")
def of_gpt2(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("gpt2"), gpt2())


@pytest.fixture(scope="module")
def of_pangu(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("pangu"), pangu())


@pytest.fixture
def sharded(of_gpt2, tmp_path):
    """A checkpoint of 16 processes."""
    split(of_gpt2, tmp_path / "sharded", *LAYOUTS[4])
    return tmp_path / "sharded"


# Round trips ---------------------------------------------------------------------------------------------------------


def test_sixteen_to_whole_to_four_to_one(of_gpt2, sharded, tmp_path):
    wanted = tensors(of_gpt2)
    merge(sharded, tmp_path / "whole")
    assert_same(tensors(tmp_path / "whole"), wanted)
    split(tmp_path / "whole", tmp_path / "four", *LAYOUTS[3])
    split(tmp_path / "four", tmp_path / "one", *LAYOUTS[0])
    merge(tmp_path / "one", tmp_path / "last")
    assert_same(tensors(tmp_path / "last"), wanted)
    assert (tmp_path / "last/model.safetensors").read_bytes() == (of_gpt2 / "model.safetensors").read_bytes()
    for name in ("config.json", "trainer_state.json", "tokenizer.json"):
        assert (tmp_path / "last" / name).read_bytes() == (of_gpt2 / name).read_bytes()
    loaded = AutoModel.from_pretrained(tmp_path / "last")
    for name, parameter in loaded.parameters_and_names():
        np.testing.assert_array_equal(parameter.asnumpy(), wanted["model"][name])


@pytest.mark.parametrize(("family", "layouts"), [("of_gpt2", LAYOUTS), ("of_pangu", [LAYOUTS[0], *EXPERTS])])
def test_every_pair_of_layouts(family, layouts, request, tmp_path):
    whole = request.getfixturevalue(family)
    wanted = tensors(whole)
    for number, options in enumerate(layouts):
        split(whole, tmp_path / f"{number}", *options)
    for first in range(len(layouts)):
        for second, options in enumerate(layouts):
            split(tmp_path / f"{first}", tmp_path / "again", *options, overwrite=True)
            files = sorted(path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*.*"))
            assert files == sorted(p.relative_to(tmp_path / f"{second}") for p in (tmp_path / f"{second}").rglob("*.*"))
            for file in files:
                if file.suffix == ".safetensors":  # the order within a file may differ, its tensors may not
                    assert_same({"": load_file(tmp_path / "again" / file)},
                                {"": load_file(tmp_path / f"{second}" / file)})  # fmt: skip
        merge(tmp_path / f"{first}", tmp_path / "whole", overwrite=True)
        assert_same(tensors(tmp_path / "whole"), wanted)


def test_what_processes_write_each_for_itself_is_the_same_checkpoint(of_pangu, tmp_path):
    """As a run does it: each process has its pieces, and asks only whether it is the one to write them."""
    index = split(of_pangu, tmp_path / "split", Layout(4, 2, 2, 2), True, True)
    held = tensors(of_pangu)
    for rank in range(index.layout.size):
        layout = index.layout.at(rank)
        for kind, file in (("weights", "model"), ("optimizer", "optimizer")):
            own = {name: shard_of(held[file][name], entry, layout).copy()
                   for name, entry in index.tensors(kind).items() if entry.spec.is_on(layout)}  # fmt: skip
            assert all(own[name].shape == index.tensors(kind)[name].piece_shape(layout) for name in own)
            written = {name: array for name, array in own.items() if writes(index.tensors(kind)[name], layout)}
            path = tmp_path / "split" / shard_file(rank, kind)
            assert path.exists() == bool(written)
            if written:
                assert_same({"": load_file(path)}, {"": written})
    index.write(tmp_path)
    assert Index.read(tmp_path) == index


@pytest.mark.parametrize("layout", [Layout(4, 2, 2, 2), Layout(3, 1, 2), Layout(1, 2, 1), Layout(2, 1, 1, 2)])
def test_each_number_is_written_once(layout):
    for entry in (
        ShardedTensor((12,), "int32"),
        ShardedTensor((4, 12), "int32", Split(1, 3), (0,)),
        ShardedTensor((6, 5), "int32", Split(0), (layout.pipeline - 1,), flat=True),
        ShardedTensor((3, 5), "int32", None, tuple(range(layout.pipeline)), flat=True),
        ShardedTensor((5, 4), "int32", Split(1), (0,), layout.expert - 1),
        ShardedTensor((), "int32", None, tuple(range(layout.pipeline))),
    ):
        whole = np.arange(1, 1 + int(np.prod(entry.shape)), dtype=np.int32).reshape(entry.shape)
        all_coordinates = [layout.at(rank) for rank in range(layout.size)]
        pieces = [shard_of(whole, entry, coordinates) for coordinates in all_coordinates if writes(entry, coordinates)]
        numbers = np.concatenate([np.ravel(piece) for piece in pieces])
        assert sorted(numbers[numbers > 0]) == list(range(1, whole.size + 1))


def test_pieces_are_those_of_the_plan(of_gpt2, sharded):
    weight = tensors(of_gpt2)["model"]["transformer.h.2.attn.c_attn.weight"]
    query, key, value = np.split(weight, 3, 1)
    second = piece(sharded, 9, "transformer.h.2.attn.c_attn.weight")  # of the second stage, the second part
    np.testing.assert_array_equal(second, np.concatenate([query[:, 9:], key[:, 9:], value[:, 9:]], 1))
    assert piece(sharded, 8, "transformer.h.1.ln_1.bias") is None  # the first stage has that layer
    embedding = tensors(of_gpt2)["model"]["transformer.wte.weight"]
    np.testing.assert_array_equal(piece(sharded, 1, "transformer.wte.weight"), embedding[29:])
    assert piece(sharded, 8, "transformer.wte.weight") is None  # the last stage has the same, which the first writes
    name = "optimizer.first.transformer.h.0.attn.c_attn.bias"
    bias = np.split(tensors(of_gpt2)["optimizer"][name], 3)
    flat = np.concatenate([part[9:] for part in bias])
    for copy, rank in enumerate((1, 3, 5, 7)):  # 27 numbers in four parts of 7, the last of them filled up
        np.testing.assert_array_equal(piece(sharded, rank, name, ".optimizer"), np.append(flat, 0)[copy * 7 :][:7])
    for rank in range(16):
        has = piece(sharded, rank, "optimizer.updates", ".optimizer") is not None
        assert has == (rank == 0)


def test_states_of_another_shape_than_their_weights_stay_whole(tmp_path):
    whole = checkpoint(tmp_path / "whole", gpt2(), "adafactor")
    index = split(whole, tmp_path / "sharded", Layout(2, 2, 2), True)
    rows = index.optimizer["optimizer.rows.transformer.h.3.mlp.c_proj.weight"]
    assert (rows.shape, rows.split, rows.stages, rows.flat) == ((72,), None, (1,), False)
    bias = index.optimizer["optimizer.rows.transformer.h.3.mlp.c_fc.bias"]
    assert (bias.split, bias.flat) == (Split(0), True)
    merge(tmp_path / "sharded", tmp_path / "merged")
    assert_same(tensors(tmp_path / "merged"), tensors(whole))


def test_states_of_any_optimizer_belong_to_the_weight_that_ends_their_name():
    weight = ShardedTensor((4, 6), "float32", Split(1), (1,))
    states = {"adam_m.h.0.weight": ((4, 6), "float32"), "h.0.weight": ((4, 6), "float32"), "rate": ((), "float32")}
    found = state_entries(states, {"h.0.weight": weight}, Layout(2, 2, 2), optimizer_shard=True)
    assert found["adam_m.h.0.weight"] == ShardedTensor((4, 6), "float32", Split(1), (1,), flat=True)
    assert found["h.0.weight"].split is found["rate"].split is None
    assert found["rate"].stages == (0, 1)


def test_a_model_without_a_run(tmp_path):
    gpt2().save_pretrained(tmp_path / "model", shard_size=6000)
    assert len(list((tmp_path / "model").glob("model-*.safetensors"))) > 3
    split(tmp_path / "model", tmp_path / "sharded", Layout(2, 2), True)
    assert whole_tensors(tmp_path / "sharded", "optimizer") == []
    assert not list((tmp_path / "sharded").rglob("*.optimizer.*"))
    assert not is_sharded(tmp_path / "model")
    files = merge(tmp_path / "sharded", tmp_path / "merged", shard_size=6000)
    assert len(files) > 3
    assert sorted(p.name for p in (tmp_path / "merged").iterdir()) == sorted(
        p.name for p in (tmp_path / "model").iterdir()
    )
    for file in files:
        assert file.read_bytes() == (tmp_path / "model" / file.name).read_bytes()


def test_checkpoints_of_the_body_and_layers_in_the_order_of_the_alphabet(tmp_path):
    """As other libraries write them: without the prefix, with masks, and layer 10 before layer 2."""
    gpt2(num_layers=12).save_pretrained(tmp_path / "own")
    held = load_file(tmp_path / "own/model.safetensors")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/config.json").write_bytes((tmp_path / "own/config.json").read_bytes())
    bare = {name.removeprefix("transformer."): array for name, array in held.items()}
    masks = {f"h.{layer}.attn.bias": np.ones((1, 1, 10, 10), np.float32) for layer in range(12)}
    ordered = sorted({**bare, **masks}.items())
    lazy = [LazyTensor(name, array.shape, "float32", lambda array=array: array) for name, array in ordered]
    write_file(tmp_path / "other/model.safetensors", lazy)
    split(tmp_path / "other", tmp_path / "sharded", Layout(1, 1, 4))
    for layer in (0, 1, 2, 3, 9, 10, 11):
        name = f"transformer.h.{layer}.ln_1.weight"
        assert [rank for rank in range(4) if piece(tmp_path / "sharded", rank, name) is not None] == [layer // 3]
    merge(tmp_path / "sharded", tmp_path / "merged")
    assert_same({"": load_file(tmp_path / "merged/model.safetensors")}, {"": held})


def test_bfloat16_becomes_float32(tmp_path):
    """Bits of the one are the upper half of the other's; an odd header leaves them across word boundaries."""
    gpt2().save_pretrained(tmp_path / "model")
    held = load_file(tmp_path / "model/model.safetensors")
    bits = {name: (array.view(np.uint32) >> 16).astype(np.uint16) for name, array in held.items()}
    header, offset = {}, 0
    for name, array in bits.items():
        header[name] = {"dtype": "BF16", "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (1 - len(text) % 2)
    content = b"".join(array.tobytes() for array in bits.values())
    (tmp_path / "model/model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + content)
    split(tmp_path / "model", tmp_path / "sharded", Layout(1, 2))
    merge(tmp_path / "sharded", tmp_path / "merged")
    wanted = {name: (array.view(np.uint32) >> 16 << 16).view(np.float32) for name, array in held.items()}
    assert_same({"": load_file(tmp_path / "merged/model.safetensors")}, {"": wanted})


def test_the_whole_form_can_be_made_in_the_folder_of_the_pieces(of_gpt2, sharded):
    write_whole(sharded, sharded)
    assert_same(tensors(sharded), tensors(of_gpt2))


# Memory ---------------------------------------------------------------------------------------------------------------

#: Prints by how many bytes a merge raised the process's peak of resident memory.
PEAK = """
import sys
from mf_core.checkpoint.reshard import merge, split

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024

before = peak()
merge(sys.argv[1], sys.argv[2])
assert "mindspore" not in sys.modules
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_a_merge_takes_memory_for_one_tensor(tmp_path):
    layout, count = Layout(2, 2), 18
    whole = np.arange(1024 * 4096, dtype=np.float32).reshape(1024, 4096)  # 17 MB
    weight = ShardedTensor(whole.shape, "float32", Split(1))
    weights = {f"h.{n}.weight": weight for n in range(count // 3)}
    states = {f"optimizer.{kind}.{name}": (weight.shape, "float32") for kind in ("first", "second") for name in weights}
    index = Index(layout, weights, state_entries(states, weights, layout, optimizer_shard=True))
    folder = tmp_path / "sharded"
    (folder / "shards").mkdir(parents=True)
    for rank in range(layout.size):
        for kind in ("weights", "optimizer"):
            lazy = [
                LazyTensor(name, entry.piece_shape(layout), "float32",
                           lambda entry=entry, rank=rank: shard_of(whole, entry, layout.at(rank)))
                for name, entry in index.tensors(kind).items() if writes(entry, layout.at(rank))
            ]  # fmt: skip
            if lazy:
                write_file(folder / shard_file(rank, kind), lazy)
    index.write(folder)
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    done = subprocess.run([sys.executable, "-c", PEAK, folder, tmp_path / "out"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    files = sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert files > 300e6
    assert int(done.stdout) < 100e6
    assert tensors(tmp_path / "out")["optimizer"]["optimizer.second.h.3.weight"].tobytes() == whole.tobytes()


# What is asked wrongly ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "options", "words"),
    [
        ("of_gpt2", (Layout(1, 4),), ["2 attention heads of GPT2LMHeadModel", "model_parallel=4"]),
        ("of_gpt2", (Layout(1, 1, 3),), ["4 layers of GPT2LMHeadModel", "pipeline_stage=3"]),
        ("of_pangu", (Layout(3, 1, 1, 3),), ["4 experts", "expert_parallel=3"]),
        ("of_pangu", (Layout(4, 1, 1, 3),), ["4 copies", "expert_parallel=3"]),
        ("of_pangu", (Layout(0),), ["data=0"]),
    ],
)
def test_numbers_that_do_not_divide(family, options, words, request, tmp_path):
    with pytest.raises(ArgumentError) as caught:
        split(request.getfixturevalue(family), tmp_path / "out", *options)
    assert all(word in str(caught.value) for word in words)
    assert list(tmp_path.iterdir()) == []


def test_a_vocabulary_that_does_not_divide(tmp_path):
    gpt2(vocab_size=59).save_pretrained(tmp_path / "model")
    with pytest.raises(ArgumentError, match=r"the 59 vocabulary entries.*model_parallel=2"):
        split(tmp_path / "model", tmp_path / "out", Layout(1, 2), vocabulary=True)
    split(tmp_path / "model", tmp_path / "out", Layout(1, 2))


def test_a_model_that_does_not_say_how_it_may_be_split(of_gpt2, tmp_path, monkeypatch):
    monkeypatch.setattr(type(gpt2()), "parallel_plan", None)
    with pytest.raises(UnsupportedError, match="GPT2LMHeadModel does not say how its layers may be split"):
        split(of_gpt2, tmp_path / "out", Layout(1, 2))
    split(of_gpt2, tmp_path / "out", Layout(3), True)  # copies need no plan
    merge(tmp_path / "out", tmp_path / "merged")
    assert_same(tensors(tmp_path / "merged"), tensors(of_gpt2))


def test_folders_that_are_not_written_to(of_gpt2, sharded, tmp_path):
    with pytest.raises(ArgumentError, match=r"no checkpoint in the sharded form"):
        merge(of_gpt2, tmp_path / "out")
    with pytest.raises(ArgumentError, match="is the checkpoint itself"):
        merge(sharded, sharded, overwrite=True)
    (tmp_path / "run/checkpoint-7").mkdir(parents=True)
    (tmp_path / "run/config.json").write_text("{}")
    with pytest.raises(ArgumentError, match="has a 'checkpoint-7' already"):
        merge(sharded, tmp_path / "run")
    with pytest.raises(ArgumentError, match="not replaced: it holds more than a checkpoint"):
        merge(sharded, tmp_path / "run", overwrite=True)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/mine.txt").write_text("mine")
    with pytest.raises(ArgumentError, match=r"it has no config\.json"):
        merge(sharded, tmp_path / "notes", overwrite=True)
    with pytest.raises(ArgumentError, match="is a file"):
        merge(sharded, tmp_path / "notes/mine.txt", overwrite=True)
    assert (tmp_path / "notes/mine.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    merge(sharded, tmp_path / "empty")
    assert (tmp_path / "empty/config.json").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_fails_half_way_leaves_nothing(of_gpt2, sharded, tmp_path):
    def full(tensor):
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        merge(sharded, tmp_path / "new/deep/out", on_tensor=full)
    with pytest.raises(OSError, match="no space left"):
        split(of_gpt2, tmp_path / "out", Layout(2), on_tensor=full)
    merge(sharded, tmp_path / "whole")
    before = (tmp_path / "whole/model.safetensors").read_bytes()
    with pytest.raises(OSError, match="no space left"):
        merge(sharded, tmp_path / "whole", overwrite=True, on_tensor=full)
    assert (tmp_path / "whole/model.safetensors").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sharded", "whole"]


def test_adapters_are_not_split(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "gpt2"}')
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(UnsupportedError, match="holds adapters"):
        split(tmp_path, tmp_path / "out", Layout(2))


# What is broken -------------------------------------------------------------------------------------------------------

NAME = "transformer.h.0.ln_1.bias"


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-5])


def pickled(path):
    path.write_bytes(pickle.dumps({"a": 1}))


def lacking(path):
    rewrite(path, lambda held: held.pop(NAME))


def reshaped(path):
    rewrite(path, lambda held: held.update({NAME: np.zeros(17, np.float32)}))


def half(path):
    rewrite(path, lambda held: held.update({NAME: held[NAME].astype(np.float16)}))


def more(path):
    rewrite(path, lambda held: held.update({"transformer.h.9.ln_1.bias": held[NAME]}))


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (Path.unlink, CheckpointError, ["is missing", "'transformer.wte.weight' and 25 others", "copy it from where"]),
        (cut_off, IntegrityError, ["not a whole safetensors file", "'transformer.wte.weight' and 25 others", "copy"]),
        (pickled, IntegrityError, ["not a whole safetensors file", "'transformer.wte.weight'", "copy"]),
        (lacking, IntegrityError, ["lacks its piece of", NAME, "copy"]),
        (reshaped, IntegrityError, [NAME, "is F32 (17,)", "layout.json says float32 (18,)", "copy"]),
        (half, IntegrityError, [NAME, "is F16 (18,)", "copy"]),
        (more, IntegrityError, ["transformer.h.9.ln_1.bias", "does not belong there", "copy layout.json"]),
    ],
)
def test_a_broken_file_of_a_rank(spoil, error, words, sharded, tmp_path):
    spoil(sharded / "shards/rank-00000.safetensors")
    for read in (lambda: whole_tensors(sharded), lambda: merge(sharded, tmp_path / "out")):
        with pytest.raises(error) as caught:
            read()
        assert type(caught.value) is error
        for word in [*words, "rank-00000.safetensors"]:
            assert word in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_file_of_a_rank_that_is_not_in_the_layout(sharded):
    for kind in ("weights", "optimizer"):
        path = sharded / shard_file(16, kind)
        save_file({}, path)  # a process with nothing to write may say so
        assert whole_tensors(sharded, kind)
        save_file({"a": np.zeros(2, np.float32)}, path)
        with pytest.raises(IntegrityError, match=r"rank-00016.*has a 'a'"):
            whole_tensors(sharded, kind)


def changed(**changes):
    return lambda data: {**data, **changes}


def entry(**changes):
    return lambda data: {**data, "weights": {**data["weights"], NAME: {**data["weights"][NAME], **changes}}}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (changed(format=2), CheckpointError, ["format 2", "reads 1", "pip install --upgrade mf-framework"]),
        (changed(layout={"data": 4}), IntegrityError, ["it has no 'tensor'"]),
        (changed(layout={"data": 10**12, "tensor": 1, "pipeline": 1, "expert": 1}), IntegrityError, ["no grid"]),
        (changed(layout={"data": 4, "tensor": 2, "pipeline": 2, "expert": 3}), IntegrityError, ["no grid"]),
        (changed(layout={"data": True, "tensor": 1, "pipeline": 1, "expert": 1}), IntegrityError, ["'data' has True"]),
        (changed(weights=[]), IntegrityError, ["layout.json"]),
        (lambda data: {"format": 1}, IntegrityError, ["it has no 'layout'"]),
        (lambda data: [], IntegrityError, ["layout.json"]),
        (entry(shape=[-1]), IntegrityError, [NAME, "-1"]),
        (entry(dtype="object"), IntegrityError, [NAME, "'object'"]),
        (entry(split={"axis": 3, "fused": 1}), IntegrityError, [NAME, "cannot be cut along 3"]),
        (entry(split={"axis": 0, "fused": 5}), IntegrityError, [NAME, "cannot be cut"]),
        (entry(stages=[]), IntegrityError, [NAME, "stages ()"]),
        (entry(stages=[2]), IntegrityError, [NAME, "stages (2,)"]),
        (entry(expert=4), IntegrityError, [NAME, "expert axis"]),
        (entry(flat=1), IntegrityError, [NAME, "flat: 1"]),
    ],
)
def test_a_broken_layout_file(change, error, words, sharded):
    path = sharded / "layout.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(error) as caught:
        whole_tensors(sharded)
    assert type(caught.value) is error
    for word in [*words, "layout.json"]:
        assert word in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", '{"format": 1, "lay', "\x00\xff", "[" * 100_000])
def test_a_layout_file_that_is_cut_off(text, sharded):
    (sharded / "layout.json").write_text(text, encoding="latin-1")
    with pytest.raises(IntegrityError, match="does not say how the checkpoint is sharded"):
        whole_tensors(sharded)


def test_a_layout_file_that_is_cut_short(sharded):
    path = sharded / "layout.json"
    data = json.loads(path.read_text())
    del data["weights"][NAME]
    path.write_text(json.dumps(data))
    with pytest.raises(IntegrityError, match=r"has a 'transformer\.h\.0\.ln_1\.bias', which does not belong there"):
        whole_tensors(sharded)


def test_a_broken_model_in_the_whole_form(tmp_path):
    with pytest.raises(FileMissingError, match="there is no such folder"):
        whole_tensors(tmp_path / "nowhere")
    gpt2().save_pretrained(tmp_path / "model", shard_size=6000)
    index = tmp_path / "model/model.safetensors.index.json"
    data = json.loads(index.read_text())
    file = data["weight_map"][NAME]
    for text, word in (("{}", "weight_map"), ('{"weight_map": {"a": "../b.safetensors"}}', "files of the folder")):
        index.write_text(text)
        with pytest.raises(IntegrityError, match=word):
            whole_tensors(tmp_path / "model")
    index.write_text(json.dumps(data))
    lacking(tmp_path / "model" / file)
    with pytest.raises(IntegrityError, match=f"lacks '{NAME}'"):
        whole_tensors(tmp_path / "model")
    (tmp_path / "model" / file).unlink()
    with pytest.raises(FileMissingError, match=file):
        whole_tensors(tmp_path / "model")


def test_no_stream_gets_text_of_another():
    entry = ShardedTensor((4, 3), "float32", Split(0), (1,), 0)
    whole = np.zeros((4, 3), np.float32)
    layout = Layout(2, 2, 2, 2)
    assert shard_of(whole, entry, layout.at(4)).shape == (2, 3)
    for rank in (0, 6):  # of the first stage; with the other experts
        with pytest.raises(ArgumentError, match=f"the process {rank} has no piece"):
            shard_of(whole, entry, layout.at(rank))
    with pytest.raises(ArgumentError, match=r"\(4, 2\)"):
        shard_of(whole[:, :2], entry, layout.at(4))
