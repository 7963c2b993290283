"""``~`` in paths, and a cache for processes whose home cannot be written."""

import os

import pytest

from mf_core import GPT2Config
from mf_core.errors import ArgumentError
from mf_core.hub import cache, cache_dir
from mf_core.utils import paths
from mf_core.utils.paths import user_path


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("MF_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    cache._default.cache_clear()
    yield tmp_path
    cache._default.cache_clear()


def test_a_tilde_is_the_home_directory(home):
    assert user_path("~/run") == home / "run"
    assert str(user_path("~no-such-user/run")) == "~no-such-user/run"
    assert str(user_path("run~")) == "run~"


def test_a_process_without_home_gets_an_error_that_names_it(home, monkeypatch):
    monkeypatch.setattr(paths.os.path, "expanduser", lambda text: text)
    with pytest.raises(ArgumentError, match="HOME"):
        user_path("~/run")
    assert str(user_path("run")) == "run"


def test_configurations_are_saved_and_loaded_under_a_tilde(home):
    GPT2Config(hidden_size=48).save_pretrained("~/model")
    assert (home / "model" / "config.json").is_file()
    assert GPT2Config.from_pretrained("~/model").hidden_size == 48


def test_the_cache_is_in_the_home_directory_and_is_not_made_by_asking(home, monkeypatch):
    assert cache_dir() == home / ".cache" / "mf"
    assert list(home.iterdir()) == []
    monkeypatch.setenv("MF_CACHE", "~/elsewhere")
    assert cache_dir() == home / "elsewhere"


def test_a_home_that_cannot_be_written_gives_a_temporary_cache_and_one_warning(home, monkeypatch):
    (home / "file").touch()
    monkeypatch.setenv("HOME", str(home / "file"))
    with pytest.warns(UserWarning, match="MF_CACHE") as warned:
        folder = cache_dir()
        assert cache_dir() == folder
    assert len(warned) == 1
    assert folder.is_dir()
    assert home not in folder.parents or os.environ.get("TMPDIR", "").startswith(str(home))
