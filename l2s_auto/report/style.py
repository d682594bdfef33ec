"""Colours and fonts that all figures share, and figures as PNG. No pyplot: nothing global, safe in any thread."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from l2s_auto.core.printable import printable
from l2s_auto.io.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's colours for all kinds of colour vision (2008), then Tol's "muted" scheme (2021).
COLOURS = (
    *("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"),
    *("#88CCEE", "#44AA99", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#117733", "#332288"),
)
FONTS = ["DejaVu Sans"]  # comes with Matplotlib, so figures look alike everywhere


@dataclass(frozen=True)
class Theme:
    """Background, text and faint lines."""

    paper: str
    ink: str
    faint: str


DARK = Theme(paper="#101216", ink="#ECEFF4", faint="#8A93A3")  # scans have black borders, which vanish in it
LIGHT = Theme(paper="#FFFFFF", ink="#1F2430", faint="#C9CED8")  # curves, and pages that are printed


def colours_of(values: Sequence[int] | Mapping[int, object]) -> dict[int, str]:
    """Label value -> colour; repeated after the last one. The same labels always have the same colours."""
    return {value: COLOURS[i % len(COLOURS)] for i, value in enumerate(values)}


def new_figure(width: float, height: float, theme: Theme) -> Figure:
    """An empty figure of that size in inches, drawn by Agg (no display is needed)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor=theme.paper)
    FigureCanvasAgg(figure)
    return figure


def png_bytes(figure: Figure, *, dpi: int = 130) -> bytes:
    """The figure as PNG, cut to what is drawn."""
    sink = io.BytesIO()
    paper = figure.get_facecolor()
    with warnings.catch_warnings():  # a name in letters that the font does not have is shown as boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(sink, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.12, facecolor=paper)
    return sink.getvalue()


def write_png(figure: Figure, path: Path | str, *, dpi: int = 130) -> Path:
    """Write the figure, whole or not at all; the folder is made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(png_bytes(figure, dpi=dpi))
    return path


def plain_text(name: str) -> str:
    """A name as Matplotlib shows it: a dollar sign would begin a formula, and `_` at the start hides it in a legend."""
    text = printable(name).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def caption(axes: Axes, text: str, theme: Theme, *, size: float = 10, bold: bool = False) -> None:
    """A title in the theme's colours."""
    weight = "bold" if bold else "normal"
    axes.set_title(plain_text(text), color=theme.ink, fontsize=size, fontfamily=FONTS, fontweight=weight, pad=6)
