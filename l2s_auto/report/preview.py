"""What a network will see in training, as one PNG: real scans, the classes they are split into, synthetic images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2s_auto.core.plan import GenerationPlan, Triple
from l2s_auto.report.slices import PLANES, centre_of, cut, show_image, window
from l2s_auto.report.style import COLOURS, DARK, FONTS, colours_of, new_figure, plain_text, write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3
_WIDE, _GAP, _TITLE = 2.6, 0.08, 0.38  # inches: a panel's width, between panels, a block's title
_TALLEST = 1.6  # a panel's height as a multiple of its width
_BUSY = 12  # more labels than this are not outlined on synthetic images
_NAMED, _ACROSS = 30, 6  # entries of the legend, and in one row of it, at most
_TISSUES = ("#1B2230", "#8795AC", "#DCE3EE")  # clusters of unlabelled tissue, dark to bright


@dataclass(frozen=True)
class Example:
    """One volume to show: (X, Y, Z) in canonical axes, the plan's spacing.

    image    intensities; None for a label map without an image
    labels   of a case: index of the enriched label; of a synthetic image: of the network's output class
    """

    image: np.ndarray | None
    labels: np.ndarray


@dataclass(frozen=True)
class _Panel:
    """A slice, rows from below; limits of its grey values; letters at its left and right edge."""

    image: np.ndarray | None
    labels: np.ndarray
    limits: tuple[float, float]
    aspect: float
    letters: tuple[str, str]

    @property
    def ratio(self) -> float:
        """Height / width."""
        rows, columns = self.labels.shape
        return min(_TALLEST, rows * self.aspect / columns)


def synthetic_preview(
    generation: GenerationPlan,
    cases: Sequence[Example],
    synthetic: Sequence[Example],
    path: Path | str,
    *,
    spacing: Triple = (1.0, 1.0, 1.0),
) -> Path:
    """Slices through the labels' centre: up to three cases, scans above their classes, and up to nine synthetic images.

    Target labels are outlined in the colours of the legend. Cases without an image show their classes alone.
    """
    target_of = np.array([label.target for label in generation.enriched], dtype=np.int16)
    cases = cases[:_COLUMNS]
    maps = [_panel(case, spacing, centre_of(target_of[case.labels])) for case in cases]
    scans = [panel for panel in maps if panel.image is not None]
    images = [_panel(example, spacing, centre_of(example.labels)) for example in synthetic[:9]]
    colours, outlines = _colours(generation), _distinct([t for t in np.unique(target_of).tolist() if t != 0])
    blocks = [("Real images, with the labels to be learned", scans, "scan")]
    blocks += [("Classes that images are drawn from", maps, "map"), ("Synthetic images", images, "synthetic")]
    rows = [
        (title if start == 0 else "", panels[start : start + _COLUMNS], kind)
        for title, panels, kind in blocks
        for start in range(0, len(panels), _COLUMNS)
    ]
    figure, places = _page(rows)
    for (_, panels, kind), row in zip(rows, places, strict=True):
        for panel, place in zip(panels, row, strict=True):
            axes = figure.add_axes(place)
            if kind == "map":
                _show_map(axes, panel, colours)
            else:
                assert panel.image is not None
                show_image(axes, panel.image, limits=panel.limits, aspect=panel.aspect)
                target = target_of[panel.labels] if kind == "scan" else panel.labels
                _outline(axes, target, outlines, faint=kind == "synthetic")
            if kind != "synthetic":
                _letters(axes, panel.letters)
    _legend(figure, generation, maps, colours)
    return write_png(figure, path, dpi=150)


def _panel(example: Example, spacing: Triple, centre: tuple[int, int, int]) -> _Panel:
    """The axial slice through the centre; of a volume of one slice, that slice."""
    thin = [axis for axis, n in enumerate(example.labels.shape) if n == 1]
    _, through, across, up, left, right = next(plane for plane in PLANES if not thin or plane[1] == thin[-1])
    image, limits = None, (0.0, 1.0)
    if example.image is not None:
        whole = np.asarray(example.image, dtype=np.float32)
        image, limits = cut(whole, through, centre[through]), window(whole)
    labels = cut(example.labels, through, centre[through])
    return _Panel(image, labels, limits, spacing[up] / spacing[across], (left, right))


def _page(
    rows: Sequence[tuple[str, list[_Panel], str]],
) -> tuple[Figure, list[list[tuple[float, float, float, float]]]]:
    """An empty page with the blocks' titles, and for each row the places of its panels, in shares of the page."""
    heights = [_WIDE * max(panel.ratio for panel in panels) for _, panels, _ in rows]
    wide = _COLUMNS * _WIDE + (_COLUMNS - 1) * _GAP
    tall = max(1.0, sum(heights) + sum(_TITLE if title else _GAP for title, _, _ in rows))
    figure, top, places = new_figure(wide, tall, DARK), tall, []
    for (title, panels, _), height in zip(rows, heights, strict=True):
        top -= _TITLE if title else _GAP
        if title:
            style: dict[str, Any] = {"fontfamily": FONTS, "fontsize": 11, "fontweight": "bold"}
            figure.text(0, (top + 0.1) / tall, title, color=DARK.ink, ha="left", va="bottom", **style)
        starts = [number * (_WIDE + _GAP) / wide for number in range(len(panels))]
        places.append([(start, (top - height) / tall, _WIDE / wide, height / tall) for start in starts])
        top -= height
    return figure, places


