"""GenerationConfig: what is accepted, what is refused and how it is said."""

import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mf_core.errors import ArgumentError, ArgumentTypeError, UnsupportedError
from mf_core.generation.config import GenerationConfig
from mf_core.generation.unsupported import UNSUPPORTED

from_kwargs = GenerationConfig.from_kwargs

INTS = [
    "max_length", "max_new_tokens", "min_length", "min_new_tokens", "top_k", "num_beams", "num_return_sequences",
    "eos_token_id", "pad_token_id", "seed",
]  # fmt: skip
FLOATS = ["temperature", "top_p", "repetition_penalty"]
MAY_BE_NONE = ["max_length", "max_new_tokens", "eos_token_id", "pad_token_id", "seed", "prompt_lookup_num_tokens"]
OPTIONS = ["max_length", "max_new_tokens", "do_sample", "stop", *INTS, *FLOATS]


def test_defaults_are_greedy_without_limits():
    config = GenerationConfig()
    assert (config.do_sample, config.temperature, config.top_k, config.top_p) == (False, 1.0, 0, 1.0)
    assert (config.max_length, config.max_new_tokens, config.eos_token_id, config.seed) == (None, None, None, None)
    config.top_k = np.int64(3)
    assert config.top_k == 3
    with pytest.raises(ArgumentError, match="top_k=-1 must be at least 0"):
        config.top_k = -1
    assert config.top_k == 3


def test_values_are_normalised():
    config = GenerationConfig(
        max_length=np.int64(9),
        temperature=1,
        top_p=np.float32(0.5),
        do_sample=np.True_,
        eos_token_id=[np.int32(1), 2],
        stop="\n",
    )
    assert (config.max_length, config.temperature, config.top_p, config.do_sample) == (9, 1.0, 0.5, True)
    assert [type(v) for v in (config.max_length, config.temperature, config.top_p)] == [int, float, float]
    assert (config.eos_token_id, config.stop) == ((1, 2), ("\n",))
    assert GenerationConfig(stop=["a", "b"]).stop == ("a", "b")


@pytest.mark.parametrize("name", INTS)
@pytest.mark.parametrize("kind", [np.int8, np.int32, np.int64, np.uint16])
def test_numpy_integers_become_ints(name, kind):
    value = getattr(GenerationConfig(**{name: kind(1)}), name)
    assert (value, type(value)) == (1, int)


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("kind", [int, np.int64, np.float16, np.float32, np.float64])
def test_numpy_and_whole_numbers_become_floats(name, kind):
    value = getattr(GenerationConfig(**{name: kind(1)}), name)
    assert (value, type(value)) == (1.0, float)


@pytest.mark.parametrize(("value", "expected"), [(np.True_, True), (np.False_, False)])
def test_numpy_bools_become_bools(value, expected):
    assert GenerationConfig(do_sample=value).do_sample is expected


@pytest.mark.parametrize("name", INTS + FLOATS)
@pytest.mark.parametrize("value", [True, False, np.True_, "1", 1j, [1.5], {}, np.array([1, 2])], ids=repr)
def test_neither_a_bool_nor_anything_else_is_a_number(name, value):
    with pytest.raises(ArgumentTypeError) as caught:
        GenerationConfig(**{name: value})
    plain = True if value is np.True_ else value  # NumPy's scalars are Python's before they are checked
    assert caught.value.what.startswith(f"{name}={plain!r} is of type {type(plain).__name__}, expected a")
    assert caught.value.value is plain


@pytest.mark.parametrize("name", sorted({*OPTIONS, *MAY_BE_NONE}))
def test_none_is_accepted_only_where_it_means_something(name):
    if name in MAY_BE_NONE:
        assert getattr(GenerationConfig(**{name: None}), name) is None
    else:
        with pytest.raises(ArgumentTypeError, match=f"{name}=None is of type NoneType"):
            GenerationConfig(**{name: None})


@pytest.mark.parametrize(("given", "ids"), [(None, ()), (5, (5,)), ((5, 6), (5, 6)), ([], ())])
def test_eos_ids(given, ids):
    assert GenerationConfig(eos_token_id=given).eos_ids == ids


def test_explicit_values_override_the_defaults():
    config = from_kwargs({"top_k": 5, "do_sample": True, "eos_token_id": 2}, top_k=3, eos_token_id=None)
    assert (config.top_k, config.do_sample, config.eos_token_id) == (3, True, None)


def test_defaults_are_not_changed():
    defaults = {"max_length": 10}
    from_kwargs(defaults, max_new_tokens=4, top_k=2)
    assert defaults == {"max_length": 10}


