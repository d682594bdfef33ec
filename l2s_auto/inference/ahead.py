"""Do slow things beside the main thread, at most one ahead and one behind, and keep their errors as values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class Outcome(Generic[B]):
    """What a call gave, or the error that ended it."""

    value: B | None = None
    error: Exception | None = None


def attempt(function: Callable[[], B]) -> Outcome[B]:
    """Call, and catch every error but those that end the program (Ctrl-C, exit)."""
    try:
        return Outcome(value=function())
    except Exception as error:
        return Outcome(error=error)


def map_ahead(function: Callable[[A], B], items: Iterable[A], pool: Executor | None) -> Iterator[tuple[A, Outcome[B]]]:
    """(item, outcome of function(item)) in order; with a pool, the next one is made while this one is used."""
    if pool is None:
        for item in items:
            yield item, attempt(lambda item=item: function(item))  # type: ignore[misc]
        return
    waiting: list[tuple[A, Future[Outcome[B]]]] = []

    def taken() -> tuple[A, Outcome[B]]:
        """The first one; from here on nothing else refers to it, so that its memory goes with the one who uses it."""
        item, future = waiting.pop(0)
        return item, future.result()

    for item in items:
        waiting.append((item, pool.submit(attempt, lambda item=item: function(item))))
        if len(waiting) > 1:
            yield taken()
    if waiting:
        yield taken()
