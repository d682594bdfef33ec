"""The commands: each parses, calls, prints, and returns its exit code. Everything heavy is imported in the call."""

from l2s_auto.commands import early  # noqa: F401  first: it decides where the others are imported from

# isort: split
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from l2s_auto.commands import parsers
from l2s_auto.commands.advice import after_training, go_on
from l2s_auto.commands.runner import DONE, INTERNAL_ERROR, is_first_process, run_command
from l2s_auto.commands.start import command
from l2s_auto.core.allocator import keep_blocks, share_memory, spare_memory, start_without_cache
from l2s_auto.core.folding import say
from l2s_auto.core.interrupts import loading_done
from l2s_auto.core.shell import command_line

Arguments = Sequence[str] | None
#: Of the training images that lack channels, where scans may lack some.
MISSING_SHARE = 0.5
#: What the processes that a planning starts have to import.
WORKERS_NEED = ("l2s_auto.training.trial", "l2s_auto.synthesis.classes", "l2s_auto.preprocessing.store", "blosc2")


@command("l2s_plan_and_train")
def plan_and_train(arguments: Arguments = None) -> int:
    """`l2s_plan_and_train`: from a dataset to a model."""
    args = parsers.plan_and_train().parse(arguments)
    if arguments is None:
        start_without_cache()

    def body() -> None:
        begin("l2s_plan_and_train", f"reading {args.dataset}", whole=[args.dataset])
        if args.micro_batch or args.checkpointing:
            spare_memory()
        from l2s_auto.io.processes import warm_up

        if is_first_process():
            warm_up(WORKERS_NEED)
        from l2s_auto.core.component import Component
        from l2s_auto.core.composition import uniform
        from l2s_auto.core.recipe import Recipe
        from l2s_auto.planning.choices import Choices
        from l2s_auto.report.verdict import finds_nothing
        from l2s_auto.training.run import plan_and_train

        loading_done()
        chosen = {name: getattr(args, name) for name in ("hyper_every", "hyper_part", "micro_batch", "home")}
        given = {name: value for name, value in chosen.items() if value is not None}
        if args.hypergradient or args.direction:
            options = {"direction": args.direction} if args.direction else {}
            estimator = args.hypergradient or Recipe().hypergradient.name
            given["hypergradient"] = Component(name=estimator, options=options)
        if args.contrasts == "random":
            given["families"] = uniform()
        elif args.families is not None:
            given["families"] = args.families
        if args.missing_channels:
            given["missing_share"] = MISSING_SHARE
        options = {"checkpointing": True} if args.checkpointing else {}
        given["network"] = Component(name=args.network, options=options)
        recipe = Recipe(
            method=Component(name=args.method),
            augmenter=Component(name=args.augmenter),
            loss=Component(name=args.loss),
            iterations=args.iterations,
            time_budget=args.time_budget,
            seed=args.seed,
            aim=args.aim,
            **given,
        )
        run = plan_and_train(
            dataset=args.dataset,
            output=args.output,
            recipe=recipe,
            device=args.device,
            fold=0 if args.fold is None else args.fold,
            cv=args.cv,
            splits=args.splits,
            memory_gb=args.memory_gb,
            choices=Choices(
                spacing=args.spacing,
                patch=args.patch,
                batch=args.batch,
                features=args.features,
                cascade=args.cascade or None,
            ),
            workers=args.workers,
            resume=args.resume,
            init=args.init,
            dry_run=args.dry_run,
            **wishes(args),
        )
        if not is_first_process():
            return
        if args.dry_run:
            say(f"Plan: {run / 'plan.json'}", whole=[run / "plan.json"])
        elif not finds_nothing(run):
            say(f"Segment with:\n  {command_line(['l2s_predict', '-i', 'IN', '-o', 'OUT', '-m', run])}")

    log = _run_log(args)
    return run_command(
        _trusting(args, body),
        leaves=arguments is None,
        command="l2s_plan_and_train",
        log=log,
        advice=partial(after_training, arguments, log),
    )


