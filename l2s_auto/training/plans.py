"""The plan of a run: the one that is there, or a new one, tried on the device before anything is preprocessed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from l2s_auto.core.errors import Offence, UserError
from l2s_auto.core.plan import Fingerprint, Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import Case, Dataset
from l2s_auto.io.case_reader import CaseReader
from l2s_auto.io.json_files import read_model, write_json
from l2s_auto.io.ownership import replace
from l2s_auto.networks.device import fast_dtype, free_memory_gb
from l2s_auto.planning.choices import Choices
from l2s_auto.planning.fingerprint import MeasuredCase, content_of, fingerprint_of, measure_case
from l2s_auto.planning.memory import StepMemory, plan_memory_gb
from l2s_auto.planning.planner import determine_normalisation, make_plan
from l2s_auto.planning.topology import padded
from l2s_auto.planning.warnings import warnings_of
from l2s_auto.preprocessing.read import read_for_fingerprint
from l2s_auto.training.home import home_of
from l2s_auto.training.memory import check_memory, step_memory
from l2s_auto.training.methods import Method
from l2s_auto.training.options import Options
from l2s_auto.training.remaining_time import told_seconds
from l2s_auto.training.run_folder import RunFolder
from l2s_auto.training.trial import Measured, TrialFailed, try_plan

LOGGER = logging.getLogger("l2s_auto")
#: Fields of a plan that a training may go on with other values of.
MAY_BE_EDITED = {"batch", "early", "iterations", "why", "dataset"}
#: Plans that are tried on the device, at most.
TRIALS = 4
#: A plan that is limited by the memory and takes less than this share of it is tried again with more.
WELL_USED = 0.9
#: What who chooses patch or batch has of smaller patches.
NO_EARLY = "none"
#: By whether the encoder is a residual one.
NETWORK_NAMES = {False: "unet", True: "residual-unet"}


@dataclass(frozen=True)
class Planning:
    """Everything that a plan depends on beside the data.

    memory_gb  that the user allows each process; None: what is free
    choices    what the user decides instead of the planner
    """

    recipe: Recipe
    method: Method
    options: Options
    memory_gb: float | None = None
    choices: Choices = field(default_factory=Choices)

    @property
    def home(self) -> float:
        """Fraction of the training that is its home phase, where there are scans."""
        return home_of(self.method, self.recipe)

    @property
    def step(self) -> StepMemory:
        return step_memory(self.recipe, hyper_steps=self.method.hyper_steps, home=self.home > 0)

    @property
    def residual(self) -> bool:
        """Whether the recipe's network has a residual encoder."""
        return self.recipe.network.name == "residual-unet"

    @property
    def sparing(self) -> bool:
        """Whether the command gives freed memory back at once."""
        return bool(self.recipe.micro_batch or self.recipe.network.options.get("checkpointing"))


def known_plan(dataset: Dataset, run: RunFolder, planning: Planning) -> Plan | None:
    """The plan in the run folder, if the dataset is still what it was made for and the user chooses nothing else.

    Where there is a model in the run folder, a new plan would make it useless: then a choice that is not the plan's is
    an error.
    """
    plan, known = require_trained_plan(run), known_fingerprint(run)
    if plan is None:
        return None
    differing = differences(plan, planning.choices, run.plan, residual=planning.residual)
    if differing and run.has_models():
        raise UserError("This run was begun with another plan.", differing)
    if differing:
        LOGGER.info("Planning anew: other options than those of %s", run.plan)
        return None
    if known is None or known.content != content_of(dataset):
        return None
    LOGGER.info("Using the plan in %s; delete it to plan anew", run.plan)
    require_memory(plan, run, planning)
    return plan


def require_trained_plan(run: RunFolder) -> Plan | None:
    """The plan in the run folder; where there are models, UserError unless it is the one that they were trained by.

    What a model does not depend on may have been edited. A plan that was deleted is written again.
    """
    plan, trained = run.known_plan(), run.trained_plan()
    if trained is None:
        return plan
    if plan is None:
        LOGGER.info("plan.json is gone; %s is trained on by the plan that its models were begun with", run.path)
        write_json(run.plan, trained)
        return trained
    old, new = (p.model_dump(exclude=MAY_BE_EDITED) for p in (trained, plan))
    changed = [name for name in old if old[name] != new[name]]
    if changed:
        raise UserError(
            "The plan is not the one that the models in the run folder were trained by.",
            [
                Offence(
                    where=f"{run.plan}, field {name}",
                    found="another value than in the training",
                    expected=f"that of {next(iter(sorted(run.path.glob('fold_*/trained_by.json'))))}",
                    mend="Put it back, delete plan.json to have it put back, or choose another folder with -o.",
                )
                for name in changed
            ],
        )
    return plan


