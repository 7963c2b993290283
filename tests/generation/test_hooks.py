"""Functions of the caller's: when they are called, and whose mistake an error is."""

import numpy as np
import pytest

from mf_core import GPT2Config, GPT2LMHeadModel, set_seed
from mf_core.errors import ArgumentError, ArgumentTypeError, CallbackError

OPTIONS = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None}


@pytest.fixture(scope="module")
def model():
    set_seed(5)
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=60, hidden_size=16, num_layers=1, num_heads=2, seq_length=32, initializer_range=0.3)
    )


@pytest.mark.parametrize("num_beams", [1, 2])
def test_a_logits_processor_sees_ids_and_changes_logits(model, num_beams):
    seen = []

    def only_even(ids, logits):
        seen.append((ids.dtype, ids.shape, logits.dtype, logits.shape))
        logits[:, 1::2] = -np.inf
        return logits

    (row,) = model.generate([1, 3, 5], logits_processor=only_even, num_beams=num_beams, **OPTIONS)
    assert all(index % 2 == 0 for index in row[3:])
    assert [shape for _, shape, _, _ in seen] == [(num_beams, 3 + n) for n in range(6)]
    assert {(a, c, d) for a, _, c, d in seen} == {(np.dtype(np.int64), np.dtype(np.float32), (num_beams, 60))}


def test_stopping_criteria_and_callbacks(model):
    tokens = []
    output = model.generate(
        [[1, 2], [3]], stopping_criteria=[lambda ids, logits: ids.shape[1] >= 4], callbacks=tokens.append,
        return_dict_in_generate=True, logprobs=2, **OPTIONS,
    )  # fmt: skip
    assert [len(row) for row in output.sequences] == [4, 4]
    assert output.finish_reasons == ["stop", "stop"]
    for row, start in ((0, 2), (1, 1)):
        mine = [token for token in tokens if token.prompt == row]
        assert [token.id for token in mine] == output.sequences[row][start:]
        assert [token.logprob for token in mine] == [said.logprob for said in output.logprobs[row]]
        assert [token.finish_reason for token in mine] == [None] * (len(mine) - 1) + ["stop"]
        assert output.scores[row] == pytest.approx(sum(token.logprob for token in mine))
        assert all(said.top[0] == (said.id, said.logprob) and len(said.top) == 2 for said in output.logprobs[row])


def fails(*_):
    raise KeyError("mine")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"logits_processor": fails}, "logits_processor: fails raised KeyError: 'mine'"),
        ({"stopping_criteria": fails}, "stopping_criteria: fails raised KeyError"),
        ({"callbacks": fails}, "callbacks: fails raised KeyError"),
        ({"logits_processor": lambda ids, logits: None}, "returned a|returned an array of the shape"),
        ({"logits_processor": lambda ids, logits: logits[:, :3]}, r"returned an array of the shape \(1, 3\)"),
        ({"logits_processor": lambda ids, logits: logits * np.nan}, "returned NaN"),
        ({"stopping_criteria": lambda ids, logits: None}, "stopping_criteria .* returned None"),
        ({"stopping_criteria": lambda ids, logits: logits > 0}, "stopping_criteria .* returned array"),
    ],
)
def test_errors_of_functions_are_distinguished_from_the_librarys(model, options, message):
    with pytest.raises(CallbackError, match=message):
        model.generate([1, 2], **options, **OPTIONS)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"logits_processor": 3}, ArgumentTypeError, "logits_processor=3 is no function"),
        ({"callbacks": ["x"]}, ArgumentTypeError, "is no function or list of functions"),
        ({"logprobs": 1000, "return_dict_in_generate": True}, ArgumentError, "between 0 and 100"),
        ({"logprobs": "2", "return_dict_in_generate": True}, ArgumentTypeError, "logprobs='2'"),
    ],
)
def test_what_is_no_function_is_refused(model, options, error, message):
    with pytest.raises(error, match=message):
        model.generate([1, 2], **options, **OPTIONS)


def test_stop_token_ids_end_a_text(model):
    (free,) = model.generate([1, 2], **OPTIONS)
    output = model.generate([1, 2], stop_token_ids=[free[4]], return_dict_in_generate=True, **OPTIONS)
    assert output.sequences == [free[: free.index(free[4], 2) + 1]]
    assert output.finish_reasons == ["stop"]