def test_unknown_keyword_is_refused_with_close_names():
    with pytest.raises(ArgumentError, match="no argument 'temprature'") as caught:
        from_kwargs({}, temprature=0.7)
    assert caught.value.hint == "did you mean 'temperature'?"
    with pytest.raises(ArgumentError) as caught:
        from_kwargs({}, zzz=1)
    assert "repetition_penalty" in str(caught.value.hint)
    with pytest.raises(ArgumentError, match="no argument 'max_len'"):
        from_kwargs({"max_len": 3})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("max_length", "50", "an int or None"),
        ("max_length", 50.0, "an int or None"),
        ("max_new_tokens", True, "an int or None"),
        ("min_length", None, "an int"),
        ("top_k", 2.5, "an int"),
        ("top_k", False, "an int"),
        ("temperature", "hot", "a float"),
        ("temperature", True, "a float"),
        ("top_p", None, "a float"),
        ("do_sample", 1, "a bool"),
        ("do_sample", None, "a bool"),
        ("seed", 1.5, "an int or None"),
        ("eos_token_id", "</s>", "an int, a tuple of ints or None"),
        ("eos_token_id", (1, "2"), "an int, a tuple of ints or None"),
        ("eos_token_id", (1, True), "an int, a tuple of ints or None"),
        ("stop", {"a"}, "a str or a tuple of str"),
        ("stop", b"a", "a str or a tuple of str"),
        ("stop", 3, "a str or a tuple of str"),
        ("stop", ["a", 3], "a str or a tuple of str"),
        ("stop", None, "a str or a tuple of str"),
    ],
)
def test_wrong_type_names_field_value_and_type(name, value, expected):
    for make in (lambda: GenerationConfig(**{name: value}), lambda: from_kwargs({}, **{name: value})):
        with pytest.raises(ArgumentTypeError) as caught:
            make()
        assert caught.value.what.startswith(f"{name}={value!r} is of type {type(value).__name__}")
        assert caught.value.what.endswith(f"expected {expected}")


@pytest.mark.parametrize(
    ("name", "value", "limit"),
    [
        ("top_p", 0, "in (0, 1]"),
        ("top_p", 1.01, "in (0, 1]"),
        ("top_p", -0.5, "in (0, 1]"),
        ("top_p", float("nan"), "in (0, 1]"),
        ("temperature", 0, "between 1e-30 and 1e+30"),
        ("temperature", -1.0, "between 1e-30 and 1e+30"),
        ("temperature", float("inf"), "between 1e-30 and 1e+30"),
        ("temperature", float("nan"), "between 1e-30 and 1e+30"),
        ("repetition_penalty", 0.0, "between 1e-30 and 1e+30"),
        ("top_k", -1, "at least 0"),
        ("max_length", 0, "at least 1"),
        ("max_new_tokens", 0, "at least 1"),
        ("min_length", -1, "at least 0"),
        ("min_new_tokens", -1, "at least 0"),
        ("seed", -1, "at least 0"),
        ("num_beams", 0, "between 1 and 256"),
        ("num_return_sequences", 0, "between 1 and 4096"),
        ("num_return_sequences", 10**6, "between 1 and 4096"),
        ("eos_token_id", -1, "at least 0"),
        ("eos_token_id", (3, -1), "at least 0"),
        ("pad_token_id", -1, "at least 0"),
        ("stop", "", "non-empty"),
        ("stop", ("a", ""), "non-empty"),
        ("stop", ("ab",) * 10_001, "at most 10000 long"),
        ("min_p", 1.5, "between 0 and 1"),
        ("typical_p", 0.0, "in (0, 1]"),
        ("epsilon_cutoff", 1.0, "in [0, 1)"),
        ("suppress_tokens", [3, -1], "at least 0"),
        ("early_stopping", "always", "a bool or 'never'"),
        ("sequence_bias", [[1, 2.0, 3]], "a dict from tuples of ids to floats"),
        ("exponential_decay_length_penalty", (1,), "a pair of"),
    ],
)
def test_out_of_range_names_value_and_limit(name, value, limit):
    with pytest.raises(ArgumentError) as caught:
        from_kwargs({}, **{name: value})
    shown = ("",) if value == "" else value
    assert caught.value.what.startswith(f"{name}={shown!r}"[:100])
    assert limit in caught.value.what.rpartition(" must be ")[2]