def known_fingerprint(run: RunFolder) -> Fingerprint | None:
    """That of the run folder."""
    return read_model(run.fingerprint, Fingerprint) if run.fingerprint.exists() else None


def measure(number: int, case: Case, files: CaseReader, *, dataset: Dataset) -> MeasuredCase:
    """What the fingerprint wants to know of one case, of the reader that has its files."""
    data = read_for_fingerprint(case, normalisation=determine_normalisation(dataset.channels), files=files)
    return measure_case(number, case, data, cases=len(dataset.cases))


def new_plan(dataset: Dataset, measured: Sequence[MeasuredCase], run: RunFolder, planning: Planning) -> Plan:
    """A plan, tried on the device, in the run folder beside the fingerprint that it is for.

    measured  what `measure` gives, of each case in the dataset's order
    Where there is a model in the run folder, its plan is kept, and a dataset that measures differently is an error.
    """
    fingerprint = fingerprint_of(dataset, measured, content=content_of(dataset))
    plan, known = run.known_plan(), known_fingerprint(run)
    same = known is not None and known.model_copy(update={"content": fingerprint.content}) == fingerprint
    if plan is not None and run.has_models():
        if known is not None and not same:
            raise UserError.single(
                "The run folder belongs to another dataset, or the dataset has changed since.",
                where=str(run.fingerprint),
                found=f"a fingerprint of {len(known.cases)} cases of {known.dataset}",
                expected=f"that of the {len(dataset.cases)} cases of {dataset.name} as they are now",
                mend="Choose another folder with -o, or delete this one.",
            )
        same = True
    if plan is not None and same and not differences(plan, planning.choices, run.plan, residual=planning.residual):
        LOGGER.info("Using the plan in %s; the files are of another time, and measure the same", run.plan)
        require_memory(plan, run, planning)
        write_json(run.fingerprint, fingerprint)
        return plan
    if plan is not None:
        former = run.former_plan
        replace(run.plan, former)
        LOGGER.info("The plan that was there is now %s", former)
    free = free_gb(planning.options)
    plan = tried_plan(fingerprint, planning, allowed=free if planning.memory_gb is None else planning.memory_gb)
    for warning in warnings_of(fingerprint, plan):
        LOGGER.warning("Warning: %s", warning)
    write_json(run.fingerprint, fingerprint)
    write_json(run.plan, plan)
    return plan


def free_gb(options: Options) -> float | None:
    """Memory that each process may take; None where the system does not tell."""
    return options.team.part_of(free_memory_gb(options.device), options.device)


def require_memory(plan: Plan, run: RunFolder, planning: Planning) -> None:
    """UserError if the plan needs more than there is, or than the user allows."""
    check_memory(
        plan,
        step=planning.step,
        memory_gb=planning.memory_gb,
        free_gb=free_gb(planning.options),
        path=run.plan,
        processes=planning.options.team.size,
    )


def differences(plan: Plan, choices: Choices, path: Path, *, residual: bool = False) -> list[Offence]:
    """Where the user's choices are not those that the plan was made with.

    residual  whether the network's encoder is to be a residual one
    """
    own = {
        "spacing": plan.spacing,
        "patch": plan.patch,
        "batch": plan.batch,
        "features": plan.topology.features[0],
        "network": NETWORK_NAMES[plan.topology.residual],
        "cascade": plan.low_resolution is not None,
        "early": str(plan.early or NO_EARLY),
    }
    wanted = {choice.name: getattr(choices, choice.name) for choice in fields(choices)}
    wanted["network"] = NETWORK_NAMES[residual]
    if choices.patch is not None:
        wanted["patch"] = padded(choices.patch, plan.topology)
    if choices.patch is not None or choices.batch is not None:
        wanted["early"] = NO_EARLY
    return [
        Offence(
            where=str(path),
            found=f"{name} {own[name]}, and {value} is asked for",
            expected="the options that the run was begun with",
            mend="Repeat them, or choose another folder with -o.",
        )
        for name, value in wanted.items()
        if value is not None and value != own[name]
    ]


