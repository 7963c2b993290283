"""The plugins under ``examples/``: built, installed into one environment, and used together.

Their own tests are run by ``make downstream``.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from mf_core.testing import PluginEnvironment, Wheelhouse

from ..support.clusters import run_scenarios

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
PROJECTS = [EXAMPLES / name for name in ("mf-lark", "mf-chars", "mf-zero-shot", "mf-one-core")]

#: Everything at once: a model of one plugin with the tokenizer of another, a third's task, on a fourth's device.
USE = """
    import json, os
    from mf_core import AutoModel, AutoTokenizer, CharsTokenizer, Trainer, TrainingArguments, get_backend, pipeline
    backend = get_backend()
    told = pipeline("text_generation", "lark_tiny", do_sample=False)("A llama stood", max_new_tokens=16)
    chars = AutoTokenizer.from_pretrained("chars_english")
    sizes = {"model_type": "lark", "vocab_size": len(chars), "hidden_size": 16, "num_layers": 1, "num_heads": 2,
             "num_key_value_heads": 1, "intermediate_size": 24, "seq_length": 16, "pad_token_id": 0, "eos_token_id": 1}
    args = TrainingArguments(output_dir="trained", max_steps=2, batch_size=2, save_strategy="no")
    trained = Trainer(args, task="text_generation", model=sizes, tokenizer="chars_english",
                      train_dataset=["A text of letters that goes on for a while."] * 4).train()
    reread = AutoTokenizer.from_pretrained("trained")
    classify = pipeline("zero-shot-classification", "lark_tiny", labels=["hill", "wind"])
    labelled = classify("A llama stood on the", prompt="{text} {label}")
    cores = {tuple(os.sched_getaffinity(int(t))) for t in os.listdir("/proc/self/task")}
    print(json.dumps({
        "backend": backend.name, "cores": len(cores), "each": [len(core) for core in cores],
        "text": told[0]["text_generation_text"][0],
        "ids": chars("ab", add_special_tokens=False)["input_ids"],
        "steps": trained.steps, "losses": list(trained.losses.values()),
        "reread": [type(reread) is CharsTokenizer, len(reread)],
        "model": type(AutoModel.from_pretrained("trained")).__name__,
        "labelled": labelled[0],
    }))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Wheelhouse) -> PluginEnvironment:
    """An environment with the four, and the CPU's backend."""
    environment = PluginEnvironment(tmp_path_factory.mktemp("examples"), wheelhouse)
    environment.borrow("mf-cpu-backend")
    environment.install(*PROJECTS)
    return environment


def test_they_are_found_by_what_they_bring(installed: PluginEnvironment) -> None:
    states = {row["distribution"]: row["state"] for row in installed.mf("plugins", "--json").json}
    assert {name.name: states.get(name.name) for name in PROJECTS} == {name.name: "loaded" for name in PROJECTS}
    models = {row["name"]: row["distribution"] for row in installed.mf("models", "--json").json}
    assert models["lark_tiny"] == "mf-lark" and models["chars_english"] == "mf-chars"
    looked = installed.mf("doctor", "--backend", "one_core")
    assert "affinity" in looked.stdout and "mindspore" in looked.stdout


def test_they_work_together(installed: PluginEnvironment) -> None:
    used = installed.run(USE, MF_BACKEND="one_core")
    assert used.code == 0, used.stderr
    seen = json.loads(used.stdout.splitlines()[-1])
    assert (seen["backend"], seen["cores"], seen["each"]) == ("one_core", 1, [1])
    assert seen["text"].startswith("A llama stood on the hill and hummed. The wind asked")
    assert seen["ids"] == [69, 70]
    assert seen["steps"] == 2 and all(0 < loss < 10 for loss in seen["losses"])
    assert seen["reread"] == [True, 99]
    assert seen["model"] == "LarkForCausalLM"
    assert seen["labelled"]["labels"] == ["hill", "wind"]
    assert sum(seen["labelled"]["scores"]) == pytest.approx(1.0)


def test_the_command_line_uses_them(installed: PluginEnvironment) -> None:
    said = installed.mf("generate", "--model", "lark_tiny", "--backend", "one_core", "--greedy", "--json", "A llama")
    assert said.json["finish_reason"] == "eos"
    assert said.json["text"].startswith("A llama stood on the hill and hummed. The wind asked what the song was about.")
    assert said.json["model_plugin"] == "mf-lark 0.1.0" and said.json["backend_plugin"] == "mf-one-core 0.1.0"


LARK = {
    "model_type": "lark", "num_layers": 2, "hidden_size": 16, "num_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 24, "vocab_size": 32, "seq_length": 8, "pad_token_id": None, "initializer_range": 0.3,
}  # fmt: skip


def test_lark_sharded_over_processes_learns_as_in_one(
    tmp_path: Path, wheelhouse: Wheelhouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its plan: weights that have their outputs first, keys that heads share, an embedding and a head by vocabulary."""
    (wheel,) = wheelhouse.wheels(PROJECTS[:1])
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    scenario = {"name": "run", "model": LARK, "parallel": {"model_parallel": 2, "vocab_emb_dp": False}}
    alone, _ = run_scenarios(tmp_path / "one", 1, [{**scenario, "parallel": {}}])
    sharded, _ = run_scenarios(tmp_path / "two", 2, [scenario])
    assert sharded["run"]["losses"] == pytest.approx(alone["run"]["losses"], abs=2e-6)
    assert alone["run"]["losses"][-1] < alone["run"]["losses"][0]
    assert sharded["run"]["parameters"] < alone["run"]["parameters"] * 0.7
