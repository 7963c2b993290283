"""For the tests of the core and of the packages: the order of files, and what a test must leave as it was."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
#: The files that take longest, longest first: `make test PYTEST_ARGS="--durations=50"` shows them.
LONGEST = (
    "tests/testing/test_conformance.py",
    "tests/trainer/checkpoints/test_store.py",
    "tests/end_to_end/test_docs.py",
    "tests/trainer/test_evaluation.py",
    "tests/trainer/test_trainer.py",
    "tests/trainer/steps/test_train_step.py",
    "tests/template/test_template.py",
    "tests/end_to_end/test_document.py",
    "tests/cli/test_report.py",
    "tests/diagnosis/test_doctor.py",
    "tests/recipes/test_pangualpha_tiny.py",
    "tests/generation/test_engine.py",
    "tests/recipes/test_gpt2_tiny.py",
    "plugins/cpu_backend/tests/test_cpu_kernels.py",
    "plugins/pangualpha/tests/test_pangualpha_model.py",
    "plugins/pangualpha/tests/test_pangualpha_conformance.py",
    "plugins/gpt2/tests/test_gpt2_conformance.py",
    "plugins/qwen/tests/test_qwen_conformance.py",
    "tests/end_to_end/test_outside_plugin.py",
    "tests/models/test_decoder_arrays.py",
    "tests/lora/test_adapters.py",
    "tests/data/test_build.py",
    "tests/data/test_files.py",
)
#: Likewise of the tests marked slow: `make test-slow PYTEST_ARGS="--durations=50"`.
LONGEST_SLOW = (
    "tests/end_to_end/test_parallel_training.py",
    "tests/trainer/checkpoints/test_store.py",
    "tests/backends/test_collectives.py",
    "tests/end_to_end/test_docs.py",
    "tests/end_to_end/test_parallel_checkpoints.py",
    "plugins/cpu_backend/tests/test_cpu_kernels.py",
    "tests/backends/test_runtime.py",
    "tests/template/test_template.py",
    "tests/models/test_sharded_gradients.py",
    "tests/planner/test_memory.py",
    "tests/recipes/test_pangualpha_tiny.py",
    "tests/end_to_end/test_distributions.py",
    "tests/end_to_end/test_examples.py",
    "plugins/gpt2/tests/test_gpt2_conformance.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first, so that both workers are busy to the end; the others keep their order."""
    orders = [{ROOT / name: number for number, name in enumerate(names)} for names in (LONGEST, LONGEST_SLOW)]

    def rank(item: pytest.Item) -> int:
        order = orders[item.get_closest_marker("slow") is not None]
        return order.get(item.path, len(order))

    items.sort(key=rank)


@pytest.fixture(autouse=True)
def _state_of_the_process() -> Iterator[None]:
    """Restore what a command or a script that runs in the tests' process changes.

    Commands choose a log level; with init_context(mode=0), the next tests would compile whole graphs.
    """
    log = logging.getLogger("mf_core")
    level = log.level
    yield
    log.setLevel(level)
    mindspore = sys.modules.get("mindspore")
    if mindspore is not None and mindspore.get_context("mode") != mindspore.PYNATIVE_MODE:
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


@pytest.fixture(autouse=True, scope="module")
def _compiled_graphs() -> Iterator[None]:
    """Discard a file's compiled graphs after it: compiling slows down with the graphs that a process holds."""
    yield
    mindspore = sys.modules.get("mindspore")
    if mindspore is not None:
        gc.collect()
        mindspore.ms_memory_recycle()
