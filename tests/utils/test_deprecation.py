"""What users see of a name that is on its way out."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable

import pytest

from mf_core.errors import ArgumentError
from mf_core.utils import deprecation
from mf_core.utils.deprecation import MFDeprecationWarning, deprecated, deprecated_argument, moved

from ..support.plugin_environment import Plugin, PluginEnvironment

WHEN = {"since": "0.3", "removed_in": "0.4"}


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deprecation, "_said", set())


@deprecated("lib.old", **WHEN, instead="lib.new")
def old(a: int, b: int = 2) -> int:
    """Add."""
    return a + b


def test_function_still_works_and_says_once_what_to_use() -> None:
    with pytest.warns(MFDeprecationWarning) as caught:
        assert [old(1), old(1, b=3)] == [3, 4]
    (warning,) = caught
    assert str(warning.message) == "lib.old is deprecated since 0.3 and will be gone in 0.4: use lib.new"
    assert warning.filename == __file__  # the line that is to be changed, and not one of the library's
    assert (old.__name__, old.__doc__) == ("old", "Add.")


def test_class() -> None:
    @deprecated("lib.Old", **WHEN, instead="lib.New")
    class Old:
        def __init__(self, value: int) -> None:
            self.value = value

    class Heir(Old):
        pass

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Heir(1).value == 1
    with pytest.warns(MFDeprecationWarning, match=r"lib\.Old is deprecated .* use lib\.New") as caught:
        made = Old(2)
    assert (made.value, isinstance(made, Old)) == (2, True)
    assert caught[0].filename == __file__


def test_argument_with_a_new_name() -> None:
    @deprecated_argument("colour", **WHEN, new="color")
    @deprecated_argument("depth", **WHEN)
    def paint(color: str = "red") -> str:
        return color

    with pytest.warns(MFDeprecationWarning) as caught:
        assert paint(colour="blue") == "blue"
        assert paint(depth=3) == "red"
    said = [str(warning.message) for warning in caught]
    assert "paint(colour=…) is deprecated since 0.3 and will be gone in 0.4: use color=…" in said[0]
    assert "paint(depth=…) is deprecated" in said[1]
    assert "nothing: it has no effect" in said[1]
    assert caught[0].filename == caught[1].filename == __file__
    with pytest.raises(ArgumentError, match="colour= and color=, which are the same"):
        paint(colour="blue", color="red")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert paint(color="green") == "green"


def test_name_that_moved() -> None:
    module = types.ModuleType("lib.names")
    module.__getattr__ = moved("lib.names", {"compare": "operator:eq"}, **WHEN)  # type: ignore[method-assign]
    with pytest.warns(MFDeprecationWarning, match=r"lib\.names\.compare is deprecated .* use operator\.eq") as caught:
        assert module.compare(1, 1)
    assert caught[0].filename == __file__
    with pytest.raises(AttributeError, match=r"module 'lib\.names' has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_command_shows_what_python_would_hide(environment: Callable[..., PluginEnvironment]) -> None:
    body = """
        from mf_core.utils.deprecation import warn_deprecated
        warn_deprecated("mf_old.Thing", since="1.1", removed_in="1.2", instead="mf_old.Other")
        import warnings
        warnings.warn("not ours", DeprecationWarning)
    """
    made = environment(Plugin("mf-old", body))
    result = made.mf("models")
    assert result.stderr == (
        "mf: warning: mf_old.Thing is deprecated since 1.1 and will be gone in 1.2: use mf_old.Other\n"
    )
    look_up = "from mf_core.plugins.registry import registry; registry.names('task')"
    assert made.run(look_up).stderr == ""  # Python's own rule
