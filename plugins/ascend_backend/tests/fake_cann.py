"""A CANN of stubs for MindSpore's own Ascend plugin: the lowest boundary at which hardware can be replaced.

MindSpore's wheel for Linux holds its Ascend plugin, which is linked with CANN's C libraries. Here those are made of
``fake_cann.c``: they compute nothing, and write down what they are asked. So MindSpore's compiler, its memory pool, its
launching of kernels and its use of HCCL are the real ones, and what reaches CANN can be compared, argument by argument.
It takes ``cc`` and ``nm``.
"""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

#: Functions of CANN, by their names: AscendCL, HCCL, the runtime and driver below them, the graph engine's classes.
CANN = re.compile(
    r"acl[A-Z]\w*|acl(rt|mdl|op|tdt|prof|dvpp|vdec)[A-Z]\w*|Hccl\w+|rt[A-Z]\w+|hal[A-Z]\w+|mm[A-Z]\w+|hi_\w+|Dlog\w+|"
    r"CheckLogLevel|__stack_chk_guard|_ZT?[VIS]?N?K?(2ge|4gert)\w+|_ZNK?2ge\w+|_ZNK?4gert\w+"
)

#: Their libraries: those that MindSpore is linked with, and those that it opens; not the one of ATB, which is optional.
LIBRARIES = (
    "acl_dvpp", "acl_dvpp_mpi", "acl_dvpp_op", "acl_op_compiler", "acl_tdt_channel", "ascend_hal", "ascendalog",
    "c_sec", "exe_graph", "graph", "hccl", "mmpa", "msprofiler", "nnopbase", "opapi", "platform", "profapi",
    "register", "runtime",
)  # fmt: skip

#: The graph engine's table of errors, which MindSpore fills when it is loaded: an object that holds an empty std::map.
STATUS = """
namespace ge {
struct StatusFactory { static StatusFactory *Instance(); };
StatusFactory *StatusFactory::Instance() {
  static long *made;
  if (!made) { made = new long[64](); made[3] = made[4] = (long)(made + 1); }
  return (StatusFactory *)made;
}
}
"""


def can_be_made() -> bool:
    """Return whether this machine has what it takes."""
    return sys.platform == "linux" and all(map(shutil.which, ("cc", "c++", "nm")))


def make(root: Path) -> dict[str, str]:
    """Make it in a folder, laid out as CANN is, and return the environment in which a process finds it."""
    home = root / "cann"
    libraries = home / "lib64"
    libraries.mkdir(parents=True)
    own = Path(__file__).with_name("fake_cann.c")
    stubs = root / "stubs.c"
    defined = set(re.findall(r"\b(acl\w+|Hccl\w+)\(", own.read_text()))
    defined |= {f"{name}{end}" for name in re.findall(r"^[A-Z]+\((\w+)\)", own.read_text(), re.M)
                for end in ("", "GetWorkspaceSize")}  # fmt: skip
    names = sorted(_wanted() - defined - {"_ZN2ge13StatusFactory8InstanceEv"})
    lines = [f'long {name}(void) {{ return fake_answer("{name}"); }}' for name in names]
    stubs.write_text("\n".join(["long fake_answer(const char *);", *lines]))
    _compile("cc", libraries, "ascendcl", str(own), str(stubs))
    (root / "empty.c").write_text("")
    (root / "status.cc").write_text(STATUS)
    _compile("c++", libraries, "ge_runner", str(root / "status.cc"), link=True)
    for name in LIBRARIES:
        _compile("cc", libraries, name, str(root / "empty.c"), link=True)
    packages = home / "python" / "site-packages"
    (packages / "hccl").mkdir(parents=True)
    (packages / "hccl" / "__init__.py").write_text("")
    (packages / "hccl" / "sys_version.py").write_text("__sys_version__ = '9.1.0'\n")
    (home / "compiler").mkdir()
    (home / "compiler" / "version.info").write_text("Version=9.1.0\n")
    return {
        "ASCEND_HOME_PATH": str(home), "ASCEND_OPP_PATH": str(home / "opp"), "LD_LIBRARY_PATH": str(libraries),
        "PYTHONPATH": f"{packages}:{home}/opp/built-in/op_impl/ai_core/tbe", "FAKE_CANN_CHIP": "Ascend910B3",
    }  # fmt: skip


def _compile(compiler: str, folder: Path, name: str, *sources: str, link: bool = False) -> None:
    command = [compiler, "-w", "-shared", "-fPIC", "-o", str(folder / f"lib{name}.so"), f"-Wl,-soname,lib{name}.so"]
    also = ["-Wl,--no-as-needed", f"-L{folder}", "-lascendcl", "-Wl,-rpath,$ORIGIN"] if link else []
    subprocess.run([*command, *sources, *also], check=True, capture_output=True)


def _wanted() -> set[str]:
    """Return the functions that MindSpore's plugin is linked with, and those of AscendCL and HCCL that it asks for."""
    folder = Path(find_spec("mindspore").origin).parent / "lib" / "plugin"
    names = set()
    for library in [*folder.glob("libmindspore_*ascend.so*"), *(folder / "ascend").rglob("*.so")]:
        listed = subprocess.run(["nm", "-D", "--undefined-only", library], capture_output=True, text=True).stdout
        names |= {line.split()[-1].partition("@")[0] for line in listed.splitlines()}
    for library in (folder / "libmindspore_ops_ascend.so", folder / "ascend" / "libmindspore_ascend_res_manager.so"):
        asked = re.findall(rb"\0((?:acl(?!nn)|Hccl)\w+)(?=\0)", library.read_bytes())
        names |= {name.decode() for name in asked}
    return {name for name in names if CANN.fullmatch(name)}


def run(environment: dict[str, str], code: str, folder: Path, **more: str) -> subprocess.CompletedProcess:
    """Run Python code in a process that sees the fake."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300,
        env={**os.environ, **environment, **more},
    )  # fmt: skip
