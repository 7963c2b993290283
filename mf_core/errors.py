"""Every error the library raises on purpose.

An error says what happened, with the offending value; why; and what to do next. Each class has a stable ``code``
that documentation and callers may rely on, and also derives from the built-in exception that a caller would expect.

Values come from files, arguments and plugins, so every text passes :func:`printable` before it becomes part of an
error: control characters, bidirectional overrides and lone surrogates are escaped, and long texts are shortened.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, ClassVar


class MFError(Exception):
    """Base of all the library's errors.

    ``what``, ``why`` and ``hint`` are made safe to print, on one line each, and shortened in the middle where they are
    very long; ``value`` is kept as it is.

    Args:
        what: What happened, in one sentence, naming the value.
        value: The offending value itself, for code that handles the error.
        why: The cause, when it is known and not plain from ``what``.
        hint: What to type or change next.
    """

    code: ClassVar[str] = "MF000"

    def __init__(self, what: str, *, value: Any = None, why: str | None = None, hint: str | None = None) -> None:
        what = _sentence(what, _LONGEST_SENTENCE)
        super().__init__(what)
        self.what = what
        self.value = value
        self.why = None if why is None else _sentence(why, _LONGEST_SENTENCE)
        self.hint = None if hint is None else _sentence(hint, _LONGEST_HINT)

    def __str__(self) -> str:
        lines = [f"[{self.code}] {self.what}"]
        if self.why:
            lines.append(f"  why: {self.why}")
        if self.hint:
            lines.append(f"  try: {self.hint}")
        return "\n".join(lines)


# Plugins and the registry ------------------------------------------------------------------------------------------


class SpecError(MFError, ValueError):
    """A spec returned by a plugin's hook is malformed."""

    code = "MF101"


class PluginError(MFError, ImportError):
    """A plugin could not be loaded (raised in strict mode, or when the plugin is needed)."""

    code = "MF102"


class ConflictError(MFError, LookupError):
    """Two distributions claim the name that was asked for."""

    code = "MF103"


class NotRegisteredError(MFError, LookupError):
    """No installed plugin provides the name that was asked for."""

    code = "MF104"


class TargetError(MFError, ImportError):
    """A spec names a target that does not exist or cannot be imported."""

    code = "MF105"


class NotInstalledError(MFError, ImportError):
    """Something that is asked for lives in a package that is not installed."""

    code = "MF106"


class AlreadyRegisteredError(MFError, ValueError):
    """``register`` was called for a name that is taken, without ``exist_ok=True``."""

    code = "MF107"


class OtherNameError(MFError, ImportError):
    """A name of MindFormers is imported that has another one here; the hint says which."""

    code = "MF108"


# Arguments and configuration ---------------------------------------------------------------------------------------


class ConfigError(MFError, ValueError):
    """A configuration has an unknown field or a value out of range."""

    code = "MF201"


class ArgumentError(MFError, ValueError):
    """A call was given an argument it does not know or cannot use."""

    code = "MF202"


class ArgumentTypeError(MFError, TypeError):
    """A call was given an argument of the wrong type."""

    code = "MF203"


class InputTooLongError(ArgumentError):
    """A prompt or sequence does not fit the model's context."""

    code = "MF204"


class UnsupportedError(MFError, NotImplementedError):
    """The request is understood, but this version or model cannot meet it."""

    code = "MF205"


class InternalError(MFError, RuntimeError):
    """An unexpected internal failure; the original exception is its ``__cause__``."""

    code = "MF206"


class ChatTemplateError(MFError, ValueError):
    """A chat template is malformed, refuses the conversation, or exceeds its limits."""

    code = "MF207"


class CallbackError(MFError, RuntimeError):
    """A function that was passed to a call raised an error, or returned what it must not."""

    code = "MF208"


# Files, checkpoints and the hub ------------------------------------------------------------------------------------


class FileMissingError(MFError, FileNotFoundError):
    """A file that a model, tokenizer or dataset needs is not there."""

    code = "MF301"


class DownloadError(MFError, ConnectionError):
    """A file could not be fetched."""

    code = "MF302"


class IntegrityError(MFError, OSError):
    """A file's bytes are not the ones expected (checksum, size or format)."""

    code = "MF303"


class WeightsError(MFError, ValueError):
    """A checkpoint's tensors do not fit the model."""

    code = "MF304"


class FileAccessError(MFError, OSError):
    """A file or folder could not be read or written: permissions, a full disk, a folder instead of a file."""

    code = "MF305"


# Devices and training ----------------------------------------------------------------------------------------------


class BackendError(MFError, RuntimeError):
    """A device backend is missing, unavailable, or cannot do what was asked."""

    code = "MF401"


class DataError(MFError, ValueError):
    """A dataset is empty or a record has the wrong form."""

    code = "MF501"


