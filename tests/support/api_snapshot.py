"""What is public, as the sources say now, and how it differs from what the last release had.

``python tests/support/api_snapshot.py`` prints what has changed since, and which of it no changelog fragment names;
``python tests/support/api_snapshot.py --renew`` writes ``tests/support/api.json`` again, as one does for a release.
Nothing is imported: griffe reads the sources.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import griffe

ROOT = Path(__file__).parents[2]
SNAPSHOT = ROOT / "tests" / "support" / "api.json"

#: The public modules; docs/api.md says what each is for. Of a module with ``__all__``, the names in it are public, of
#: the others those that it defines without an underscore.
PUBLIC = (
    "mf_core", "mf_core.backends", "mf_core.backends.collectives", "mf_core.config", "mf_core.context",
    "mf_core.conversion", "mf_core.data", "mf_core.errors", "mf_core.generation", "mf_core.hookspecs", "mf_core.hub",
    "mf_core.lora", "mf_core.models", "mf_core.nn", "mf_core.nn.decoder_pass", "mf_core.optim", "mf_core.parallel",
    "mf_core.processing", "mf_core.specs", "mf_core.testing", "mf_core.tokenization", "mf_core.trainer",
    "mf_core.utils.deprecation", "mf_core.utils.files",
)  # fmt: skip

#: Members with underscores that users call.
_CALLED = ("__init__", "__call__")


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        name: ``"mf_core.Trainer.train"``.
        what: In words.
        breaks: Whether code that worked may work no more.
    """

    name: str
    what: str
    breaks: bool

    def __str__(self) -> str:
        return f"{self.name}: {self.what}{' (breaks what used it)' if self.breaks else ''}"


# What is public now -------------------------------------------------------------------------------------------------


def current(sources: Path = ROOT) -> dict[str, str]:
    """Return each public name and what it is: ``"function (path: str) -> Path"``."""
    loader = griffe.GriffeLoader(search_paths=[str(sources)], allow_inspection=False)
    package = loader.load("mf_core", try_relative_path=False)
    loader.resolve_aliases(implicit=True, external=False)
    found: dict[str, str] = {}
    for module in PUBLIC:
        holder = package[module.partition(".")[2]] if "." in module else package
        for name in _names(holder):
            found.update(_entries(f"{module}.{name}", _resolved(holder.members.get(name))))
    return dict(sorted(found.items()))


def _names(module: griffe.Object) -> list[str]:
    for variable in ("__all__", "_MODULES"):  # `__all__ = sorted(_MODULES)`, where names are imported when used
        if variable in module.members:
            try:
                return sorted(ast.literal_eval(str(module.members[variable].value)))
            except ValueError:
                if variable == "__all__" and "_MODULES" in module.members:
                    held = [str(item) for item in re.findall(r"'([^']+)'", str(module.members["__all__"].value))]
                    return sorted({*held, *ast.literal_eval(str(module.members["_MODULES"].value))})
    return sorted(name for name, member in module.members.items() if not member.is_alias and not name.startswith("_")
                  and not member.is_module and name not in ("logger", "T", "F"))  # fmt: skip


def _resolved(member: Any) -> Any:
    try:
        return member.final_target if member is not None and member.is_alias else member
    except griffe.AliasResolutionError:
        return None


def _entries(name: str, item: Any) -> Iterator[tuple[str, str]]:
    if item is None:
        yield name, "name"
    elif item.is_class:
        yield name, f"class ({', '.join(str(base) for base in item.bases)})"
        for member_name, member in _members(item).items():
            if member_name in _CALLED or not member_name.startswith(("_", "test_")):  # a contract's checks may change
                yield from _entries(f"{name}.{member_name}", _resolved(member))
    elif item.is_function:
        yield name, f"function {_signature(item)}"
    elif item.is_module:
        yield name, "module"
    else:
        own = "class-attribute" in item.labels or "instance-attribute" not in item.labels  # not what __init__ computes
        value = str(item.value) if own and item.value is not None else ""
        shown = f" = {value}" if value and len(value) < 80 else ""
        yield name, " ".join(filter(None, ["attribute", str(item.annotation or ""), shown.strip()]))


def _members(item: griffe.Class) -> dict[str, Any]:
    """Return a class's own members, and those that it has from bases which are not public themselves."""
    members: dict[str, Any] = {}
    for base in reversed(item.mro()):
        if base.name.startswith("_") or base.module.path not in PUBLIC:
            members.update(base.members)
    return {**members, **item.members}


def _signature(function: griffe.Function) -> str:
    parts, starred = [], False
    for parameter in function.parameters:
        kind = parameter.kind
        if kind is griffe.ParameterKind.keyword_only and not starred:
            parts.append("*")
            starred = True
        stars = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(kind, "")
        starred = starred or stars == "*"
        text = f"{stars}{parameter.name}" + (f": {parameter.annotation}" if parameter.annotation is not None else "")
        if parameter.default is not None and not stars:
            text += f" = {parameter.default}"
        parts.append(text)
    return f"({', '.join(parts)})" + (f" -> {function.returns}" if function.returns is not None else "")


