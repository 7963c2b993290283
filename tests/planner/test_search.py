"""``mf plan``: the layouts of a model on so many devices, from its configuration alone."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mindspore import nn

from mf_core import AutoConfig, GPT2Config, GPT2LMHeadModel, PanguAlphaConfig, PanguAlphaHeadModel
from mf_core.cli import main
from mf_core.errors import ArgumentError
from mf_core.nn import skip_init
from mf_core.parallel import ParallelConfig
from mf_core.planner.meta_model import build_meta_model

TINY = ("--model", "gpt2_tiny", "--dtype", "fp32")  # 4 layers, 4 heads


def plan(capsys, *options):
    """Run ``mf plan --json``; return its exit code and what it printed."""
    code = main(["plan", *options, "--json"])
    return code, json.loads(capsys.readouterr().out)


def grid(layout):
    return layout["data_parallel"], layout["model_parallel"], layout["pipeline_stage"]


def by_grid(data):
    return {grid(layout): layout for layout in data["layouts"]}


def made(model_class, config):
    with skip_init():
        return model_class(config.replace(compute_dtype="float32"))


# Shapes without weights -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, published",
    [("gpt2", 124_439_808), ("gpt2_medium", 354_823_168), ("gpt2_large", 774_030_080), ("gpt2_xl", 1_557_611_200)],
)
def test_the_sizes_are_the_published_ones(name, published):
    assert build_meta_model(GPT2LMHeadModel, AutoConfig.from_pretrained(name)).num_parameters == published


@pytest.mark.parametrize(
    "model_class, config",
    [
        (GPT2LMHeadModel, GPT2Config()),
        (GPT2LMHeadModel, GPT2Config(num_layers=1, hidden_size=64, num_heads=4)),
        (PanguAlphaHeadModel, PanguAlphaConfig(num_layers=9, hidden_size=64, ffn_hidden_size=96, num_heads=4)),
        (PanguAlphaHeadModel, PanguAlphaConfig(num_layers=5, hidden_size=32, num_heads=4, use_moe=True, expert_num=3)),
    ],
)
def test_an_outline_has_the_names_and_shapes_of_the_model_in_its_order(model_class, config):
    real = made(model_class, config)
    found = build_meta_model(model_class, config)
    assert list(found.shapes.items()) == [(name, tuple(p.shape)) for name, p in real.parameters_and_names()]
    assert len(found.blocks) == len(real.blocks) and found.cache_shape == real.cache_shape


class Alternating(GPT2LMHeadModel):
    """Every other layer has a norm more."""

    def __init__(self, config):
        super().__init__(config)
        for layer in self.blocks[::2]:
            layer.extra = nn.LayerNorm((config.hidden_size,))


def test_layers_that_are_not_alike_are_not_taken_for_alike():
    config = GPT2Config(num_layers=7, hidden_size=32, num_heads=4)
    real = made(Alternating, config)
    expected = {name: tuple(p.shape) for name, p in real.parameters_and_names()}
    assert build_meta_model(Alternating, config).shapes == expected


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory by Linux's means")
def test_a_model_of_13_billion_weights_takes_little_memory_to_plan():
    code = (
        "from mf_core.cli import main; from pathlib import Path; "
        "assert main(['plan', '--model', 'pangualpha_13b', '--devices', '64', '--device-memory', '64GB', "
        "'--batch-size', '8']) == 0; print(Path('/proc/self/status').read_text())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "12,800,870,400 parameters in 40 layers" in done.stdout
    peak = re.search(r"VmHWM:\s+(\d+) kB", done.stdout)
    assert int(peak[1]) * 1024 < 500e6


# Layouts --------------------------------------------------------------------------------------------------------------


def test_the_layouts_are_those_that_the_model_allows(capsys):
    _, data = plan(capsys, *TINY, "--devices", "8", "--batch-size", "8")
    model = made(GPT2LMHeadModel, AutoConfig.from_pretrained("gpt2_tiny"))
    allowed = set()
    for tensor in (1, 2, 4, 8):
        for pipeline in (1, 2, 4, 8):
            if 8 % (tensor * pipeline) == 0:
                numbers = 8 // (tensor * pipeline), tensor, pipeline
                config = ParallelConfig(
                    **dict(zip(("data_parallel", "model_parallel", "pipeline_stage"), numbers, strict=True)),
                    micro_batch_num=8,
                )
                try:
                    config.check(model, 8)
                except ArgumentError:
                    continue
                allowed.add(numbers)
    assert set(by_grid(data)) == allowed and (1, 8, 1) not in allowed
    refused = {grid(item): item["why"] for item in data["not_allowed"]}
    assert refused.keys().isdisjoint(allowed) and "4 attention heads" in refused[1, 8, 1]
    assert all(ParallelConfig(**{k: v for k, v in item.items() if k in ParallelConfig.model_fields}).device_num == 8
               for item in data["layouts"])  # fmt: skip


def test_the_best_come_first_and_what_does_not_fit_last(capsys):
    options = (*TINY, "--devices", "8", "--batch-size", "8")
    _, data = plan(capsys, *options)
    totals = sorted(layout["memory"]["total"] for layout in data["layouts"])
    middle = totals[len(totals) // 2]
    code, data = plan(capsys, *options, "--device-memory", f"{middle / 1e9:.9f}GB")
    order = [(layout["fits"], layout["tokens_per_second"]) for layout in data["layouts"]]
    assert code == 0 and order == sorted(order, reverse=True)
    assert {fits for fits, _ in order} == {True, False}
    assert all(item["fits"] == (item["memory"]["total"] <= middle) for item in data["layouts"])


def test_what_fits_no_device_is_never_first(capsys):
    _, data = plan(capsys, "--model", "pangualpha_13b", "--devices", "64", "--batch-size", "8")
    too_large = [layout["memory"]["total"] > 64 * 2**30 for layout in data["layouts"]]
    assert too_large == sorted(too_large) and set(too_large) == {True, False}
    assert max(data["layouts"], key=lambda layout: layout["tokens_per_second"])["memory"]["total"] > 64 * 2**30
    main(["plan", "--model", "pangualpha_13b", "--devices", "64", "--batch-size", "8"])
    assert "take more than any device has (64 GiB)" in capsys.readouterr().out


def test_nothing_fits(capsys):
    assert main(["plan", *TINY, "--devices", "2", "--batch-size", "2", "--device-memory", "1MB"]) == 1
    said = capsys.readouterr().out
    assert "None fits: the least, " in said and "--recompute" in said


def test_people_see_a_table_that_fits_their_question(capsys):
    assert main(["plan", *TINY, "--devices", "4", "--batch-size", "4", "--device-memory", "8GB", "--all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    header = next(line for line in lines if line.startswith("DATA"))
    assert {"TENSOR", "STAGES", "WEIGHTS", "ACTIVATIONS", "TOTAL", "BUBBLE", "TOKENS/S", "FITS"} <= set(header.split())
    rows = [line.split() for line in lines[lines.index(header) + 1 :] if re.match(r"\d+ +\d+ +\d+ ", line)]
    assert len(rows) == 6 and all(math.prod(map(int, row[:3])) == 4 for row in rows)
    assert any("100 T operations a second" in line for line in lines)


# What a layout takes --------------------------------------------------------------------------------------------------


def test_weights_and_states_are_divided_as_the_plan_divides_them(capsys):
    _, data = plan(capsys, *TINY, "--devices", "4", "--batch-size", "4", "--optimizer-shard", "both")
    whole = made(GPT2LMHeadModel, AutoConfig.from_pretrained("gpt2_tiny"))
    sizes = {name: math.prod(p.shape) for name, p in whole.parameters_and_names()}
    plain = {grid(item): item for item in data["layouts"] if not item["optimizer_shard"]}
    shards = {grid(item): item for item in data["layouts"] if item["optimizer_shard"]}
    assert plain[4, 1, 1]["memory"]["weights"] == 4 * sum(sizes.values())
    split = sum(
        size for name, size in sizes.items()
        if (name.endswith(".weight") and ".c_" in name) or name.endswith(("c_attn.bias", "c_fc.bias"))
    )  # fmt: skip
    assert plain[1, 4, 1]["memory"]["weights"] == 4 * (sum(sizes.values()) - split + split // 4)
    assert plain[4, 1, 1]["memory"]["optimizer"] == 2 * plain[4, 1, 1]["memory"]["weights"]
    # A quarter of each state, and of the weights that are updated.
    assert shards[4, 1, 1]["memory"]["optimizer"] == plain[4, 1, 1]["memory"]["optimizer"] * 3 // 8
    assert (1, 4, 1) not in shards


def test_what_lowers_activations(capsys):
    options = ("--model", "gpt2", "--devices", "8", "--batch-size", "8", "--set", "hidden_dropout_rate=0",
               "--set", "attention_dropout_rate=0", "--set", "embedding_dropout_prob=0")  # fmt: skip

    def activations(numbers, *more):
        return by_grid(plan(capsys, *options, *more)[1])[numbers]["memory"]["activations"]

    copies = activations((8, 1, 1))
    assert activations((8, 1, 1), "--select-recompute") < copies
    assert activations((8, 1, 1), "--recompute") < activations((8, 1, 1), "--select-recompute")
    assert activations((2, 4, 1), "--seq-parallel") < activations((2, 4, 1)) < copies
    assert activations((2, 1, 4)) < copies / 4  # a stage has a quarter of the layers, and one row at a time
    assert activations((8, 1, 1), "--dtype", "fp32") > copies


def test_what_is_sent(capsys):
    _, data = plan(capsys, "--model", "gpt2", "--devices", "4", "--batch-size", "8", "--optimizer-shard", "both")
    sent = {(*grid(item), item["optimizer_shard"]): item["sent"] for item in data["layouts"]}
    gradients, hidden = 4 * 124_439_808, 2 * 8 * 1024 * 768
    assert sent[4, 1, 1, False] == {
        "gradients": gradients * 3 // 2, "tensor": 0, "pipeline": 0, "optimizer": 0, "total": gradients * 3 // 2,
    }  # fmt: skip
    assert sent[4, 1, 1, True]["gradients"] == sent[4, 1, 1, True]["optimizer"] == gradients * 3 // 4
    # Four sums for each of 12 layers, of which each device sends 2 * 3 / 4.
    assert sent[1, 4, 1, False]["tensor"] == 12 * 4 * hidden * 3 // 2
    # The first stage gives hidden states to the second, and shares the tied embedding's gradient with the last.
    assert sent[1, 1, 4, False] == {
        "gradients": 4 * 50257 * 768, "tensor": 0, "pipeline": hidden, "optimizer": 0,
        "total": 4 * 50257 * 768 + hidden,
    }  # fmt: skip


def test_stages_wait_for_each_other(capsys):
    _, data = plan(capsys, "--model", "gpt2", "--devices", "4", "--batch-size", "12", "--micro-batches", "6")
    found = by_grid(data)
    assert found[1, 1, 4]["bubble"] == pytest.approx(3 / (6 + 3))
    assert found[4, 1, 1]["bubble"] == 0
    _, data = plan(capsys, "--model", "gpt2", "--devices", "4", "--batch-size", "12")  # a row each
    assert by_grid(data)[1, 1, 4]["bubble"] == pytest.approx(3 / (12 + 3))


def test_rows_of_all_copies_together(capsys):
    _, data = plan(capsys, *TINY, "--devices", "4", "--global-batch-size", "8")
    assert {item["tokens"] for item in data["layouts"]} == {8 * 256}
    assert by_grid(data)[1, 1, 4]["micro_batch_num"] == 8
    _, data = plan(capsys, *TINY, "--devices", "4", "--global-batch-size", "6")
    assert "6 rows cannot be split over data_parallel=4" in {grid(i): i["why"] for i in data["not_allowed"]}[4, 1, 1]


# Mistakes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, said",
    [
        (("--model", "gpt2", "--devices", "4", "--device-memory", "64 apples"), "--device-memory '64 apples'"),
        (("--model", "gpt2", "--devices", "0"), "--devices 0 is not a positive number"),
        (("--model", "gpt2", "--devices", "4", "--seq-length", "2048"), "--set seq_length=2048"),
        (("--model", "gpt2", "--devices", "4", "--flops", "fast"), "--flops 'fast'"),
        (("--model", "gtp2", "--devices", "4"), "did you mean 'gpt2'"),
        (("--model", "gpt2", "--devices", "4", "--set", "hidden=7"), "hidden"),
    ],
)
def test_mistakes_are_named(capsys, options, said):
    assert main(["plan", *options]) == 2
    assert said in capsys.readouterr().err
