"""The wheels: built, installed into a clean environment, used from another folder."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from mf_core.plugins.published import as_json, declared

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
PROJECTS = {"mf_framework": ROOT, **{f"mf_{folder.name}": folder for folder in PLUGINS}}


def run(*command, cwd=None, **environment):
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=600,
        env={**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    for project in PROJECTS.values():
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=project)
    return {path.name.partition("-")[0]: path for path in folder.glob("*.whl")}


@pytest.fixture(scope="module")
def clean(wheels, tmp_path_factory):
    """An environment that has the wheels, and of this one's packages only the third parties'."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    site = next((folder / "venv").glob("lib/python*/site-packages"))
    run(
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, *wheels.values()
    )
    # Plain lines of a .pth file are folders to import from; their own .pth files, editable installs, are not followed.
    (site / "third_parties.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "venv/bin/python"


def test_wheels_hold_code_data_types_and_licences(wheels):
    names = {name: set(zipfile.ZipFile(path).namelist()) for name, path in wheels.items()}
    assert set(names) == set(PROJECTS)
    for name in ("mf_core/py.typed", "mf_core/cli/__init__.py", "mf_core/trainer/loop.py", "mf_core/tasks/__init__.py"):
        assert name in names["mf_framework"]
    assert any(name.endswith("licenses/LICENSE") for name in names["mf_framework"])
    listed = zipfile.ZipFile(wheels["mf_framework"]).read("mf_core/plugins/published.json").decode()
    assert listed == as_json(declared(ROOT / "plugins"))
    for name in (
        "mf_gpt2/py.typed", "mf_gpt2/data/vocab/vocab.json", "mf_gpt2/data/vocab/merges.txt",
        "mf_gpt2/data/tiny/model.safetensors", "mf_gpt2/data/tiny/vocab.json", "mf_gpt2/data/tiny/README.md",
    ):  # fmt: skip
        assert name in names["mf_gpt2"]
    for name in ("model.safetensors", "config.json", "vocab.model", "tokenizer_config.json", "README.md"):
        assert f"mf_pangualpha/data/tiny/{name}" in names["mf_pangualpha"]
    assert all(any(name.endswith("licenses/LICENSE") for name in parts) for parts in names.values())
    assert any(name.endswith("licenses/NOTICE") for name in names["mf_gpt2"])
    folders = {folder for parts in names.values() for name in parts for folder in name.split("/")[:2]}
    assert not folders & {"tests", "recipes"}  # deeper, the template has its own tests to write
    assert zipfile.ZipFile(wheels["mf_gpt2"]).getinfo("mf_gpt2/data/tiny/model.safetensors").file_size < 2_200_000


def test_a_wheel_made_of_the_source_distribution_lists_the_same(wheels, tmp_path):
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, cwd=ROOT)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    source = next((tmp_path / "source").iterdir())
    assert not (source / "plugins").exists()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=source)
    listed = "mf_core/plugins/published.json"
    made, direct = next(tmp_path.glob("*.whl")), wheels["mf_framework"]
    assert zipfile.ZipFile(made).read(listed) == zipfile.ZipFile(direct).read(listed)


def test_wheels_work_from_any_folder(clean, tmp_path):
    out = run(
        clean, "-c",
        "import mf_core, mf_gpt2, mf_cpu_backend\n"
        "print(mf_core.__file__, mf_gpt2.__file__, mf_cpu_backend.__file__)\n"
        "from mf_core import AutoTokenizer, pipeline\n"
        "print(AutoTokenizer.from_pretrained('gpt2')('hello!'))\n"
        "print(pipeline('text_generation', 'gpt2_tiny')('Once upon a time', max_new_tokens=5, seed=1))",
        cwd=tmp_path, HF_HUB_OFFLINE="1",
    )  # fmt: skip
    files = out.splitlines()
    paths = next(line for line in files if "__init__.py" in line)
    assert paths.count(str(clean.parents[1])) == 3
    assert "'input_ids': [50256, 31373, 0, 50256]" in out
    assert "Once upon a time" in out
    assert list(tmp_path.iterdir()) == []


def test_the_command_is_installed(clean, tmp_path):
    out = run(clean, "-c", "import sys; from mf_core.cli import main; sys.exit(main(['plugins']))", cwd=tmp_path)
    assert "mf-gpt2" in out
    scripts = list(clean.parents[1].rglob("bin/mf"))
    assert scripts


def test_shipped_vocabulary_is_the_original(wheels):
    import hashlib

    data = zipfile.ZipFile(wheels["mf_gpt2"])
    expected = {
        "vocab.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
        "merges.txt": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    }
    for name, digest in expected.items():
        assert hashlib.sha256(data.read(f"mf_gpt2/data/vocab/{name}")).hexdigest() == digest
