"""How a generation option is declared: a field with type, bounds, default and help text, from which the rest follows.

Options live in :mod:`.penalties`, :mod:`.constraints`, :mod:`.truncation` and :mod:`.config`, beside the processors
that they turn on. Command-line flags, documentation and checks are made of the fields.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from ..errors import ArgumentError, ArgumentTypeError, MFError, shown
from ..utils.settings import Settings

if TYPE_CHECKING:
    from .logits import LogitsProcessor

GREEDY = "do_sample=False, which always takes the most likely token"
_ARTICLES = {int: "an int", float: "a float", bool: "a bool", str: "a str", dict: "a dict", type(None): "None"}


def option(
    default: Any,
    help: str,
    *,
    sampling: bool = False,
    flag: bool = True,
    ids: bool = False,
    hint: str | None = None,
    form: str | None = None,
    **bounds: Any,
) -> Any:
    """Declare an option.

    Args:
        default: Its value where nothing else is said.
        help: One or two sentences for documentation and command line.
        sampling: Whether it means something only when sampling; giving it turns sampling on.
        flag: Whether ``mf generate`` has a flag for it.
        ids: Whether its integers are token ids, which must be in the model's vocabulary.
        hint: What to do instead of a value that is out of range.
        form: What a value is, where its type does not say it to people.
        **bounds: ``ge``, ``gt``, ``le``, ``lt``, ``max_length``, as pydantic has them.
    """
    notes: dict[str, Any] = {"sampling": sampling, "flag": flag, "ids": ids, "hint": hint, "form": form}
    return Field(default, description=help, json_schema_extra=notes, **bounds)


def extra(info: FieldInfo) -> Mapping[str, Any]:
    """Return what :func:`option` noted beside pydantic's own description of a field."""
    return info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else _plain(value)


def _plain(value: Any) -> Any:
    """Return a NumPy scalar as Python's own number."""
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


#: A token id. Bounded, so that it fits NumPy's integers.
Id = Annotated[int, Field(ge=0, le=2**31 - 1)]
#: Token ids; a list is accepted.
Ids = Annotated[tuple[Id, ...], BeforeValidator(_as_tuple)]
#: Sequences of token ids; lists are accepted.
IdSequences = Annotated[tuple[tuple[Id, ...], ...], BeforeValidator(_as_tuple)]


@dataclass(frozen=True)
class RowLimits:
    """What processors know of their rows.

    Attributes:
        prompts: Number of ids of each row's prompt.
        limits: Most ids of each row.
        least: Number of tokens that truncation leaves at least.
    """

    prompts: tuple[int, ...] = ()
    limits: tuple[int, ...] = ()
    least: int = 1


#: Returns the processor that a configuration asks for; None where the option is off.
Build = Callable[[Any, RowLimits], "LogitsProcessor | None"]


class Options(Settings):
    """Base of the groups of options.

    Values are checked and normalised (NumPy scalars to Python's, lists to tuples) when they are set. A bool is no int.
    """

    model_config = ConfigDict(strict=True, validate_default=True)

    def __init__(self, **fields: Any) -> None:
        super().__init__(**{name: _plain(value) for name, value in fields.items()})

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, _plain(value))

    @classmethod
    def _refusal(cls, error: ValidationError, given: Mapping[str, Any]) -> MFError:
        """Return ArgumentTypeError or ArgumentError with the field, its value and what it may be."""
        problems = error.errors()
        own = problems[0].get("ctx", {}).get("error")
        if isinstance(own, MFError):
            return own
        if not problems[0]["loc"]:
            return super()._refusal(error, given)
        name = str(problems[0]["loc"][0])
        value, info = given.get(name), cls.model_fields[name]
        mistakes = [problem for problem in problems if problem["loc"][0] == name]
        is_type = [problem["type"].endswith("_type") for problem in mistakes]
        beyond = next((problem for problem, one in zip(mistakes, is_type, strict=True) if not one), None)
        huge = isinstance(value, int) and not isinstance(value, bool) and info.annotation is float
        if beyond is None and not huge:
            expected = extra(info).get("form") or _expected(info.annotation)
            return ArgumentTypeError(
                f"{name}={shown(value)} is of type {type(value).__name__}, expected {expected}", value=value
            )
        limit = ""
        if beyond is None or (len(beyond["loc"]) == 1 and beyond["type"] not in _SAID):
            limit = _limit(info.metadata)
        if not limit:
            limit = "finite" if beyond is None else _said(beyond, extra(info).get("form") or _expected(info.annotation))
        return ArgumentError(f"{name}={shown(value)} must be {limit}", value=value, hint=extra(info).get("hint"))


def numbers(value: Any) -> Iterator[int]:
    """Yield the ids in an option's value, which may be an id, ids, sequences of ids, or ids with their biases."""
    if isinstance(value, int) and not isinstance(value, bool):
        yield value
    elif isinstance(value, (tuple, list, dict)):
        for part in value:
            yield from numbers(part)


def check_vocabulary(options: Options, names: Iterable[str], vocab: int) -> None:
    """Raise ArgumentError for the first id, in the named options, that a vocabulary of ``vocab`` entries has not."""
    for name in names:
        info = type(options).model_fields.get(name)
        if info is None or not extra(info).get("ids"):
            continue
        beyond = next((index for index in numbers(getattr(options, name)) if index >= vocab), None)
        if beyond is not None:
            raise ArgumentError(
                f"{name} has the id {beyond}; the vocabulary has {vocab} entries", value=beyond,
                hint="is it an id of this model's tokenizer?",
            )


def kinds(annotation: Any) -> list[Any]:
    """Return the types that an annotation allows."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return kinds(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [kind for part in get_args(annotation) for kind in kinds(part)]
    return [annotation]


def _expected(annotation: Any) -> str:
    """Return a type in words: ``"an int, a tuple of ints or None"``."""
    *others, last = dict.fromkeys(map(_kind, kinds(annotation)))
    return f"{', '.join(others)} or {last}" if others else last


def _kind(annotation: Any) -> str:
    if annotation in _ARTICLES:
        return _ARTICLES[annotation]
    if get_origin(annotation) is tuple:
        (inner,) = kinds(get_args(annotation)[0])
        return "a tuple of tuples of ints" if get_origin(inner) is tuple else f"a tuple of {inner.__name__}s"
    return " or ".join(map(repr, get_args(annotation)))


def _limit(metadata: Sequence[Any]) -> str:
    """Return bounds in words: ``"at least 1"``, ``"in (0, 1]"``."""
    names = ("ge", "gt", "le", "lt")
    bounds = {name: getattr(item, name) for item in metadata for name in names if hasattr(item, name)}
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    if low is not None and high is not None:
        if "ge" in bounds and "le" in bounds:
            return f"between {low:g} and {high:g}"
        return f"in {'[' if 'ge' in bounds else '('}{low:g}, {high:g}{']' if 'le' in bounds else ')'}"
    if low is not None:
        return f"{'at least' if 'ge' in bounds else 'more than'} {low:g}"
    return "" if high is None else f"{'at most' if 'le' in bounds else 'less than'} {high:g}"


#: Kinds of pydantic's errors of which it says more than the bounds do.
_SAID = ("too_long", "too_short", "value_error", "literal_error")


def _said(problem: Any, form: str) -> str:
    """Return what pydantic says of a value, as the end of the sentence "must be …"."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "too_long":
        return f"at most {context['max_length']} long, and has {context['actual_length']}"
    if kind == "finite_number":
        return "finite"
    if kind == "greater_than_equal":
        return f"at least {context['ge']}"
    if kind == "less_than_equal":
        return f"at most {context['le']}"
    return form
