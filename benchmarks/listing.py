"""CPU time of importing the core and of listing models with many plugins installed, each in a fresh process.

The plugins are real distributions (metadata and a module each) in a temporary folder on ``sys.path``, beside whatever
is installed. Times are user + system time of the process, so that a busy machine changes them little. Bytecode is
compiled beforehand. ``python -X importtime -m mf_core.cli models`` says where the time goes.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

from session import Session
from table import Figures, Row

PLUGIN = """\
from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, TokenizerSpec


@hookimpl
def mf_configs():
    presets = tuple(
        Preset(name=f"{family}_{{size}}", config={{"hidden_size": 64 * i}}, description="a size", license="Apache-2.0")
        for i, size in enumerate(("tiny", "small", "medium", "large"), 1)
    )
    return [ConfigSpec(model_type="{family}", target="mf_{family}.config:Config", presets=presets)]


@hookimpl
def mf_models():
    return [ModelSpec(model_type="{family}", target="mf_{family}.modeling:Model", heads=("base", "causal_lm"))]


@hookimpl
def mf_tokenizers():
    return [TokenizerSpec(model_type="{family}", target="mf_{family}.tokenization:Tokenizer")]
"""

BARE = "python -c pass"
CASES = {
    BARE: "pass",
    "import mf_core": "import mf_core",
    "the registry's names": "from mf_core.plugins.registry import registry; registry.names('preset')",
    "AutoConfig.get_support_list()": "from mf_core import AutoConfig; AutoConfig.get_support_list()",
    "mf models": "import sys; from mf_core.cli import main; sys.exit(main(['models']))",
}


def install_plugins(folder: Path, count: int) -> None:
    """Put ``count`` small plugin distributions into ``folder``."""
    for number in range(count):
        family = f"bench{number:02d}"
        package = folder / f"mf_{family}"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "plugin.py").write_text(PLUGIN.format(family=family))
        info = folder / f"mf_{family}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: mf-{family}\nVersion: 1.0\nRequires-Dist: mf-framework\n\n"
            "# A family\n\n" + "What the package's README says.\n" * 60
        )
        (info / "entry_points.txt").write_text(f"[mf_core.v1]\n{family} = mf_{family}.plugin\n")
        (info / "RECORD").write_text("")


def cpu_ms(code: str, environment: dict[str, str]) -> float:
    """Return the milliseconds of user and system time that a fresh interpreter spends on ``code``."""
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{code!r} ended with {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1e3


def measure(session: Session) -> list[Row]:
    """Return the rows: of each case what is left when the bare interpreter's time is taken away."""
    plugins = session.scratch / "plugins"
    plugins.mkdir()
    install_plugins(plugins, session.settings.plugins)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MF_")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(plugins), environment.get("PYTHONPATH"))))
    environment["PYTHONPYCACHEPREFIX"] = str(session.scratch / "bytecode")  # writes nothing beside the sources
    for code in CASES.values():
        cpu_ms(code, environment)
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in session.rounds("listing", 3 * session.settings.rounds):  # a round is short
        for name, code in CASES.items():
            times[name].append(cpu_ms(code, environment))
    bare = times.pop(BARE)
    note = f"{session.settings.plugins} plugins more; beyond the bare interpreter's {statistics.median(bare):.1f}"
    return [
        Row("listing", name, "ms of CPU", Figures("ours", [a - b for a, b in zip(samples, bare, strict=True)]),
            higher=False, note=note)
        for name, samples in times.items()
    ]  # fmt: skip
