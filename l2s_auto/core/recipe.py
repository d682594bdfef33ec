"""What the user chooses: the parts, how long, the seed. JSON on disk beside the plan."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from l2s_auto.core.component import Component
from l2s_auto.core.composition import of_shares, problem_of
from l2s_auto.core.dial import Aim
from l2s_auto.core.limits import MAX_COUNT, MAX_SECONDS, MAX_SEED


def _checked(families: dict[str, float]) -> dict[str, float]:
    if problem := problem_of(families):
        raise ValueError(problem)
    return families


Families = Annotated[dict[str, float], Field(max_length=20), AfterValidator(_checked)]
#: Methods that learn theta: those whose images were told by shares in earlier recipes.
_LEARNING = ("learn2synth", "learn2synth-matched")


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
    families      name of a family of training images -> its fraction; they sum to 1 (`core.composition`). None = the
                  method's
    aim           what the weights that predict are chosen for (`core.dial`)
    home          fraction of the training, in [0, 1), for the last phase, mostly on scans as they are, after which the
                  home weights are saved. None = the method's
    home_rate     learning rate of that phase, as a fraction of the optimiser's

    `prior_share` and `reversed_share` of earlier recipes are read as the fractions that they stood for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: Component = Component(name="learn2synth")
    augmenter: Component = Component(name="parametric")
    network: Component = Component(name="unet")
    loss: Component = Component(name="dice+cross-entropy")
    optimiser: Component = Component(name="adam", options={"rate": 3e-3, "clip_norm": 1.0})
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
    families: Families | None = None
    aim: Aim = "both"
    home: float | None = Field(default=None, ge=0, lt=1)
    home_rate: float = Field(default=0.5, gt=0, le=10)
    seed: int = Field(default=0, ge=0, le=MAX_SEED)

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_versions(cls, values: Any) -> Any:
        """Shares become fractions, and what had shares had no home phase. An aim of null becomes the default."""
        if isinstance(values, dict) and "aim" in values and values["aim"] is None:
            values = {name: value for name, value in values.items() if name != "aim"}
        if not isinstance(values, dict) or not {"prior_share", "reversed_share"} & values.keys():
            return values
        values = dict(values)
        prior, turned = (values.pop(name, None) for name in ("prior_share", "reversed_share"))
        if values.get("families") is not None:
            raise ValueError("families and prior_share or reversed_share are given: leave the shares out")
        if any(share is not None and not _is_share(share) for share in (prior, turned)):
            raise ValueError(f"prior_share and reversed_share are numbers from 0 to 1, not {prior!r} and {turned!r}")
        method = values.get("method", {})
        name = method.get("name") if isinstance(method, dict) else getattr(method, "name", None)
        if (name or _LEARNING[0]) in _LEARNING:
            values["families"] = dict(of_shares(prior, turned).fractions)
        elif prior is not None or turned is not None:
            values["families"] = dict(of_shares(prior or 0.0, turned or 0.0).fractions)
        values.setdefault("home", 0.0)
        return values


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
