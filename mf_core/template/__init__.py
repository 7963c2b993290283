"""The files of a new plugin's repository, with placeholders, and how they are filled in.

A kind of plugin is made of folders of this package, later ones over earlier ones; a file's path in its folder is its
path in the repository, with ``package`` for the package's name and ``dot-`` for a leading dot. In them ``$package`` and
the other fields of :class:`Names` stand for what differs between plugins, and ``$$`` for a dollar sign.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import ClassVar

from ..errors import ArgumentError, did_you_mean
from ..plugins.published import published

#: Kind of plugin -> the folders that its repository is made of.
KINDS: Mapping[str, tuple[str, ...]] = {
    "model": ("common", "text", "model"),
    "tokenizer": ("common", "text", "tokenizer"),
    "processor": ("common", "text", "processor"),
    "task": ("common", "task"),
    "backend": ("common", "backend"),
}
#: Licences by their SPDX identifiers; with ``none`` all rights are kept, and no index takes the package.
LICENSES = ("Apache-2.0", "MIT", "BSD-3-Clause", "none")

#: What a kind needs beside the core to run, and what its tests need.
_NEEDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "model": ((), ("mf-cpu-backend",)),
    "tokenizer": ((), ("mf-cpu-backend",)),
    "processor": ((), ("mf-cpu-backend",)),
    "task": ((), ("mf-cpu-backend", "mf-gpt2")),
    "backend": (("mindspore>=2.10,<2.11", "numpy>=1.25,<2"), ()),
}
#: For kinds that import MindSpore, which has no types: its cells are Any to subclass.
_UNTYPED = """

[[tool.mypy.overrides]]
module = ["{package}.*"]
disallow_subclassing_any = false

