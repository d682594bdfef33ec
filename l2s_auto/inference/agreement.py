"""Each scan chooses its weights: those for home where both ends of the model agree, the general ones elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from l2s_auto.inference.box import Box, Classes, agreement, box_of, count_of_windows, is_complete, look, of_a_look
from l2s_auto.inference.ensemble import windowing_of
from l2s_auto.inference.load import Model
from l2s_auto.inference.scan import Scan, Segmented, require_finite, segment, with_context
from l2s_auto.inference.sliding_window import Windowing

Progress = Callable[[int, int], None]


def segment_scan(
    scan: Scan,
    model: Model,
    *,
    device: torch.device,
    overlap: float,
    tta: bool,
    scratch: Path | None = None,
    progress: Progress | None = None,
) -> Segmented:
    """As `segment`; where each scan chooses, by the weights that it chose.

    The home weights see the whole scan. The general ones look at the box around what was found, in few windows. Only
    where both disagree there, the general ones see the whole scan too. Reading, preprocessing, and the first network
    of a cascade are done once.
    """
    options: dict[str, Any] = {"device": device, "overlap": overlap, "tta": tta}
    threshold = model.setting.threshold
    if threshold is None:
        return segment(scan, model, **options, scratch=scratch, progress=progress)
    scan, model = with_context(scan, model, **options)
    windowing = windowing_of(model.plan, scan.image.shape[1:], **options, abreast=True)
    passes = _Passes(scan, model, windowing, {**options, "scratch": scratch}, progress)
    home, classes = passes.complete(model.networks, start=0)
    try:
        found, general = passes.compared(classes.values)
    except BaseException:
        home.close()
        raise
    if found >= threshold:
        if general is not None:
            general.close()
        return replace(home, agreement=round(found, 4), end="home")
    home.close()
    del home, classes  # of a large scan they take as much memory as what is to come
    if general is None:
        general, _ = passes.complete(model.general, start=passes.windows + passes.of_look)
    return replace(general, agreement=round(found, 4), end="general", notes=(disagreement(found, threshold),))


@dataclass(frozen=True)
class _Passes:
    """What is done with one scan: complete passes, and a look at a part of it.

    options   of `segment`
    progress  called with (windows done, all that may come): a pass that turns out not to be needed is jumped over
    """

    scan: Scan
    model: Model
    windowing: Windowing
    options: dict[str, Any]
    progress: Progress | None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.scan.image.shape[1:]

    @property
    def windows(self) -> int:
        """Of a complete pass."""
        return count_of_windows(self.shape, self.windowing)

    @property
    def of_look(self) -> int:
        """Windows of a look, at most. A scan of one window is seen completely instead."""
        return count_of_windows(self.shape, of_a_look(self.windowing)) if self.windows > 1 else 0

    def complete(self, networks: tuple[torch.nn.Module, ...], *, start: int) -> tuple[Segmented, Classes]:
        """The segmentation of the whole scan, and its classes on the plan's grid; start: windows that were before."""
        classes = Classes(self.shape, self.windowing.classes)
        model = replace(self.model, networks=networks)
        found = segment(self.scan, model, **self.options, progress=self._from(start), classes=classes)
        return found, classes

    def compared(self, classes: np.ndarray) -> tuple[float, Segmented | None]:
        """(*S) classes that the home weights found -> agreement with the general ones, in [0, 1].

        Where a look sees the same windows as a complete pass, it is one, and its segmentation is returned too.
        """
        box = box_of(classes, self.windowing.patch, labels=self.windowing.classes)
        before = self.windows + self.of_look
        if is_complete(box, self.shape, self.windowing):
            general, kept = self.complete(self.model.general, start=before)
        else:
            general, kept = None, self._look(box, before)
        return agreement(classes[box], kept.values, labels=self.windowing.classes), general

    def _look(self, box: Box, before: int) -> Classes:
        sides = [side.stop - side.start for side in box]
        progress = self._from(before - count_of_windows(sides, of_a_look(self.windowing)))
        image = torch.from_numpy(np.ascontiguousarray(self.scan.image))
        kept = look(self.model.general, image, self.windowing, box, progress=progress)
        require_finite(kept.is_finite, self.model)
        return kept

    def _from(self, start: int) -> Progress | None:
        progress, total = self.progress, 2 * self.windows + self.of_look
        return None if progress is None else lambda done, _: progress(start + done, total)


def disagreement(found: float, threshold: float) -> str:
    """A sentence on a scan for which the general weights were used."""
    digits = next((n for n in range(2, 5) if f"{found:.{n}f}" != f"{threshold:.{n}f}"), 5)
    return (
        f"The two ends of the model disagree on this scan (Dice {found:.{digits}f}, usually above "
        f"{threshold:.{digits}f}): it looks unlike the training scans; the general weights were used."
    )