# What is different --------------------------------------------------------------------------------------------------


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[Change]:
    """Return what differs; of a class that is new or gone, the class alone."""
    result = []
    for name in sorted({*old, *new}):
        owner = name.rpartition(".")[0]
        if name not in new and not (owner in old and owner not in new):
            result.append(Change(name, "is gone", True))
        elif name not in old and not (owner in new and owner not in old):
            result.append(Change(name, "is new", False))
        elif name in old and name in new and old[name] != new[name]:
            what, breaks = _difference(old[name], new[name])
            result.append(Change(name, f"{what}; it was {old[name]}, and is {new[name]}", breaks))
    return result


def _difference(old: str, new: str) -> tuple[str, bool]:
    kind, was = old.partition(" ")[::2]
    now_kind, now = new.partition(" ")[::2]
    if kind != now_kind:
        return f"is a {now_kind} now", True
    if kind == "class":
        lost = [base for base in was.strip("()").split(", ") if base and base not in now.strip("()").split(", ")]
        return (f"no longer inherits from {', '.join(lost)}", True) if lost else ("has another base", False)
    if kind != "function":
        return "is declared otherwise", False
    return _parameters(_arguments(was), _arguments(now))


def _arguments(signature: str) -> ast.arguments:
    function = ast.parse(f"def f{signature}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    return function.args


def _parameters(old: ast.arguments, new: ast.arguments) -> tuple[str, bool]:
    before, after = _table(old), _table(new)
    for name, (position, default) in before.items():
        if name not in after:
            return f"has no parameter {name} any more", True
        if position is not None and after[name][0] != position:
            return f"takes {name} at another position", True
        if default is not None and after[name][1] is None:
            return f"cannot do without {name} any more", True
    for name, (_, default) in after.items():
        if name not in before and default is None and not name.startswith("*"):
            return f"cannot do without the new parameter {name}", True
    others = [name for name in after if name not in before]
    if others:
        return f"has the new parameter {', '.join(others)}", False
    default = next((name for name in before if before[name][1] != after[name][1]), None)
    return (f"has another default for {default}", False) if default else ("has other types", False)


def _table(arguments: ast.arguments) -> dict[str, tuple[int | None, str | None]]:
    """Return, for each parameter, its index among the positional ones, and its default."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[str | None] = [None] * (len(positional) - len(arguments.defaults))
    defaults += [ast.unparse(value) for value in arguments.defaults]
    table: dict[str, tuple[int | None, str | None]] = {
        each.arg: (position, defaults[position]) for position, each in enumerate(positional)
    }
    for each, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        table[each.arg] = (None, None if value is None else ast.unparse(value))
    for star, each in (("*", arguments.vararg), ("**", arguments.kwarg)):
        if each is not None:
            table[star + each.arg] = (None, None)
    return table


# What the changelog says of it --------------------------------------------------------------------------------------


def fragments(folder: Path = ROOT / "changelog.d") -> dict[str, str]:
    """Return the changelog's fragments: file name -> text."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))}


def unreported(found: Iterable[Change], texts: Mapping[str, str]) -> list[Change]:
    """Return the changes that no fragment names in backticks; one that breaks code needs a fragment of its kind."""
    return [change for change in found if not any(_tells(name, text, change) for name, text in texts.items())]


def _tells(file: str, text: str, change: Change) -> bool:
    if change.breaks and not file.endswith((".removed.md", ".changed.md")):
        return False
    parts = change.name.split(".")
    leaf = parts[-2] if parts[-1] in _CALLED else parts[-1]
    return any(re.search(rf"\b{re.escape(leaf)}\b", code) for code in re.findall(r"`([^`]+)`", text))


def report(missing: Iterable[Change]) -> str:
    """Return, for people, what is to be done about changes that no fragment names."""
    lines = ["What is public has changed, and no fragment in changelog.d/ says so:"]
    for change in missing:
        lines.append(f"  {change}")
        kind = "<topic>.removed.md or <topic>.changed.md" if change.breaks else "<topic>.added.md or <topic>.changed.md"
        lines.append(f"    write changelog.d/{kind}, which names `{change.name.removeprefix('mf_core.')}`")
        if change.breaks and change.name.startswith(("mf_core.hookspecs.", "mf_core.specs.")):
            lines.append("    plugins are written to this: it takes a new interface, mf_core.v2 (docs/api.md)")
        elif change.breaks:
            lines.append("    better: keep it for a minor version, with mf_core.utils.deprecation")
    return "\n".join(lines)


def main(options: list[str]) -> int:
    """Print the differences, and with ``--renew`` take what is there for what was released."""
    now = current()
    found = changes(json.loads(SNAPSHOT.read_text(encoding="utf-8")) if SNAPSHOT.exists() else {}, now)
    missing = unreported(found, fragments())
    print("\n".join(map(str, found)) or "nothing that is public has changed")
    if missing:
        print("\n" + report(missing))
    if "--renew" in options:
        SNAPSHOT.write_text(json.dumps(now, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"\nwrote {len(now)} names to {SNAPSHOT.relative_to(ROOT)}")
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
