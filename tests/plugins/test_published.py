"""The project's plugins are listed by their own sources alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mf_core.errors import NotRegisteredError
from mf_core.plugins.published import FILE, Published, _from_dict, as_json, declared, published, published_by
from mf_core.plugins.registry import Registry

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name, package",
    [
        ("gpt2", "mf-gpt2"),
        ("gpt2_13b", "mf-gpt2"),
        ("GPT2-13B", "mf-gpt2"),
        ("GPT2LMHeadModel", "mf-gpt2"),
        ("PanguAlphaConfig", "mf-pangualpha"),
        ("pangu-alpha", "mf-pangualpha"),
        ("mf-other:pangualpha_13b", "mf-pangualpha"),
        ("pangualpha_2_6_b", "mf-pangualpha"),
        ("ascend", "mf-ascend-backend"),
        ("Ascend", "mf-ascend-backend"),
        ("cpu", "mf-cpu-backend"),
        ("gpt2_foo", None),
        ("gpt2000", None),
        ("cpuid", None),
        ("gpt", None),
        ("mamba", None),
        ("", None),
    ],
)
def test_published_by(name: str, package: str | None) -> None:
    assert published_by(name) == package


def test_a_name_that_only_begins_like_a_family_is_unknown() -> None:
    with pytest.raises(NotRegisteredError) as caught:
        Registry([]).find("preset", "gpt2_foo")
    assert "mf-gpt2" not in str(caught.value)


def test_the_list_is_what_the_sources_declare() -> None:
    assert not FILE.exists()  # it is written into distributions alone
    folders = {f"mf-{path.parent.name.replace('_', '-')}" for path in ROOT.glob("plugins/*/pyproject.toml")}
    assert set(published()) == folders
    gpt2 = published()["mf-gpt2"]
    assert gpt2.families == ("gpt2",) and "GPT2Tokenizer" in gpt2.classes
    assert {preset.name for preset in gpt2.presets} >= {"gpt2", "gpt2_xl", "gpt2_tiny"}
    assert all(preset.parameters for preset in gpt2.presets)


def test_the_file_holds_all_of_it() -> None:
    data = json.loads(as_json(published()))
    assert {name: _from_dict(item) for name, item in data.items()} == dict(published())


def test_the_list_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        published()["mf-mamba"] = Published("mf-mamba", "")  # type: ignore[index]


def test_a_new_plugin_is_listed_by_its_folder_alone(tmp_path: Path) -> None:
    code = tmp_path / "mamba" / "src" / "mf_mamba"
    code.mkdir(parents=True)
    (tmp_path / "mamba" / "pyproject.toml").write_text(
        '[project]\nname = "mf-mamba"\ndescription = "Mamba"\n[project.entry-points."mf_core.v1"]\n'
        'mamba = "mf_mamba.plugin"\n'
    )
    (code / "__init__.py").write_text("raise RuntimeError('not needed')")
    (code / "presets.py").write_text(
        "from mf_core.specs import Preset\nPRESETS = (Preset(name='mamba_130m', parameters=130_000_000),)"
    )
    (code / "plugin.py").write_text(
        "from mf_core.hookspecs import hookimpl\nfrom mf_core.specs import ConfigSpec\nfrom .presets import PRESETS\n"
        "@hookimpl\ndef mf_configs():\n"
        "    return [ConfigSpec(model_type='mamba', target='mf_mamba.config:MambaConfig', presets=PRESETS)]\n"
    )
    plugin = declared(tmp_path)["mf-mamba"]
    assert (plugin.families, plugin.classes) == (("mamba",), ("MambaConfig",))
    assert [preset.name for preset in plugin.presets] == ["mamba_130m"]
    assert not [name for name in sys.modules if "mamba" in name]


def test_the_makefile_takes_what_is_there() -> None:
    done = subprocess.run(
        ["make", "-n", "wheels", "lock"], cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for path in ROOT.glob("plugins/*/pyproject.toml"):
        assert done.stdout.count(f"./plugins/{path.parent.name}") >= 2
