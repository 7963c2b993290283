"""What ``mf plugins check`` runs in a separate process: ``python -m mf_core.testing DISTRIBUTION REPORT [-k …]``."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

_TESTS = """\
from mf_core.testing import contracts_of

globals().update(contracts_of({distribution!r}))
"""


def main(distribution: str, report: str, *pytest_options: str) -> int:
    """Check a distribution and write the outcomes to the file ``report``; return pytest's exit code."""
    import pytest

    from .contracts.plugin import records_of
    from .reporting import ResultRecorder

    packages = {record.module.partition(".")[0] for record in records_of(distribution)}
    path = Path(report).resolve()
    with tempfile.TemporaryDirectory(prefix="mf-check-") as folder:
        os.chdir(folder)  # so that what a check writes into the working directory is deleted
        Path("test_plugin.py").write_text(_TESTS.format(distribution=distribution), encoding="utf-8")
        Path("pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        options = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "--tb=no", *pytest_options]
        code = pytest.main([*options, "test_plugin.py"], plugins=[ResultRecorder(path, packages)])
        os.chdir(path.parent)
    return int(code)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
