"""Which generation classes look alike in images of random intensities: those of one structure, or of one tissue."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from l2s_auto.core.plan import ClassPrior, GenerationPlan


def structures_of(plan: GenerationPlan) -> tuple[int, ...]:
    """For each generation class the structure that it belongs to: parts of the same labels are one structure.

    Clusters of unlabelled tissue (target 0) are structures of their own.
    """
    return _numbered(_keys(plan))


def tissues_of(plan: GenerationPlan) -> tuple[int, ...]:
    """For each generation class the tissue that it belongs to, whatever its label.

    A part of a label is that tissue which has its centre without a label, if both are as bright, within a standard
    deviation; else it belongs to its label.
    """
    keys = _keys(plan)
    centres = {label.generation_class: label.centre for label in plan.enriched}
    tissues = {centres[c]: c for c, (kind, _) in enumerate(keys) if kind == "tissue" and centres[c] is not None}

    def belongs(c: int) -> Hashable:
        tissue = tissues.get(centres[c])
        alike = tissue is not None and (not plan.priors or _alike(plan.priors[c], plan.priors[tissue]))
        return keys[tissue] if tissue is not None and alike else keys[c]

    return _numbered(map(belongs, range(plan.classes)))


def _keys(plan: GenerationPlan) -> list[tuple[str, Hashable]]:
    targets = [frozenset(e.target for e in plan.enriched if e.generation_class == c) for c in range(plan.classes)]
    return [("tissue", c) if 0 in found else ("labels", found) for c, found in enumerate(targets)]


def _alike(one: ClassPrior, other: ClassPrior) -> bool:
    return all(abs(a - b) <= max(s, t) for a, b, s, t in zip(one.mean, other.mean, one.std, other.std, strict=True))


def _numbered(keys: Iterable[Hashable]) -> tuple[int, ...]:
    """Equal keys have equal numbers, from 0 in the order in which they come."""
    order: dict[Hashable, int] = {}
    return tuple(order.setdefault(key, len(order)) for key in keys)
