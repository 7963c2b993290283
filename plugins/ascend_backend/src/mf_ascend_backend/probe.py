"""Looking for what the backend needs, in the order in which one installs it: nothing is imported, no device touched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from mf_core.backends import Check, Probe, first_missing, numbers

from . import versions
from .chips import family_on_the_bus
from .host import Host

#: What every process that uses an Ascend opens, beside its ``/dev/davinci<number>``.
MANAGERS = ("/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc")

#: Libraries that MindSpore's Ascend plugin is linked with: CANN's runtime, graph engine and collectives. The driver's
#: is what CANN's in turn need.
CANN_LIBRARIES = ("libascendcl.so", "libge_runner.so", "libgraph.so", "libhccl.so")
DRIVER_LIBRARY = "libascend_hal.so"

def probe(host: Host) -> Probe:
    """Return what was found on a machine."""
    checks = tuple(_settle(host, _checks(host)))
    chip = family_on_the_bus(host) if device_numbers(host) else None
    names = ("driver", "CANN", "mindspore")
    details = {"chip": chip.name} if chip else {}
    details |= {check.name: check.found for check in checks if check.name in names and check.found}
    reason = first_missing(checks)
    return Probe(not reason, visible_count(host), reason, details, checks)


def device_numbers(host: Host) -> list[int]:
    """Return the numbers of the devices that the driver shows, rising."""
    try:
        names = [entry.name for entry in host.path("/dev").iterdir()]
    except OSError:
        return []
    return sorted(int(match[1]) for name in names if (match := re.fullmatch(r"davinci(\d+)", name)))


def visible_count(host: Host) -> int:
    """Return how many devices a process may use: those that ``ASCEND_RT_VISIBLE_DEVICES`` leaves."""
    there = device_numbers(host)
    listed = host.env.get("ASCEND_RT_VISIBLE_DEVICES")
    if listed is None:
        return len(there)
    return sum(part.strip().isdecimal() and int(part) in there for part in listed.split(","))


def toolkit(host: Host) -> str:
    """Return CANN's folder: what its variables name, or else where it is installed by default; empty: nowhere."""
    named = [host.env.get(name, "") for name in ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME")]
    operators = host.env.get("ASCEND_OPP_PATH", "").rstrip("/")
    named.append(operators.rpartition("/")[0])
    base = host.setting("/etc/Ascend/ascend_cann_install.info", "Install_Path") or "/usr/local/Ascend"
    places = [folder.rstrip("/") for folder in named if folder]
    places += [f"{base.rstrip('/')}/{name}" for name in ("cann", "ascend-toolkit/latest", "latest", "nnae/latest")]
    return next((folder for folder in places if host.path(folder).is_dir()), "")


def _settle(host: Host, checks: Iterator[Check]) -> Iterator[Check]:
    """Make those into warnings that the user says are fine."""
    trusted = [name.strip().lower() for name in host.env.get("MF_ASCEND_TRUST", "").split(",")]
    for check in checks:
        if check.stops and check.name.lower() in trusted:
            check = replace(check, required=False, remedy=f"trusted by MF_ASCEND_TRUST; {check.remedy}")
        yield check


def _checks(host: Host) -> Iterator[Check]:
    yield from _machine(host)
    yield from _driver(host)
    yield from _cann(host)
    yield from _python(host)


def _machine(host: Host) -> Iterator[Check]:
    fits = host.system == "Linux" and host.machine in ("x86_64", "aarch64")
    yield Check(
        "platform", fits, f"{host.system} {host.machine}", "Linux on x86_64 or aarch64",
        "use one of those, or mf-cpu-backend",
    )  # fmt: skip
    count, visible = len(device_numbers(host)), visible_count(host)
    if count and not visible:
        listed = host.env.get("ASCEND_RT_VISIBLE_DEVICES")
        yield Check(
            "devices", False, f"ASCEND_RT_VISIBLE_DEVICES={listed!r} hides all {count}",
            remedy="unset ASCEND_RT_VISIBLE_DEVICES, or list numbers of /dev/davinci<number>",
        )  # fmt: skip
    else:
        found = f"{visible} of {count}" if visible != count else str(count) if count else "no /dev/davinci<number>"
        yield Check("devices", count > 0, found, remedy=_node("/dev/davinci0"))
    for manager in MANAGERS:
        yield Check(manager, host.path(manager).exists(), remedy=_node(manager))
    nodes = [*(f"/dev/davinci{number}" for number in device_numbers(host)), *MANAGERS]
    closed = [node for node in nodes if host.path(node).exists() and not host.may_open(host.path(node))]
    found = f"{', '.join(closed)} may not be opened" if closed else "all of it may be opened"
    yield Check(
        "permission", not closed, found,
        remedy="sudo usermod -aG HwHiAiUser $USER, and log in again",
    )  # fmt: skip


def _node(path: str) -> str:
    return f"install Ascend's driver and restart ({versions.GUIDE}); or give it to the container: --device={path}"


def _driver(host: Host) -> Iterator[Check]:
    base = host.setting("/etc/ascend_install.info", "Driver_Install_Path_Param") or "/usr/local/Ascend"
    for name, required in (("driver", True), ("firmware", False)):
        file = f"{base.rstrip('/')}/{name}/version.info"
        version = host.setting(file, "Version")
        remedy = f"install Ascend's {name} ({versions.GUIDE})"
        if name == "firmware":
            remedy += "; in a container it need not be seen"
        if not version:
            yield Check(name, False, f"no {file}", remedy=remedy, required=required)
        elif name == "driver" and numbers(version) < numbers(versions.DRIVER):
            wanted = f">={versions.DRIVER}, below which MindSpore has no virtual device memory"
            yield Check(name, False, version, wanted, remedy, required=False)
        else:
            yield Check(name, True, version)
    found = host.has_library(DRIVER_LIBRARY)
    yield Check(
        DRIVER_LIBRARY, found, "" if found else "in no folder of LD_LIBRARY_PATH",
        remedy=f"export LD_LIBRARY_PATH={base}/driver/lib64:{base}/driver/lib64/common:{base}/driver/lib64/driver:"
        "$LD_LIBRARY_PATH",
    )  # fmt: skip


def _cann(host: Host) -> Iterator[Check]:
    home = toolkit(host)
    install = f"install CANN's toolkit, {versions.CANN_BUILT_WITH} best ({versions.CANN_GUIDE})"
    if not home:
        yield Check("CANN", False, "neither ASCEND_HOME_PATH nor /usr/local/Ascend/cann", remedy=install)
    else:
        version = host.setting(f"{home}/compiler/version.info", "Version") or _installed(host, home)
        fits = not version or versions.short(version) in versions.CANN
        other = versions.mindspore_for(version) if version else ""
        remedy = "" if fits else install + (f"; MindSpore {other} goes with this one" if other else "")
        yield Check("CANN", fits, version or f"{home}, version unknown", ", ".join(versions.CANN), remedy, False)
    script = f"source {home or '/usr/local/Ascend/cann'}/set_env.sh, and start again"
    unset = [name for name in ("ASCEND_HOME_PATH", "ASCEND_OPP_PATH") if not host.env.get(name)]
    yield Check("CANN environment", not unset, f"{', '.join(unset)} not set" if unset else "", remedy=script)
    operators = (host.env.get("ASCEND_OPP_PATH") or f"{home}/opp").rstrip("/") if home else ""
    there = bool(operators) and host.path(f"{operators}/built-in").is_dir()
    yield Check("operators", there, operators if there else f"no {operators or '<CANN>/opp'}/built-in", remedy=install)
    binaries = f"{operators or '<CANN>/opp'}/built-in/op_impl/ai_core/tbe/kernel"
    there = bool(operators) and any(host.path(binaries).glob("ascend*"))
    yield Check(
        "CANN kernels", there, "" if there else f"no {binaries}/ascend<chip>",
        remedy=f"install CANN's package of operators for your chip, of the toolkit's version ({versions.CANN_GUIDE})",
    )  # fmt: skip
    for library in CANN_LIBRARIES:
        found = host.has_library(library)
        yield Check(library, found, "" if found else "in no folder of LD_LIBRARY_PATH", remedy=script)


def _installed(host: Host, home: str) -> str:
    files = sorted(host.path(home).glob("*-linux/ascend_toolkit_install.info"))
    return host.setting(f"{home}/{files[0].parent.name}/{files[0].name}", "version") if files else ""


def _python(host: Host) -> Iterator[Check]:
    script = "source CANN's set_env.sh, which puts it on PYTHONPATH, and start again"
    for name, purpose in (("te", "compiles operators"), ("hccl", "is how devices speak to each other")):
        folder = host.package(name)
        absent = f"CANN's Python package, which {purpose}, is not found"
        yield Check(name, bool(folder), folder or absent, remedy=script)
    version = host.package_version("mindspore")
    yield Check(
        "mindspore", numbers(version)[:2] == (2, 10), version or "not installed", ">=2.10,<2.11",
        "pip install --force-reinstall mf-ascend-backend",
    )  # fmt: skip
    plugins = f"{host.package('mindspore')}/lib/plugin"
    there = bool(version) and any(host.path(plugins).glob("libmindspore_ascend.so*"))
    yield Check(
        "mindspore's Ascend plugin", there, "" if there else f"no {plugins}/libmindspore_ascend.so",
        remedy="install a wheel of MindSpore for Linux from the package index or from " + versions.GUIDE,
    )  # fmt: skip
    numpy = host.package_version("numpy")
    yield Check("numpy", numbers(numpy)[:1] == (1,), numpy or "not installed", ">=1.25,<2", "pip install 'numpy<2'")
    python = ".".join(str(part) for part in host.python)
    yield Check("python", (3, 10) <= host.python <= (3, 12), python, "3.10, 3.11 or 3.12", "use one of those")
