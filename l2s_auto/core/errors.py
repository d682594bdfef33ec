"""Errors that a user can mend, told apart from errors of the program."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from l2s_auto.core.printable import printable

#: Characters of each part of a message, at most.
MAX_SHOWN = 10_000


@dataclass(frozen=True)
class Offence:
    """One thing that is wrong with the input.

    where     the file, option or field
    found     the value found there
    expected  the value that would be right
    mend      what the user can do about it
    """

    where: str
    found: str
    expected: str
    mend: str

    def __str__(self) -> str:
        """One line of bounded length; names and values from files are shown without their control characters."""
        places = (self.where, self.found, self.expected, self.mend)
        where, found, expected, mend = (shortened(text, limit=MAX_SHOWN, quoted=False) for text in places)
        return printable(f"{where}: found {found}; expected {expected}. {mend}")


class UserError(ValueError):
    """The input is wrong: one message that names every offender (exit code 2)."""

    def __init__(self, summary: str, offences: Sequence[Offence] = ()) -> None:
        self.summary = summary
        self.offences = tuple(offences)
        super().__init__("\n".join([summary, *(f"  - {offence}" for offence in self.offences)]))

    @classmethod
    def single(cls, summary: str, *, where: str, found: str, expected: str, mend: str) -> UserError:
        """A UserError with exactly one offence."""
        return cls(summary, [Offence(where, found, expected, mend)])

    def with_path(self, old: object, new: object) -> UserError:
        """The same about another path: of what was unpacked into a folder that nobody knows, where it came from."""
        places = (offence.where.replace(str(old), str(new)) for offence in self.offences)
        return UserError(
            self.summary, [replace(offence, where=where) for offence, where in zip(self.offences, places, strict=True)]
        )

    def of_case(self, name: str = "", notes: Sequence[str] = ()) -> UserError:
        """The same about one case: its name before each place, and after each advice what was assumed of it."""
        told = " ".join(f"Note: {note}" for note in notes)
        return UserError(
            self.summary,
            [
                replace(
                    offence,
                    where=f"{name}, {offence.where}" if name else offence.where,
                    mend=f"{offence.mend} {told}".rstrip(),
                )
                for offence in self.offences
            ],
        )


def shortened(value: object, *, limit: int = 80, quoted: bool = True) -> str:
    """What a message shows of a value; `quoted`: as Python writes it."""
    text = repr(value) if quoted else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


class ProcessLost(RuntimeError):
    """One of the processes that work together has ended, so that the others cannot go on."""

    def __init__(self, cause: object) -> None:
        reason = " ".join(str(cause).split())
        super().__init__(f"another process of the team ended ({reason[:200]})")


def some_of(names: Sequence[str], *, most: int = 10) -> str:
    """The first names, and how many more there are, for a sentence."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


#: A disk without room, a quota, and a limit of file sizes.
_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


def disk_is_full(error: BaseException) -> bool:
    """Whether an error comes from a full disk, a quota or a limit of file sizes; libraries wrap it in their own."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _FULL:
            return True
        if any(os.strerror(number) in str(seen) for number in (errno.ENOSPC, errno.EFBIG)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
