"""The standard streams of a command: closed, full, or read by nobody, they do not stop its work."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from l2s_auto.core.streams import SafeStream, safe_stream


def make_streams_safe() -> None:
    """From now on printing raises nothing, and control characters in what is printed are shown escaped."""
    sys.stdout, sys.stderr = safe_stream(sys.stdout), safe_stream(sys.stderr)


@contextmanager
def safe_streams() -> Iterator[None]:
    """While it is open, printing raises nothing for streams that are closed, full, or that nobody reads any more."""
    before = sys.stdout, sys.stderr
    make_streams_safe()
    try:
        yield
    finally:
        for stream, old in zip((sys.stdout, sys.stderr), before, strict=True):
            if stream is not old and isinstance(stream, SafeStream):
                stream.finish()
        sys.stdout, sys.stderr = before
