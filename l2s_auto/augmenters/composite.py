"""Several augmenters one after the other, by their names joined with +."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from l2s_auto.augmenters.base import AugmenterModule
from l2s_auto.core.component import Component, build
from l2s_auto.core.errors import UserError

Registry = Mapping[str, Callable[..., Any]]


class Composite(AugmenterModule):
    """The parts in their order; theta and what is drawn are those of the parts, under `<part's name>.<name>`.

    parts  name, without a dot -> augmenter
    """

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.names = tuple(parts)
        for name, part in parts.items():
            self.add_module(name, part)
        self.changes_mixture = any(getattr(part, "changes_mixture", False) for part in parts.values())

        self.learns_share = any(getattr(part, "learns_share", False) for part in parts.values())

    def own_share(self) -> torch.Tensor:
        """The share of images that are to look like the real ones, of the part that learns it."""
        return next(part for part in self.parts().values() if getattr(part, "learns_share", False)).own_share()

    def parts(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.names}

    def draw(self, image: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return {
            f"{name}.{key}": value
            for name, part in self.parts().items()
            for key, value in part.draw(image, generator).items()
        }

    def forward(self, image: torch.Tensor, noise: Mapping[str, torch.Tensor]) -> torch.Tensor:
        for name, part in self.parts().items():
            image = part(image, _own(noise, name))
        return image

    def mixture(self, mixture: Any, noise: Mapping[str, torch.Tensor]) -> Any:
        for name, part in self.parts().items():
            if getattr(part, "changes_mixture", False):
                mixture = part.mixture(mixture, _own(noise, name))
        return mixture

    def nearest(self, theta: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return self._each("nearest", theta)

    def effects(self, theta: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return self._each("effects", theta)

    def of_effects(self, effects: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return self._each("of_effects", effects)

    def _each(self, method: str, values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What the parts' own methods make of their values; a part without the method leaves them as they are."""
        made: dict[str, torch.Tensor] = {}
        for name, part in self.parts().items():
            own = _own(values, name)
            own = getattr(part, method)(own) if hasattr(part, method) else own
            made |= {f"{name}.{key}": value for key, value in own.items()}
        return made

    def bounded(self) -> dict[str, float]:
        """Theta as a user reads it; a name that several parts have is preceded by the part's."""
        read = [
            (part, name, value) for part, module in self.parts().items() for name, value in module.bounded().items()
        ]
        all_names = [name for _, name, _ in read]
        return {name if all_names.count(name) == 1 else f"{part}.{name}": value for part, name, value in read}


def _own(noise: Mapping[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(f"{part}."): value for key, value in noise.items() if key.startswith(f"{part}.")}


def compose(component: Component, registry: Registry, **given: Any) -> nn.Module:
    """The augmenter of a name, or of several joined with +; a part is a key of the registry, or package.module:Class.

    The options of several are {part: its options}. Raises UserError for a part that does not exist, is there twice, or
    is no augmenter, and for options of a part that is not there.
    """
    names = component.name.split("+")
    if len(names) == 1:
        return _build_part(component, registry, **given)
    _check(names, component.options)
    parts = {
        # A module's name holds no dot: an import path is known by its class.
        name.rpartition(":")[2]: _build_part(
            Component(name=name, options=component.options.get(name, {})), registry, **given
        )
        for name in names
    }
    return Composite(parts)


def _check(names: list[str], options: Mapping[str, Any]) -> None:
    short = [name.rpartition(":")[2] for name in names]
    twice = sorted({name for name in short if short.count(name) > 1})
    if twice:
        raise UserError.single(
            "An augmenter is there twice.",
            where="augmenter",
            found="+".join(names),
            expected=f"{', '.join(twice)} once",
            mend="Name each part once.",
        )
    wrong = sorted({key for key, value in options.items() if key not in names or not isinstance(value, Mapping)})
    if wrong:
        raise UserError.single(
            "Options of an augmenter belong to none of its parts.",
            where="augmenter",
            found=", ".join(wrong),
            expected=f"options by part, {{part: {{option: value}}}}, of {', '.join(names)}",
            mend="Put each option under the name of its part.",
        )


def _build_part(component: Component, registry: Registry, **given: Any) -> nn.Module:
    part = build(component, registry, kind="augmenter", **given)
    lacking = [name for name in ("draw", "forward", "bounded") if not hasattr(part, name)]
    if not isinstance(part, nn.Module):
        lacking.append("torch.nn.Module as its base")
    if lacking:
        raise UserError.single(
            "The augmenter cannot be used.",
            where="augmenter",
            found=f"{component.name!r} without {', '.join(lacking)}",
            expected="a torch.nn.Module with draw, forward and bounded, as l2s_auto.augmenters.AugmenterModule",
            mend="Derive the class from AugmenterModule.",
        )
    return part
