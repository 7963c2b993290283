"""The base of contracts: faults with reasons, and properties computed once per class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NoReturn, TypeVar, overload

import pytest

from ...boundary import unforeseen
from ...errors import MFError, describe

T = TypeVar("T")


class Fault(AssertionError):
    """A check failed.

    Args:
        what: What happened, with the names and values.
        why: Why it matters.
        hint: What the plugin's author can do.
    """

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what, self.why, self.hint = what, why, hint

    def __str__(self) -> str:
        lines = [self.what]
        if self.why:
            lines.append(f"  why it matters: {self.why}")
        if self.hint:
            lines.append(f"  try: {self.hint}")
        return "\n".join(lines)


class once(Generic[T]):  # read as a decorator
    """A property that is computed once per contract class."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self.make, self.__doc__ = make, make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> once[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> once[T] | T:
        """Return the class's value, computing it if necessary."""
        if instance is None:
            return self
        if "_held" not in owner.__dict__:
            owner._held = {}  # type: ignore[attr-defined]
        held: dict[str, Any] = owner.__dict__["_held"]
        if self.name not in held:
            held[self.name] = self.make(instance)
        return held[self.name]  # type: ignore[no-any-return]


class Contract:
    """Base of the contracts.

    Each check is a method ``test_…`` whose docstring says in one line why it matters. A check that does not apply is
    skipped, and says why; to leave one out, set it to None in the subclass.
    """

    _why = ""

    @pytest.fixture(autouse=True)
    def _know_the_reason(self, request: pytest.FixtureRequest) -> None:
        self._why = reason_of(request.function)

    def subject(self) -> str:
        """Return one line that says what is checked, and with which settings."""
        return type(self).__name__

    def fault(self, what: str, hint: str = "") -> NoReturn:
        """Fail the check that is running.

        Args:
            what: What happened.
            hint: What the plugin's author can do.
        """
        __tracebackhide__ = True
        raise Fault(what, why=self._why, hint=hint)

    def expect(self, condition: Any, what: str, hint: str = "") -> None:
        """Fail the check that is running unless ``condition`` holds; see :meth:`fault`."""
        __tracebackhide__ = True
        if not condition:
            self.fault(what, hint)

    def refused(self, what: str, call: Callable[[], Any], hint: str = "") -> MFError:
        """Return the error by which ``call`` is refused; fail where it is not, or by an error of another kind.

        Args:
            what: What is asked of it: ``"an id that is not in the vocabulary"``.
            call: Does it.
            hint: What the plugin's author can do.
        """
        __tracebackhide__ = True
        try:
            result = call()
        except Exception as error:
            if isinstance(error, MFError) and unforeseen(error) is None:
                return error
            self.fault(
                f"{what} raises {describe(unforeseen(error) or error)}",
                hint or "check it first, and raise one of mf_core.errors that names the value",
            )
        self.fault(
            f"{what} is taken, and gives {result!r:.100}",
            hint or "check it first, and raise one of mf_core.errors that names the value",
        )

    def skip(self, reason: str) -> NoReturn:
        """Skip the check that is running."""
        __tracebackhide__ = True
        pytest.skip(reason)


def reason_of(check: Callable[..., Any]) -> str:
    """Return the line that says why a check matters."""
    return " ".join((check.__doc__ or "").split())