def _colours(generation: GenerationPlan) -> dict[int, str]:
    """Enriched label -> colour: tissue from dark to bright, labels in their own, the parts of one in shades of it."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    ramp = LinearSegmentedColormap.from_list("tissues", _TISSUES)
    members: dict[int, list[int]] = {}
    for index, label in enumerate(generation.enriched):
        members.setdefault(label.target, []).append(index)
    own = _distinct([target for target in sorted(members) if target != 0])
    colours = {}
    for target, parts in members.items():
        rising = sorted(parts, key=lambda i: generation.enriched[i].centre or 0.0)
        shades = LinearSegmentedColormap.from_list("parts", ["#000000", own.get(target, "#000000"), "#FFFFFF"])
        for number, index in enumerate(rising):
            share = number / max(1, len(rising) - 1)
            whole = 0.5 if len(rising) == 1 else 0.3 + 0.4 * share
            colours[index] = to_hex(ramp(share) if target == 0 else shades(whole))
    return colours


def _distinct(values: Sequence[int]) -> dict[int, str]:
    """The colours of all figures; labels beyond the last of them have lighter, then darker ones."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    places = (0.5, 0.72, 0.3, 0.85)  # between black (0), the colour (0.5) and white (1)
    colours = {}
    for number, (value, colour) in enumerate(colours_of(values).items()):
        shades = LinearSegmentedColormap.from_list("shades", ["#000000", colour, "#FFFFFF"])
        colours[value] = to_hex(shades(places[number // len(COLOURS) % len(places)]))
    return colours


def _show_map(axes: Axes, panel: _Panel, colours: Mapping[int, str]) -> None:
    from matplotlib.colors import to_rgb

    table = np.array([to_rgb(colours[index]) for index in range(len(colours))])
    axes.imshow(table[panel.labels], origin="lower", aspect=panel.aspect, interpolation="nearest")
    axes.set_anchor("N")
    axes.set_axis_off()


def _outline(axes: Axes, target: np.ndarray, colours: Mapping[int, str], *, faint: bool) -> None:
    """A thin line around each label."""
    if faint and len(colours) > _BUSY:
        return
    style: dict[str, Any] = {"linewidths": 0.6, "alpha": 0.55} if faint else {"linewidths": 1.1}
    if len(colours) > _BUSY:
        style["linewidths"] = 0.6
    for value in np.intersect1d(target, list(colours)).tolist():
        mask = np.pad(target == value, 1).astype(float)  # padded, so that a line also closes at the border
        rows, columns = (np.arange(n) - 1 for n in mask.shape)
        axes.contour(columns, rows, mask, levels=[0.5], colors=[colours[value]], **style)
    axes.set_xlim(-0.5, target.shape[1] - 0.5)
    axes.set_ylim(-0.5, target.shape[0] - 0.5)


def _letters(axes: Axes, letters: tuple[str, str]) -> None:
    from matplotlib.patheffects import withStroke

    for letter, place in zip(letters, (0.03, 0.97), strict=True):
        style: dict[str, Any] = {"fontsize": 9, "fontfamily": FONTS, "ha": "center", "va": "center"}
        style["path_effects"] = [withStroke(linewidth=2, foreground=DARK.paper)]
        axes.text(place, 0.5, letter, color=DARK.ink, transform=axes.transAxes, **style)


def _legend(figure: Figure, generation: GenerationPlan, maps: Sequence[_Panel], colours: Mapping[int, str]) -> None:
    """The names of what the slices show, below all; of very many, those of the largest areas."""
    from matplotlib.patches import Patch

    area = np.zeros(len(generation.enriched), dtype=np.int64)
    for panel in maps:
        area += np.bincount(panel.labels.ravel(), minlength=len(area))
    shown = [i for i in np.argsort(-area, kind="stable").tolist() if area[i]][:_NAMED]
    handles = [
        Patch(
            facecolor=colours[i],
            edgecolor=DARK.faint,
            linewidth=0.5,
            label=plain_text(generation.enriched[i].name),
        )
        for i in sorted(shown)
    ]
    columns = -(-len(handles) // max(1, -(-len(handles) // _ACROSS)))  # rows as even as can be
    style: dict[str, Any] = {"ncols": max(1, columns), "frameon": False, "handlelength": 1.0, "handleheight": 1.0}
    style |= {"labelcolor": DARK.ink, "prop": {"family": FONTS, "size": 9}}
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.0, 0.0), borderaxespad=0.2, **style)
