"""Which label map belongs to which image: by the same name, in the same folder, or by what names have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from l2s_auto.core.errors import UserError, some_of
from l2s_auto.core.printable import printable
from l2s_auto.io.case_files import channel_of, group_by_label, pair_key, require_distinct
from l2s_auto.io.inventory import Inventory, Scan, relative
from l2s_auto.io.nested_names import joined
from l2s_auto.io.volumes import case_name

_SEPARATOR = re.compile(r"[_\-. ]")


@dataclass(frozen=True)
class Pairs:
    """Case name -> image files in the order of their channels, and label maps; either may have names of its own.

    note  how they were paired, where their names alone do not say so
    """

    images: Mapping[str, tuple[Path, ...]]
    labels: Mapping[str, Path]
    note: str = ""

    @property
    def common(self) -> set[str]:
        return self.images.keys() & self.labels.keys()

    @property
    def names(self) -> set[str]:
        return self.images.keys() | self.labels.keys()


def pair(images: Inventory, labels: Inventory, dataset: Path) -> Pairs:
    """Images and label maps of a dataset. UserError if they lie in folders, and neither names nor folders pair them."""
    for inventory in (labels, images):
        for paths in _by_folder(inventory.scans).values():
            require_distinct(paths)
    if images.nested or labels.nested:
        return _nested(images.scans, labels.scans, dataset)
    by_name = {case_name(scan.path): scan.path for scan in labels.scans}
    pairs = Pairs(group_by_label([scan.path for scan in images.scans], by_name), by_name)
    if pairs.common or not pairs.images:
        return pairs
    return _by_shared_part(pairs) or pairs


def _by_folder(scans: Iterable[Scan]) -> dict[tuple[str, ...], list[Path]]:
    found: dict[tuple[str, ...], list[Path]] = {}
    for scan in scans:
        found.setdefault(scan.folder, []).append(scan.path)
    return found


def _nested(images: Sequence[Scan], labels: Sequence[Scan], dataset: Path) -> Pairs:
    """The first way of naming by which every image has a label map, else that by which most have."""
    ways: tuple[tuple[str, Callable[[Scan], str]], ...] = (
        ("their names", lambda scan: case_name(scan.path)),
        ("their folders and names", lambda scan: joined((*scan.folder, case_name(scan.path)))),
        ("their folders", lambda scan: joined(scan.folder) if scan.folder else case_name(scan.path)),
    )
    found: list[tuple[str, Pairs]] = []
    for way, name in ways:
        pairs = _named(images, labels, name, whole_folders=way == "their folders")
        if pairs is None:
            continue
        if not images:
            return pairs
        if pairs.common:
            found.append((way, pairs))
    if not found:
        by_name = _named(images, labels, ways[0][1], whole_folders=False)
        shared = None if by_name is None else _by_shared_part(by_name)
        if shared is None:
            raise _unpaired(images, labels, dataset)
        return shared
    way, pairs = max(found, key=lambda one: (one[1].images.keys() == one[1].labels.keys(), len(one[1].common)))
    first = min(pairs.common)
    example = f"{_shown(pairs.images[first][0], dataset)} with {_shown(pairs.labels[first], dataset)}"
    note = f"Images and label maps in folders are paired by {way}: {_cases(len(pairs.common))}, such as {example}."
    return Pairs(pairs.images, pairs.labels, note)


def _named(
    images: Sequence[Scan], labels: Sequence[Scan], name: Callable[[Scan], str], *, whole_folders: bool
) -> Pairs | None:
    """Images and label maps by these names; None if two volumes would have one name."""
    label_names = {name(scan): scan.path for scan in labels}
    if len({pair_key(one) for one in label_names}) < len(labels):
        return None
    names = {scan.path: name(scan) for scan in images}
    if whole_folders:
        groups: dict[str, list[Path]] = {}
        for path, one in names.items():
            groups.setdefault(one, []).append(path)
        known = {pair_key(one): one for one in label_names}
        by_name = {known.get(pair_key(one), one): tuple(sorted(paths)) for one, paths in groups.items()}
    else:
        by_name = group_by_label(names, label_names, name=names.__getitem__)
    if not all(_is_one_case(paths) for paths in by_name.values()):
        return None
    return Pairs(by_name, label_names)


def _is_one_case(paths: Sequence[Path]) -> bool:
    """Whether files are the channels of one scan: one file, or files of one name with different numbers."""
    if len(paths) == 1:
        return True
    found = [channel_of(path) for path in paths]
    numbers = {number for _, number in found}
    return None not in numbers and len(numbers) == len(paths) and len({stem for stem, _ in found}) == 1


def _by_shared_part(pairs: Pairs) -> Pairs | None:
    """Pairs of names that differ in how all images, and all label maps, end or begin: sub-01_T1w and sub-01_dseg.

    None unless most names of either kind have exactly one partner.
    """
    best: tuple[int, Pairs] | None = None
    for backwards in (False, True):
        shorter = [_shortened(list(names), backwards=backwards) for names in (pairs.images, pairs.labels)]
        for image_names in shorter[0]:
            for label_names in shorter[1]:
                both = image_names.keys() & label_names.keys()
                if len(both) < max(1, len(pairs.images) / 2, len(pairs.labels) / 2) or (best and best[0] >= len(both)):
                    continue
                images = {_called(key, one, backwards): pairs.images[one] for key, one in image_names.items()}
                labels = {
                    _called(key, image_names.get(key, one), backwards): pairs.labels[one]
                    for key, one in label_names.items()
                }
                key = min(both)
                example = f"{printable(image_names[key])} with {printable(label_names[key])}"
                note = (
                    "Images and label maps have no names in common. They are paired by the part of their names that "
                    f"they share: {_cases(len(both))}, such as {example}."
                )
                best = len(both), Pairs(images, labels, note)
    return None if best is None else best[1]


def _called(key: str, name: str, backwards: bool) -> str:
    """The name of a case: what is shared, or where that is an end, such as a number, the image's whole name."""
    return name if backwards else key


