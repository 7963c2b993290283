"""Environments with real plugin distributions in them: wheels that are built, installed and run.

An environment is a separate virtual environment that sees the core, what the core requires, and the plugins that a
test puts there, and nothing else of the interpreter that runs the tests.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import subprocess
import venv
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import importlib_metadata

from .wheels import build_wheel

MF = "import sys; from mf_core.cli import main; sys.argv[0] = 'mf'; sys.exit(main())"
#: What a plugin's module begins with, unless it is given whole.
PROLOGUE = "from mf_core.hookspecs import hookimpl\nfrom mf_core.specs import *\n\n"


@dataclass(frozen=True)
class Plugin:
    """The sources of a plugin distribution, as text.

    Attributes:
        name: The distribution, ``"mf-broken"``; its package is ``mf_broken``, its entry point ``broken``.
        body: What ``plugin.py`` holds after the imports of ``hookimpl`` and the specs.
        version: The distribution's version.
        modules: Further modules of the package: name -> text.
        entry_points: Group -> entry-point name -> module.
        requires: What the distribution depends on, ``("mf-framework>=0.1",)``.
    """

    name: str
    body: str
    version: str = "1.0"
    modules: Mapping[str, str] = field(default_factory=dict)
    entry_points: Mapping[str, Mapping[str, str]] | None = None
    requires: tuple[str, ...] = ()

    @property
    def package(self) -> str:
        """The package's name."""
        return self.name.replace("-", "_")

    def files(self) -> dict[str, str]:
        """Return the project's files: path -> text."""
        default = {"mf_core.v1": {self.name.removeprefix("mf-"): f"{self.package}.plugin"}}
        tables = "".join(
            f'\n[project.entry-points."{group}"]\n' + "".join(f"{key} = {value!r}\n" for key, value in entries.items())
            for group, entries in (default if self.entry_points is None else self.entry_points).items()
        )
        project = f"""
            [build-system]
            requires = ["hatchling"]
            build-backend = "hatchling.build"
            [project]
            name = "{self.name}"
            version = "{self.version}"
            dependencies = {list(self.requires)!r}
            [tool.hatch.build]
            dev-mode-dirs = ["src"]
            [tool.hatch.build.targets.wheel]
            packages = ["src/{self.package}"]
        """
        modules = {"__init__": "", "plugin": PROLOGUE + dedent(self.body), **self.modules}
        return {
            "pyproject.toml": dedent(project) + tables,
            **{f"src/{self.package}/{name}.py": dedent(text) for name, text in modules.items()},
        }

    def write(self, folder: Path) -> Path:
        """Write the project into ``folder`` and return it."""
        for name, text in self.files().items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return folder


@dataclass(frozen=True)
class Result:
    """What a process left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output, read as JSON; the process must have ended well."""
        assert self.code == 0, self.stderr
        return json.loads(self.stdout)