@command("l2s_predict")
def predict(arguments: Arguments = None) -> int:
    """`l2s_predict`: from scans to segmentations. Exit code 1 if a case failed; the others are done."""
    args = parsers.predict().parse(arguments)

    def body() -> int:
        share_memory()
        from l2s_auto.commands.default_model import named_model

        chosen = named_model(args.model, shown=is_first_process())  # before PyTorch is loaded, which takes a while
        from l2s_auto.commands.prediction import prediction_bar, print_summary, warn_of_model
        from l2s_auto.commands.together import in_parts, part_of
        from l2s_auto.inference.ensemble import logits_of_a_window
        from l2s_auto.inference.predict import PredictionSummary, predict
        from l2s_auto.training.team import team_from_environment

        loading_done()
        team, device = team_from_environment(args.device)

        def keep_room(model: Any) -> None:
            keep_blocks(logits_of_a_window(model.plan))
            if team.leader:
                warn_of_model(model.verdict)

        def work() -> PredictionSummary:
            with prediction_bar(shown=team.leader) as progress:
                return predict(
                    args.input,
                    args.output,
                    model=chosen,
                    device=device,
                    tta=args.tta,
                    overlap=args.overlap,
                    probabilities=args.probabilities,
                    part=part_of((args.part.index, args.part.count), team),
                    skip_existing=args.skip_existing,
                    workers=1 if args.workers is None else args.workers,
                    fast=args.fast,
                    aim=args.aim,
                    progress=progress,
                    loaded=keep_room,
                    **wishes(args),
                )

        summary = in_parts(work, team)
        if team.leader:
            print_summary(summary)
        return INTERNAL_ERROR if summary.failures else DONE

    def advice() -> str:
        return f"What is written is whole.{go_on('l2s_predict', arguments, add='--skip-existing')}"

    return run_command(_trusting(args, body), leaves=arguments is None, command="l2s_predict", advice=advice)


@command("l2s_evaluate")
def evaluate(arguments: Arguments = None) -> int:
    """`l2s_evaluate`: segmentations against references."""
    args = parsers.evaluate().parse(arguments)

    def body() -> None:
        begin("l2s_evaluate", f"reading {args.predictions}", whole=[args.predictions])
        from l2s_auto.commands.evaluation import files_read, metrics_path
        from l2s_auto.commands.labels import read_labels
        from l2s_auto.commands.tables import format_metrics
        from l2s_auto.evaluation import evaluate_folders
        from l2s_auto.io.json_files import write_json
        from l2s_auto.io.ownership import protected

        loading_done()
        with protected(files_read(args.predictions, args.references, args.labels, args.model)):
            output = metrics_path(args.predictions, args.references, args.output, overwrite=args.overwrite)
            labels = read_labels(model=args.model, file=args.labels)
            metrics = evaluate_folders(
                args.predictions, args.references, labels.names, regions=labels.regions, ignore=labels.ignore
            )
            write_json(output, metrics)
        say(f"{format_metrics(metrics)}\nMetrics: {output}", whole=[output])

    return run_command(_trusting(args, body), leaves=arguments is None, command="l2s_evaluate")


@command("l2s_demo")
def demo(arguments: Arguments = None) -> int:
    """`l2s_demo`: everything, on phantoms made on the spot."""
    args = parsers.demo().parse(arguments)
    if arguments is None:
        start_without_cache()

    def body() -> None:
        begin("l2s_demo", f"making phantoms in {args.output}", whole=[args.output])
        from l2s_auto.experiments.demo import TRAINING_SECONDS, run_demo

        loading_done()
        seconds = args.time_budget or TRAINING_SECONDS
        run_demo(args.output, seed=args.seed, time_budget=seconds, device=args.device, **wishes(args))

    return run_command(body, leaves=arguments is None, command="l2s_demo", log=args.output / "log.txt")