def _shortened(names: Sequence[str], *, backwards: bool) -> list[dict[str, str]]:
    """{what is left of a name: the name} for each end that all names have in common, the shortest first, none included.

    backwards  for each beginning instead. An end begins with a separator, a beginning ends with one.
    """
    turned = [name if backwards else name[::-1] for name in names]
    shared = _beginning(turned)
    cuts = [0, *(match.end() for match in _SEPARATOR.finditer(shared))]
    found = []
    for cut in cuts:
        left = {
            pair_key(one[cut:] if backwards else one[cut:][::-1]): name for one, name in zip(turned, names, strict=True)
        }
        if len(left) == len(names) and "" not in left:
            found.append(left)
    return found


def _beginning(names: Sequence[str]) -> str:
    """What all names begin with."""
    first, last = min(names), max(names)
    length = next((k for k, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:length]


def _unpaired(images: Sequence[Scan], labels: Sequence[Scan], dataset: Path) -> UserError:
    return UserError.single(
        "The images and label maps in folders cannot be paired.",
        where=str(dataset),
        found=f"{len(images)} images ({_examples(images, dataset)}) "
        f"and {len(labels)} label maps ({_examples(labels, dataset)})",
        expected="the same name for an image and its label map, or one of each in folders of the same name",
        mend="Rename or link them, for instance as images/p1.nii.gz and labels/p1.nii.gz.",
    )


def _examples(scans: Sequence[Scan], dataset: Path) -> str:
    return some_of([relative(scan.path, dataset) for scan in scans], most=3)


def _shown(path: Path, dataset: Path) -> str:
    return relative(path, dataset)


def _cases(count: int) -> str:
    return f"{count} case{'' if count == 1 else 's'}"
