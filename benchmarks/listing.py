"""CPU time of importing the core and of listing models with many plugins installed, each in a fresh process.

Usage: python benchmarks/listing.py [--plugins 20] [--runs 15] [--importtime]

The plugins are real distributions (metadata and a module each) in a temporary folder on ``sys.path``, beside whatever
is installed. Times are user + system time of the process, so that a busy machine changes them little; the median of the
runs is printed, and what is left of it when the bare interpreter's is taken away. Bytecode is compiled beforehand.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

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

CASES = {
    "python -c pass": "pass",
    "import mf_core": "import mf_core",
    "the registry's names": "from mf_core.registry import registry; registry.names('preset')",
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


def cpu_ms(code: str, environment: dict[str, str], options: tuple[str, ...] = ()) -> float:
    """Return the milliseconds of user and system time that a fresh interpreter spends on ``code``."""
    process = subprocess.Popen(
        [sys.executable, *options, "-c", code], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{code!r} ended with {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plugins", type=int, default=20, help="how many plugins to install (default: 20)")
    parser.add_argument("--runs", type=int, default=15, help="fresh processes for each figure (default: 15)")
    parser.add_argument("--importtime", action="store_true", help="also print where the last case's imports spend time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plugins = Path(folder, "plugins")
        plugins.mkdir()
        install_plugins(plugins, options.plugins)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MF_")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(plugins), environment.get("PYTHONPATH"))))
        environment["PYTHONPYCACHEPREFIX"] = str(Path(folder, "bytecode"))  # writes nothing beside the sources
        for code in CASES.values():
            cpu_ms(code, environment)
        times: dict[str, list[float]] = {name: [] for name in CASES}
        for _ in range(options.runs):  # the cases take turns, so that a busy spell falls on all of them
            for name, code in CASES.items():
                times[name].append(cpu_ms(code, environment))
        bare = statistics.median(times["python -c pass"])
        print(f"Python {sys.version.split()[0]}, {options.plugins} plugins, CPU ms, median of {options.runs}")
        for name, samples in times.items():
            median = statistics.median(samples)
            print(f"  {name:32s}{median:7.1f}  {median - bare:+7.1f}")
        if options.importtime:
            cpu_ms(code, environment, ("-X", "importtime"))


if __name__ == "__main__":
    main()
