"""The weights of both ends of a model, and of the points between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from l2s_auto.core.dial import GENERAL, HOME
from l2s_auto.core.errors import UserError
from l2s_auto.networks import read_weights


@dataclass(frozen=True)
class Ends:
    """Weights by name at each end, of the same names and shapes; path: the file that they were read from."""

    general: Mapping[str, torch.Tensor]
    home: Mapping[str, torch.Tensor]
    path: Path

    def at(self, a: float) -> dict[str, torch.Tensor]:
        """Weights at the point a in [0, 1]: general at 0, home at 1."""
        return between(self.general, self.home, a)


def between(general: Mapping[str, torch.Tensor], home: Mapping[str, torch.Tensor], a: float) -> dict[str, torch.Tensor]:
    """(1 - a) · general + a · home (WiSE-FT, Wortsman et al., CVPR 2022).

    Tensors that are no floating-point numbers are those of the end that is nearer, of 0.5 the home's.
    """
    return {name: _between(value, home[name], a) for name, value in general.items()}


def _between(general: torch.Tensor, home: torch.Tensor, a: float) -> torch.Tensor:
    if a in (0.0, 1.0) or not (general.is_floating_point() and home.is_floating_point()):
        return general if a < 0.5 else home
    return _wide(general) * (1 - a) + _wide(home) * a


def _wide(values: torch.Tensor) -> torch.Tensor:
    """Numbers of 8 and 16 bits are too coarse to be averaged."""
    return values if values.dtype == torch.float64 else values.float()


def read_ends(path: Path) -> Ends:
    """UserError that names the file, unless each end has the same tensors. A network tells whether they are its own."""
    loaded = read_weights(path)
    general, home = (
        {name.removeprefix(end): value for name, value in loaded.items() if name.startswith(end)}
        for end in (GENERAL, HOME)
    )
    foreign = [name for name in loaded if not name.startswith((GENERAL, HOME))]
    single = {*general} ^ {*home}
    unlike = [name for name in {*general} & {*home} if general[name].shape != home[name].shape]
    if wrong := sorted({*foreign, *single, *unlike}):
        raise UserError.single(
            "The two ends of the model do not fit each other.",
            where=str(path),
            found=f"{len(wrong)} tensors of one end only, of another shape or of neither end, such as {wrong[0]}",
            expected=f"{GENERAL}NAME and {HOME}NAME of one shape for each tensor of the network",
            mend="Copy the model again, or train it again.",
        )
    return Ends(general, home, path)