class TrainingError(MFError, RuntimeError):
    """Training cannot continue."""

    code = "MF502"


class CheckpointError(MFError, OSError):
    """A checkpoint could not be written, or does not belong to the run that resumes from it."""

    code = "MF503"


class OutOfMemoryError(MFError, MemoryError):
    """There is not enough memory for what was asked."""

    code = "MF504"


class PluginWarning(UserWarning):
    """A plugin was left out, or a plugin setting names nothing that is installed."""


#: Most characters of a text that :func:`printable` shows; of an error's sentences; of a hint, which may list options.
_LONGEST, _LONGEST_SENTENCE, _LONGEST_HINT = 500, 1000, 4000


def printable(text: object, limit: int = _LONGEST) -> str:
    """Return a text as one line that is safe to print.

    Everything but printable characters is escaped: control characters, escape sequences of terminals, bidirectional
    overrides, lone surrogates. A text longer than ``limit`` is cut off, and its length is given.
    """
    plain = _plain(text)
    cut = f" … ({len(plain)} characters)" if len(plain) > limit else ""
    return _escaped(plain[:limit]) + cut


def shown(value: object, limit: int = 200) -> str:
    """Return a value's ``repr`` as :func:`printable` text, even if its ``__repr__`` fails."""
    try:
        return printable(str.__str__(repr(value)), limit)
    except BaseException as fault:
        if isinstance(fault, KeyboardInterrupt):
            raise
        return f"<{_escaped(type(value).__name__[:100])}, whose repr raises {_escaped(type(fault).__name__[:100])}>"


def describe(error: BaseException) -> str:
    """Return ``"Type: message"`` in one printable line, whatever the exception's own ``__str__`` holds or does."""
    own = issubclass(type(error), MFError)  # isinstance would ask the exception for its __class__
    try:
        text = str.__str__(error.what if own else str(error))  # type: ignore[attr-defined]
        words = printable(" ".join(text.split()))
    except BaseException as fault:
        words = f"(its message cannot be shown: {type(fault).__name__})"
    return words if own else f"{_escaped(type(error).__name__[:100])}: {words}".rstrip(": ")


def _plain(text: object) -> str:
    """Return a text as a ``str`` itself, should it be of a subclass; of anything else its ``repr``."""
    return str.__str__(text) if isinstance(text, str) else repr(text)


def _escaped(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _sentence(text: object, limit: int) -> str:
    """Return a sentence of an error: line breaks become spaces, and where it is too long its middle is left out.

    A sentence ends with what is wrong with the value that it names, so its end is kept.
    """
    try:
        plain = _plain(text)
    except Exception:
        plain = shown(text)
    length = len(plain)
    if length > limit:
        plain = f"{plain[: limit * 2 // 3]} … ({length} characters) … {plain[-limit // 3 :]}"
    return _escaped(" ".join(plain.split()) if "\n" in plain else plain)


def close_names(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """Return up to ``limit`` of ``known`` that look like ``name``, best first, ignoring case."""
    import difflib

    by_lower: dict[str, str] = {}
    for candidate in known:
        by_lower.setdefault(candidate.lower(), candidate)
    for cutoff, most in ((0.8, limit), (0.6, 1)):  # several that are very close, or the best of those that are a bit
        matches = difflib.get_close_matches(name.lower(), by_lower, n=most, cutoff=cutoff)
        alike = [match for match in matches if _may_be_typo(name.lower(), match)]
        if alike:
            return [by_lower[match] for match in alike]
    return []


def _may_be_typo(name: str, other: str) -> bool:
    """Return whether each word of a name could be a typo of the other's: ``num_labels`` is none of ``num_layers``."""
    import difflib

    words, others = (re.split(r"[-_.]", text) for text in (name, other))
    if len(words) == 1 or len(words) != len(others):
        return True
    pairs = [(a, b) for a, b in zip(words, others, strict=True) if a != b]
    return all(difflib.SequenceMatcher(None, a, b).ratio() > 0.7 for a, b in pairs if not (a.isdigit() or b.isdigit()))


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return ``"did you mean 'a' or 'b'?"`` for the close names, or None where nothing is close."""
    names = close_names(name, known)
    return f"did you mean {' or '.join(repr(n) for n in names)}?" if names else None


def check_options(given: Iterable[str], known: Iterable[str], whose: str, noun: str = "argument") -> None:
    """Raise ArgumentError, with close names, for the first of ``given`` that is not ``known``."""
    names = list(known)
    for name in given:
        if name not in names:
            raise ArgumentError(
                f"{whose} has no {noun} {name!r}", value=name,
                hint=did_you_mean(name, names) or f"its {noun}s are: {', '.join(names)}",
            )
