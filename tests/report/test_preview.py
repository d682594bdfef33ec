"""The preview is written for volumes, single slices and label maps without images, and shows what it says."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from l2s_auto.core.plan import EnrichedLabel, GenerationPlan
from l2s_auto.report.preview import Example, _colours, _panel, synthetic_preview
from l2s_auto.report.style import COLOURS

GENERATION = GenerationPlan(
    enriched=(
        *(EnrichedLabel(name=f"tissue {i}", target=0, generation_class=i, centre=0.9 - 0.4 * i) for i in range(3)),
        EnrichedLabel(name="one $x$", target=1, generation_class=3),
        *(EnrichedLabel(name=f"two {i}", target=2, generation_class=4 + i, centre=0.2 * i) for i in range(3)),
    )
)


def example(shape=(12, 14, 10), *, image: bool = True, synthetic: bool = False) -> Example:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, shape).astype(np.uint8)
    labels[3:6, 3:9], labels[7:9, 3:9] = 3, 5
    if synthetic:
        labels = np.array([label.target for label in GENERATION.enriched])[labels]
    return Example(rng.random(shape, dtype=np.float32) if image else None, labels)


def is_picture(path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n") and path.stat().st_size > 8000


@pytest.mark.parametrize("shape", [(12, 14, 10), (12, 14, 1), (12, 1, 14), (1, 14, 12), (24, 10, 3)])
@pytest.mark.parametrize("image", [True, False])
def test_is_written_for_every_kind_of_case(tmp_path, shape, image) -> None:
    if shape[0] == 1:
        cases = [Example(e.image.T if image else None, e.labels.T) for e in [example(shape[::-1], image=image)] * 3]
        synthetic = [Example(e.image.T, e.labels.T) for e in [example(shape[::-1], synthetic=True)] * 9]
    else:
        cases, synthetic = [example(shape, image=image)] * 3, [example(shape, synthetic=True)] * 9
    written = synthetic_preview(GENERATION, cases, synthetic, tmp_path / "new" / "a.png", spacing=(1, 1, 4))
    assert is_picture(written)


def test_few_cases_of_different_shapes_and_cases_without_labels(tmp_path) -> None:
    empty = Example(np.zeros((9, 30, 5)), np.zeros((9, 30, 5), dtype=np.int16))
    assert is_picture(synthetic_preview(GENERATION, [example(), empty], [empty], tmp_path / "a.png"))
    synthetic_preview(GENERATION, [], [], tmp_path / "b.png")
    assert (tmp_path / "b.png").exists()


def test_very_many_labels(tmp_path) -> None:
    many = GenerationPlan(enriched=tuple(EnrichedLabel(name=f"l{t}", target=t, generation_class=t) for t in range(60)))
    labels = np.arange(60 * 30).reshape(60, 30, 1) % 60
    case = Example(np.random.default_rng(0).random(labels.shape), labels)
    assert is_picture(synthetic_preview(many, [case], [case] * 9, tmp_path / "a.png"))
    assert len(set(_colours(many).values())) == 60


def test_slices_go_through_the_labels_and_a_single_slice_is_the_one_shown() -> None:
    labels = np.zeros((8, 9, 10), dtype=int)
    labels[2, 3, 7] = 5
    panel = _panel(Example(labels * 1.0, labels), (1.0, 2.0, 4.0), (2, 3, 7))
    assert panel.labels.max() == 5 and panel.aspect == 2 and panel.letters == ("R", "L")
    assert panel.labels[3, 8 - 1 - 2] == 5, "the patient's right is on the left"
    flat = _panel(Example(None, labels[:, 3:4]), (1.0, 2.0, 4.0), (2, 0, 7))
    assert flat.labels.shape == (10, 8) and flat.aspect == 4 and flat.image is None


def test_tissues_are_grey_from_dark_to_bright_and_labels_have_their_own_colours() -> None:
    colours = _colours(GENERATION)
    assert all(abs(a - b) < 0.02 for a, b in zip(to_rgb(colours[3]), to_rgb(COLOURS[0]), strict=True))
    assert len(set(colours.values())) == 7
    red = [int(colours[i][1:3], 16) for i in range(3)]
    assert red[0] > red[1] > red[2], "the first tissue has the brightest centre"
