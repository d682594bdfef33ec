"""What becomes of memory that a process has freed: back to the system at once, or kept for the next array."""

from __future__ import annotations

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # of glibc's malloc.h
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
    return _told((_M_MMAP_THRESHOLD, _LARGE))


def keep_memory() -> bool:
    """Keep what arrays have freed for the next ones -> whether the C library could be told so.

    For short-lived processes that work through volumes of one size: glibc otherwise maps every large array anew, and
    the system clears each page of it, which took a sixth of the time of preprocessing a CT.
    """
    if not sys.platform.startswith("linux"):
        return False
    return _told((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1))


def _told(*options: tuple[int, int]) -> bool:
    try:
        malloc = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return all(bool(malloc(*option)) for option in options)
