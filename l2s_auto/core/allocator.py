"""Memory that a process has freed goes back to the system at once."""

from __future__ import annotations

import ctypes
import os
import sys

_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
_LARGE = 1_000_000  # bytes


def spare_memory() -> bool:
    """Have large blocks mapped one by one -> whether the C library could be told so. Call it before PyTorch allocates.

    glibc otherwise keeps freed blocks of up to 32 MB for itself, in pieces that a slightly larger one does not fit
    into: the same training then holds half as much memory again, or more. Huge pages keep the new mappings cheap:
    without them a training takes half as long again, with them about a tenth more.
    """
    if not sys.platform.startswith("linux"):
        return False
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # PyTorch asks for huge pages
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE))
    except (OSError, AttributeError):  # another C library
        return False