@pytest.mark.parametrize("name", ["temperature", "top_p"])
def test_zero_suggests_greedy(name):
    with pytest.raises(ArgumentError) as caught:
        from_kwargs({}, **{name: 0.0})
    assert "do_sample=False" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("max_length", 1), ("max_new_tokens", 1), ("min_length", 0), ("min_new_tokens", 0), ("top_k", 0),
        ("num_beams", 1), ("num_return_sequences", 1), ("eos_token_id", 0), ("pad_token_id", 0), ("seed", 0),
    ],
)  # fmt: skip
def test_the_least_integer_is_accepted_and_one_less_is_not(name, least):
    assert getattr(GenerationConfig(**{name: least}), name) == least
    with pytest.raises(ArgumentError, match=f"{name}={least - 1} must be (at least|between) {least}"):
        GenerationConfig(**{name: least - 1})


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_an_int_beyond_all_floats_is_out_of_range(name, value):
    with pytest.raises(ArgumentError, match=f"{name}=-?10+.* must be (in|between)"):
        GenerationConfig(**{name: value})


@pytest.mark.parametrize("name", ["temperature", "repetition_penalty"])
def test_scales_that_make_float32_logits_overflow_are_refused(name):
    for value in (1e-30, 1e30):
        assert getattr(GenerationConfig(**{name: value}), name) == value
    for value in (5e-324, 1e-40, 1e39):
        with pytest.raises(ArgumentError, match=r"must be between 1e-30 and 1e\+30") as caught:
            GenerationConfig(**{name: value})
        assert caught.value.what.startswith(f"{name}={value!r} ")


@pytest.mark.parametrize("value", [1e-9, 1.0])
def test_limits_of_top_p_are_accepted(value):
    assert GenerationConfig(top_p=value).top_p == value


@pytest.mark.parametrize(("low", "high"), [("min_length", "max_length"), ("min_new_tokens", "max_new_tokens")])
def test_min_is_at_most_max(low, high):
    assert getattr(from_kwargs({}, **{low: 5, high: 5}), low) == 5
    with pytest.raises(ArgumentError, match=f"{low}=6 is more than {high}=5"):
        from_kwargs({high: 5}, **{low: 6})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_beams": 2, "num_return_sequences": 3}, ArgumentError, "num_return_sequences=3 is more than"),
        ({"num_beams": 2, "prompt_lookup_num_tokens": 3}, UnsupportedError, "prompt_lookup_num_tokens=3 with"),
        ({"penalty_alpha": 0.6}, UnsupportedError, "does not support 'penalty_alpha'"),
    ],
)
def test_options_that_do_not_go_together_or_are_not_supported(options, error, message):
    with pytest.raises(error, match=message):
        from_kwargs({}, **options)


def test_options_of_beams_without_beams_are_ignored_with_a_warning():
    with pytest.warns(UserWarning, match=r"num_beams=1: ignored length_penalty=2\.0"):
        from_kwargs({}, length_penalty=2.0)
    assert from_kwargs({}, length_penalty=2, num_beams=3).length_penalty == 2.0


def test_several_sequences_need_sampling():
    with pytest.raises(ArgumentError, match="identical") as caught:
        from_kwargs({}, num_return_sequences=2)
    assert caught.value.hint == "do_sample=True, or num_beams=2"
    assert from_kwargs({"do_sample": True}, num_return_sequences=2).num_return_sequences == 2
    assert from_kwargs({}, num_return_sequences=2, seed=1).do_sample


def test_both_limits_are_refused():
    with pytest.raises(ArgumentError, match="both max_length=9 and max_new_tokens=3") as caught:
        from_kwargs({"max_length": 20}, max_length=9, max_new_tokens=3)
    assert "one of them" in str(caught.value.hint)


def test_an_explicit_limit_replaces_the_other_default():
    config = from_kwargs({"max_length": 20}, max_new_tokens=3)
    assert (config.max_length, config.max_new_tokens) == (None, 3)
    config = from_kwargs({"max_new_tokens": 3}, max_length=20)
    assert (config.max_length, config.max_new_tokens) == (20, None)
    config = from_kwargs({"max_length": 20}, max_length=None, max_new_tokens=3)
    assert (config.max_length, config.max_new_tokens) == (None, 3)
    config = from_kwargs({"max_length": 20}, max_new_tokens=None)
    assert (config.max_length, config.max_new_tokens) == (20, None)


@pytest.mark.parametrize("keyword", [{"temperature": 0.7}, {"top_k": 3}, {"top_p": 0.9}, {"seed": 0}])
def test_a_sampling_keyword_turns_sampling_on(keyword):
    assert from_kwargs({}, **keyword).do_sample
    assert from_kwargs({"do_sample": False}, **keyword).do_sample


