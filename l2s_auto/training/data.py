"""Boxes of preprocessed cases, as batches on the device."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from l2s_auto.preprocessing.compressed import CompressedArray
from l2s_auto.preprocessing.places import some_voxels
from l2s_auto.preprocessing.store import StoredCase
from l2s_auto.training.resident import Resident

#: First voxel and the one behind the last along each axis; they may lie outside of the case.
Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Boxes:
    """Same-sized boxes of several cases.

    enriched  (B, *box) int64 enriched labels
    image     (B, C, *box) float32 normalised real intensities of the last boxes, as requested; None: of none
    """

    enriched: torch.Tensor
    image: torch.Tensor | None


class BoxSampler:
    """Draws boxes at random. Where a box leaves its case, the case's border continues.

    foreground_share  share of the boxes that are centred on a voxel of a label (each label as likely as another);
                      the rest lie anywhere inside the case
    """

    def __init__(
        self,
        cases: Sequence[StoredCase],
        *,
        target_of: np.ndarray,
        rng: np.random.Generator,
        device: torch.device,
        foreground_share: float = 0.5,
    ) -> None:
        assert cases, "a sampler needs at least one case"
        self.cases, self.target_of = list(cases), target_of
        self.rng, self.device, self.foreground_share = rng, device, foreground_share
        self._places: dict[int, dict[int, np.ndarray]] = {}
        self._resident = Resident(device)

    def sample(
        self,
        batch: int,
        patch: tuple[int, ...],
        *,
        margin: float = 0.0,
        images_from: int | None = None,
        share: slice = slice(None),
    ) -> Boxes:
        """Boxes that are `margin` (share of the patch) larger than `patch`, about the same centres.

        images_from  number of the first of the drawn boxes whose image is read too; None: no image is
        share        those of the `batch` drawn boxes that are read; there must be some
        """
        box = tuple(int(np.ceil(n * (1 + margin))) for n in patch)
        drawn = [(number, self._ranges(number, patch, box)) for number in self._choose(batch)]
        enriched, image = [], []
        for place in range(batch)[share]:
            number, index = drawn[place]
            case = self.cases[number]
            enriched.append(self._box((number, "labels"), case.enriched, index))
            if images_from is not None and place >= images_from:
                assert case.image is not None, f"case {case.id} has no image"
                image.append(self._box((number, "image"), case.image, index))
        return Boxes(torch.stack(enriched).long(), torch.stack(image).float() if image else None)

    def _box(self, key: Hashable, array: np.ndarray | CompressedArray, ranges: Ranges) -> torch.Tensor:
        found = self._resident.box(key, array, ranges)
        return torch.from_numpy(np.ascontiguousarray(_read(array, ranges))).to(self.device) if found is None else found

    def _choose(self, batch: int) -> np.ndarray:
        """Case numbers; a batch holds different cases as long as there are enough."""
        return self.rng.choice(len(self.cases), size=batch, replace=batch > len(self.cases))

    def _ranges(self, number: int, patch: tuple[int, ...], box: tuple[int, ...]) -> Ranges:
        shape = self.cases[number].enriched.shape
        centre = self._centre(number)
        start = []
        for n, p, c in zip(shape, patch, centre, strict=True):
            # The patch stays inside the case where it fits, and is centred on it where it does not.
            first = c - p // 2
            start.append(int(np.clip(first, 0, n - p)) if n >= p else (n - p) // 2)
        grown = [s - (b - p) // 2 for s, b, p in zip(start, box, patch, strict=True)]
        return tuple((g, g + b) for g, b in zip(grown, box, strict=True))

    def _centre(self, number: int) -> np.ndarray:
        shape = self.cases[number].enriched.shape
        places = self._places_of(number)
        if places and self.rng.random() < self.foreground_share:
            label = list(places)[self.rng.integers(len(places))]
            return places[label][self.rng.integers(len(places[label]))]
        return np.array([self.rng.integers(n) for n in shape])

    def _places_of(self, number: int) -> dict[int, np.ndarray]:
        """Some voxels of each foreground label of a case, found once."""
        if number not in self._places:
            case = self.cases[number]
            places = case.places
            if places is None:
                target = self.target_of[np.asarray(case.enriched)]
                # Random numbers of its own, so that what is remembered does not depend on when.
                places = some_voxels(target, np.random.default_rng(number))
            self._places[number] = places
        return self._places[number]

    def drop_resident(self) -> bool:
        """Read all boxes from the cases from now on -> whether any case was on the device."""
        return self._resident.drop()

    def state(self) -> dict[str, Any]:
        """State of the random numbers, for a checkpoint."""
        return dict(self.rng.bit_generator.state)

    def restore(self, state: dict[str, Any]) -> None:
        self.rng.bit_generator.state = state


def _read(array: np.ndarray | CompressedArray, ranges: Ranges) -> np.ndarray:
    """A box of a (C, *S) or (*S) array; where it leaves the array, the border continues."""
    shape = array.shape[-len(ranges) :]
    whole = (slice(None),) * (len(array.shape) - len(ranges))
    inside = tuple(slice(max(0, low), min(high, n)) for (low, high), n in zip(ranges, shape, strict=True))
    part = np.asarray(array[whole + inside])
    beyond = [(max(0, -low), max(0, high - n)) for (low, high), n in zip(ranges, shape, strict=True)]
    return np.pad(part, [(0, 0)] * len(whole) + beyond, mode="edge") if np.any(beyond) else part
