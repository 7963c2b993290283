"""Reading small files within a size limit, and writing single files atomically."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import IntegrityError, describe

#: A model's configuration, in its directory.
CONFIG_FILE = "config.json"
#: Settings of adapters and the name of the model that they are for, in a directory that holds adapters.
ADAPTER_FILE = "adapter_config.json"
#: Their weights.
ADAPTER_WEIGHTS_FILE = "adapter_model.safetensors"

#: Most bytes of a configuration in JSON, of one in YAML (whose parser is slow), and of an index or a tokenizer.
JSON_LIMIT, YAML_LIMIT, INDEX_LIMIT = 16 << 20, 1 << 20, 64 << 20


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is synced and renamed to ``path``, else it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        sync(temporary)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file's contents, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write ``data`` as indented JSON, atomically."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def read_text(path: Path, limit: int) -> str:
    """Return a file's text.

    Args:
        path: The file, in UTF-8.
        limit: Most bytes that it may have.

    Raises:
        IntegrityError: It is larger, is not UTF-8, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(size) if size <= limit else b""
        if size > limit:
            raise IntegrityError(
                f"{path} has {size:,} bytes", value=str(path), why=f"such a file has at most {limit:,}",
                hint="fetch or save it again",
            )  # fmt: skip
        return data.decode("utf-8")
    except (OSError, ValueError) as error:
        if isinstance(error, (IntegrityError, FileNotFoundError)):
            raise
        raise IntegrityError(f"{path} cannot be read", value=str(path), why=describe(error)) from error


def read_json(path: Path, limit: int = JSON_LIMIT) -> Any:
    """Return the contents of a JSON file of at most ``limit`` bytes; raise IntegrityError if it is damaged."""
    text = read_text(path, limit)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} cannot be read", value=str(path), why=describe(error)) from error


def read_config_file(path: Path) -> dict[str, Any]:
    """Return the contents of a ``.json``, ``.yaml`` or ``.yml`` file.

    Raises:
        IntegrityError: It is damaged, too large, or holds something else than a mapping from names.
    """
    data = read_json(path) if path.suffix == ".json" else _read_yaml(path)
    if not isinstance(data, dict):
        raise IntegrityError(f"{path} holds a {type(data).__name__}, not a mapping of fields", value=str(path))
    odd = next((name for name in data if not isinstance(name, str)), None)
    if odd is not None:
        raise IntegrityError(f"{path} has a field {odd!r}, which is not a name", value=odd, hint="quote or remove it")
    return data


def _read_yaml(path: Path) -> Any:
    import yaml

    text = read_text(path, YAML_LIMIT)
    try:
        return parse_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} is not valid YAML", value=str(path), why=describe(error)) from error


def parse_yaml(text: str) -> Any:
    """Return what a YAML text holds. Only ``true`` and ``false`` are booleans, as in YAML 1.2: ``no`` is a word.

    Raises:
        yaml.YAMLError, ValueError, RecursionError: It is not valid YAML.
    """
    import yaml

    return yaml.load(text, _yaml_loader())  # a subclass of SafeLoader


@cache
def _yaml_loader() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    kind = "tag:yaml.org,2002:bool"
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != kind]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver(kind, re.compile(r"(true|True|TRUE|false|False|FALSE)\Z"), list("tTfF"))
    return Loader
