"""State files with arbitrary values in arbitrary fields."""

import random

import numpy as np
import pytest

from mf_core.errors import MFError
from mf_core.trainer.checkpoints.state_file import read_checkpoint

from ...support.trainer_state import DELETE, STATE, edited, write

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st


def paths(data, path=()):
    """Yield where something may be edited, of long lists the ends."""
    if path:
        yield path
    items = data.items() if isinstance(data, dict) else []
    if isinstance(data, list):
        items = [pair for pair in enumerate(data) if pair[0] in (0, len(data) - 1)]
    for key, value in items:
        yield from paths(value, (*path, key))


PATHS = list(paths(STATE))
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just(DELETE),
    st.lists(st.integers() | st.text(max_size=5), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
    st.sampled_from(["/", "..", "checkpoint-0", 10**18, 2**63, -(10**30)]),
)  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(path=st.sampled_from(PATHS), value=VALUES)
def test_any_edit_is_an_error_or_harmless(tmp_path_factory, path, value):
    data = edited(path, value)
    folder = tmp_path_factory.mktemp("state")
    try:
        content = read_checkpoint(write(folder, data))
    except MFError:
        return
    state = content.state()
    assert state.global_step == 4 and 0 <= state.batches_taken <= 7
    assert all(name.startswith("checkpoint-") and name[11:].isdigit() for name in content.own)
    python, numpys = content.random()
    random.Random().setstate(python)
    np.random.RandomState().set_state(numpys)
