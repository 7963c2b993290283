"""Writes the list of the project's plugins into the core's distributions; see ``mf_core/plugins/published.py``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PublishedHook(BuildHookInterface):
    """Adds ``published.json``. A wheel that is built from a source distribution finds it there."""

    _file: Path | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Derive the list where the plugins' sources are; not for an editable install, which reads them itself."""
        folder = Path(self.root, "plugins")
        if version == "editable" or not any(folder.glob("*/pyproject.toml")):
            return
        sys.path.insert(0, self.root)
        try:
            from mf_core.plugins.published import as_json, declared

            text = as_json(declared(folder))
        finally:
            sys.path.remove(self.root)
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8", delete=False) as file:
            file.write(text)
        self._file = Path(file.name)
        build_data["force_include"][file.name] = "mf_core/plugins/published.json"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary file."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)
