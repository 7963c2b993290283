"""The command ``mf`` as a user runs it: in a separate process."""

import json
import os
import subprocess
import sys

import pytest


def mf(*args, stdin="", **environment):
    """Run ``mf`` and return exit code, standard output and standard error."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from mf_core.cli import main; sys.exit(main())", *args],
        input=stdin, capture_output=True, text=True, timeout=300, env={**os.environ, **environment},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_generate_prints_the_story_and_who_served_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = mf("generate", "--model", "gpt2_tiny", "--seed", "7", "--max-length", "60", "Once upon a time")
    assert code == 0
    assert out.startswith("Once upon a time")
    assert "tokens/s" in err
    assert "gpt2_tiny, by mf-gpt2" in err
    assert "by mf-cpu-backend" in err
    assert "float32" in err
    assert os.listdir(tmp_path) == []
    again = mf("generate", "--seed", "7", "--max-length", "60", "--json", "-", stdin="Once upon a time")
    data = json.loads(again[1])
    assert data["text"] == out.rstrip("\n")
    assert data["tokens"] > 10
    assert data["model_plugin"].startswith("mf-gpt2 ")


def test_greedy_and_stop():
    code, out, _ = mf("generate", "--greedy", "--stop", ".", "Once upon a time")
    assert code == 0
    assert "." not in out


def test_several_texts_come_in_the_order_of_their_prompts(tmp_path):
    (tmp_path / "prompts.txt").write_text("In a\n\nOnce upon a time\n")
    options = ("generate", "--greedy", "--max-new-tokens", "8")
    lines = ("--lines", str(tmp_path / "prompts.txt"), "--batch-size", "2")
    code, out, err = mf(*options, "--json", "One morning", *lines)
    assert code == 0
    texts = json.loads(out)["texts"]
    assert [text[:8] for text in texts] == ["One morn", "In a" + texts[1][4:8], "Once upo"]
    code, out, err = mf(*options, "--prompt-lookup-num-tokens", "3", *lines)
    assert code == 0
    assert out == "\n\n".join(texts[1:]) + "\n"
    assert "2 texts in" in err
    assert "by mf-cpu-backend" in err
    assert mf(*options, texts[1][:4])[1] == texts[1] + "\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("generate", "--model", "gpt3_tiny", "x"), ("MF104", "gpt3_tiny", "gpt2_tiny")),
        (("generate", "--model", "./nowhere", "x"), ("MF301", "./nowhere")),
        (("generate", ""), ("MF202", "empty")),
        (("generate",), ("MF202", "nothing to continue")),
        (("generate", "--chat", "Hello!"), ("MF205", "no chat template")),
        (("generate", "--chat", "Hello!", "x"), ("MF202", "give one of them")),
        (("generate", "--system", "Be kind.", "x"), ("MF202", "--system is for --chat")),
        (("generate", "--lines", "nowhere.txt"), ("MF301", "nowhere.txt")),
        (("generate", "x", "y", "--batch-size", "0"), ("MF202", "--batch-size 0")),
        (("generate", "--top-p", "0", "x"), ("MF202", "--top-p 0.0 must be in (0, 1]", "try: --greedy")),
        (("generate", "--num-beams", "2", "--num-return-sequences", "3", "x"), ("--num-return-sequences 3 is more",)),
        (("generate", "--max-length", "9", "--max-new-tokens", "3", "x"), ("both --max-length 9 and --max-new",)),
        (("generate", "--logit-bias", "[1]", "x"), ("--logit-bias [1]", "a dict from ids to floats")),
        (("generate", "--backend", "ascend", "x"), ("MF401", "/dev/davinci", "mf doctor --backend ascend")),
        (("generate", "--model", "gpt2_13b", "x"), ("MF301", "gpt2_13b", "MF_MODELS")),
    ],
)
def test_a_users_mistake_is_reported_without_a_stack_trace(args, words):
    code, out, err = mf(*args)
    assert code == 2
    assert out == ""
    assert err.startswith("mf: ")
    for word in words:
        assert word in err
    assert "Traceback" not in err


def test_usage():
    assert mf()[0] == 2
    assert mf("nonsense")[0] == 2
    code, out, _ = mf("--version")
    assert code == 0
    assert out.strip()[0].isdigit()


def test_models_lists_presets():
    code, out, _ = mf("models")
    assert code == 0
    for name in ("gpt2", "gpt2_medium", "gpt2_large", "gpt2_xl", "gpt2_13b", "gpt2_tiny"):
        assert any(name in line.split()[:2] for line in out.splitlines())
    rows = json.loads(mf("models", "--json")[1])
    tiny = next(row for row in rows if row["name"] == "gpt2_tiny")
    assert tiny["distribution"] == "mf-gpt2"
    assert tiny["license"] == "Apache-2.0"


def test_plugins_lists_states():
    rows = {row["distribution"]: row for row in json.loads(mf("plugins", "--json", MF_PLUGINS_BLOCK="gpt2")[1])}
    assert rows["mf-cpu-backend"]["state"] == "loaded"
    assert rows["mf-gpt2"]["state"] == "blocked"
    code, out, _ = mf("plugins", "--verbose")
    assert code == 0
    assert "mf-gpt2:gpt2 (mf_gpt2.plugin)" in out


def test_plugin_settings_are_warned_of_in_plain_words():
    code, _, err = mf("models", MF_PLUGINS="gpt3")
    assert code == 0
    assert err.startswith("mf: warning: ")
    assert "MF_PLUGINS names 'gpt3'" in err
    assert "did you mean 'gpt2'" in err


def test_doctor_finds_nothing_here_and_something_where_it_is():
    code, out, _ = mf("doctor")
    assert code == 0
    assert "backend cpu" in out
    findings = json.loads(mf("doctor", "--json")[1])
    assert {finding["level"] for finding in findings} <= {"ok", "warning"}
    code, out, _ = mf("doctor", MF_PLUGINS="")
    assert code == 1
    assert "pip install mf-cpu-backend" in out
    code, out, _ = mf("doctor", "--backend", "ascend")
    assert code == 1
    assert "/dev/davinci" in out
    code, out, _ = mf("doctor", "--backend", "cpu", MF_KERNELS="0")
    assert code == 0
    for piece in ("mindspore: 2.10.", "numpy: 1.", "threads: ", "fused kernels: off, by MF_KERNELS=0", "backend cpu: "):
        assert f"ok      {piece}" in out
    code, out, _ = mf("doctor", "--backend", "abacus")
    assert code == 1
    assert out.startswith("error   backend abacus: ")


def test_env_says_versions_and_settings():
    data = json.loads(mf("env", "--json", MF_NUM_THREADS="1")[1])
    assert data["packages"]["mindspore"].startswith("2.")
    assert data["variables"]["MF_NUM_THREADS"] == "1"
    assert "mf-gpt2:gpt2" in data["plugins"]


def test_a_reader_that_leaves_early_is_no_error():
    code = subprocess.run(
        f"{sys.executable} -c 'import sys; from mf_core.cli import main; sys.exit(main())' env | head -1; "
        "exit ${PIPESTATUS[0]}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert code.returncode == 0
    assert "Traceback" not in code.stderr
