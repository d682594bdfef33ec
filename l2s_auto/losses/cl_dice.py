"""clDice, a loss of topology: centre lines that lie within the other's volume (Shit et al., CVPR 2021)."""

from __future__ import annotations

import torch

from l2s_auto.losses.dice import SoftDice


class DiceClDice:
    """(1 - share) · soft Dice + share · (1 - clDice), after equations 1 and 2 and algorithm 1 of the paper; in [0, 1].

    With S the soft skeleton, clDice is the harmonic mean of Σ S(p) y / Σ S(p), the share of what was found whose centre
    line is right, and Σ S(y) p / Σ S(y), the share of the true centre line that was found; its mean over samples and
    foreground classes is taken. A gap in a vessel costs as much as the line that is missing, however thin it is.

    The paper's erosion and dilation are least and most of the neighbours, whose slopes jump: a hypergradient, which is
    a second derivative, does not exist there, and differences of gradients measure the jumps. Here "and" is a product
    and "or" its complement: the same on label maps, and smooth between.

    share   of clDice, in [0, 1]
    rounds  of erosion, >= 1: the radius in voxels of the thickest tube that is thinned to a line
    smooth  voxels, added to numerators and denominators
    """

    def __init__(self, *, share: float = 0.5, rounds: int = 5, smooth: float = 1.0) -> None:
        if not 0 <= share <= 1 or rounds < 1:
            raise ValueError(f"share in [0, 1] and rounds >= 1 are needed, not {share} and {rounds}")
        self.dice, self.share, self.rounds, self.smooth = SoftDice(smooth=smooth), share, rounds, smooth

    def __call__(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        found = logits.softmax(1)[:, 1:]
        classes = torch.arange(1, logits.shape[1], device=target.device)
        true = (target[:, None] == classes.view(1, -1, *[1] * (target.ndim - 1))).to(found.dtype)
        right = self._inside(skeleton(found, rounds=self.rounds), true)
        complete = self._inside(skeleton(true, rounds=self.rounds), found)
        cl_dice = 2 * right * complete / (right + complete)
        return (1 - self.share) * self.dice(logits, target) + self.share * (1 - cl_dice).mean()

    def _inside(self, line: torch.Tensor, volume: torch.Tensor) -> torch.Tensor:
        """(B, K - 1) share of the line within the volume."""
        axes = list(range(2, line.ndim))
        return ((line * volume).sum(axes) + self.smooth) / (line.sum(axes) + self.smooth)


def skeleton(mask: torch.Tensor, *, rounds: int) -> torch.Tensor:
    """(B, K, *S) in [0, 1] -> the soft skeleton: what an opening takes away, of the mask and of its erosions."""
    rest = torch.ones_like(mask)
    for number in range(rounds + 1):
        eroded = erosion(mask)
        rest = rest * (1 - mask * (1 - dilation(eroded)))
        if number < rounds:
            mask = eroded
    return 1 - rest


def erosion(mask: torch.Tensor) -> torch.Tensor:
    """A voxel and its neighbours along each axis; outside, the border continues."""
    found = mask
    for axis in _axes(mask):
        before, after = _beside(mask, axis)
        found = found * before * after
    return found


def dilation(mask: torch.Tensor) -> torch.Tensor:
    """A voxel or any that touches it, at corners too."""
    for axis in _axes(mask):
        before, after = _beside(mask, axis)
        mask = 1 - (1 - mask) * (1 - before) * (1 - after)
    return mask


def _axes(mask: torch.Tensor) -> list[int]:
    return [axis for axis in range(2, mask.ndim) if mask.shape[axis] > 1]


def _beside(mask: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What comes before and after each voxel along an axis; beyond the ends, the ends themselves."""
    inner = mask.shape[axis] - 1
    before = torch.cat([mask.narrow(axis, 0, 1), mask.narrow(axis, 0, inner)], axis)
    after = torch.cat([mask.narrow(axis, 1, inner), mask.narrow(axis, inner, 1)], axis)
    return before, after
