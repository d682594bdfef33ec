"""The same function on every case, in this process or in others; a process that dies names its case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from functools import partial
from typing import TypeVar

from l2s_auto.core.allocator import keep_memory
from l2s_auto.core.errors import UserError
from l2s_auto.core.interrupts import check_interrupt
from l2s_auto.io.processes import begin_worker, process_context, without_main

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]


def map_cases(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    name: Callable[[Item], str],
    workers: int = 0,
    progress: Progress | None = None,
) -> list[Result]:
    """[function(item) for item in items], in the order of items.

    workers   processes; 0 = in this process. `function` must be importable (top-level, or a partial of such)
    progress  called with (cases done, cases) after each case

    Raises what `function` raises, and UserError naming the case whose process died.
    """
    results: dict[int, Result] = {}
    pairs = _in_process(function, items) if workers <= 0 else _in_workers(function, items, name=name, workers=workers)
    for index, result in pairs:
        check_interrupt()
        results[index] = result
        if progress is not None:
            progress(len(results), len(items))
    return [results[index] for index in range(len(items))]


def _in_process(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
    for index, item in enumerate(items):
        yield index, function(item)


def _begin() -> None:
    """First in each worker."""
    begin_worker()
    keep_memory()


def _in_workers(
    function: Callable[[Item], Result], items: Sequence[Item], *, name: Callable[[Item], str], workers: int
) -> Iterator[tuple[int, Result]]:
    """One pool a worker, one case at a time in each: the pool that breaks tells which case broke it."""
    pools = [
        ProcessPoolExecutor(1, mp_context=process_context(), initializer=_begin)
        for _ in range(min(workers, len(items)))
    ]
    waiting = iter(enumerate(items))
    running: dict[Future[Result], tuple[int, ProcessPoolExecutor]] = {}

    def start(pool: ProcessPoolExecutor) -> None:
        for index, item in waiting:
            try:
                with nullcontext() if _of_script(function) else without_main():  # a worker begins with its first case
                    future = pool.submit(function, item)
            except BrokenProcessPool as error:  # it died between two cases
                raise _died(name(item)) from error
            running[future] = (index, pool)
            return

    try:
        for pool in pools:
            start(pool)
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                index, pool = running.pop(future)
                try:
                    result = future.result()
                except BrokenProcessPool as error:
                    raise _died(name(items[index])) from error
                start(pool)
                yield index, result
    except Exception:
        raise
    except BaseException:  # Ctrl-C does not reach the workers, and what they work on is of no use
        for pool in pools:
            for process in list((pool._processes or {}).values()):
                process.kill()
        raise
    finally:
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)


def _of_script(function: Callable[..., object]) -> bool:
    """Whether a function, or what it is a partial of, stands in the script that runs."""
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__module__", "") == "__main__"


def _died(case: str) -> UserError:
    return UserError.single(
        "A worker process died.",
        where=f"case {case}",
        found="its process was killed while it worked on this case, most often because memory ran out",
        expected="a process that ends by itself",
        mend="Use fewer workers, or --workers 0 to work in one process and see the cause.",
    )
