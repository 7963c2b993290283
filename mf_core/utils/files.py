"""Reading configuration files, and writing files so that a reader sees the old bytes or the new ones, never half."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import IntegrityError

#: A model's configuration, in its directory.
CONFIG_FILE = "config.json"
#: Settings of adapters and the name of the model that they are for, in a directory that holds adapters.
ADAPTER_FILE = "adapter_config.json"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is synced and takes its place, else it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write ``data`` as indented JSON, atomically."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def read_config_file(path: Path) -> dict[str, Any]:
    """Return the contents of a ``.json``, ``.yaml`` or ``.yml`` file; raise IntegrityError where it is no mapping."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            data = json.loads(text)
        else:
            import yaml

            data = yaml.safe_load(text)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} cannot be read", value=str(path), why=str(error)) from error
    except Exception as error:
        if type(error).__module__.startswith("yaml"):
            raise IntegrityError(f"{path} is not valid YAML", value=str(path), why=str(error)) from error
        raise
    if not isinstance(data, dict):
        raise IntegrityError(f"{path} holds a {type(data).__name__}, not a mapping of fields", value=str(path))
    return data
