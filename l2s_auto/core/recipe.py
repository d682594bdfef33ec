"""What the user chooses: the parts, how long, the seed. JSON on disk beside the plan."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from l2s_auto.core.component import Component
from l2s_auto.core.dial import Aim
from l2s_auto.core.limits import MAX_COUNT, MAX_SECONDS, MAX_SEED


class Recipe(BaseModel):
    """One training, by value. Nothing here depends on the data or on the machine.

    schedule      factor of both learning rates over the training
    iterations    updates of S_phi; None = the plan's
    time_budget   seconds of training; None = no limit. Whichever ends first ends the training
    hyper_every   theta is updated on every hyper_every-th iteration after the warm-up
    hyper_part    share of the batch, in (0, 1], of synthetic and of real samples that a hyper-step looks at for theta
    micro_batch   samples in memory at a time; None = the whole batch. The result is the same
    warm_up       share of the training, in [0, 1), before theta moves
    missing_share  share of the images of several channels that lack some, so that scans may lack them in prediction
    prior_share, reversed_share  shares of synthetic images that are to look like the real ones, and whose class
                  intensities are like those with dark and bright exchanged; the rest is uniform. None = the method's
    aim           what the model is chosen for (`core.dial`)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: Component = Component(name="learn2synth")
    augmenter: Component = Component(name="parametric")
    network: Component = Component(name="unet")
    loss: Component = Component(name="dice+cross-entropy")
    optimiser: Component = Component(name="adam", options={"rate": 3e-3})
    outer_optimiser: Component = Component(name="adam", options={"rate": 0.01})
    schedule: Component = Component(name="poly")
    hypergradient: Component = Component(name="finite-difference")
    iterations: int | None = Field(default=None, ge=1, le=MAX_COUNT)
    time_budget: float | None = Field(default=None, gt=0, le=MAX_SECONDS)
    hyper_every: int = Field(default=20, ge=1, le=MAX_COUNT)
    hyper_part: float = Field(default=1.0, gt=0, le=1)
    micro_batch: int | None = Field(default=None, ge=1, le=MAX_COUNT)
    warm_up: float = Field(default=0.3, ge=0, lt=1)
    missing_share: float = Field(default=0.0, ge=0, lt=1)
    prior_share: float | None = Field(default=None, ge=0, le=1)
    reversed_share: float | None = Field(default=None, ge=0, le=1)
    aim: Aim = "both"
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
