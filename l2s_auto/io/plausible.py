"""Whether what the images of a dataset hold is plausible: scans, of one kind of intensities in all cases."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from l2s_auto.core.errors import Offence, some_of
from l2s_auto.core.types import Volume
from l2s_auto.io.fill_values import sampled
from l2s_auto.io.hounsfield import CT, EXPECTED, OTHER_CT, Units, is_ct
from l2s_auto.io.label_like import look_of
from l2s_auto.io.repair import repair


@dataclass(frozen=True)
class Impression:
    """What a channel of a case looks like.

    units   of a CT
    values  of a channel that looks like a label map, how many; 0 for a scan
    """

    path: Path
    channel: str
    units: Units | None
    values: int


@dataclass(frozen=True)
class Looked:
    """What looking at the images of a case gave: what is wrong, and what the other cases decide together with it.

    notes    what training repairs of them
    content  hashes of the first image's voxels, and of the label map's; empty where there are none
    """

    offences: tuple[Offence, ...] = ()
    notes: tuple[str, ...] = ()
    impressions: tuple[Impression, ...] = ()
    case: str = ""
    content: tuple[str, str] = ("", "")


def look_at(path: Path, volume: Volume, names: Sequence[str]) -> Looked:
    """At the image of a case, on its own.

    names  of the file's channels
    """
    offences: list[Offence] = []
    notes: list[str] = []
    impressions: list[Impression] = []
    for number, channel in enumerate(volume.data):
        name = names[number] if number < len(names) else ""
        repaired = repair(channel, ct=is_ct(name))
        units = repair(channel, ct=True).units if name == OTHER_CT else repaired.units
        data = repaired.data
        finite = np.isfinite(data) if data.dtype.kind == "f" else None
        if finite is not None and not finite.all():
            found = f"NaN or infinity in {int((~finite).sum())} voxels"
            offences.append(Offence(str(path), found, "numbers", "Replace these voxels, or remove the case."))
            continue
        if data.min() == data.max():
            mend = "Export the scan again, or remove the case."
            offences.append(Offence(str(path), f"the value {data.flat[0]:g} everywhere", "an image", mend))
            continue
        look = look_of(data)
        values = look.values if look.is_label_map else 0
        impressions.append(Impression(path, name, units, values))
        notes += repaired.notes
    return Looked(tuple(offences), tuple(notes), tuple(impressions))


def is_copy(volume: Volume, labels: np.ndarray) -> bool:
    """Whether an image is its own label map, copied by mistake."""
    if len(volume.data) != 1 or volume.data.shape[1:] != labels.shape or not labels.any():
        return False
    return bool(np.array_equal(volume.data[0], labels)) and look_of(labels).is_label_map


def content_of(image: np.ndarray | None, labels: np.ndarray | None) -> tuple[str, str]:
    """Hashes of some of the voxels of each, for `Looked.content`."""
    if image is None or labels is None:
        return "", ""
    image_hash, label_hash = (
        hashlib.sha256(repr(array.shape).encode() + np.ascontiguousarray(sampled(array), np.float64).tobytes())
        for array in (image, labels)
    )
    return image_hash.hexdigest(), label_hash.hexdigest()


def same_images(looks: Sequence[Looked]) -> list[str]:
    """A sentence for each image that several cases have, with label maps that differ."""
    by_image: dict[str, list[Looked]] = {}
    for look in looks:
        if look.content[0]:
            by_image.setdefault(look.content[0], []).append(look)
    return [
        f"{some_of([look.case for look in cases])} have the same image, and different label maps. Correct them, or, "
        "if several people drew them, give the cases the same subject."
        for cases in by_image.values()
        if len({look.content[1] for look in cases}) > 1
    ]


def copy_offence(path: Path, label: Path) -> Offence:
    """Of an image that is its label map."""
    return Offence(
        str(path), f"the same numbers as in the label map {label.name}", "an image", "Put the scan of this case there."
    )


def compared(impressions: Sequence[Impression]) -> tuple[list[Offence], list[str]]:
    """(what is wrong with some images compared with the others, sentences about all of them)."""
    offences, sentences = _mixed_units(impressions), []
    for name in dict.fromkeys(i.channel for i in impressions):
        of_channel = [i for i in impressions if i.channel == name]
        drawn = [i for i in of_channel if i.values]
        if drawn and len(drawn) == len(of_channel):
            some = some_of([i.path.name for i in drawn], most=3)
            sentences.append(
                f"all images look like label maps: a few integer values in connected regions ({some}). "
                "If they are not what you want to segment, put the scans into the folder of the images."
            )
        else:
            offences += [_drawn(i) for i in drawn]
    return offences, sentences


def _drawn(impression: Impression) -> Offence:
    return Offence(
        str(impression.path),
        f"a label map: {impression.values} integer values, each in connected regions",
        "a scan, as in the other cases",
        "Put the scan of this case there, or remove the case.",
    )


def _mixed_units(impressions: Sequence[Impression]) -> list[Offence]:
    """Offences of scans whose numbers are of another kind than Hounsfield units, while others' are.

    Label maps are named anyway.
    """
    offences = []
    for name in dict.fromkeys(i.channel for i in impressions if i.units is not None):
        known = [(i, i.units) for i in impressions if i.channel == name and i.units is not None and not i.values]
        kinds = {units.kind for _, units in known}
        if name == OTHER_CT:
            strange = [(i, units) for i, units in known if units.kind != "other"] if "other" in kinds else []
            expected = f"other units than Hounsfield's, as in {_others(len(known), strange)}"
        else:
            strange = [(i, units) for i, units in known if units.kind in ("offset", "other")]
            if kinds == {"offset"} and len({units.offset for _, units in known}) == 1:
                strange = []
            all_strange = len(strange) == len(known)
            expected = EXPECTED if all_strange else f"{EXPECTED}, as in {_others(len(known), strange)}"
        offences += [Offence(str(i.path), _found(units), expected, _mend(units)) for i, units in strange]
    return offences


def _others(count: int, strange: Sequence[object]) -> str:
    others = count - len(strange)
    return "the other case" if others == 1 else f"the other {others} cases"


def _found(units: Units) -> str:
    return units.found if units.kind in ("offset", "other") else f"{units.range}, which are Hounsfield units"


def _mend(units: Units) -> str:
    if units.kind == "offset":
        return f"Subtract {units.offset} from this scan, or export it again with its rescale intercept."
    if units.kind == "other":
        return f"Export it again from DICOM, without a window; or call the channel otherwise than {CT}, if all are so."
    return "Use scans of one kind in all cases."
