"""Compiled graphs on disk: other processes use them, nothing stale is ever used, and a damaged one does no harm."""

import os
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest

from mf_core import GPT2Config, GPT2LMHeadModel, set_seed
from mf_core.generation import graph_store

PROMPT = list(range(5, 14))

SCRIPT = """
    import sys
    from mf_core import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained("gpt2_tiny")
    print(model.generate(list(range(5, 14)), max_new_tokens=12, do_sample=False)[0])
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "graphs"


def make(**fields):
    set_seed(5)
    sizes = {"vocab_size": 120, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "seq_length": 64}
    return GPT2LMHeadModel(GPT2Config(**{**sizes, "initializer_range": 0.3, **fields}))


def generate(model):
    return model.generate(PROMPT, max_new_tokens=12, do_sample=False, eos_token_id=None)[0]


def uncached(monkeypatch, model):
    with monkeypatch.context() as patch:
        patch.setenv("MF_GRAPH_CACHE", "0")
        return generate(model)


def files(cache):
    return sorted(cache.iterdir()) if cache.exists() else []


def age(cache):
    """Make all files old; return how to ask which have been used since."""
    for path in files(cache):
        os.utime(path, (1e9, 1e9))
    return lambda: [path for path in files(cache) if path.stat().st_mtime > 1e9]


def script(code, **variables):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], text=True, env={**os.environ, **variables},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def test_another_process_uses_the_graphs_and_generates_the_same(cache):
    first = finish(script(SCRIPT))
    assert len(files(cache)) == 2, "one for the prompt, one for the steps"
    used = age(cache)
    assert finish(script(SCRIPT)) == first == finish(script(SCRIPT, MF_GRAPH_CACHE="0"))
    assert len(used()) == len(files(cache)) == 2


def test_processes_that_write_at_the_same_time_leave_whole_graphs(cache):
    first, second = [finish(process) for process in [script(SCRIPT), script(SCRIPT)]]
    assert first == second
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(graph_store.find(path.name.split(".")[0]) for path in files(cache))
    assert finish(script(SCRIPT)) == first


def test_the_graph_is_what_is_used(cache, monkeypatch):
    """A graph of another model, put under the name of the first one's, gives the other's tokens."""
    narrow, wide = make(layernorm_epsilon=1e-5), make(layernorm_epsilon=0.5)
    expected = generate(narrow)
    ours = set(files(cache))
    other = generate(wide)
    assert other != expected
    theirs = sorted(set(files(cache)) - ours, key=lambda path: path.stat().st_mtime)
    for mine, their in zip(sorted(ours, key=lambda path: path.stat().st_mtime), theirs, strict=True):
        graph_store.drop(key := mine.name.split(".")[0])
        graph_store.keep(key, their.read_bytes())
    assert generate(make(layernorm_epsilon=1e-5)) == other


def test_other_weights_use_the_graph_with_their_own_values(cache, monkeypatch):
    generate(make())
    used = age(cache)
    set_seed(6)
    other = make(initializer_range=0.3)
    for parameter in other.get_parameters():
        parameter.set_data(parameter + 0.01)
    expected = uncached(monkeypatch, make_like(other))
    assert generate(other) == expected
    assert len(used()) == len(files(cache)) == 2


def make_like(model):
    copy = make()
    for mine, theirs in zip(copy.get_parameters(), model.get_parameters(), strict=True):
        mine.set_data(theirs.value())
    return copy


@pytest.mark.parametrize(
    "fields", [{"layernorm_epsilon": 0.5}, {"hidden_act": "relu"}, {"num_layers": 3}, {"scale_attn_weights": False}]
)
def test_another_model_has_graphs_of_its_own(cache, monkeypatch, fields):
    generate(make())
    before = files(cache)
    assert generate(make(**fields)) == uncached(monkeypatch, make(**fields))
    assert len(files(cache)) == 4
    assert set(before) < set(files(cache))


def test_other_kernels_and_weight_types_have_graphs_of_their_own(cache, monkeypatch):
    generate(make())
    model = make()
    model.hold_weights("int8")
    generate(model)
    assert len(files(cache)) == 4
    monkeypatch.setenv("MF_KERNELS", "0")
    generate(make())
    assert len(files(cache)) == 6


def test_no_graph_is_used_once_a_function_has_been_replaced(cache, monkeypatch):
    from mf_core.nn import layers

    def never(layer, rows):
        return False

    before = generate(make())
    used = age(cache)
    monkeypatch.setattr(layers, "_can_fuse", never)
    assert generate(make()) == before
    assert not used()


def test_source_that_has_changed_is_another_graph(cache, tmp_path):
    code = """
        import mindspore as ms
        import scaled
        from mf_core import GPT2Config, set_seed

        set_seed(5)
        config = GPT2Config(vocab_size=120, hidden_size=32, num_layers=1, num_heads=4, seq_length=64)
        model = scaled.Model(config)
        print(model.generate([5, 6, 7], max_new_tokens=4, do_sample=False, eos_token_id=None)[0])
    """
    source = """
        from mf_core import GPT2LMHeadModel

        class Model(GPT2LMHeadModel):
            def decode(self, *inputs):
                return {sign}super().decode(*inputs)
    """

    def run(sign):
        (tmp_path / "scaled.py").write_text(textwrap.dedent(source.format(sign=sign)))
        os.utime(tmp_path / "scaled.py", (1e9, 1e9))
        return finish(script(code, PYTHONPATH=str(tmp_path), PYTHONDONTWRITEBYTECODE="1"))

    plus, minus = run("+"), run("-")
    assert plus != minus
    assert len(files(cache)) == 4
    assert (run("+"), run("-")) == (plus, minus)
    assert len(files(cache)) == 4


@pytest.mark.parametrize("harm", ["cut", "changed"])
def test_a_damaged_graph_is_told_of_and_compiled_anew(cache, harm):
    expected = generate(make())
    whole = {path.name: path.read_bytes() for path in files(cache)}
    for name, data in whole.items():
        (cache / name).write_bytes(data[: len(data) // 2] if harm == "cut" else b"?" + data[1:])
    with pytest.warns(UserWarning, match="is damaged; it is removed"):
        assert generate(make()) == expected
    assert {path.name.split(".")[0] for path in files(cache)} == {name.split(".")[0] for name in whole}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert generate(make()) == expected


def test_a_file_that_is_no_graph_is_told_of_and_compiled_anew(cache):
    expected = generate(make())
    for path in files(cache):
        key = path.name.split(".")[0]
        graph_store.drop(key)
        graph_store.keep(key, b"whole, and no graph")
    with pytest.warns(UserWarning, match="cannot be used"):
        assert generate(make()) == expected
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert generate(make()) == expected


def test_what_others_can_write_is_not_used(cache):
    expected = generate(make())
    used = age(cache)
    for path in files(cache):
        path.chmod(0o666)
    assert generate(make()) == expected
    assert not {path for path in used() if path.stat().st_mode & 0o022}


def test_it_can_be_turned_off_and_leaves_mindspores_own_alone(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("MF_GRAPH_CACHE", "0")
    generate(make())
    monkeypatch.delenv("MF_GRAPH_CACHE")
    monkeypatch.setenv("MS_COMPILER_CACHE_PATH", str(tmp_path / "theirs"))
    generate(make())
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_no_error(cache, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert len(generate(make())) == len(PROMPT) + 12


def test_a_model_that_holds_what_nobody_can_describe_is_not_kept(cache):
    model = make()
    model.helper = object()
    assert generate(model) == generate(make())
    model = make()
    model.helper = object()
    before = files(cache)
    generate(model)
    assert files(cache) == before


def test_nothing_is_left_beside_the_graphs(cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tmp").mkdir()
    finish(script(SCRIPT, TMPDIR=str(tmp_path / "tmp")))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["cache", "tmp"]
    assert not [path for path in (tmp_path / "tmp").iterdir() if path.name.startswith("mf-")]
    assert all(path.suffix == ".mindir" for path in files(cache))


def test_the_oldest_go_first(cache, monkeypatch):
    monkeypatch.setattr(graph_store, "MAX_FILES", 3)
    monkeypatch.setattr(graph_store, "MAX_BYTES", 100)
    for number in range(5):
        graph_store.keep(f"key{number}", b"x" * 10)
        for path in files(cache):
            os.utime(path, (path.stat().st_mtime - 10,) * 2)
    assert [path.name.split(".")[0] for path in files(cache)] == ["key2", "key3", "key4"]
    graph_store.keep("large", b"x" * 95)
    assert [path.name.split(".")[0] for path in files(cache)] == ["large"]
    assert np.array_equal(graph_store.find("large"), b"x" * 95)
