"""Signals of tissues in gradient-echo MRI: the equations, and what is known of the tissues.

T1, T2* in ms, proton density (water content) relative to water, at 1.5 and 3 T:

T1            white matter, cortex, putamen, caudate: Wright et al., MAGMA 2008 (MPRAGE). Fluid: Lin et al., JMRI 2001.
              Muscle: Stanisz et al., MRM 2005. Fat and marrow: Gold et al., AJR 2004. Cortical bone: Reichert et al.,
              Magnetic Resonance Imaging 2005 (140 to 260 ms at 1.5 T).
T2*           white matter, cortex, putamen, caudate: Peters et al., Magnetic Resonance Imaging 2007. Bone: Reichert.
              Of fluid, muscle and fat: round numbers; at echo times of 2 to 3 ms they change the signal by a tenth at
              most.
Water         white and grey matter: Whittall et al., MRM 1997. The others: round numbers.

Of the thalamus, the pallidum and the brainstem no table agrees with another; they are taken as mixtures of grey and
white matter, by their share of myelin. So the images have the contrasts of the sequences, and no others' numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Tesla.
FIELDS = (1.5, 3.0)


@dataclass(frozen=True)
class Tissue:
    """t1, t2star: ms. water: proton density, 1 for water."""

    t1: float
    t2star: float
    water: float

    def mixed(self, other: Tissue, share: float) -> Tissue:
        """With a share of another tissue: rates and water are averaged."""

        def mean(one: float, two: float) -> float:
            return (1 - share) * one + share * two

        return Tissue(
            1 / mean(1 / self.t1, 1 / other.t1),
            1 / mean(1 / self.t2star, 1 / other.t2star),
            mean(self.water, other.water),
        )


AIR = Tissue(1.0, 1.0, 0.0)


def tissues(field: float) -> dict[str, Tissue]:
    """Name -> tissue at 1.5 or 3 T; the names are those of `recovery.tissues`, with others as soft tissue."""
    assert field in FIELDS, f"{field} T is not among {FIELDS}"
    low = field == FIELDS[0]
    white = Tissue(646, 66.2, 0.71) if low else Tissue(838, 53.2, 0.71)
    cortex = Tissue(1197, 84.0, 0.83) if low else Tissue(1607, 66.0, 0.83)
    putamen = Tissue(1084, 55.5, 0.82) if low else Tissue(1332, 31.5, 0.82)
    caudate = Tissue(1109, 58.8, 0.82) if low else Tissue(1395, 41.3, 0.82)
    fluid = Tissue(4163, 500.0, 1.0)
    muscle = Tissue(1008, 30.0, 0.78) if low else Tissue(1412, 25.0, 0.78)
    fat = Tissue(288, 40.0, 0.90) if low else Tissue(371, 30.0, 0.90)
    return {
        "air": AIR,
        "white matter": white,
        "cortex": cortex,
        "ventricle": fluid,
        "cerebellar white matter": white,
        "cerebellar cortex": cortex,
        "thalamus": cortex.mixed(white, 0.5),
        "caudate": caudate,
        "putamen": putamen,
        "pallidum": putamen.mixed(white, 0.6),
        "third and fourth ventricle": fluid,
        "brainstem": cortex.mixed(white, 0.75),
        "hippocampus": cortex.mixed(white, 0.1),
        "amygdala": cortex,
        "fluid": fluid,
        "other brain": cortex.mixed(white, 0.6),
        "dura and vessels": muscle,
        "soft tissue": muscle,
        "bone": Tissue(200, 0.5, 0.20),
        "fat and skin": fat.mixed(muscle, 0.2),
        "other head": muscle.mixed(fat, 0.2),
    }


@dataclass(frozen=True)
class Flash:
    """Spoiled gradient echo: flip angle in degrees, times in ms."""

    flip: float
    repetition: float = 20.0
    echo: float = 1.8

    def signal(self, tissue: Tissue) -> float:
        """Ernst's steady state: water · sin α (1 - E) / (1 - E cos α) · exp(-TE / T2*), E = exp(-TR / T1)."""
        alpha, left = np.deg2rad(self.flip), np.exp(-self.repetition / tissue.t1)
        steady = np.sin(alpha) * (1 - left) / (1 - left * np.cos(alpha))
        return float(tissue.water * steady * np.exp(-self.echo / tissue.t2star))


@dataclass(frozen=True)
class Mprage:
    """Inversion, and a train of spoiled gradient echoes about the time TI after it, once a cycle of TR; ms, degrees.

    readouts   excitations of the train, `spacing` ms apart; contrast is that of its middle
    inversion  share of the magnetisation that is inverted
    """

    flip: float = 7.0
    repetition: float = 2730.0
    inversion_time: float = 1000.0
    echo: float = 3.3
    spacing: float = 7.1
    readouts: int = 128
    inversion: float = 0.96

    def signal(self, tissue: Tissue) -> float:
        """Magnetisation along the field is followed through a cycle, linear in what it began with: m -> a m + b.

        Its steady state is b / (1 - a); the signal is the size of what the middle excitation finds (Mugler and
        Brookeman, MRM 1990).
        """
        half = self.readouts // 2
        before = self.inversion_time - half * self.spacing
        after = self.repetition - self.inversion_time - (self.readouts - half) * self.spacing
        assert before >= 0 and after >= 0, "the train fits into the cycle"
        cosine = np.cos(np.deg2rad(self.flip))

        def relax(m: Sequence[float], time: float) -> tuple[float, float]:
            left = float(np.exp(-time / tissue.t1))
            return m[0] * left, m[1] * left + 1 - left

        m: tuple[float, float] = (1 - 2 * self.inversion, 0.0)
        m = relax(m, before)
        middle = m
        for number in range(self.readouts):
            if number == half:
                middle = m
            m = relax((m[0] * cosine, m[1] * cosine), self.spacing)
        a, b = relax(m, after)
        found = middle[0] * b / (1 - a) + middle[1]
        return float(tissue.water * abs(found) * np.sin(np.deg2rad(self.flip)) * np.exp(-self.echo / tissue.t2star))


#: Name -> sequence; the first is what is learned from.
SEQUENCES: dict[str, Flash | Mprage] = {
    "MPRAGE": Mprage(),
    "FLASH 3°": Flash(3.0),
    "FLASH 5°": Flash(5.0),
    "FLASH 20°": Flash(20.0),
    "FLASH 30°": Flash(30.0),
}
