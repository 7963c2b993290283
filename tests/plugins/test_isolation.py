"""Plugins that harm on purpose: none crashes, hangs or slows the others, and each is reported in printable words."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from mf_core.errors import SpecError, describe, printable, shown
from mf_core.plugins.discovery import PluginRecord
from mf_core.plugins.loading import Loader
from mf_core.plugins.registry import Registry
from mf_core.specs import BackendSpec, ConfigSpec, ModelSpec, Preset, ProcessorSpec, TaskSpec, TokenizerSpec

from ..plugins.test_manager import Look, config, hook, look, preset
from ..support.plugin_environment import HEALTHY, Plugin, PluginEnvironment, Wheelhouse

EVIL_STRING = """
class Evil(str):
    def __eq__(self, other): raise SystemExit("eq")
    def __hash__(self): raise SystemExit("hash")
    def __repr__(self): raise KeyboardInterrupt("repr")
    def __str__(self): raise SystemExit("str")
    def __len__(self): return 3
    def __getitem__(self, i): raise SystemExit("getitem")
    def isprintable(self): return True
"""

#: Case -> what the plugin's module holds, and what is said of it. All of them are left out.
LEFT_OUT: dict[str, tuple[str, str]] = {
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "hook-interrupts": (hook("stop()") + "def stop(): raise KeyboardInterrupt('me')", "KeyboardInterrupt: me"),
    "stops-generators": (hook("next(iter(()))"), "StopIteration"),
    "exits-generators": ("raise GeneratorExit", "GeneratorExit"),
    "recursion": (hook("mf_configs()"), "RecursionError"),
    "many-specs": (hook(f"{config()} * 100000"), "mf_configs() returned 100000 specs; 1000 is the most"),
    "many-names": (
        hook(config(presets="tuple(Preset(name=f'p{i}') for i in range(10_001))")), "claims more than 10000 names"
    ),
    "many-entries": (hook("[None] * 1_000_000", "mf_tasks"), "returned 1000000 specs"),
    "long-name": (hook(preset(name="'n' * 1_000_000")), " characters) is longer than 128 characters"),
    "long-target": (hook(config(target="'a' * 1_000_000 + '.b:C'")), "is longer than 1000 characters"),
    "long-description": (hook(preset(description="'d' * 1_000_000")), "is longer than 1000 characters"),
    "long-message": ("raise ValueError('m' * 1_000_000)", "mmm … (1000000 characters)"),
    "name-nul": (hook(preset(name=r"'a\0b'")), r"name='a\x00b'"),
    "name-rtl": (hook(preset(name=r"'a\u202eb'")), r"name='a\u202eb'"),
    "name-c1": (hook(config(model_type=r"'a\x9b31m'")), r"model_type='a\x9b31m'"),
    "name-surrogate": (hook(preset(aliases=r"('a\udc80',)")), r"aliases='a\udc80'"),
    "name-letters-of-elsewhere": (hook(preset(name="'\u0440\u0430y'")), "is not a name"),
    "description-rtl": (hook(preset(description=r"'\u202e'")), r"Preset.description='\u202e'"),
    "repr-exits": (
        "class Odd:\n    def __repr__(self): raise SystemExit\n" + hook("[Odd()]"),
        "<Odd, whose repr raises SystemExit>",
    ),
    "class-that-lies": (
        "class Odd(Exception):\n    __class__ = property(lambda self: 1 / 0)\nraise Odd('x')", "Odd"
    ),
    "message-exits": ("class Odd(Exception):\n    def __str__(self): raise SystemExit\nraise Odd", "Odd"),
    "message-is-evil": (
        EVIL_STRING + "class Odd(Exception):\n    def __str__(self): return Evil('x')\nraise Odd", "Odd"
    ),
    "property-raises": (
        "class Odd(ConfigSpec):\n    model_type = property(lambda self: 1 / 0, lambda self, value: None)\n"
        "    def __post_init__(self): pass\n" + hook("[Odd(model_type='x', target='a:B')]"),
        "ZeroDivisionError",
    ),
    "tampered-spec": (
        f"spec = {config()}[0]\nobject.__setattr__(spec, 'target', 'no target')\n" + hook("[spec]"),
        "target='no target'",
    ),
    "spec-without-init": (hook("[object.__new__(ModelSpec)]", "mf_models"), "AttributeError"),
    "hook-is-async": ("@hookimpl\nasync def mf_configs():\n    return []\n", "mf_configs() returned coroutine"),
    "hook-is-class": ("@hookimpl\nclass mf_configs:\n    pass\n", "mf_configs is not a function marked with @hookimpl"),
    "hook-is-not-marked": (
        "def mf_models():\n    return []\n", "mf_models is not a function marked with @hookimpl"
    ),
    "mapping-raises": (
        "from collections.abc import Mapping\nclass Odd(Mapping):\n    def __getitem__(self, k): raise SystemExit\n"
        "    def __iter__(self): return iter(['a'])\n    def __len__(self): return 1\n" + hook(preset(config="Odd()")),
        "SystemExit",
    ),
    "module-replaces-itself": (
        "import sys\nclass Odd:\n    def __getattr__(self, name): raise SystemExit(name)\n"
        "    def __dir__(self): raise SystemExit('dir')\n    def __eq__(self, o): raise SystemExit('eq')\n"
        "    __hash__ = None\nsys.modules[__name__] = Odd()", "",
    ),
    "patches-pluggy": (
        "import pluggy\npluggy.PluginManager.register = lambda *a, **k: 1 / 0\ndel pluggy.HookCaller.get_hookimpls\n",
        "ZeroDivisionError",
    ),
    "patches-builtins": ("import builtins\nbuiltins.isinstance = lambda *a: 1 / 0\n", ""),
}  # fmt: skip

#: Case -> what the plugin's module does to the process, and what is said of it. These load.
MEDDLING: dict[str, tuple[str, str]] = {
    "takes-stdout": ("import sys\nsys.stdout = sys.stderr = None\n", "replaced sys.stdout, replaced sys.stderr"),
    "closes-stdout": ("import os\nos.close(1)\nos.close(2)\n", "closed or replaced the file descriptor 1"),
    "moves": ("import os\nos.chdir('/')\n", "changed the working directory"),
    "forgets-modules": (
        "import json, sys, mf_core.config\ndel sys.modules['mf_core.config']\nsys.modules['json'] = None\n",
        "removed or replaced json in sys.modules",
    ),
    "lowers-recursion": ("import sys\nsys.setrecursionlimit(60)\n", "changed the recursion limit"),
    "prints": ("import sys\nprint('hello')\nsys.stdout.flush()\n", "printed to standard output"),
    "shuts-stdout": ("import sys\nsys.stdout.close()\nsys.stderr.close()\n", "closed sys.stderr"),
    "empties-path": (
        "import sys\nsys.path.clear()\nsys.path_hooks.clear()\n", "changed sys.path, changed sys.path_hooks"
    ),
    "goes-first": (
        "import sys\nclass Odd:\n    def find_spec(self, *a): raise RuntimeError\nsys.meta_path.insert(0, Odd())\n",
        "changed sys.meta_path",
    ),
    "is-strict": ("import warnings\nwarnings.simplefilter('error')\n", "turned warnings into errors"),
    "patches-print": ("import builtins\ndel builtins.print\n", "replaced builtins.print"),
    "patches-core": ("import mf_core.errors\nmf_core.errors.describe = None\n", "replaced mf_core.errors.describe"),
}

#: These load, and are used as if they were plain.
PLAIN = Plugin(
    "mf-evil-strings",
    EVIL_STRING
    + "class Odd(tuple):\n    def __iter__(self): raise SystemExit\n"
    + "presets = Odd((Preset(name=Evil('evil_tiny')),))\n"
    + hook(config(model_type="Evil('evil')", target="Evil('a.b:C')", presets="presets")),
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Wheelhouse) -> PluginEnvironment:
    """An environment in which only the healthy plugin means well."""
    environment = PluginEnvironment(tmp_path_factory.mktemp("hostile"), wheelhouse)
    bodies = {case: body for case, (body, _) in {**LEFT_OUT, **MEDDLING}.items()}
    environment.install(HEALTHY, PLAIN, *(Plugin(f"mf-{case}", body) for case, body in bodies.items()))
    return environment


@pytest.fixture(scope="module")
def seen(hostile: PluginEnvironment) -> Look:
    return look(hostile)


def safe(text: str) -> bool:
    """Return whether a terminal obeys nothing in a text, and each line is of a length to be read."""
    return all(c.isprintable() or c == "\n" for c in text) and max(map(len, text.splitlines()), default=0) < 2000


@pytest.mark.parametrize("case", LEFT_OUT)
def test_hostile_plugin_is_left_out_and_reported(seen: Look, case: str) -> None:
    record = seen.records[f"mf-{case}"]
    assert (record["state"], record["specs"]) == ("failed", 0)
    assert LEFT_OUT[case][1] in record["reason"]
    assert safe(record["reason"])
    (warning,) = [text for text in seen.warnings_of(f"mf-{case}") if "is left out" in text]
    assert record["reason"] in warning


@pytest.mark.parametrize("case", MEDDLING)
def test_what_a_plugin_does_to_the_process_is_undone_and_reported(seen: Look, case: str) -> None:
    record = seen.records[f"mf-{case}"]
    assert record["state"] == "loaded"
    assert MEDDLING[case][1] in ", ".join(record["meddling"])
    (warning,) = seen.warnings_of(f"mf-{case}")
    assert f"the plugin {case!r} of mf-{case} 1.0 {', '.join(record['meddling'])} while it was loaded" in warning


def test_the_others_work(seen: Look) -> None:
    assert seen.names == ["evil_tiny", "healthy_tiny"]
    for name in ("mf-healthy", "mf-evil-strings", "mf-framework"):
        assert (seen.records[name]["state"], seen.records[name]["meddling"]) == ("loaded", [])


def test_process_is_as_it_was_after_the_first_look_up(hostile: PluginEnvironment) -> None:
    result = hostile.run("""
        import builtins, os, sys, threading, warnings
        warnings.simplefilter("ignore")
        import json, mf_core.config, mf_core.errors, pluggy
        look = lambda: (os.getcwd(), sys.stdout, sys.stderr, os.fstat(1)[:3], sys.getrecursionlimit(), print,
                        isinstance, sys.modules["json"], sys.modules["mf_core.config"], mf_core.errors.describe,
                        threading.enumerate(), len(os.listdir("/proc/self/fd")),
                        pluggy.PluginManager.register, pluggy.HookCaller.get_hookimpls,
                        sys.path[:], sys.path_hooks[:], sys.meta_path[:3])
        before = look()
        from mf_core.plugins.registry import registry
        registry.names("preset")
        print(look() == before)
    """, MF_PLUGINS_BLOCK="shuts-stdout")  # a stream that was closed is another afterwards
    assert result.stdout == "True\n", result.stderr


def test_standard_output_is_the_programs_alone(hostile: PluginEnvironment) -> None:
    result = hostile.mf("models", "--json", MF_PLUGINS="healthy,prints,takes-stdout,shuts-stdout,closes-stdout")
    assert [row["name"] for row in result.json] == ["healthy_tiny"]
    assert "hello" in result.stderr


def test_what_is_printed_is_safe(hostile: PluginEnvironment) -> None:
    for arguments in (("plugins",), ("plugins", "--verbose"), ("plugins", "--json"), ("models",)):
        result = hostile.mf(*arguments)
        assert result.code == 0
        assert safe(result.stderr), arguments
        assert safe(result.stdout) or "--json" in arguments
        assert all(c.isprintable() or c == "\n" for c in result.stdout), arguments
        assert "healthy" in result.stdout
    table = hostile.mf("plugins").stdout
    for case in (*LEFT_OUT, *MEDDLING):
        assert f"mf-{case} " in table
    assert "replaced sys.stdout" in table


def test_line_of_the_plugins_own_code(seen: Look) -> None:
    def where(case: str) -> str:
        return seen.records[f"mf-{case}"]["where"]

    assert where("interrupts").endswith("mf_interrupts/plugin.py:4 in <module>: raise KeyboardInterrupt")
    assert ":7 in stop: def stop(): raise KeyboardInterrupt('me')" in where("hook-interrupts")
    assert "mf_many_specs/plugin.py:4 in mf_configs" in where("many-specs")  # the hook: its result is what is wrong
    assert "in mf_configs: return [ConfigSpec(" in where("long-name")  # not the line of mf_core that refuses it


# Plugins that do not come to an end ---------------------------------------------------------------------------------

HANGING = {
    "loops": "while True: pass",
    "sleeps": "import time\ntime.sleep(100)",
    "catches-all": "import time\ntry:\n    time.sleep(100)\nexcept BaseException:\n    pass\n",
    "iterates": hook(preset(config="Forever()"))
    + "from collections.abc import Mapping\nclass Forever(Mapping):\n"
    "    def __iter__(self):\n        while True: yield 'a'\n"
    "    __getitem__ = __len__ = None\n",
    "asks-from-a-thread": (
        "import threading\nfrom mf_core.plugins.registry import registry\n"
        "thread = threading.Thread(target=registry.names, args=('preset',), daemon=True)\n"
        "thread.start()\nthread.join()\n"
    ),
}
SLOW = Plugin("mf-slow", "import time\ntime.sleep(0.3)\n" + hook(preset()))


@pytest.fixture(scope="module")
def hanging(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Wheelhouse) -> PluginEnvironment:
    environment = PluginEnvironment(tmp_path_factory.mktemp("hanging"), wheelhouse)
    environment.install(HEALTHY, SLOW, *(Plugin(f"mf-{case}", body) for case, body in HANGING.items()))
    return environment


def test_plugin_that_does_not_end_is_interrupted(hanging: PluginEnvironment) -> None:
    seen = look(hanging, MF_PLUGINS_TIMEOUT="1.5")
    assert seen.names == ["healthy_tiny", "x"]
    for case in HANGING:
        record = seen.records[f"mf-{case}"]
        assert (record["state"], record["reason"]) == (
            "failed", "TimeoutError: it took longer than 1.5 s, and was interrupted",
        ), case  # fmt: skip
    assert "mf_loops/plugin.py:4 in <module>: while True: pass" in seen.records["mf-loops"]["where"]
    assert "mf_sleeps/plugin.py:5 in <module>: time.sleep(100)" in seen.records["mf-sleeps"]["where"]


def test_plugin_that_does_not_end_in_a_thread_of_the_users(hanging: PluginEnvironment) -> None:
    code = """
        import threading, time
        from mf_core.plugins.registry import registry
        names = []
        thread = threading.Thread(target=lambda: names.extend(registry.names("preset")))
        thread.start()
        thread.join()
        print(names, *(record.reason for record in registry.records if record.state == "failed"))
    """
    for case in ("loops", "asks-from-a-thread"):
        result = hanging.run(code, MF_PLUGINS=f"healthy,{case}", MF_PLUGINS_TIMEOUT="1")
        assert result.stdout == "['healthy_tiny'] TimeoutError: it took longer than 1 s, and was interrupted\n"


def test_plugin_that_does_not_end_where_interrupts_are_ignored(hanging: PluginEnvironment) -> None:
    code = """
        import signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in processes that a shell starts in the background
        before = [signal.getsignal(number) for number in signal.valid_signals()]
        from mf_core.plugins.registry import registry
        print(registry.names("preset"), before == [signal.getsignal(number) for number in signal.valid_signals()])
    """
    result = hanging.run(code, MF_PLUGINS="healthy,sleeps", MF_PLUGINS_TIMEOUT="1")
    assert result.stdout == "['healthy_tiny'] True\n"
    assert "it took longer than 1 s" in result.stderr


def test_slow_plugin_takes_its_own_time_and_no_more(hanging: PluginEnvironment) -> None:
    seen = look(hanging, MF_PLUGINS="healthy,slow")
    assert seen.warnings == []
    assert seen.records["mf-slow"]["load_ms"] >= 300
    assert seen.records["mf-healthy"]["load_ms"] < seen.records["mf-slow"]["load_ms"]
    assert "slow: a plugin should take 100 ms" in hanging.mf("plugins", MF_PLUGINS="healthy,slow").stdout


def test_limit_is_the_users(hanging: PluginEnvironment) -> None:
    for limit in ("0", "30", ""):
        assert hanging.mf("models", MF_PLUGINS="slow", MF_PLUGINS_TIMEOUT=limit).stderr == ""
    result = hanging.mf("models", MF_PLUGINS_TIMEOUT="soon")
    assert (result.code, "MF_PLUGINS_TIMEOUT='soon' is not a number of seconds" in result.stderr) == (2, True)


def test_users_own_interrupt_is_not_taken_for_the_plugins(hanging: PluginEnvironment) -> None:
    interrupt = "import _thread, signal, threading\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    interrupt += "threading.Timer(0.5, _thread.interrupt_main).start()\n"
    look_up = "from mf_core.plugins.registry import registry\nregistry.names('task')"
    result = hanging.run(interrupt + look_up, MF_PLUGINS="loops")
    assert result.code != 0
    assert result.stderr.rstrip().endswith("KeyboardInterrupt")


# Backends -----------------------------------------------------------------------------------------------------------


def test_backend_that_fails_is_passed_over_where_no_one_asked_for_it(tmp_path, wheelhouse: Wheelhouse) -> None:
    plugin = Plugin(
        "mf-backends",
        "def spec(name, priority):\n"
        "    return BackendSpec(name=name, target=f'mf_backends.{name}:B', priority=priority)\n"
        + hook("[spec('gone', 9), spec('raises', 8), spec('good', 1)]", "mf_backends"),
        modules={
            "raises": "class B:\n    def probe(self): raise ValueError('no probe')\n",
            "good": "from mf_core.backends.base import Probe\nclass B:\n    name = 'good'\n"
            "    def probe(self): return Probe(True, 1)\n",
        },
    )
    environment = PluginEnvironment(tmp_path / "backends", wheelhouse)
    environment.install(plugin)
    ask = "from mf_core.backends.base import select_backend\nprint(select_backend({!r}).name)"
    result = environment.run(ask.format(None))
    assert result.stdout == "good\n"
    assert "the backend 'raises' is passed over: ValueError: no probe; see `mf doctor`" in result.stderr
    assert "the backend 'gone' is passed over: mf-backends offers 'mf_backends.gone:B', but the module" in result.stderr
    assert "ValueError: no probe" in environment.run(ask.format("raises")).stderr  # asked for by name, it is an error


# Metadata -----------------------------------------------------------------------------------------------------------


def test_metadata_of_all_kinds(tmp_path, wheelhouse: Wheelhouse) -> None:
    environment = PluginEnvironment(tmp_path / "metadata", wheelhouse)
    environment.install(HEALTHY)

    def distribution(folder: str, metadata: bytes, entry_points: bytes) -> None:
        path = environment.site_packages / f"{folder}-1.0.dist-info"
        path.mkdir()
        (path / "METADATA").write_bytes(metadata)
        (path / "entry_points.txt").write_bytes(entry_points)

    distribution("binary", b"\xff\xfe\x00", b"[mf_core.v1]\na = os\n")
    distribution("escapes", b"Name: mf-\x1b[31mred\nVersion: \x1b[2J\n", b"[mf_core.v1]\n\x1b[31mname = \x1b]0;x\n")
    distribution("renamed", b"Name: quite-another\nVersion: 1\n", b"[mf_core.v1]\na = surely_not_there\n")
    distribution("long", b"Name: " + b"n" * 100_000 + b"\nVersion: 1\n", b"[mf_core.v1]\na = os\n")
    many = b"".join(b"e%d = os\n" % i for i in range(300))
    distribution("crowd", b"Name: crowd\nVersion: 1\n", b"[mf_core.v1]\n" + many)
    seen = look(environment)
    assert seen.names == ["healthy_tiny"]
    assert seen.records["binary"]["reason"] == "the METADATA of binary cannot be read"
    assert "No module named 'surely_not_there'" in seen.records["quite-another"]["reason"]
    result = environment.mf("plugins")
    assert safe(result.stdout)
    assert safe(result.stderr)
    assert result.stdout.count("\n") == 1 + 2 + 300 + 4  # a header, the core and the healthy plugin, and the others
    assert r"\x1b[31mred" in result.stdout


# Specs of any content -----------------------------------------------------------------------------------------------


class Raises:
    """A value that raises whatever it is asked."""

    def __init__(self, error: type[BaseException]) -> None:
        object.__setattr__(self, "error", error)

    def __getattribute__(self, name: str) -> Any:
        raise object.__getattribute__(self, "error")(name)

    def _raise(self, *arguments: Any) -> Any:
        raise object.__getattribute__(self, "error")

    __repr__ = __str__ = __eq__ = __hash__ = __len__ = __iter__ = __bool__ = __call__ = __index__ = _raise


KINDS = {
    "mf_configs": ConfigSpec, "mf_models": ModelSpec, "mf_tokenizers": TokenizerSpec, "mf_processors": ProcessorSpec,
    "mf_tasks": TaskSpec, "mf_backends": BackendSpec,
}  # fmt: skip


def any_value(rng: random.Random, depth: int = 2) -> Any:
    simple = (
        lambda: None, lambda: rng.randint(-9, 9), lambda: rng.random(), lambda: rng.choice(["x", "a.b:C", "base"]),
        lambda: "".join(rng.choices([*map(chr, range(160)), "\u202e", "\u4e00", "\udc80"], k=rng.randint(0, 6))),
        lambda: b"x", lambda: object(), lambda: type("T", (), {}), lambda: Raises(rng.choice([ValueError, SystemExit])),
        lambda: "hub:a/b", lambda: "x" * 3000, lambda: type("S", (str,), {"__hash__": None, "__eq__": None})("s"),
    )  # fmt: skip
    nested = (
        lambda: tuple(any_value(rng, depth - 1) for _ in range(rng.randint(0, 3))),
        lambda: [any_value(rng, depth - 1) for _ in range(rng.randint(0, 3))],
        lambda: {rng.choice(["a", 1, None]): any_value(rng, depth - 1) for _ in range(2)},
        lambda: any_spec(rng, rng.choice([Preset, *KINDS.values()]), depth - 1),
    )
    return rng.choice(simple + nested if depth else simple)()


GOOD = {
    "name": "some", "model_type": "some", "target": "a.b:C", "pipeline": "a.b:C", "presets": (), "aliases": (),
    "heads": (),
}  # fmt: skip


def any_spec(rng: random.Random, kind: type, depth: int = 2) -> Any:
    """Return a spec with fields of any content: made by its class, with the class's checks passed by, or neither."""
    fields = {
        name: GOOD[name] if name in GOOD and rng.random() < 0.9 else any_value(rng, depth)
        for name in kind.__dataclass_fields__
        if name in GOOD or rng.random() < 0.1
    }  # fmt: skip
    try:
        spec = kind(**fields)
    except SpecError as error:
        assert describe(error).isprintable()
        spec = object.__new__(kind)
        for name, value in fields.items():
            object.__setattr__(spec, name, value)
    except (ValueError, SystemExit, TypeError):
        return None
    return spec


