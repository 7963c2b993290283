"""Compiles ``native/*.cc`` into the wheel, or, where there is no compiler, builds one without kernels and says so."""

from __future__ import annotations

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
        """Compile before the files are gathered. An editable install finds the libraries in the source tree."""
        self.folder = Path(tempfile.mkdtemp())
        libraries = self.compile()
        package = Path(self.root) / "src/mf_cpu_backend"
        if version == "editable":
            for earlier in package.glob("_kernels*.so"):
                if earlier.name not in {library.name for library in libraries}:
                    earlier.unlink()
            for library in libraries:
                arriving = package / f"{library.stem}.{os.getpid()}"
                shutil.copyfile(library, arriving)
                os.replace(arriving, package / library.name)  # a process that uses the old one keeps it
            return
        for library in libraries:
            build_data["force_include"][str(library)] = f"mf_cpu_backend/{library.name}"
        if libraries:
            build_data["pure_python"] = False
            build_data["tag"] = "py3-none-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def compile(self) -> list[Path]:
        """Return the libraries, one a level; none, having said why, where they cannot be made."""
        if os.environ.get("MF_CPU_NATIVE") == "0":
            return []
        compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
        if compiler is None:
            self.app.display_warning("no C++ compiler (c++, g++, clang++): building without the native kernels")
            return []
        sources = sorted(str(path) for path in (Path(self.root) / "native").glob("*.cc"))
        command = [*compiler.split(), *FLAGS, *os.environ.get("CXXFLAGS", "").split(), "-shared", *sources]
        is_x86 = platform.machine() in ("x86_64", "AMD64")
        levels: dict[str, tuple[str, ...]] = LEVELS if is_x86 else {"baseline": ()}
        runs = {}
        for level, options in levels.items():  # all at a time
            library = self.folder / f"_kernels_{level.replace('-', '_')}.so"
            wide = ("-mprefer-vector-width=512",) if is_x86 else ()
            whole = [*command, *options, *wide, "-o", str(library)]
            runs[library] = subprocess.Popen(whole, stderr=subprocess.PIPE, text=True)
        for library, run in runs.items():
            said = run.communicate()[1]
            if run.returncode != 0:
                self.app.display_warning(f"building without {library.name}, since {compiler} fails:\n{said}")
        made = [library for library, run in runs.items() if run.returncode == 0]
        return made if library in made else []  # the last is of the lowest level
