"""Checks: what a backend looked at, in words, and packages that are not imported for it."""

import subprocess
import sys

import pytest

from mf_core.backends.checks import Check, check_package, first_missing, numbers


def test_words():
    assert str(Check("driver", True, "25.5.0", "24")) == "driver: 25.5.0"
    assert str(Check("driver", True)) == "driver: there"
    assert str(Check("driver", False)) == "driver: missing"
    assert str(Check("driver", False, "23.0", ">=24")) == "driver: 23.0 (wanted: >=24)"


def test_the_first_that_stops_is_the_reason():
    fine, warning = Check("a", True), Check("b", False, required=False)
    assert first_missing((fine, warning)) == ""
    stopping = Check("c", False, remedy="install c"), Check("d", False, remedy="install d")
    assert first_missing((fine, warning, *stopping)) == "c: missing; install c"


@pytest.mark.parametrize(
    "at_least, below, ok", [("8", "100", True), ("1.0", "8", False), ("99", "100", False)], ids=["fits", "high", "low"]
)
def test_versions_of_packages(at_least, below, ok):
    check = check_package("pytest", at_least, below, "pip install pytest")
    assert check.ok is ok
    assert numbers(check.found) == numbers(pytest.__version__)
    assert (check.wanted, check.remedy) == (f">={at_least},<{below}", "" if ok else "pip install pytest")


def test_a_version_that_is_none_and_one_before_the_release(monkeypatch):
    import importlib_metadata

    class Distribution:
        def __init__(self, version):
            self.version = version

        def read_text(self, name):
            return f"Name: x\nVersion: {self.version}\n"

    for version, ok in (("2.10.1", True), ("2.10.0rc1", False), ("2.10.0+local", True), ("dev", False)):
        monkeypatch.setattr(importlib_metadata, "distribution", lambda _, version=version: Distribution(version))
        assert check_package("x", "2.10", "2.11", "").ok is ok, version


def test_a_package_that_is_not_installed():
    check = check_package("no-such-package", "1", "2", "pip install it", required=False)
    assert (check.ok, check.found, check.required, check.stops) == (False, "not installed", False, False)


def test_looking_at_a_package_does_not_import_it():
    code = (
        "import sys\nfrom mf_core.backends.checks import check_package\n"
        "print(check_package('mindspore', '2', '3', '').ok, 'mindspore' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.parametrize("text, expected", [("2.10.0", (2, 10, 0)), ("25.3.RC1", (25, 3)), ("dev", ()), ("", ())])
def test_numbers_of_versions(text, expected):
    assert numbers(text) == expected
