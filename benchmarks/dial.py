"""Own against changed Dice over the dial, a panel for each world, from the dial.json files of trained runs.

Nothing is trained or predicted. A world that is named several times, for runs of several seeds, is shown as their mean.

    python benchmarks/dial.py hippocampi=runs/seed_0 hippocampi=runs/seed_1 bodies=runs/bodies -o dial.png
"""

from __future__ import annotations

from pathlib import Path

from common import finish, parser
from l2s_auto.core.dial import Dial
from l2s_auto.report.abilities import dial_of
from l2s_auto.report.dial_figure import Curve, curves_of, dial_figure
from l2s_auto.report.style import write_png


def named(text: str) -> tuple[str, Path]:
    """`WORLD=RUN` -> both."""
    world, separator, run = text.partition("=")
    if not (world and separator and run):
        raise SystemExit(f"found {text!r}; expected WORLD=RUN, such as hippocampi=l2s_runs/hippocampus")
    return world, Path(run)


def dials_below(run: Path) -> dict[str, Dial]:
    """Name of a fold -> its dial, of a run folder or a fold's."""
    folds = sorted(run.glob("fold_*")) or [run]
    found = {fold.name: dial for fold in folds if (dial := dial_of(fold)) is not None}
    if not found:
        raise SystemExit(f"{run}: found no dial.json that can be read; expected one in a folder fold_*")
    return found


def world_of(runs: dict[str, Dial]) -> tuple[list[Curve], dict]:
    """Curves of a world's runs, and their figures. Runs may share their cases, so means have no interval."""
    curves = curves_of(list(runs.values()))
    mean = curves[-1].points if curves else ()
    points = [{"a": a, "own": own, "changed": changed} for a, own, changed in mean]
    shown = {"aim", "a", "chosen", "threshold", "reached", "own_gain", "changed_gain", "cases", "note"}
    return curves, {
        "points": points,
        "runs": {name: dial.model_dump(mode="json", include=shown) for name, dial in runs.items()},
    }


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("runs", nargs="+", metavar="WORLD=RUN", help="title of a panel, and a run or fold folder")
    options.add_argument("-o", "--output", type=Path, default=Path("dial.png"), help="the figure")
    given = options.parse_args()
    worlds: dict[str, dict[str, Dial]] = {}
    for world, run in map(named, given.runs):
        found = {f"{run}/{fold}": dial for fold, dial in dials_below(run).items()}
        worlds.setdefault(world, {}).update(found)
    results = {world: world_of(runs) for world, runs in worlds.items()}
    write_png(dial_figure({world: curves for world, (curves, _) in results.items()}), given.output)
    print(f"Figure: {given.output}")
    finish({"worlds": {world: figures for world, (_, figures) in results.items()}}, given.json)


if __name__ == "__main__":
    main()
