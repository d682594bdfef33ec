"""Hounsfield units of the tissues of a made body, with and without contrast agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from l2s_auto.core.errors import UserError
from l2s_auto.experiments.bodies_anatomy import Tissue

Phase = Literal["enhanced", "unenhanced"]
PHASES: tuple[Phase, ...] = get_args(Phase)


@dataclass(frozen=True)
class TissueValues:
    """Hounsfield units of one tissue.

    plain     mean over persons without contrast agent;  spread  standard deviation over persons
    arterial  what contrast agent adds late in the arterial phase;  venous  what it adds in the portal venous phase
    texture   standard deviation within the tissue, without noise
    """

    plain: float
    spread: float
    arterial: float = 0
    venous: float = 0
    texture: float = 3


_CORTEX = TissueValues(34, 3, arterial=130, venous=135, texture=5)
_MEDULLA = TissueValues(32, 3, arterial=35, venous=120, texture=5)

TABLE: dict[Tissue, TissueValues] = {
    Tissue.AIR: TissueValues(-1000, 0, texture=0),
    Tissue.TABLE_SHELL: TissueValues(250, 100, texture=0),
    Tissue.TABLE_FOAM: TissueValues(-920, 20, texture=0),
    Tissue.SKIN: TissueValues(20, 15),
    Tissue.FAT: TissueValues(-104, 5, texture=6),
    Tissue.MUSCLE: TissueValues(52, 4, arterial=4, venous=10, texture=12),
    Tissue.BONE: TissueValues(720, 120, texture=90),
    Tissue.MARROW: TissueValues(190, 50, arterial=5, venous=15, texture=35),
    Tissue.DISC: TissueValues(85, 10),
    Tissue.CANAL: TissueValues(28, 5),
    Tissue.LUNG: TissueValues(-840, 25, arterial=10, venous=10, texture=40),
    Tissue.HEART: TissueValues(43, 3, arterial=170, venous=100, texture=10),
    Tissue.VEIN: TissueValues(42, 3, arterial=55, venous=105, texture=5),
    Tissue.PANCREAS: TissueValues(38, 6, arterial=60, venous=50, texture=14),
    Tissue.BOWEL_WALL: TissueValues(38, 5, arterial=35, venous=50),
    Tissue.BOWEL_CONTENT: TissueValues(15, 6, texture=10),
    Tissue.FAECES: TissueValues(10, 20, texture=90),
    Tissue.GAS: TissueValues(-970, 15),
    Tissue.LIVER: TissueValues(58, 7, arterial=14, venous=50, texture=5),
    Tissue.LIVER_VESSEL: TissueValues(40, 3, arterial=45, venous=120),
    Tissue.LIVER_CYST: TissueValues(8, 4),
    Tissue.SPLEEN: TissueValues(48, 3, arterial=70, venous=70, texture=5),
    Tissue.LEFT_CORTEX: _CORTEX,
    Tissue.LEFT_MEDULLA: _MEDULLA,
    Tissue.RIGHT_CORTEX: _CORTEX,
    Tissue.RIGHT_MEDULLA: _MEDULLA,
    Tissue.AORTA: TissueValues(42, 3, arterial=240, venous=110, texture=5),
    Tissue.STOMACH_WALL: TissueValues(38, 5, arterial=45, venous=50),
    Tissue.STOMACH_CONTENT: TissueValues(15, 8, texture=16),
    Tissue.STOMACH_GAS: TissueValues(-970, 15),
    Tissue.GALLBLADDER: TissueValues(10, 5),
}
_SAME = (
    (Tissue.LEFT_CORTEX, Tissue.RIGHT_CORTEX),
    (Tissue.LEFT_MEDULLA, Tissue.RIGHT_MEDULLA),
    (Tissue.GAS, Tissue.STOMACH_GAS),
)


@dataclass(frozen=True)
class Values:
    """What one scan has: (T,) means of the tissues in HU, and (T,) standard deviations of their texture."""

    mean: np.ndarray
    texture: np.ndarray


def draw_values(rng: np.random.Generator, phase: Phase | None) -> Values:
    """Draw the values of one scan.

    phase  None: enhanced in three scans of four. An enhanced scan is between late arterial and portal venous, mostly
           near the latter, with more or less contrast agent
    """
    if phase is not None and phase not in PHASES:
        raise UserError.single(
            "Unknown contrast phase.",
            where="phase",
            found=repr(phase),
            expected=" or ".join(PHASES),
            mend="Choose one of these, or None for both.",
        )
    given = rng.random() < 0.75
    enhanced = given if phase is None else phase == "enhanced"
    table = [TABLE[tissue] for tissue in Tissue]
    venous, dose = rng.beta(2, 1), rng.uniform(0.75, 1.2)
    gain = np.array([(1 - venous) * row.arterial + venous * row.venous for row in table])
    spread = np.array([row.spread for row in table])
    mean = np.array([row.plain for row in table]) + spread * np.clip(rng.standard_normal(len(table)), -2, 2)
    mean += enhanced * dose * gain * rng.uniform(0.9, 1.1, len(table))
    for left, right in _SAME:
        mean[right] = mean[left]
    return Values(mean.astype(np.float32), np.array([row.texture for row in table], dtype=np.float32))
