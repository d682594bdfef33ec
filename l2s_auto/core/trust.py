"""Which code outside of l2s_auto may run: what the user names on a call, and nothing that a file names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from l2s_auto.core.errors import UserError

#: The option of the commands; in Python it is the argument `trust_code`.
OPTION = "--trust-code"
_IMPORT_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_trusted: ContextVar[frozenset[str]] = ContextVar("l2s_auto_trusted", default=frozenset())


@contextmanager
def trusting(paths: Iterable[str]) -> Iterator[None]:
    """Within it, parts of these import paths MODULE:CLASS may be imported and called, besides those around it.

    New threads and processes begin without trust: give them `trusted_paths()`. Raises UserError for what is no path.
    """
    named = frozenset((paths,) if isinstance(paths, str) else paths)
    for path in sorted(map(str, named)):
        if not is_import_path(path):
            raise UserError.single(
                "This cannot be trusted as code.",
                where=f"{OPTION} (trust_code)",
                found=repr(path),
                expected="the import path of one class or function, MODULE:CLASS",
                mend="Correct the path.",
            )
    token = _trusted.set(_trusted.get() | named)
    try:
        yield
    finally:
        _trusted.reset(token)


def trusted_paths() -> frozenset[str]:
    """The import paths that the user has named."""
    return _trusted.get()


def is_import_path(name: str) -> bool:
    """Whether a part's name has the form MODULE:CLASS, rather than that of a registered one."""
    return _IMPORT_PATH.fullmatch(name) is not None
