"""What the weights of a model are chosen for: home, both, anywhere, or each scan by itself. Loads no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NoReturn

from l2s_auto.core.dial import AIMS, DIAL, ENDS, Aim, Dial
from l2s_auto.core.errors import Offence, UserError
from l2s_auto.io.json_files import read_model
from l2s_auto.report.abilities import aim_of

EACH: Aim = "each"
#: Keys of the manifest.
AIM, POINTS, THRESHOLD = "aim", "points", "threshold"
_ONE_END = "This model cannot predict for that aim."
_MEND = "Predict without --aim, or train the model again with this version of l2s_auto."
_BOTH_FILES = f"{DIAL} and {ENDS}, which a training leaves in each fold"


@dataclass(frozen=True)
class Setting:
    """Where a model stands on its dial.

    aim        what its weights were chosen for; None: it has one end only, or its folds were trained for several aims
    points     of each network, from 0 (general) to 1 (home); of each: where both ends agree. Empty: not known
    threshold  Dice between both ends from which on a scan takes the weights at home; None: no scan chooses
    as_stored  whether the weights are those of weights.safetensors, so that the ends are not needed
    notes      what a user should know
    """

    aim: Aim | None = None
    points: tuple[float, ...] = ()
    threshold: float | None = None
    as_stored: bool = True
    notes: tuple[str, ...] = ()

    def described(self) -> dict[str, Any]:
        """For the manifest; nothing of a model without a dial."""
        if not self.points:
            return {}
        more = {} if self.threshold is None else {THRESHOLD: self.threshold}
        return {AIM: self.aim, POINTS: list(self.points), **more}


def read_dials(folders: Sequence[Path]) -> tuple[Dial | None, ...]:
    """Of each fold's folder; None where there is none. UserError that names a damaged file."""
    paths = [folder / DIAL for folder in folders]
    return tuple(read_model(path, Dial) if path.is_file() else None for path in paths)


def check_aim(aim: str | None) -> None:
    """UserError for an unknown aim."""
    if aim is not None and aim not in AIMS:
        raise UserError.single(
            "Unknown aim.", where="--aim", found=repr(aim), expected=f"one of {', '.join(AIMS)}", mend="Choose one."
        )


def setting_of(folders: Sequence[Path], aim: str | None) -> Setting:
    """For a model's folds. None: what they were trained for. UserError that names the folds without that aim."""
    check_aim(aim)
    dials = read_dials(folders)
    wanted = _common(dials) if aim is None else _as_aim(aim)
    if wanted is None:
        return _as_trained(folders, dials)
    if (stored := _stored(dials, wanted)) is not None:
        return stored
    if lacking := _lacking(folders, dials, wanted):
        raise UserError(_ONE_END, lacking)
    return _turned(dials, wanted)


def setting_of_first(folders: Sequence[Path], aim: str | None) -> Setting:
    """For the first networks of a cascade: as they were trained where the aim is not to be had, and both for each."""
    dials = read_dials(folders)
    wanted = _common(dials) if aim is None else _as_aim(aim)
    if wanted is None or not any(dials):
        return _as_trained(folders, dials)
    wanted = "both" if wanted == EACH else wanted
    if (stored := _stored(dials, wanted)) is not None:
        return stored
    if _lacking(folders, dials, wanted):
        known = _as_trained(folders, dials)
        note = f"The first network of the cascade has no weights for the aim {wanted!r}: it predicts as it was trained."
        return Setting(points=known.points, notes=(note,))
    return _turned(dials, wanted)


def refuse_one_end(path: Path, aim: str) -> NoReturn:
    """UserError for a model that never has a dial, such as nnU-Net's."""
    raise UserError.single(
        _ONE_END, where=str(path), found=f"--aim {aim} for a model with one end only", expected=_BOTH_FILES, mend=_MEND
    )


def _as_aim(aim: str) -> Aim:
    return next(known for known in AIMS if known == aim)


def _common(dials: Sequence[Dial | None]) -> Aim | None:
    """What all folds were trained for: both, where each scan could choose in some of them."""
    aims = {None if dial is None else aim_of(dial) for dial in dials}
    if aims == {EACH, "both"}:
        return "both"
    return aims.pop() if len(aims) == 1 else None


def _as_trained(folders: Sequence[Path], dials: Sequence[Dial | None]) -> Setting:
    known = [dial for dial in dials if dial is not None]
    if not known:
        return Setting()
    aims = ["one end only" if dial is None else aim_of(dial) for dial in dials]
    names = ", ".join(f"{folder.name}: {aim}" for folder, aim in zip(folders, aims, strict=True))
    note = f"The folds were trained for different aims ({names}): each predicts as it was trained."
    return Setting(points=_stored_points(dials), notes=(note,) if len(set(aims)) > 1 else ())


def _stored_points(dials: Sequence[Dial | None]) -> tuple[float, ...]:
    known = [dial.a for dial in dials if dial is not None]
    return tuple(known) if len(known) == len(dials) else ()


def _stored(dials: Sequence[Dial | None], aim: Aim) -> Setting | None:
    """Where weights.safetensors has the point of the aim in all folds; of a training for each it has that for home."""
    of = [None if dial is None else aim_of(dial) for dial in dials]
    same = [one == aim or (aim == "home" and one == EACH) for one in of]
    return Setting(aim, _stored_points(dials)) if aim != EACH and all(same) else None


def _turned(dials: Sequence[Dial | None], aim: Aim) -> Setting:
    """At the points that the dials have for the aim; where each scan chooses, at those for home."""
    known = [dial for dial in dials if dial is not None]
    points = [_point(dial, "home" if aim == EACH else aim) for dial in known]
    thresholds = [dial.threshold for dial in known if dial.threshold is not None]
    return Setting(
        aim,
        tuple(a for a in points if a is not None),
        fmean(thresholds) if aim == EACH else None,
        as_stored=False,
    )


def _point(dial: Dial, aim: Aim) -> float | None:
    """The point of an aim other than each; None: the dial has none for it."""
    if aim == "anywhere":
        return 0.0
    own = "home" if aim_of(dial) == EACH else aim_of(dial)
    return dial.chosen.get(aim, dial.a if aim == own else None)


def _lacking(folders: Sequence[Path], dials: Sequence[Dial | None], aim: Aim) -> list[Offence]:
    """What each fold lacks for an aim."""
    offences = []
    for folder, dial in zip(folders, dials, strict=True):
        has = () if dial is None else _aims_of(dial)
        if dial is None:
            found = f"no {DIAL}: there is one end only"
            offences.append(Offence(str(folder), found, _BOTH_FILES, _MEND))
        elif aim not in has:
            expected, mend = f"one of {', '.join(has)}", f"Use --aim {has[0]}, or predict without --aim."
            offences.append(Offence(str(folder / DIAL), f"no weights for the aim {aim!r}", expected, mend))
        elif not (folder / ENDS).is_file():
            own = "home" if aim_of(dial) == EACH else aim_of(dial)
            mend = f"Copy the complete model, or use --aim {own}, which does not need the file."
            offences.append(Offence(str(folder / ENDS), "no such file", "both ends of the model", mend))
    return offences


def _aims_of(dial: Dial) -> tuple[Aim, ...]:
    """The aims that a dial has weights for."""
    has = {aim for aim in AIMS if aim != EACH and _point(dial, aim) is not None}
    each = "home" in has and dial.threshold is not None
    return tuple(aim for aim in AIMS if aim in has or (aim == EACH and each))