@pytest.mark.parametrize("keyword", [{"repetition_penalty": 1.2}, {"max_length": 9}, {"seed": None}])
def test_other_keywords_do_not(keyword):
    assert not from_kwargs({"top_k": 5}, **keyword).do_sample


def test_sampling_keywords_with_do_sample_false_are_ignored_with_a_warning():
    with pytest.warns(UserWarning, match=r"do_sample=False: ignored temperature=0, top_k=3") as caught:
        config = from_kwargs({"top_k": 5}, do_sample=False, top_k=3, temperature=0)
    assert len(caught) == 1
    assert (config.do_sample, config.top_k, config.temperature) == (False, 5, 1.0)


@pytest.mark.parametrize("keyword", [{"temperature": 0.7}, {"top_k": 3}, {"top_p": 0.9}, {"seed": 4}])
def test_every_sampling_keyword_is_ignored_with_do_sample_false(keyword):
    ((name, value),) = keyword.items()
    with pytest.warns(UserWarning, match=f"ignored {name}={value!r}"):
        assert from_kwargs({}, do_sample=False, **keyword) == GenerationConfig(do_sample=False)


def test_the_warning_is_of_the_callers_line():
    pytest.importorskip("mindspore")
    from mf_core.models.base import PretrainedModel

    model = SimpleNamespace(
        max_positions=4, config=SimpleNamespace(vocab_size=5), generation_config=GenerationConfig()
    )
    with pytest.warns(UserWarning, match="ignored top_k=3") as caught, pytest.raises(ArgumentError, match="the id 9"):
        PretrainedModel.generate(model, [9], do_sample=False, top_k=3)
    assert [warning.filename for warning in caught] == [__file__]


def test_an_ignored_keyword_must_have_the_right_type_all_the_same():
    with pytest.raises(ArgumentTypeError, match="top_k='3'"):
        from_kwargs({}, do_sample=False, top_k="3")


def test_no_warning_for_the_defaults():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not from_kwargs({"top_k": 5, "do_sample": True}, do_sample=False).do_sample


def test_every_field_is_documented():
    assert all((info.description or "").endswith(".") for info in GenerationConfig.model_fields.values())


# Files --------------------------------------------------------------------------------------------------------------


def test_what_files_say_loads_and_is_written_back(tmp_path):
    said = {
        "bos_token_id": None, "eos_token_id": [0, 300], "pad_token_id": -1, "do_sample": False, "use_cache": True,
        "stop_strings": ["a"], "max_length": 20, "max_new_tokens": 5, "early_stopping": "never", "num_beams": 1,
        "sequence_bias": [[[1, 2], -1.0]], "transformers_version": "5.0", "cache_implementation": None,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = GenerationConfig.from_dict(said)
    assert (config.eos_token_id, config.pad_token_id, config.stop) == ((0, 300), None, ("a",))
    assert (config.max_length, config.max_new_tokens) == (None, 5)
    config.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "generation_config.json").read_text())
    kept = {name: value for name, value in said.items() if name not in ("bos_token_id", "pad_token_id", "max_length")}
    assert written == kept
    assert GenerationConfig.from_dict(written).set_fields() == config.set_fields()


def test_what_a_file_says_and_is_not_supported_is_warned_of():
    with pytest.warns(UserWarning, match=r"ignored guidance_scale=2\.0, temperature=0\.0"):
        config = GenerationConfig.from_dict({"guidance_scale": 2.0, "temperature": 0.0, "penalty_alpha": 0})
    assert config.set_fields() == {}
    assert config.extra == {"guidance_scale": 2.0, "temperature": 0.0, "penalty_alpha": 0}


def test_it_prints_what_differs_from_the_defaults():
    text = str(GenerationConfig(top_k=3, do_sample=True, temperature=1.0))
    head, _, body = text.partition(" ")
    shown = json.loads(body)
    assert head == "GenerationConfig"
    assert shown.pop("mf_framework_version")
    assert shown == {"top_k": 3, "do_sample": True}


@pytest.mark.parametrize("page", ["generation.md", "generation.zh.md"])
def test_the_page_has_an_example_of_each_option_and_what_is_refused(page):
    text = (Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8")
    flagless = {"bos_token_id"}  # kept for files
    assert [name for name in GenerationConfig.model_fields if f"{name}=" not in text and name not in flagless] == []
    assert [name for name in UNSUPPORTED if f"`{name}`" not in text] == []
