"""Families of training images: what an image is drawn from. One small file each, behind the contracts of `base`.

The fractions of a training are a `core.composition.Composition`. What the families have in common (deformation, field
of view, resolution, the scanner) belongs to the generator and to the training.
"""

from __future__ import annotations

from l2s_auto.core import composition
from l2s_auto.synthesis.families.base import FromScan, Known, Rendered
from l2s_auto.synthesis.families.original import Original
from l2s_auto.synthesis.families.random_curve import RandomCurve
from l2s_auto.synthesis.families.real_like import RealLike
from l2s_auto.synthesis.families.recontrasted import Recontrasted
from l2s_auto.synthesis.families.reversed_contrast import ReversedContrast
from l2s_auto.synthesis.families.uniform import UniformLabels, UniformTissues

RENDERED: dict[str, Rendered] = {
    composition.REAL_LIKE: RealLike(),
    composition.REVERSED: ReversedContrast(),
    composition.UNIFORM_TISSUES: UniformTissues(),
    composition.UNIFORM_LABELS: UniformLabels(),
}
FROM_SCANS: dict[str, FromScan] = {
    composition.RANDOM_CURVE: RandomCurve(),
    composition.RECONTRASTED: Recontrasted(),
    composition.ORIGINAL: Original(),
}

__all__ = ["FROM_SCANS", "RENDERED", "FromScan", "Known", "Rendered"]
