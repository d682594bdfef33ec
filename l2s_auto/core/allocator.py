"""What becomes of memory that a process has freed: back to the system at once, or kept for the next array."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

from l2s_auto.core.interrupts import hold_signals, receive_signals

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8
_LARGE = 1_000_000  # bytes
_MAPPED = 1 << 25  # bytes of a block that glibc maps by itself, at most
_TUNABLES, _NO_CACHE = "GLIBC_TUNABLES", "glibc.malloc.tcache_count=0"


def start_without_cache() -> None:
    """Start this program again, in the same process, without glibc's cache of small blocks. Call it before anything.

    PyTorch asks for aligned blocks; glibc cuts them out of larger ones, and keeps the small rest in that cache, where
    it separates the free blocks beside it for good. Trainings held up to a quarter more memory for that, and how much
    more was chance. Only the environment of a program that starts turns the cache off. Programs that are started from
    here have none either.
    """
    if not _is_glibc() or not cache_is_on() or not _can_start_again():
        receive_signals()  # of a program that has started again
        return
    told = os.environ.get(_TUNABLES)
    os.environ[_TUNABLES] = f"{told}:{_NO_CACHE}" if told else _NO_CACHE
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # full, closed, none
            stream.flush()
    hold_signals()  # they would end a program that starts with Python's traceback, until it handles them
    with suppress(OSError):  # then as it is
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    receive_signals()


def cache_is_on() -> bool:
    """Whether this program runs with the C library's cache of small blocks, as far as its environment tells."""
    return _NO_CACHE not in os.environ.get(_TUNABLES, "").split(":")


def spare_memory() -> bool:
    """Have large blocks mapped one by one -> whether the C library could be told so. Call it before PyTorch allocates.

    glibc otherwise keeps freed blocks of up to 32 MB for itself, in pieces that a slightly larger one does not fit
    into: the same training then holds half as much memory again with the cache of `start_without_cache`, and a quarter
    without. Huge pages keep the new mappings cheap: without them a training takes half as long again.
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


def keep_blocks(size: int) -> bool:
    """Keep what arrays of up to `size` bytes have freed -> whether the C library was told so.

    Sliding windows make arrays of the same few sizes over and over. glibc maps each of more than 32 MB anew, which took
    a fifth of the time with 60 classes. Larger ones, whole volumes, are mapped as ever, and go back to the system.
    Where windows are small there is nothing to tell. What lies free at the heap's end is kept up to eight such blocks.
    """
    if not sys.platform.startswith("linux") or size <= _MAPPED:
        return False
    return _told((_M_MMAP_THRESHOLD, min(size + _LARGE, 2**31 - 1)), (_M_TRIM_THRESHOLD, min(8 * size, 2**31 - 1)))


def share_memory() -> bool:
    """Let all threads free and allocate in one place -> whether the C library was told so. Call it before they start.

    glibc otherwise gives each a place of its own, and what one has freed is of no use to the others: with windows side
    by side a prediction then takes more memory, whose pages are given back and cleared over and over.
    """
    return sys.platform.startswith("linux") and _told((_M_ARENA_MAX, 1))


def release_memory() -> None:
    """Give back to the system what lies free in the C library's heap: up to a GB after the windows of a large scan."""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def _can_start_again() -> bool:
    """Whether the command line tells all: not a program from the standard input, nor one under a debugger."""
    return bool(sys.executable) and sys.argv[:1] not in ([], [""], ["-"]) and sys.gettrace() is None


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):  # not a Unix; another C library
        return False


def _told(*options: tuple[int, int]) -> bool:
    try:
        malloc = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return all(bool(malloc(*option)) for option in options)
