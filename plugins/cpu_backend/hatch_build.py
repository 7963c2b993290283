"""Compiles ``native/*.cc`` into the wheel, or, where there is no compiler, builds one without kernels and says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY = "_kernels.so"

#: Contraction to fused multiply-adds is the one freedom that the compiler is given with numbers.
FLAGS = (
    "-std=c++17", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-pthread", "-fPIC", "-fvisibility=hidden",
    "-Wno-psabi",
)  # fmt: skip


class NativeBuildHook(BuildHookInterface[Any]):
    """Environment variables: ``CXX``, ``CXXFLAGS`` (after :data:`FLAGS`), ``MF_CPU_NATIVE`` (``0``: do not compile)."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files are gathered. An editable install finds the library in the source tree."""
        self.folder = Path(tempfile.mkdtemp())
        library = self.compile(self.folder / LIBRARY)
        place = Path(self.root) / "src/mf_cpu_backend" / LIBRARY
        if library is None:
            if version == "editable":
                place.unlink(missing_ok=True)  # of an earlier source
            return
        if version == "editable":
            arriving = place.with_suffix(f".{os.getpid()}")
            shutil.copyfile(library, arriving)
            os.replace(arriving, place)  # a process that uses the old one keeps it
            return
        build_data["force_include"][str(library)] = f"mf_cpu_backend/{LIBRARY}"
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def compile(self, library: Path) -> Path | None:
        """Return the library, or None, having said why, where it cannot be made."""
        if os.environ.get("MF_CPU_NATIVE") == "0":
            return None
        compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
        if compiler is None:
            self.app.display_warning("no C++ compiler (c++, g++, clang++): building without the native kernels")
            return None
        sources = sorted(str(path) for path in (Path(self.root) / "native").glob("*.cc"))
        command = [*compiler.split(), *FLAGS, *os.environ.get("CXXFLAGS", "").split(), "-shared", *sources]
        done = subprocess.run([*command, "-o", str(library)], capture_output=True, text=True)
        if done.returncode != 0:
            self.app.display_warning(f"building without the native kernels, since {compiler} fails:\n{done.stderr}")
            return None
        return library