def returning(result: Any) -> Callable[[], Any]:
    def hook() -> Any:
        return result

    return hook


def module_with(rng: random.Random, number: int) -> str:
    """Put a plugin's module with hooks of any result in memory, and return its name."""
    import sys
    import types

    from mf_core.hookspecs import hookimpl

    module = types.ModuleType(f"fuzzed_{number}")
    for name, kind in KINDS.items():
        if rng.random() < 0.6:
            specs = [any_spec(rng, kind) for _ in range(rng.randint(0, 2))]
            result = rng.choice([specs] * 6 + [tuple(specs), any_value(rng), iter(specs)])
            setattr(module, name, hookimpl(returning(result)))
    sys.modules[module.__name__] = module
    return module.__name__


@pytest.mark.parametrize("seed", range(6))
def test_whatever_hooks_return_loading_never_raises(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    loader, records = Loader(), []
    for number in range(60):
        module = module_with(rng, number)
        records.append(PluginRecord(f"p{number}", module, f"mf-p{number}", "1", "/nowhere", "mf_core.v1"))
        loader.load(records[-1])
    loader.close()
    states = {record.state for record in records}
    assert states == {"loaded", "failed"}  # both, so that the cases are neither all good nor all bad
    for record in records:
        assert (record.error is None) == (record.state == "loaded")
        assert record.reason.isprintable()
        assert record.remark.isprintable()
        assert len(record.reason) < 1000
    monkeypatch.setattr("mf_core.plugins.registry.load_plugins", lambda builtins: records)
    registry = Registry()
    for kind in ("config", "preset", "model:base", "tokenizer", "processor", "task", "backend", "export"):
        for entry in registry.entries(kind):
            assert type(entry.name) is str
            assert type(entry.target) is str
            assert len(entry.name) <= 1000


def test_random_bytes_as_metadata_do_no_harm(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mf_core.plugins.discovery import discover

    rng = random.Random(5)
    parts = [b"[mf_core.v1]\n", b"[mf_core.v2]\n", b"\n", b"a = os\n", b" : ", b"\xff", b"\x1b[2J", b"Name: x", b"\0"]
    for number in range(200):
        folder = tmp_path / f"d{number}-1.dist-info"
        folder.mkdir()
        for file in ("METADATA", "entry_points.txt", "direct_url.json"):
            (folder / file).write_bytes(b"".join(rng.choice(parts) for _ in range(rng.randint(0, 6))))
        if number % 3:
            (folder / "METADATA").write_bytes(b"Name: d%d\n" % number)
    monkeypatch.syspath_prepend(str(tmp_path))
    start = time.perf_counter()
    records = [record for record in discover() if record.location == str(tmp_path)]
    assert time.perf_counter() - start < 30
    assert {record.group for record in records} == {"mf_core.v1", "mf_core.v2"}
    for record in records:
        assert f"{record.name}{record.module}{record.distribution}{record.version}".isprintable()


def test_text_for_people() -> None:
    assert printable("a\x1b[31m\u202e\nb") == r"a\x1b[31m\u202e\nb"
    assert printable("x" * 600) == "x" * 500 + " … (600 characters)"
    assert shown(Raises(SystemExit)) == "<Raises, whose repr raises SystemExit>"
