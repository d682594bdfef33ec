"""The report's sections: pieces of HTML. All text that comes from the run is escaped here."""

from __future__ import annotations

import base64
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean, median
from typing import Any

from l2s_auto.core.digits import shown
from l2s_auto.core.plan import Fingerprint
from l2s_auto.core.printable import printable
from l2s_auto.core.shell import quoted
from l2s_auto.core.surface_dice import WITHIN_1MM, WITHIN_VOXEL, surface_dice
from l2s_auto.report.commands import Again, longer, train_longer
from l2s_auto.report.measurements import measurements
from l2s_auto.report.run_data import FoldData, RunData
from l2s_auto.report.style import png_bytes
from l2s_auto.report.verdict import SYNTHETIC, judge

#: Key in metrics.json, heading, what it means.
METRICS = (
    ("dice", "Dice", "overlap, 1 is perfect"),
    ("hd95_mm", "HD95 (mm)", "95 % of the surface is closer than this"),
    ("nsd_1mm", "NSD 1 mm", "share of the surface within 1 mm"),
    ("nsd", "NSD {0}", "share of the surface within {0}"),
    ("volume_error", "Volume error", "difference relative to the reference"),
)
WORST_CASES = 30


def picture(png: bytes, text: str) -> str:
    """An image inside the page itself."""
    return f'<img alt="{escape(text)}" src="data:image/png;base64,{base64.b64encode(png).decode("ascii")}">'


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are escaped; the first column is the row's name, the others are numbers."""
    head = "".join(f"<th>{escape(text)}</th>" for text in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def section(title: str, *content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(content)}</section>"


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def summary_cards(run: RunData) -> str:
    """The numbers that one wants first."""
    cards = []
    for key, heading, _ in shown_metrics([fold.metrics for fold in run.folds if fold.metrics]):
        values = [fold.metrics.get("mean", {}).get(key) for fold in run.folds if fold.metrics]
        known = [value for value in values if isinstance(value, (int, float))]
        if known:
            cards.append((heading, number(fmean(known))))
    if run.fingerprint:
        cards.append(("Cases", str(len(run.fingerprint.cases))))
    if run.plan:
        cards.append(("Labels", str(len(run.plan.labels) - 1)))
    inner = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for name, value in cards)
    return f'<div class="cards">{inner}</div>' if cards else ""


def dataset_section(run: RunData) -> str:
    """What was found in the data."""
    found = run.fingerprint
    if found is None:
        return ""
    subjects = len({case.subject or case.id for case in found.cases})
    parts = [paragraph(f"{len(found.cases)} labelled scans of {subjects} people. {_channels(found.channels)}")]
    if found.cases:
        spacing, shape = _span([case.spacing for case in found.cases]), _span([case.shape for case in found.cases])
        parts.append(paragraph(f"Voxels measure {spacing} mm; scans are {shape} voxels large."))
    parts += [paragraph(sentence) for sentence in _looks(found)]
    rows = []
    for value, name in sorted(found.labels.items()):
        volumes = [case.label_volume[value] for case in found.cases if value in case.label_volume]
        pieces = [case.label_pieces[value] for case in found.cases if value in case.label_pieces]
        if value != 0:
            middle = shown(fmean(volumes), grouped=True) if volumes else "none"
            touched = {n for case in found.cases for pair in case.touching if value in pair for n in pair} - {value}
            names = ", ".join(found.labels.get(n, str(n)) for n in sorted(touched))
            many = f"{median(pieces):g}" if pieces else ""
            rows.append([name, str(value), f"{len(volumes)} of {len(found.cases)}", middle, many, names])
    headings = ["Label", "Value", "Present in", "Mean volume (mm³)", "Usual number of pieces", "Touches"]
    pictures = [picture(png_bytes(measurements(found)), "What was measured, a dot a case")] if found.cases else []
    return section("The data", *parts, table(headings, rows), *pictures)


def _looks(found: Fingerprint) -> list[str]:
    """What kind of scans they are, and how they lie in their files."""
    sentences = []
    known = {"CT": "CT in Hounsfield units", "MRI": "MRI", "other": "neither CT nor MRI"}
    if found.modalities:
        looks = [f"{name} as {known[kind]}" for name, kind in zip(found.channels, found.modalities, strict=False)]
        sentences.append(f"By their intensities, channels look like: {', '.join(looks)}.")
    counts = Counter(case.orientation for case in found.cases if case.orientation)
    if counts:
        told = ", ".join(f"{code} ({count})" for code, count in counts.most_common())
        sentences.append(f"Orientation of the files: {told}; all are brought to RAS.")
    return sentences


