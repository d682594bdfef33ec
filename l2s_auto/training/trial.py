"""One real training on made-up cases, a few steps long: what it takes of memory and of time."""

from __future__ import annotations

import math
import multiprocessing
import queue as queues
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch

from l2s_auto.core.allocator import cache_is_on, spare_memory
from l2s_auto.core.plan import Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.trust import trusted_paths, trusting
from l2s_auto.io.processes import begin_worker, process_context, without_main
from l2s_auto.networks.device import fast_dtype
from l2s_auto.preprocessing.store import StoredCase
from l2s_auto.synthesis.classes import enriched_type
from l2s_auto.training.build import build_parts, initial_state
from l2s_auto.training.methods import Method
from l2s_auto.training.shrink import out_of_memory

#: Seconds that a process for the trial may take, before it counts as not to be had.
PATIENCE = 300.0
#: Exit code after SIGKILL, which Windows does not know.
KILLED = -9
#: Pairs of steps, one that looks at theta after one that does not (as a training begins: what the first leaves behind
#: decides where the second finds room), are repeated while fewer seconds have passed, but not oftener: the allocator's
#: peak grows over the first of them, most where arrays are small and steps are short.
ENOUGH, ROUNDS = 3.0, 4
#: By how much it grows from then on in a training, where small blocks are cached between the large ones.
KEPT = 1.08
#: Made-up cases: as many as a batch may need to be of different ones.
CASES = 4


class TrialFailed(RuntimeError):
    """The trial tells nothing: it took too long, or its process ended for a reason other than the memory."""


@dataclass(frozen=True)
class Measured:
    """What the steps of a training take.

    memory_gb   peak, 1e9 bytes: weights, moments, images and work space; not the program itself
    plain, hyper  seconds of a step without and with a look at theta; equal where theta is not learned
    """

    memory_gb: float
    plain: float
    hyper: float

    def seconds(self, recipe: Recipe, iterations: int, *, home: float = 0.0) -> float:
        """Of a whole training, validation apart.

        home  fraction of it that is its home phase, in which no step looks at theta
        """
        dear = (1 - home) * (1 - recipe.warm_up) / recipe.hyper_every
        return iterations * (self.plain + max(0.0, self.hyper - self.plain) * dear)


Outcome = Measured | Exception | None


def try_plan(
    plan: Plan, recipe: Recipe, method: Method, device: torch.device, *, sparing: bool = False
) -> Measured | None:
    """Train by the plan for a few steps -> what they took; None where the memory did not suffice.

    On a CPU in a process of its own, whose peak is the training's alone, and whose end does not end this one.

    sparing  whether the training is run with `core.allocator.spare_memory`
    """
    if device.type == "cuda":
        return _on_cuda(plan, recipe, method, device)
    context = process_context()
    results = context.Queue()
    given = (plan, recipe, method, str(device), torch.get_num_threads(), sparing, trusted_paths(), results)
    process = context.Process(target=_in_process, args=given, daemon=True)
    with nullcontext() if "__main__:" in recipe.model_dump_json() else without_main():  # the user's own parts are there
        process.start()
    try:
        found = _result(process, results)
    finally:
        if process.is_alive():  # interrupted, or it took too long
            process.kill()
    if isinstance(found, Exception):
        raise found
    return found


def _result(process: BaseProcess, results: multiprocessing.Queue[Outcome]) -> Outcome:
    """What the process of a trial puts into `results`; TrialFailed where it does not."""
    deadline = time.monotonic() + PATIENCE
    found: Outcome = None
    ended = False
    while time.monotonic() < deadline:
        try:
            found = results.get(timeout=0.2)
            break
        except queues.Empty:
            if ended:
                break
            ended = not process.is_alive()  # what it put last may still be on its way: one more look
    else:
        raise TrialFailed(f"it took more than {PATIENCE:.0f} s")
    process.join()
    if found is None and process.exitcode not in (0, KILLED):  # the system kills where memory is short
        raise TrialFailed(f"its process ended with exit code {process.exitcode}")
    return found


def _in_process(
    plan: Plan,
    recipe: Recipe,
    method: Method,
    device: str,
    threads: int,
    sparing: bool,
    trust: frozenset[str],
    results: multiprocessing.Queue[Outcome],
) -> None:
    """Puts Measured, None or the exception into `results`."""
    begin_worker()
    try:
        if sparing:
            spare_memory()
        torch.set_num_threads(threads)
        cases = made_up_cases(plan)
        before = _resident()
        with trusting(trust):
            plain, hyper = _steps(plan, recipe, method, torch.device(device), cases)
        taken = (_peak() - before) / 1e9
        results.put(Measured(KEPT * taken if cache_is_on() and not sparing else taken, plain, hyper))
    except Exception as error:  # of a user's own parts too: the parent raises it
        results.put(None if out_of_memory(error) else error)


def _on_cuda(plan: Plan, recipe: Recipe, method: Method, device: torch.device) -> Measured | None:
    cases = made_up_cases(plan)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_reserved(device)
    try:
        plain, hyper = _steps(plan, recipe, method, device, cases)
        return Measured((torch.cuda.max_memory_reserved(device) - before) / 1e9, plain, hyper)
    except RuntimeError as error:
        if out_of_memory(error):
            return None
        raise
    finally:
        torch.cuda.empty_cache()


def _steps(
    plan: Plan, recipe: Recipe, method: Method, device: torch.device, cases: list[StoredCase]
) -> tuple[float, float]:
    """Seconds of a plain step and of one that looks at theta: the quickest of their kind."""
    parts = build_parts(plan, recipe, cases, method=method, device=device, autocast=fast_dtype(device))
    state = initial_state(parts)
    taken = {True: math.inf, False: math.inf}
    begun = time.monotonic()
    # Where kernels are loaded, or compiled, as they are first used, the first steps tell nothing of the others.
    least = 1 if device.type == "cpu" else 2
    for number in range(ROUNDS):
        if number >= least and time.monotonic() - begun > ENOUGH:
            break
        for looks in (False, True):
            # Iteration 0 and its multiples look at theta, once the warm-up is over.
            before = replace(state, step=recipe.hyper_every if looks else 1)
            started = time.monotonic()
            state = method.step(parts, before, progress=0.5 + recipe.warm_up / 2 if looks else 0.0).state
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            taken[looks] = min(taken[looks], time.monotonic() - started)
    return taken[False], taken[True]


def made_up_cases(plan: Plan) -> list[StoredCase]:
    """Cases a third larger than the patch, of blocks of the plan's enriched labels."""
    rng = np.random.default_rng(0)
    shape = [n if n == 1 else int(np.ceil(1.3 * n)) for n in plan.patch]
    made = []
    for number in range(CASES):
        blocks = rng.integers(len(plan.generation.enriched), size=[-(-n // 8) for n in shape])
        for axis in range(3):
            blocks = blocks.repeat(8, axis=axis)
        enriched = blocks[tuple(slice(n) for n in shape)].astype(enriched_type(plan.generation))
        image = rng.random((len(plan.channels), *shape), dtype=np.float32) if plan.channels else None
        made.append(StoredCase(str(number), image, np.ascontiguousarray(enriched)))
    return made


def _peak() -> int:
    """Bytes of this process, at most so far; 0 where the system does not tell."""
    if sys.platform.startswith("linux"):
        return _status("VmHWM")
    try:
        import resource
    except ImportError:  # Windows
        return 0
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


def _resident() -> int:
    """Bytes of this process now; where the system does not tell, at most so far."""
    return _status("VmRSS") if sys.platform.startswith("linux") else _peak()


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) * 1024