[[tool.mypy.overrides]]
module = ["mindspore.*"]
ignore_missing_imports = true
follow_imports = "skip"
"""

_FOLDER = Path(__file__).parent

#: Names that a new plugin cannot have, beside the project's plugins: the core's, and one that a stranger's package has.
_TAKEN = ("mf-core", "mf-framework")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\Z")
_AUTHOR = re.compile(r"(?P<name>[^<>]+?)\s*(<(?P<email>[^<>@\s]+@[^<>@\s]+)>)?\Z")


@dataclass(frozen=True)
class Names:
    """What a plugin and its parts are called.

    Attributes:
        distribution: ``"mf-good-letters"``.
        package: ``"mf_good_letters"``.
        name: ``"good_letters"``: the family, task or backend, and the entry point.
        title: ``"GoodLetters"``: what its classes' names begin with.
    """

    #: Most characters of a name without ``mf-``; the lines of the files would be too long.
    LONGEST: ClassVar[int] = 32

    distribution: str
    package: str
    name: str
    title: str

    @classmethod
    def of(cls, given: str) -> Names:
        """Return the names that follow from what the user typed, with or without ``mf-``.

        Raises:
            ArgumentError: It is no name of a distribution, or no class or package can be called so, or it is taken.
        """
        hint = "use ASCII letters, digits and '-', and begin with a letter: mf plugins new good-letters"
        if not _NAME.match(given):
            why = "a distribution's name has ASCII letters, digits, '-', '_' and '.', and ends in letters or digits"
            raise ArgumentError(f"{given!r} cannot be the name of a plugin", value=given, why=why, hint=hint)
        short = re.sub(r"[-_.]+", "-", given).lower().removeprefix("mf-")
        name = short.replace("-", "_")
        title = "".join(word.capitalize() for word in short.split("-"))
        if not name[:1].isalpha():
            why = "the names of its classes would begin with a digit" if name else "nothing is left without 'mf-'"
            raise ArgumentError(f"{given!r} cannot be the name of a plugin", value=given, why=why, hint=hint)
        if keyword.iskeyword(name) or keyword.iskeyword(title):
            raise ArgumentError(
                f"{given!r} cannot be the name of a plugin", value=given, why=f"{name!r} is a keyword of Python",
                hint=f"add a word: mf plugins new {short}-model",
            )  # fmt: skip
        if len(short) > cls.LONGEST:
            why = f"it has {len(short)} characters, and the lines of its files would be too long"
            raise ArgumentError(f"{given!r} cannot be the name of a plugin", value=given, why=why, hint=hint)
        if f"mf-{short}" in {*_TAKEN, *published()}:
            raise ArgumentError(
                f"{given!r} cannot be the name of a plugin", value=given, why=f"mf-{short} is another package",
                hint=f"add a word: mf plugins new my-{short}",
            )  # fmt: skip
        return cls(f"mf-{short}", f"mf_{name}", name, title)


def render(
    names: Names, kind: str, *, license: str = "Apache-2.0", author: str | None = None, year: int, core: str
) -> dict[str, str]:
    """Return the files of a new repository: path -> text.

    Args:
        names: What it is called.
        kind: One of :data:`KINDS`.
        license: One of :data:`LICENSES`.
        author: ``"Ada Lovelace"`` or ``"Ada Lovelace <ada@example.org>"``; None: not said.
        year: Of the copyright.
        core: The version of the core that it is written for, ``"0.1.0"``.

    Raises:
        ArgumentError: The kind or the licence is not known, or the author is not of that form.
    """
    for value, known, what in ((kind, tuple(KINDS), "kind"), (license, LICENSES, "license")):
        if value not in known:
            raise ArgumentError(
                f"there is no {what} {value!r}", value=value, why=did_you_mean(value, known),
                hint=f"--{what} {'|'.join(known)}",
            )  # fmt: skip
    person = _person(author) if author is not None else {}
    holder = person.get("name", f"the authors of {names.distribution}")
    needs, tested = _NEEDS[kind]
    fields = {
        **vars(names), "kind": kind, "core": _range(core), "year": str(year), "holder": holder,
        "spdx": "" if license == "none" else license, "metadata": _metadata(license, person),
        "needs": _listed(f"mf-framework{_range(core)}", *needs), "tested": _listed("mf-framework[testing]", *tested),
        "untyped": "" if kind in ("tokenizer", "processor") else _UNTYPED.format(package=names.package),
    }  # fmt: skip
    result: dict[str, str] = {}
    for folder in KINDS[kind]:
        result.update(_filled(_FOLDER / folder, fields))
    if license != "none":
        text = (_FOLDER / "licenses" / f"{license}.txt").read_text(encoding="utf-8")
        result["LICENSE"] = Template(text).substitute(fields)
    return dict(sorted(result.items()))


def _filled(folder: Path, fields: Mapping[str, str]) -> dict[str, str]:
    """Return the texts in a folder and those below it, filled in, by their paths in the repository."""
    result = {}
    for file in folder.rglob("*.tmpl"):
        parts = [re.sub(r"^dot-", ".", part) for part in file.relative_to(folder).parts]
        path = "/".join(fields["package"] if part == "package" else part for part in parts)
        text = Template(file.read_text(encoding="utf-8")).substitute(fields)
        result[path.removesuffix(".tmpl")] = f"{text.rstrip()}\n" if text else ""
    return result


def _person(author: str) -> dict[str, str]:
    match = _AUTHOR.match(author.strip())
    if match is None or not author.isprintable():
        raise ArgumentError(
            f"{author!r} is not an author", value=author, hint="--author 'Ada Lovelace <ada@example.org>'"
        )
    return {key: value for key, value in match.groupdict().items() if value}


def _range(core: str) -> str:
    """Return the versions of the core that a plugin written for one can rely on: ``"0.1.0"`` gives ``">=0.1,<0.2"``."""
    major, minor = (int(part) for part in core.split(".")[:2])
    return f">={major}.{minor},<{major}.{minor + 1}" if major == 0 else f">={major}.{minor},<{major + 1}"


def _listed(*items: str) -> str:
    return ", ".join(map(json.dumps, items))


def _metadata(license: str, person: Mapping[str, str]) -> str:
    """Return the lines of ``[project]`` that say whose it is and what others may do with it."""
    lines = []
    if license != "none":
        lines += [f'license = "{license}"', 'license-files = ["LICENSE"]']
    if person:
        said = ", ".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in person.items())
        lines.append(f"authors = [{{ {said} }}]")
    classifiers = ["Typing :: Typed", *(["Private :: Do Not Upload"] if license == "none" else [])]
    lines.append(f"classifiers = [{_listed(*classifiers)}]")
    return "\n".join(lines)