def plan_section(run: RunData) -> str:
    """What was decided, in plain words."""
    plan = run.plan
    if plan is None:
        return ""
    size = " × ".join(shown(p * s, 3) for p, s in zip(plan.patch, plan.spacing, strict=True))
    stages = plan.topology.features
    choices = {
        "spacing": f"{_times(plan.spacing)} mm",
        "patch": f"{_times(plan.patch)} voxels ({size} mm)",
        "batch": f"{plan.batch} patches",
        **({"early": str(plan.early)} if plan.early is not None else {}),
        "topology": f"U-Net of {len(stages)} stages, {stages[0]} to {max(stages)} features",
        "normalisation": ", ".join(f"{n}: {s.scheme}" for n, s in zip(plan.channels, plan.normalisation, strict=False)),
        "generation": f"{len(plan.generation.enriched)} kinds of tissue, {plan.generation.classes} brightnesses",
        "pairs": "; ".join(f"{plan.labels[a].name} and {plan.labels[b].name}" for a, b in plan.pair_classes) or "none",
        "iterations": f"{plan.iterations:,}",
        "context": "",
        "memory": "",
    }
    rows = [[name, value, plan.why.get(name, "")] for name, value in choices.items() if value or name in plan.why]
    parts = [table(["Choice", "", "Why"], rows)]
    if run.recipe:
        parts.append(
            paragraph(
                f"Method: {run.recipe.method.name}; augmentation: {run.recipe.augmenter.name}; seed {run.recipe.seed}."
            )
        )
    return section("The plan", *parts)


def preview_section(run: RunData) -> str:
    if run.preview is None:
        return ""
    return section("What the network sees", picture(run.preview, "Real images, classes and synthetic images"))


def training_section(fold: FoldData) -> str:
    """Learning curves of a fold, and where theta ended."""
    if not fold.history:
        return ""
    from l2s_auto.report.curves import theta_and_dice

    last = fold.history[-1]
    minutes = last.get("seconds", 0) / 60 if isinstance(last.get("seconds"), (int, float)) else 0
    text = f"{last.get('iteration', '?')} iterations in {minutes:.1f} minutes."
    theta = last.get("theta") or {}
    rows = [
        [str(name), number((fold.history[0].get("theta") or {}).get(name)), number(value)]
        for name, value in theta.items()
    ]
    ended = table(["Augmentation (theta)", "At the start", "At the end"], rows) if rows else ""
    curves = picture(png_bytes(theta_and_dice(fold.history)), f"Learning curves of {fold.name}")
    return section(f"Training, {fold.name}", paragraph(text), curves, ended)


def validation_section(fold: FoldData) -> str:
    """Metrics a label, and the cases, worst first."""
    if fold.metrics is None:
        return ""
    metrics = shown_metrics([fold.metrics])
    headings = [heading for _, heading, _ in metrics]
    labels = _mapping(fold.metrics.get("labels"))
    rows = [[str(name), *_cells(values, metrics)] for name, values in labels.items()]
    rows.append(["mean", *_cells(fold.metrics.get("mean"), metrics)])
    cases = sorted(fold.metrics.get("cases") or [], key=_case_dice)
    case_rows = []
    for case in cases[:WORST_CASES]:
        dice = _case_values(case)
        worst = min(dice, key=lambda name: dice[name]) if dice else ""
        mean = number(_case_dice(case) if dice else None)
        case_rows.append(
            [printable(case.get("case", "?")), mean, f"{worst} ({number(dice[worst])})" if worst else "undefined"]
        )
    explained = "; ".join(f"{heading}: {meaning}" for _, heading, meaning in metrics)
    imagined = fold.metrics.get("images") == SYNTHETIC
    seen = "Synthetic images of label maps" if imagined else "Scans"
    parts = [paragraph(f"{seen} that the training did not see. {explained}."), table(["Label", *headings], rows)]
    if case_rows:
        more = f", the {WORST_CASES} worst of {len(cases)}" if len(cases) > WORST_CASES else ""
        parts.append(f"<h3>Cases, worst first{more}</h3>")
        parts.append(table(["Case", "Mean Dice", "Worst label (Dice)"], case_rows))
    notes = fold.metrics.get("notes") or []
    parts += [paragraph(f"Note: {note}") for note in (notes if isinstance(notes, list) else [notes])]
    return section(f"Validation, {fold.name}", *parts)


