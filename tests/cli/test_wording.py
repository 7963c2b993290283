"""Hints are in the words of the command that was typed."""

import argparse

import pytest

from mf_core import cli
from mf_core.cli.wording import reworded


@pytest.mark.parametrize(
    "hint, expected",
    [
        ("pass max_new_tokens=8, or less", "pass --max-new-tokens 8, or less"),
        ("replace it with overwrite=True", "replace it with --overwrite"),
        ("resume_training=True goes on", "--resume goes on"),
        ("set device='cpu'", "set --set device=cpu"),
        ("MF_PREFER=mf-gpt2 settles it", "MF_PREFER=mf-gpt2 settles it"),
        ("Trainer(model='a', pet_method='lora') or `f(max_new_tokens=1)`",
         "Trainer(model='a', pet_method='lora') or `f(max_new_tokens=1)`"),
        ("a.max_new_tokens=1", "a.max_new_tokens=1"),
    ],
)  # fmt: skip
def test_arguments_become_options(hint, expected):
    parser = argparse.ArgumentParser()
    parser.add_argument("--max-new-tokens", type=int)
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--set", action="append")
    assert reworded(hint, parser) == expected


def test_an_error_of_a_command_names_its_options(tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "a.ckpt").write_bytes(b"")
    code = cli.main(["convert", str(tmp_path / "a.ckpt"), "--model", "gpt2_tiny", "--output", str(tmp_path)])
    said = capsys.readouterr().err
    assert code == 2 and "--overwrite" in said and "overwrite=" not in said
