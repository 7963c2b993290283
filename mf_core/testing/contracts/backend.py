"""What holds for every device backend."""

from __future__ import annotations

from typing import Any, ClassVar

from ...specs import BackendSpec
from ..processes import backend_use, probes
from ..processes.run import in_fresh_process
from .contract import once
from .plugin import PluginContract


class BackendContract(PluginContract):
    """A backend tells what is there without touching it, and is used when it is asked for or not at all.

    Attributes:
        backend: Its name.
    """

    backend: ClassVar[str]

    def subject(self) -> str:
        """See the base class."""
        return f"the backend {self.backend}"

    @once
    def spec(self) -> BackendSpec:
        """The backend's spec."""
        found: BackendSpec = self.spec_of(BackendSpec, name=self.backend)
        return found

    @property
    def name(self) -> str:
        """The backend's name, with its owner, in case others claim it too."""
        return f"{self.owner}:{self.spec.name}"

    @once
    def probed(self) -> dict[str, Any]:
        """What a fresh process saw that probed the backend twice."""
        seen: dict[str, Any] = in_fresh_process(probes.backend_probe, self.name, untouched=True)
        self.expect(not seen["error"], f"the probe fails: {seen['error']}", "what is missing is the probe's to tell")
        return seen

    @once
    def used(self) -> dict[str, Any]:
        """The outcome of requesting the backend by name in a fresh process."""
        seen: dict[str, Any] = in_fresh_process(backend_use.use_backend, self.name)
        return seen

    def need_it(self) -> None:
        """Skip the check where the backend is not available."""
        if not self.probed["probes"][0]["available"]:
            self.skip(f"it is not available here: {self.probed['probes'][0]['reason']}")

    def test_probe_needs_no_mindspore(self) -> None:
        """Listings, `mf doctor` and every choice of a backend probe: an import of seconds each time."""
        self.expect(not self.probed["mindspore"], "importing the class and calling probe() imports mindspore",
                    "import it in setup; importlib.util.find_spec tells whether it is there")  # fmt: skip

    def test_probe_changes_nothing(self) -> None:
        """A backend that is merely looked at must not change how another one runs."""
        self.expect(not self.probed["changes"], f"probing changes {', '.join(self.probed['changes'])}",
                    "do it in setup; variables for the import of mindspore come from import_environment")  # fmt: skip
        self.expect(not self.probed["files"], f"probing: {'; '.join(self.probed['files'][:3])}")
        one, other = self.probed["probes"]
        self.expect(one["available"] == other["available"], "two probes, one after the other, disagree")

    def test_probe_tells_what_is_missing(self) -> None:
        """"Not available" alone sends a user to read your sources."""
        probe = self.probed["probes"][0]
        stops = [check for check in probe["checks"] if check["required"] and not check["ok"]]
        if probe["available"]:
            self.expect(probe["device_count"] >= 1, f"it is available, with {probe['device_count']} devices")
            self.expect(not stops, f"it is available without {stops[0]['name'] if stops else ''!r}, which is required",
                        "say required=False of what it can do without")  # fmt: skip
        else:
            self.expect(probe["reason"].strip(), "it is not available, and gives no reason", "give Probe a reason")
        names = [check["name"] for check in probe["checks"]]
        twice = sorted({name for name in names if names.count(name) > 1})
        self.expect(not twice, f"two checks are called {', '.join(twice)}")
        for check in probe["checks"]:
            self.expect(check["name"] and check["name"].isprintable(), f"a check is called {check['name']!r}")
        for check in stops:
            self.expect(check["remedy"], f"the check {check['name']!r} fails, and has no remedy",
                        "say what to type or read")  # fmt: skip

    def test_class_says_what_it_can(self) -> None:
        """Models and the trainer choose their types, and kernels, by what the class says."""
        from ...nn.kernels import NAMES

        cls = self._load(self.spec.target)
        known = {"float32", "float16", "bfloat16"}
        self.expect(set(cls.dtypes) <= known and cls.dtypes, f"dtypes={cls.dtypes!r}; they are of {sorted(known)}")
        self.expect(cls.default_dtype in cls.dtypes, f"default_dtype={cls.default_dtype!r} is not among the dtypes")
        unknown = sorted(set(cls.kernels) - set(NAMES))
        self.expect(not unknown, f"kernels has {', '.join(unknown)}; the core asks for {', '.join(NAMES)}")

    def test_it_is_used_when_it_is_asked_for(self) -> None:
        """A computation that is asked of a device and runs on another is wrong in speed, cost or numbers."""
        if not self.probed["probes"][0]["available"]:
            refused = self.used["refused"]
            self.expect(refused, "asking for it by name, where it is not available, gives no error")
            reason = self.probed["probes"][0]["reason"]
            self.expect(reason.split(";")[0] in refused, f"the error does not give the probe's reason: {refused}")
            return
        self.expect(not self.used["refused"], f"asking for it by name fails: {self.used['refused']}")
        self.expect(self.used["name"] == self.spec.name, f"asking for it by name gives {self.used['name']!r}")
        self.expect(self.used["sum"] == [2.0, 4.0], f"1 + 1 and 2 + 2 are {self.used['sum']} on it")

    def test_setup_may_be_called_again(self) -> None:
        """A notebook's cell is run twice."""
        self.need_it()
        self.expect(not self.used["again"], f"a second setup fails: {self.used['again']}",
                    "what is set up already is left alone")  # fmt: skip

    def test_missing_device_is_refused(self) -> None:
        """A job that asks for the ninth of eight devices must not run on the first."""
        self.need_it()
        self.expect(self.used["bad_device"].startswith("BackendError"),
                    f"a device that there is not: {self.used['bad_device']}",
                    "raise BackendError that says which there are")  # fmt: skip

    def test_it_describes_itself(self) -> None:
        """`mf generate` and `mf doctor` say in a line what serves."""
        self.need_it()
        line = self.used["describe"]
        self.expect(line.strip() and line.isprintable(), f"describe() gives {line!r}; it is one line of text")
        for name, value in self.used["memory"].items():
            self.expect(value is None or (isinstance(value, int) and value >= 0), f"{name}() is {value!r}")

    def test_collectives_of_one_process_change_nothing(self) -> None:
        """Programs for many processes run in one, too."""
        self.need_it()
        for name, (shape, equal) in self.used["collectives"].items():
            self.expect(equal, f"{name} in a group of one process gives something else, of shape {shape}",
                        "override run_…, which is called in groups of two or more")  # fmt: skip

    def test_kernels_are_those_it_names(self) -> None:
        """The core asks for a kernel by name, and falls back in the open where there is none."""
        self.need_it()
        for name, there in self.used["kernels"].items():
            named = name in self._load(self.spec.target).kernels
            self.expect(not there or named, f"capability({name!r}) gives a kernel, which `kernels` does not name")
