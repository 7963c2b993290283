"""For the tests of the core and of the packages: the order of files, and MindSpore's mode after each test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
#: The files that take longest, longest first: `make test PYTEST_ARGS="--durations=50"` shows them.
LONGEST = (
    "tests/end_to_end/test_docs.py",
    "tests/testing/test_conformance.py",
    "tests/trainer/checkpoints/test_store.py",
    "tests/trainer/test_evaluation.py",
    "tests/trainer/test_trainer.py",
    "tests/trainer/steps/test_train_step.py",
    "tests/end_to_end/test_document.py",
    "tests/cli/test_report.py",
    "tests/diagnosis/test_doctor.py",
    "tests/recipes/test_pangualpha_tiny.py",
    "tests/lora/test_adapters.py",
    "tests/generation/test_engine.py",
    "tests/recipes/test_gpt2_tiny.py",
    "plugins/cpu_backend/tests/test_cpu_kernels.py",
    "plugins/pangualpha/tests/test_pangualpha_model.py",
    "plugins/pangualpha/tests/test_pangualpha_conformance.py",
    "plugins/gpt2/tests/test_gpt2_conformance.py",
    "tests/data/test_build.py",
    "tests/data/test_files.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first, so that both workers are busy to the end; the others keep their order."""
    order = {ROOT / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


@pytest.fixture(autouse=True)
def _mode_of_mindspore() -> Iterator[None]:
    """Restore MindSpore's mode after a test: init_context(mode=0) would make the next tests compile whole graphs."""
    yield
    mindspore = sys.modules.get("mindspore")
    if mindspore is not None and mindspore.get_context("mode") != mindspore.PYNATIVE_MODE:
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