class Wheelhouse:
    """Builds wheels into a folder, each once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._built: dict[Path, Path] = {}

    def wheels(self, plugins: Iterable[Plugin | Path]) -> list[Path]:
        """Return the wheels of plugins, or of projects in folders."""
        return [self._wheel(plugin) for plugin in plugins]

    def _wheel(self, plugin: Plugin | Path) -> Path:
        if isinstance(plugin, Plugin):
            digest = hashlib.sha256(json.dumps(plugin.files()).encode()).hexdigest()[:16]
            source = self.folder / f"{digest}.src"
        else:
            source = plugin.resolve()
            digest = hashlib.sha256(str(source).encode()).hexdigest()[:16]
        if source not in self._built:
            if isinstance(plugin, Plugin):
                plugin.write(source)
            self._built[source] = build_wheel(source, self.folder / digest)
        return self._built[source]


class PluginEnvironment:
    """A virtual environment with the core, and the plugins that are installed into it.

    Attributes:
        python: Its interpreter.
        home: The folder that its processes start in, and take for the user's.
        site_packages: Where its packages are.
    """

    def __init__(self, folder: Path, wheelhouse: Wheelhouse) -> None:
        self.folder = folder
        self.wheelhouse = wheelhouse
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        venv.create(folder / "venv", symlinks=True)
        self.python = folder / "venv" / "bin" / "python"
        (self.site_packages,) = (folder / "venv" / "lib").glob("python3*/site-packages")
        self.borrow("mf-framework")

    def borrow(self, *distributions: str) -> None:
        """Make distributions that the tests run with, and all that they require, visible in the environment."""
        for name in distributions:
            for path in _files_of(name):
                link = self.site_packages / path.name
                if not link.exists():
                    link.symlink_to(path)

    def install(self, *plugins: Plugin | Path) -> None:
        """Install plugins, or projects in folders, from wheels, as an installer does: unpacked, with ``INSTALLER``."""
        for path in self.wheelhouse.wheels(plugins):
            with zipfile.ZipFile(path) as wheel:
                wheel.extractall(self.site_packages)
                metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
            (self.site_packages / metadata).with_name("INSTALLER").write_text("tests\n")

    def install_editable(self, plugin: Plugin) -> Path:
        """Install the plugin with ``pip install --editable`` and return its source folder."""
        source = plugin.write(self.folder / "checkout" / plugin.name)
        self.borrow("pip", "hatchling")
        options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
        result = self.call(["-m", "pip", "install", *options, "--editable", str(source)], {})
        assert result.code == 0, result.stderr
        return source

    def dist_info(self, plugin: Plugin) -> Path:
        """Return the folder of an installed plugin's metadata."""
        return self.site_packages / f"{plugin.package}-{plugin.version}.dist-info"

    def run(self, code: str, *options: str, **variables: str) -> Result:
        """Run Python code with environment variables; ``options`` go to the interpreter."""
        return self.call([*options, "-c", dedent(code)], variables)

    def mf(self, *arguments: str, **variables: str) -> Result:
        """Run the command ``mf``."""
        return self.call(["-c", MF, *arguments], variables)

    def call(
        self, arguments: Iterable[str], variables: Mapping[str, str], *, timeout: float = 300, cwd: Path | None = None
    ) -> Result:
        """Run the environment's interpreter.

        Args:
            arguments: The interpreter's.
            variables: Environment variables, in addition to those of this process that are not settings.
            timeout: Seconds after which it is an error.
            cwd: The folder that it starts in; None: the environment's home.
        """
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MF_", "PYTHON", "PIP_", "XDG_", "PYTEST_"))}
        bytecode = str(self.wheelhouse.folder / "bytecode")
        environment = {**kept, "HOME": str(self.home), "PYTHONPYCACHEPREFIX": bytecode, **variables}
        done = subprocess.run(
            [str(self.python), *arguments], cwd=cwd or self.home, env=environment, capture_output=True, text=True,
            timeout=timeout,
        )  # fmt: skip
        return Result(done.returncode, done.stdout, done.stderr)


@functools.cache
def _files_of(name: str) -> tuple[Path, ...]:
    """Return what a distribution has at the top of its site-packages, and what those that it requires have."""
    seen: dict[str, set[Path]] = {}
    pending = [name]
    while pending:
        current = re.sub(r"[-_.]+", "-", pending.pop()).lower()
        if current in seen:
            continue
        try:
            dist = importlib_metadata.distribution(current)
        except importlib_metadata.PackageNotFoundError:  # for another platform, or an extra
            continue
        tops = {path.parts[0] for path in dist.files or () if path.parts[0] not in ("..", "__pycache__")}
        seen[current] = {Path(str(dist.locate_file(top))) for top in tops}
        required = [item for item in dist.requires or () if "extra ==" not in item]
        pending.extend(re.match(r"[\w.-]+", item)[0] for item in required)  # type: ignore[index]
    return tuple(sorted(path for paths in seen.values() for path in paths))