def verdict_section(run: RunData) -> str:
    """What the training has become, in plain sentences; warnings first."""
    rows, warned = [], False
    for fold in run.folds:
        if fold.metrics is None:
            continue
        verdict = judge(fold.metrics, fold.history)
        warned = warned or bool(verdict.warnings)
        measured = [] if verdict.dice is None else [f"Mean Dice {verdict.measured}."]
        warnings = [f"<b>Warning:</b> {escape(text)}" for text in verdict.warnings]
        sentences = [*warnings, *(escape(text) for text in (*measured, *verdict.notes))]
        rows += [f"<li>{escape(fold.name)}: {sentence}</li>" for sentence in sentences]
    if not rows:
        return ""
    return section("Mind this first" if warned else "What the model has become", f"<ul>{''.join(rows)}</ul>")


def next_section(run: RunData, again: Again | None = None) -> str:
    """Commands that can be copied.

    again  what the training's command was given
    """
    name = quoted(os.path.abspath(run.path))
    verdicts = [judge(fold.metrics, fold.history) for fold in run.folds if fold.metrics is not None]
    useless = bool(verdicts) and all(verdict.useless for verdict in verdicts)
    predict = "Segment new scans" + (" (not with this model: it finds almost nothing)" if useless else "")
    hours = longer(run.recipe)
    commands = [
        (predict, f"l2s_predict -i SCANS -o SEGMENTATIONS -m {name}"),
        ("Compare segmentations with references", f"l2s_evaluate -p SEGMENTATIONS -r REFERENCES -m {name}"),
        ("Send the model to somebody as one file", f"l2s_export {name} model.zip"),
        *((f"Train longer, from where it ended, for {hours} a fold in all", one) for one in train_longer(run, again)),
    ]
    if not any(fold.trained for fold in run.folds):
        commands = [(f"Train, for {hours} a fold in all", command) for _, command in commands[3:]]
    rows = "".join(f"<dt>{escape(what)}</dt><dd><code>{escape(command)}</code></dd>" for what, command in commands)
    return section("What to do next", f"<dl>{rows}</dl>")


def notes_section(run: RunData) -> str:
    if not run.notes:
        return ""
    return section("Not in this report", f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in run.notes)}</ul>")


def number(value: object) -> str:
    """Three digits; `undefined` is said, never shown as 0."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return "undefined"
    if 0 < abs(value) < 0.01:
        return shown(value, 3)
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def shown_metrics(folds: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Keys, headings and meanings of what is shown of these metrics: of the two surface Dice, one."""
    key, tolerance = next(map(surface_dice, folds), (WITHIN_1MM, "1 mm"))
    others = {WITHIN_1MM, WITHIN_VOXEL} - {key}
    return [(k, title.format(tolerance), text.format(tolerance)) for k, title, text in METRICS if k not in others]


def _cells(values: object, metrics: Sequence[tuple[str, str, str]]) -> list[str]:
    return [number(_mapping(values).get(key)) for key, _, _ in metrics]


def _case_values(case: Mapping[str, Any]) -> dict[str, float]:
    """Label -> Dice, where it is defined."""
    dice = {str(name): _mapping(values).get("dice") for name, values in _mapping(case.get("labels")).items()}
    return {name: value for name, value in dice.items() if isinstance(value, (int, float))}


def _case_dice(case: Mapping[str, Any]) -> float:
    """Mean Dice over labels; undefined cases come first, as something is odd about them."""
    values = _case_values(case)
    return fmean(values.values()) if values else -1.0


def _channels(channels: Sequence[str]) -> str:
    return f"Channels: {', '.join(channels)}." if channels else "Label maps only, without images."


def _times(values: Sequence[float]) -> str:
    return " × ".join(f"{value:.3g}" for value in values)


def _span(rows: Sequence[Sequence[float]]) -> str:
    """Smallest to largest along each axis."""
    lows, highs = [min(column) for column in zip(*rows, strict=True)], [max(c) for c in zip(*rows, strict=True)]
    parts = [f"{a:.3g}" if f"{a:.3g}" == f"{b:.3g}" else f"{a:.3g}–{b:.3g}" for a, b in zip(lows, highs, strict=True)]
    return " × ".join(parts)
