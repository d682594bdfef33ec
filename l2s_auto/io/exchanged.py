"""Notices, from a few files and before anything takes long, that images and label maps are in each other's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from l2s_auto.core.errors import UserError
from l2s_auto.io.label_like import Look, look_of
from l2s_auto.io.volumes import channels_of, read_stored

LOOKED_AT = 3  # files of each folder


def require_not_exchanged(label_paths: Sequence[Path], image_paths: Sequence[Path]) -> None:
    """UserError if the first label maps look like images, and the first images like label maps.

    One file is read where that already tells; files that cannot be read are left to the verification.
    """
    if not image_paths or not label_paths or not _looks(label_paths[:1], image=True):
        return
    some, others = label_paths[:LOOKED_AT], image_paths[:LOOKED_AT]
    labels, images = _looks(some, image=True), _looks(others, image=False)
    if 2 * len(images) < len(others) or 2 * len(labels) < len(some):
        return
    (image, drawn), (label, scan) = images[0], labels[0]
    numbers = f"{scan.values:,} integers" if scan.integers else "fractions"
    one, two = image.parent, label.parent
    raise UserError.single(
        "Images and label maps seem to be exchanged.",
        where=str(one.parent),
        found=f"label maps in {one.name} (e.g. {image.name}: {drawn.values} values in connected regions), "
        f"and images in {two.name} (e.g. {label.name}: {numbers}, scattered)",
        expected=f"images in {one.name}, label maps in {two.name}",
        mend=f"Exchange the names of the folders {one.name} and {two.name}.",
    )


def _looks(paths: Sequence[Path], *, image: bool) -> list[tuple[Path, Look]]:
    """Those of the files that look like an image, or like a label map."""
    found = []
    for path in paths:
        try:
            if channels_of(path) not in (1, None):
                continue
            look = look_of(read_stored(path).data[0])
        except UserError:
            continue
        if look.is_image if image else look.is_label_map:
            found.append((path, look))
    return found
