"""Importing this puts recipes/common, which the recipes share, on the path of modules."""

import sys
from pathlib import Path

_COMMON = str(Path(__file__).resolve().parents[1] / "common")
if _COMMON not in sys.path:
    sys.path.append(_COMMON)
