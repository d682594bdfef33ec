"""Code that the user trusts, on one call."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.core.trust import is_import_path, trusted_paths, trusting


def test_trust_ends_with_the_call_and_adds_to_that_around():
    assert trusted_paths() == frozenset()
    with trusting(["a.b:C"]), trusting("d:E"):
        assert trusted_paths() == {"a.b:C", "d:E"}
        with trusting(()):
            assert trusted_paths() == {"a.b:C", "d:E"}
    assert trusted_paths() == frozenset()


def test_another_thread_has_no_trust():
    with trusting(["a:B"]), ThreadPoolExecutor(1) as pool:
        assert pool.submit(trusted_paths).result() == frozenset()


@pytest.mark.parametrize(
    "path", ["", "os", "os.system", "os:", ":x", "os:a b", "../os:x", "os:x\n", "*", "a:b:c", "1:2"]
)
def test_only_an_import_path_can_be_trusted(path):
    assert not is_import_path(path)
    with pytest.raises(UserError, match="MODULE:CLASS"), trusting([path]):
        pass


@pytest.mark.parametrize("path", ["a:B", "my_package.parts:Outer.Inner", "__main__:Class", "möd:Ül"])
def test_import_paths(path):
    assert is_import_path(path)