@command("l2s_export")
def export_model(arguments: Arguments = None) -> int:
    """`l2s_export`: a model into one file."""
    args = parsers.export_model().parse(arguments)

    def body() -> None:
        begin("l2s_export", f"reading {args.model}", whole=[args.model])
        from l2s_auto.inference.export import export_model

        loading_done()
        written = export_model(args.model, args.output, format=args.format, **wishes(args))
        say(f"Written: {written}", whole=[written])
        if args.format == "nnunet":
            say("README.txt there says how to use it, and where nnU-Net's results with it differ.")

    return run_command(_trusting(args, body), leaves=arguments is None, command="l2s_export")


@command("l2s_import")
def import_model(arguments: Arguments = None) -> int:
    """`l2s_import`: one file into a model on this machine."""
    args = parsers.import_model().parse(arguments)

    def body() -> None:
        begin("l2s_import", f"reading {args.file}", whole=[args.file])
        from l2s_auto.core.names import path_part
        from l2s_auto.inference.export import import_model
        from l2s_auto.inference.last_model import remember_model

        loading_done()
        name = path_part(args.file.stem, default="model")
        folder = import_model(args.file, args.output or Path("l2s_runs") / name, **wishes(args))
        remember_model(folder)
        say(f"Model: {folder}", whole=[folder])

    return run_command(_trusting(args, body), leaves=arguments is None, command="l2s_import")


@command("l2s_experiment")
def experiment(arguments: Arguments = None) -> int:
    """`l2s_experiment`: an experiment of the method's paper."""
    args = parsers.experiment().parse(arguments)
    if arguments is None:
        start_without_cache()

    def body() -> None:
        begin("l2s_experiment", args.name)
        from l2s_auto.experiments import find_experiment

        run = find_experiment(args.name)
        loading_done()
        set_aside = ("trust_code", "overwrite")
        options = {name: value for name, value in vars(args).items() if value is not None and name not in set_aside}
        options |= wishes(args)
        place = options.pop("output", Path("l2s_experiments") / options.pop("name"))
        options.pop("name", None)
        if "part" in options:
            options["part"] = (args.part.index, args.part.count)
        figure = run(place, **options)
        say(f"Figure: {figure}", whole=[figure])

    def advice() -> str:
        return f"What is trained so far is kept.{go_on('l2s_experiment', arguments)}"

    return run_command(_trusting(args, body), leaves=arguments is None, command="l2s_experiment", advice=advice)


def list_commands() -> int:
    """`python -m l2s_auto`: what there is."""
    from l2s_auto import __version__

    print(f"l2s_auto {__version__}: segmentation networks for your own scans\n")
    for name, summary in parsers.SUMMARIES.items():
        print(f"  {name:<20} {summary}")
    print("\nEach command tells its options and examples with --help.")
    return 0


def _trusting(args: Namespace, body: Callable[[], int | None]) -> Callable[[], int | None]:
    """The same, within which the parts outside of l2s_auto may be used that the user named by --trust-code."""

    def trusted() -> int | None:
        from l2s_auto.core.trust import trusting

        with trusting(args.trust_code):
            return body()

    return trusted


def wishes(args: Namespace) -> dict[str, Any]:
    """What the user has to wish for expressly."""
    return {"overwrite": True} if args.overwrite else {}


def begin(command: str, what: str, *, whole: Sequence[object] = ()) -> None:
    """The first line that a user sees, before anything heavy is imported."""
    from l2s_auto import __version__

    if is_first_process():
        say(f"{command} {__version__}: {what}", whole=whole)


def _run_log(args: Namespace) -> Path:
    """The log of the run folder; it is written only where that folder exists."""
    from l2s_auto.core.names import path_part

    name = path_part(args.dataset.resolve().name, default="dataset")
    return (args.output or Path("l2s_runs") / name) / "log.txt"
