"""Compiles ``native/*.cc`` into the wheel, or, where there is no compiler, builds one without kernels and says so."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: The levels of x86-64 that there is a library for, with what they are compiled with, the lowest last: without it there
#: are no kernels.
LEVELS = {
    "x86-64-v4-amx": ("-march=x86-64-v4", "-mamx-tile", "-mamx-bf16"),
    "x86-64-v4": ("-march=x86-64-v4",),
    "x86-64-v3": ("-march=x86-64-v3",),
    "x86-64": ("-march=x86-64",),
}

#: Contraction to fused multiply-adds is the one freedom that the compiler is given with numbers.
FLAGS = (
    "-std=c++17", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-pthread", "-fPIC", "-fvisibility=hidden",
    "-Wno-psabi",
)  # fmt: skip


class NativeBuildHook(BuildHookInterface[Any]):
    """Environment variables: ``CXX``, ``CXXFLAGS`` (after :data:`FLAGS`), ``MF_CPU_NATIVE`` (``0``: do not compile)."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files are gathered. An editable install finds the libraries in the source tree.

        A later build from the same tree takes them from there, as long as sources, compiler and flags are the same.
        """
        self.folder = Path(tempfile.mkdtemp())
        package = Path(self.root) / "src/mf_cpu_backend"
        commands = self.commands()
        digest = self.digest(commands)
        libraries = compiled_before(package, digest)
        if not libraries:
            libraries = self.compile(commands)
            if version == "editable":
                libraries = store(libraries, package, digest if len(libraries) == len(commands) else "")
        if version == "editable":
            return
        for library in libraries:
            build_data["force_include"][str(library)] = f"mf_cpu_backend/{library.name}"
        if libraries:
            build_data["pure_python"] = False
            build_data["tag"] = "py3-none-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def commands(self) -> dict[Path, list[str]]:
        """Return library -> command that compiles it, one a level; empty, with a warning, without a compiler."""
        if os.environ.get("MF_CPU_NATIVE") == "0":
            return {}
        compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
        if compiler is None:
            self.app.display_warning("no C++ compiler (c++, g++, clang++): building without the native kernels")
            return {}
        sources = sorted(str(path) for path in (Path(self.root) / "native").glob("*.cc"))
        command = [*compiler.split(), *FLAGS, *os.environ.get("CXXFLAGS", "").split(), "-shared", *sources]
        is_x86 = platform.machine() in ("x86_64", "AMD64")
        levels: dict[str, tuple[str, ...]] = LEVELS if is_x86 else {"baseline": ()}
        wide = ("-mprefer-vector-width=512",) if is_x86 else ()
        libraries = {level: self.folder / f"_kernels_{level.replace('-', '_')}.so" for level in levels}
        return {
            libraries[level]: [*command, *options, *wide, "-o", str(libraries[level])]
            for level, options in levels.items()
        }

    def digest(self, commands: dict[Path, list[str]]) -> str:
        """Return the SHA-256 of all that the libraries depend on; empty if the compiler does not tell its version."""
        if not commands:
            return ""
        compiler = (os.environ.get("CXX") or next(iter(commands.values()))[0]).split()
        try:
            told = subprocess.run([*compiler, "--version"], capture_output=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return ""
        taken = hashlib.sha256(told)
        plain = [
            [part.replace(str(self.folder), "").replace(str(self.root), "") for part in command]
            for command in commands.values()
        ]
        taken.update(json.dumps([plain, platform.machine()]).encode())
        for path in sorted((Path(self.root) / "native").iterdir()):
            taken.update(f"{path.name} {path.stat().st_size}\n".encode() + path.read_bytes())
        return taken.hexdigest()

    def compile(self, commands: dict[Path, list[str]]) -> list[Path]:
        """Return the libraries that could be compiled; none, with a warning, without that of the lowest level."""
        runs = {
            library: subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # all at a time
            for library, command in commands.items()
        }
        for library, run in runs.items():
            said = run.communicate()[1]
            if run.returncode != 0:
                self.app.display_warning(f"building without {library.name}, since {run.args[0]} fails:\n{said}")
        made = [library for library, run in runs.items() if run.returncode == 0]
        return made if made and made[-1] == list(commands)[-1] else []  # the last is of the lowest level


#: Beside the libraries of an editable install: what they were compiled from, and their own digests.
RECORD = "_kernels.json"


def compiled_before(package: Path, digest: str) -> list[Path]:
    """Return the libraries in the source tree if they were compiled from what has this digest, and are unchanged."""
    try:
        record = json.loads((package / RECORD).read_text(encoding="utf-8"))
        found = {package / name: value for name, value in record["libraries"].items()}
        same = record["sources"] == digest != "" and all(sha256(path) == value for path, value in found.items())
    except (OSError, ValueError, KeyError):
        return []
    return list(found) if same else []


def store(libraries: list[Path], package: Path, digest: str) -> list[Path]:
    """Replace the libraries in the source tree; a process that uses an earlier one keeps it."""
    (package / RECORD).unlink(missing_ok=True)
    for earlier in package.glob("_kernels*.so"):
        if earlier.name not in {library.name for library in libraries}:
            earlier.unlink()
    for library in libraries:
        arriving = package / f"{library.stem}.{os.getpid()}"
        shutil.copyfile(library, arriving)
        os.replace(arriving, package / library.name)
    stored = [package / library.name for library in libraries]
    if digest:
        record = {"sources": digest, "libraries": {path.name: sha256(path) for path in stored}}
        (package / RECORD).write_text(json.dumps(record), encoding="utf-8")
    return stored


def sha256(path: Path) -> str:
    """Return a file's digest."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
