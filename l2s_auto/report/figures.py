"""Pictures of scans and their labels, drawn pixel by pixel, which is much faster than Matplotlib."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2s_auto.core.counting import values_of
from l2s_auto.core.printable import printable
from l2s_auto.io.atomic import atomic_path
from l2s_auto.report.slices import PLANES, Upright, centre_of, cut, upright, window
from l2s_auto.report.style import DARK, colours_of

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

#: Pixels: a picture's width at most and at least, its slices' height at most, between slices, around all, a line of
#: text, its letters; and those of a voxel, at most.
WIDEST, NARROWEST, TALLEST, GAP, EDGE, LINE, LETTERS, VOXEL = 1400, 700, 1000, 6, 14, 26, 17, 6
#: How much of a label's colour lies over the scan, and pixels of the line around it.
FILL, OUTLINE = 0.35, 2
#: Longer names are cut.
LONGEST = 60


def overlay(
    image: np.ndarray,
    labels: np.ndarray,
    names: Mapping[int, str],
    affine: np.ndarray,
    path: Path | str,
    *,
    title: str = "",
) -> Path:
    """Three slices through the labels' centre, at one scale, with the labels in colour.

    image, labels  (X, Y, Z) on the file's grid; names: value -> name, background left out
    """
    from PIL import Image, ImageDraw

    view = upright(image, labels, affine)
    centre, limits = centre_of(view.labels), window(view.image)
    colours = {value: rgb(colour) for value, colour in colours_of(names).items()}
    sizes, width = _sizes(view)
    present = [value for value in values_of(labels).tolist() if value in names]
    font = _font()
    rows = _rows({value: _short(names[value]) for value in present}, font, width)
    top, tallest = EDGE + LINE, max(height for _, height in sizes)
    whole = (width, top + tallest + GAP + LINE * len(rows) + EDGE)
    picture = Image.new("RGB", whole, DARK.paper)
    draw = ImageDraw.Draw(picture)
    shade: dict[str, Any] = {"stroke_width": 2, "stroke_fill": DARK.paper}
    left = EDGE
    for (name, through, _, _, first, second), size in zip(PLANES, sizes, strict=True):
        grey, index = (cut(volume, through, centre[through]) for volume in (view.image, view.labels))
        picture.paste(Image.fromarray(_panel(grey, index, size, colours, limits)), (left, top))
        text = _short(f"{title}   {name}".strip()) if left == EDGE else name
        draw.text((left, EDGE), text, fill=DARK.ink, font=font)
        for letter, place in ((first, left + 12), (second, left + size[0] - 12)):
            draw.text((place, top + size[1] / 2), letter, fill=DARK.ink, font=font, anchor="mm", **shade)
        left += size[0] + GAP
    _legend(draw, rows, colours, font, top=top + tallest + GAP, width=width)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", compress_level=1)
    return path


def rgb(colour: str) -> tuple[int, int, int]:
    """`#E69F00` -> red, green and blue, 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _sizes(view: Upright) -> tuple[list[tuple[int, int]], int]:
    """Width and height of the three slices in pixels, at one scale; and the picture's width."""
    widths = [view.extent(across) for _, _, across, _, _, _ in PLANES]
    heights = [view.extent(up) for _, _, _, up, _, _ in PLANES]
    width = int(np.clip(VOXEL * sum(widths) / min(view.spacing), NARROWEST, WIDEST))
    scale = min((width - 2 * EDGE - GAP * (len(PLANES) - 1)) / sum(widths), TALLEST / max(heights))
    return [(max(1, int(w * scale)), max(1, int(h * scale))) for w, h in zip(widths, heights, strict=True)], width


def _panel(
    image: np.ndarray,
    labels: np.ndarray,
    size: tuple[int, int],
    colours: Mapping[int, tuple[int, int, int]],
    limits: tuple[float, float],
) -> np.ndarray:
    """(rows from below, columns) of a slice -> (H, W, 3) uint8: each label a translucent area with a line around it."""
    from PIL import Image

    low, high = limits
    grey = np.clip((np.nan_to_num(image) - low) / (high - low), 0, 1)[::-1]
    shown = Image.fromarray((255 * grey).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    values = values_of(labels)
    rows, columns = (
        ((np.arange(new) + 0.5) * (old / new)).astype(np.int64)
        for new, old in zip(size[::-1], labels.shape, strict=True)
    )
    index = np.searchsorted(values, labels[::-1])[rows][:, columns]
    table = np.array([colours.get(value, (0, 0, 0)) for value in values.tolist()], dtype=np.float32)
    known = np.array([value in colours for value in values.tolist()])[index]
    strength = np.where(known & _border(index), 1.0, np.where(known, FILL, 0.0))[..., None].astype(np.float32)
    base = np.asarray(shown, dtype=np.float32)[..., None]
    return np.rint(base * (1 - strength) + table[index] * strength).astype(np.uint8)


def _border(index: np.ndarray) -> np.ndarray:
    """(H, W): where another label, or the picture's end, is near."""
    padded = np.pad(index, OUTLINE, constant_values=-1)
    height, width = index.shape
    found = np.zeros(index.shape, dtype=bool)
    for down, right in ((0, 1), (1, 0), (1, 2), (2, 1)):
        y, x = (OUTLINE + OUTLINE * (step - 1) for step in (down, right))
        found |= padded[y : y + height, x : x + width] != index
    return found


@lru_cache(maxsize=1)
def _font() -> FreeTypeFont:
    """DejaVu Sans, which Matplotlib brings along, without the time that Matplotlib takes to load."""
    from PIL import ImageFont

    found = importlib.util.find_spec("matplotlib")
    assert found is not None and found.submodule_search_locations, "Matplotlib is installed with this package"
    folder = Path(found.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / "DejaVuSans.ttf"), LETTERS)


def _short(text: str) -> str:
    """One line without control characters, which would move or turn around what stands beside it."""
    text = printable(" ".join(text.split()))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _rows(names: Mapping[int, str], font: FreeTypeFont, whole: int) -> list[list[tuple[int, str, int]]]:
    """Label value, name and place in pixels of the legend's entries, in lines that are centred."""
    rows: list[list[tuple[int, str, int]]] = []
    for value, name in names.items():
        width = LETTERS + 8 + int(font.getlength(name)) + 24
        end = rows[-1][-1][2] if rows else whole
        if end + width > whole - EDGE:
            rows.append([])
            end = EDGE
        rows[-1].append((value, name, end + width))
    return rows


def _legend(
    draw: ImageDraw,
    rows: list[list[tuple[int, str, int]]],
    colours: Mapping[int, tuple[int, int, int]],
    font: FreeTypeFont,
    *,
    top: int,
    width: int,
) -> None:
    for number, row in enumerate(rows):
        y, x = top + number * LINE, EDGE + (width - EDGE - row[-1][2]) // 2
        begin = EDGE
        for value, name, end in row:
            place = x + begin - EDGE
            draw.rectangle((place, y + 4, place + LETTERS, y + 4 + LETTERS), fill=colours[value])
            draw.text((place + LETTERS + 8, y + 2), name, fill=DARK.ink, font=font)
            begin = end
