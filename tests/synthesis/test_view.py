"""Field of view, air, and tissue that is removed."""

import pytest
import torch

from l2s_auto.core.composition import Composition, uniform
from l2s_auto.core.plan import ClassPrior, EnrichedLabel, GenerationPlan
from l2s_auto.synthesis.generator import Generator, Ranges
from l2s_auto.synthesis.intensity import Mixture
from l2s_auto.synthesis.view import (
    View,
    ViewRanges,
    air_classes,
    draw_view,
    seen,
    strippable,
    unlabelled_classes,
    with_air,
)


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def plan(*means, labels=2):
    """Clusters of unlabelled tissue with these means in the real images, and labels; without any, no priors."""
    tissue = [EnrichedLabel(name=f"t{i}", target=0, generation_class=i, centre=m) for i, m in enumerate(means)]
    tissue = tissue or [EnrichedLabel(name="background", target=0, generation_class=0)]
    n = len(tissue)
    named = [EnrichedLabel(name=f"l{i}", target=i, generation_class=n + i - 1) for i in range(1, labels + 1)]
    priors = tuple(
        ClassPrior(mean=(m,), mean_spread=(0.0,), std=(0.01,), std_spread=(0.0,)) for m in (*means, *[0.5] * labels)
    )
    return GenerationPlan(enriched=(*tissue, *named), priors=priors if means else ())


def test_air_is_what_has_no_signal_or_the_only_unlabelled_class():
    assert air_classes(plan(0.01, 0.3, 0.6)) == (0,) and air_classes(plan(0.2, 0.3)) == ()
    assert air_classes(plan()) == (0,) and unlabelled_classes(plan(0.01, 0.3)) == (0, 1)
    assert strippable(plan(0.01, 0.3)) and not strippable(plan())


@pytest.mark.parametrize("shape", [(10, 12), (10, 1, 12)])
def test_the_field_of_view_is_a_box(shape):
    everything = torch.zeros(1, len(shape), 2)
    assert seen(everything, shape).all()
    cuts = everything.clone()
    cuts[0, 0] = torch.tensor([0.2, 0.1])
    inside = seen(cuts, shape)[0]
    assert not inside[:2].any() and not inside[9:].any() and inside[2:9].all()


def test_shares_of_the_images_and_sizes_of_the_cuts_are_as_asked():
    view = draw_view(
        4000, (10, 1), ViewRanges(cropped=0.3, largest_cut=0.2, black=0.2, flat=0.1, stripped=0.4), random()
    )
    assert view.cuts.max() <= 0.2 and (view.cuts[:, 1] == 0).all()
    assert (view.cuts.amax((1, 2)) > 0).float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert (view.air[:, 0] == 0).float().mean().item() == pytest.approx(0.2, abs=0.03)
    assert (view.air[:, 1] == 0).float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert view.stripped.float().mean().item() == pytest.approx(0.4, abs=0.03)
    off = draw_view(50, (10, 9), ViewRanges(cropped=0, black=0, flat=0, stripped=0), random())
    assert (off.cuts == 0).all() and (off.air == 1).all() and not off.stripped.any()


def test_air_loses_mean_and_texture_and_other_classes_keep_theirs():
    mixture = Mixture(torch.full((3, 1, 4), 0.6), torch.full((3, 1, 4), 0.1))
    view = View(
        torch.zeros(3, 2, 2), torch.zeros(3), torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]), torch.zeros(3)
    )
    air, bare = torch.tensor([True, False, False, False]), torch.tensor([True, True, False, False])
    out = with_air(mixture, view, air=air, bare=bare, stripped=torch.tensor([True, False, False]))
    assert out.mean[:, 0, 0].tolist() == pytest.approx([0, 0.6, 0]) and out.std[:, 0, 0].tolist() == [0, 0, 0]
    assert out.mean[:, 0, 1].tolist() == pytest.approx([0, 0.6, 0.6])
    assert torch.equal(out.mean[..., 2:], mixture.mean[..., 2:]) and torch.equal(out.std[..., 2:], mixture.std[..., 2:])


def test_outside_of_the_field_of_view_the_image_is_constant_and_nothing_is_to_be_found():
    generator = Generator(
        plan(labels=3),
        channels=1,
        spacing=(1.0,) * 3,
        shape=(12, 14, 10),
        composition=Composition(uniform()),
        device=torch.device("cpu"),
        ranges=Ranges(view=ViewRanges(cropped=1.0)),
    )
    boxes = torch.randint(1, 4, (4, 12, 14, 10), generator=random())
    draw = generator.draw(4, random())
    batch = generator.apply(boxes, draw)
    for image, target, level, inside in zip(
        batch.image[:, 0], batch.target, draw.view.level, seen(draw.view.cuts, (12, 14, 10)), strict=True
    ):
        assert not inside.all() and (image[~inside] == level).all() and (target[~inside] == 0).all()
        assert (target[inside] > 0).all()
    scans = torch.zeros(4, 1, 12, 14, 10)
    whole = generator.from_scans(scans, boxes, generator.draw_scans(("original",) * 4, random()))
    assert (whole.target > 0).all(), "a real scan has no field of view but its own"
