"""Wheels: building one from a project's sources, and the files that a distribution's users get."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import importlib_metadata

from ...errors import NotInstalledError, PluginError

_BUILD = """
import importlib, os, sys
os.chdir(sys.argv[1])
sys.path[:0] = [os.path.abspath(path) for path in sys.argv[4:]]
module, _, attribute = sys.argv[3].partition(":")
backend = importlib.import_module(module)
for name in filter(None, attribute.split(".")):
    backend = getattr(backend, name)
print("\\n" + backend.build_wheel(sys.argv[2]))
"""


def build_wheel(project: Path, folder: Path) -> Path:
    """Build a project's wheel into ``folder`` and return it, with the build backend that is installed here.

    Args:
        project: The folder that holds ``pyproject.toml``.
        folder: Made if need be.

    Raises:
        NotInstalledError: The backend is not installed.
        PluginError: It cannot build the project.
    """
    backend, paths = _backend_of(project)
    top = backend.partition(":")[0].partition(".")[0]
    if not paths and importlib.util.find_spec(top) is None:
        raise NotInstalledError(
            f"{project.name} is built with {top!r}, which is not installed", value=top, hint=f"pip install {top}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", _BUILD, str(project), str(folder.resolve()), backend, *paths]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise PluginError(
            f"the wheel of {project.name} cannot be built", value=str(project), why=last[0],
            hint=f"python -m pip wheel --no-deps {project}",
        )  # fmt: skip
    return folder / done.stdout.strip().splitlines()[-1]


def _backend_of(project: Path) -> tuple[str, list[str]]:
    """Return the project's build backend and where it is to be found beside what is installed (PEP 517)."""
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")  # which pytest brings
    try:
        table = toml.loads((project / "pyproject.toml").read_text(encoding="utf-8")).get("build-system", {})
    except FileNotFoundError:
        table = {}
    except ValueError as error:
        raise PluginError(f"{project / 'pyproject.toml'} is no TOML", value=str(project), why=str(error)) from error
    return table.get("build-backend", "setuptools.build_meta:__legacy__"), table.get("backend-path", [])


@functools.cache
def wheel_files(distribution: str, location: str) -> frozenset[str]:
    """Return the files that users of a distribution get, ``mf_gpt2/plugin.py``.

    Of an editable install, those of the wheel that its sources build now; of another, those that its record names.

    Args:
        distribution: Its name.
        location: As :class:`mf_core.plugins.PluginRecord` has it.

    Raises:
        NotInstalledError, PluginError: The wheel cannot be built here.
    """
    project = Path(location)
    if (project / "pyproject.toml").is_file() or (project / "setup.py").is_file():
        with (
            tempfile.TemporaryDirectory(prefix="mf-wheel-") as folder,
            zipfile.ZipFile(build_wheel(project, Path(folder))) as wheel,
        ):
            return frozenset(wheel.namelist())
    files = importlib_metadata.distribution(distribution).files
    if files is None:
        raise PluginError(f"{distribution} has no record of its files", value=distribution, hint="install it again")
    return frozenset(str(file).replace("\\", "/") for file in files)
