"""The working folder is not imported from, unless it is named."""

import os
import sys
import sysconfig
from pathlib import Path

import pytest

import l2s_auto
from l2s_auto.core.import_path import ignore_working_folder

STANDARD = [sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["purelib"]]


def left(monkeypatch, path: list[str], variable: str | None) -> tuple[list[str], str | None]:
    """sys.path and PYTHONPATH afterwards."""
    monkeypatch.setattr(sys, "path", path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if variable is not None:
        monkeypatch.setenv("PYTHONPATH", variable)
    ignore_working_folder()
    return sys.path, os.environ.get("PYTHONPATH")


@pytest.fixture
def here(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    return str(tmp_path)


@pytest.mark.parametrize("variable", [None, "", ":", ".", "./", "x/..", "::"])
def test_the_working_folder_goes(monkeypatch, here, variable):
    for first in ("", here):
        assert left(monkeypatch, [first, *STANDARD], variable) == (STANDARD, None)


def test_other_entries_stay(monkeypatch, here):
    assert left(monkeypatch, ["/bin", here, "/x", *STANDARD], ":/x") == (["/bin", "/x", *STANDARD], "/x")
    assert left(monkeypatch, ["/bin", f"{here}/lib", *STANDARD], "lib") == (["/bin", f"{here}/lib", *STANDARD], "lib")


def test_a_folder_that_is_named_stays_even_if_it_is_the_working_folder(monkeypatch, here):
    assert left(monkeypatch, ["", here, *STANDARD], here) == ([here, *STANDARD], here)
    assert left(monkeypatch, ["/bin", here, *STANDARD], f":{here}/") == (["/bin", here, *STANDARD], f"{here}/")


def test_where_modules_are_installed_they_stay_after_the_others(monkeypatch):
    home = str(Path(l2s_auto.__file__).parents[1])
    monkeypatch.chdir(home)
    assert left(monkeypatch, ["/bin", home, *STANDARD], ":") == (["/bin", *STANDARD, home], None)


def test_a_working_folder_that_was_deleted_is_no_error(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    assert left(monkeypatch, ["", *STANDARD], ":") == (STANDARD, None)