def tried_plan(fingerprint: Fingerprint, planning: Planning, *, allowed: float | None) -> Plan:
    """A plan whose training has been tried on the device, and takes what is allowed there at most.

    allowed  GB of each process; None: the system does not tell, and whatever works is taken
    Raises UserError if nothing fits.
    """
    options = planning.options

    def plan_for(memory_gb: float | None) -> Plan:
        return make_plan(
            fingerprint,
            memory_gb=memory_gb,
            device=str(options.device),
            choices=planning.choices,
            step=planning.step,
            processes=options.team.size,
            residual=planning.residual,
            bfloat16=fast_dtype(options.device) is not None,
        )

    def take(plan: Plan) -> Measured | None:
        return try_plan(plan, planning.recipe, planning.method, options.device, sparing=planning.sparing)

    if options.team.size > 1:
        # The trial is of one process; what several need of each other is in the estimate alone.
        return plan_for(allowed)

    def estimate(plan: Plan) -> float:
        return plan_memory_gb(plan, planning.step)

    try:
        plan, measured = largest_that_fits(plan_for, take, allowed, estimate=estimate)
    except TrialFailed as failure:
        LOGGER.warning("Warning: the plan could not be tried on the device (%s); its memory is an estimate.", failure)
        return plan_for(allowed)
    first = None if plan.low_resolution is None else take(plan.first_stage)
    return with_measurement(plan, measured, planning.recipe, first=first, home=planning.home)


def largest_that_fits(
    plan_for: Callable[[float | None], Plan],
    take: Callable[[Plan], Measured | None],
    allowed: float | None,
    *,
    estimate: Callable[[Plan], float],
) -> tuple[Plan, Measured]:
    """The plan for the largest part of the memory whose trial takes what is allowed, after a few trials.

    plan_for  GB for the planner's estimate -> a plan; raises UserError where nothing fits
    take      a plan -> what a trial of it took; None where the memory did not suffice
    """
    granted, fitting = allowed, None
    unlimited = plan_for(None)
    for _ in range(TRIALS):
        plan = plan_for(granted)
        if fitting is not None and plan == fitting[0]:
            break
        measured = take(plan)
        if measured is not None and (allowed is None or measured.memory_gb <= allowed):
            if fitting is None or measured.memory_gb > fitting[1].memory_gb:
                fitting = plan, measured
            limited = (plan.patch, plan.batch) != (unlimited.patch, unlimited.batch)
            if allowed is None or granted is None or not limited or measured.memory_gb >= WELL_USED * allowed:
                break
        elif fitting is not None:
            break
        needed = measured.memory_gb if measured is not None else 2 * (allowed or estimate(plan))
        # The estimate is off by about the same factor for a plan that is somewhat larger or smaller.
        granted = 0.97 * (allowed or needed) * estimate(plan) / needed
    if fitting is None:
        plan_for(0.0)  # tells what is needed at least
        raise AssertionError("no plan fits into no memory")
    return fitting


def with_measurement(
    plan: Plan, measured: Measured, recipe: Recipe, *, first: Measured | None = None, home: float = 0.0
) -> Plan:
    """The plan, which tells what its trial took.

    first  what the first network of a cascade took
    home   fraction of the training that is its home phase
    """
    steps = f"{measured.plain:.2g} s"
    if measured.hyper > 1.1 * measured.plain:
        steps += f", one that looks at theta {measured.hyper:.2g} s"
    iterations = recipe.iterations or plan.iterations
    seconds = sum(stage.seconds(recipe, iterations, home=home) for stage in (measured, first) if stage is not None)
    length = f"about {seconds / 60:.0f} min" if seconds >= 60 else "less than a minute"
    budget = recipe.time_budget
    if budget is not None and (recipe.iterations is None or seconds > budget):
        length = f"at most {told_seconds(budget)}"
    memory = max(stage.memory_gb for stage in (measured, first) if stage is not None)
    told = f"tried on the device: {memory:.2f} GB; a step takes {steps}, training {length}"
    return plan.model_copy(update={"why": {**plan.why, "memory": told}})
