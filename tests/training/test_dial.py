"""Choosing the point on the dial after a training: what is looked at, in which time, and what is written."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from l2s_auto.core.dial import ASSUMED, DIAL, ENDS, GENERAL, HOME, Dial
from l2s_auto.core.types import Case
from l2s_auto.evaluation.appearance import APPEARANCES, AS_THEY_ARE
from l2s_auto.inference.ends import between
from l2s_auto.io.json_files import read_model
from l2s_auto.training import dial
from l2s_auto.training.dial import (
    ENOUGH_CASES,
    FEW_POINTS,
    MOST_CASES,
    MOST_TIME,
    POINTS,
    Held,
    affordable,
    choose_point,
    look,
    mean_overlap,
    measured,
    seconds_of_one,
)
from l2s_auto.training.home import begin_home
from l2s_auto.training.team import Team
from l2s_auto.training.validate import network_with

#: Means of the four classes of the made-up scans, after normalisation: two tissues, inner, outer.
MEANS = torch.tensor([0.0, 2 / 3, 1.0, 1 / 3])


class Nearest(torch.nn.Module):
    """Each voxel is of the class whose mean is nearest; the weights are the means."""

    def __init__(self):
        super().__init__()
        self.means = torch.nn.Parameter(MEANS.clone())
        self.fixed = torch.nn.Parameter(torch.zeros(()), requires_grad=False)

    def forward(self, image):
        near = -((image - self.means.view(1, 4, 1, 1, 1)) ** 2)
        return 100 * torch.cat([near[:, :2].amax(1, keepdim=True), near[:, 2:]], 1)


@pytest.fixture
def held(cases, tmp_path):
    """Validation cases: their scans in files, and their label maps on the plan's grid."""
    made = []
    for case in cases:
        path = tmp_path / f"{case.id}.nii.gz"
        nib.save(nib.Nifti1Image(np.asarray(case.image)[0], np.eye(4)), path)
        made.append(Held(Case(case.id, (path,), path), case))
    return made


@pytest.fixture
def made(make_parts):
    """Parts with a network that finds everything, and a state whose home weights take inner for outer."""
    parts, _, state = make_parts()
    parts = replace(parts, network=Nearest())
    right = {"means": MEANS.clone()}
    state = replace(state, phi=right, inner_state={}, seconds=1000.0)
    state = begin_home(parts, state)
    return parts, replace(state, phi={"means": MEANS[[0, 1, 3, 2]].clone()})


def choose(made, held, folder, *, aim="both", seen=None):
    """choose_point; seen: gets what the progress bar is told."""
    told = [] if seen is None else seen
    return choose_point(*made, held, folder, aim=aim, progress=lambda *given: told.append(given))


def test_a_look_compares_with_the_reference_and_with_the_general_weights(made, held):
    parts, state = made
    ends = {0.0: network_with(parts, state.general["phi"]), 1.0: network_with(parts, state.phi)}
    (a, (own, agreed)), (b, (wrong, differs)) = look(parts, ends, held[0], AS_THEY_ARE)
    assert (a, b) == (0.0, 1.0) and own > 0.95 and agreed == 1.0 and wrong < 0.1 and differs < 0.1
    (_, (inverted, _)), _ = look(parts, ends, held[0], "inverted")
    assert inverted < 0.5, "the scan is changed before the network sees it"


def test_voxels_with_the_ignore_label_count_for_nothing(made, held):
    parts, _ = made
    generation = parts.plan.generation
    enriched = tuple(
        one.model_copy(update={"target": 3}) if one.name == "bright tissue" else one for one in generation.enriched
    )
    plan = parts.plan.model_copy(
        update={"generation": generation.model_copy(update={"enriched": enriched}), "ignore": 99}
    )
    everywhere = {"means": torch.tensor([0.0, 9.0, 2 / 3, 1 / 3])}  # bright tissue is taken for inner
    ((_, (found, _)),) = look(replace(parts, plan=plan), {0.0: network_with(parts, everywhere)}, held[0], AS_THEY_ARE)
    ((_, (counted, _)),) = look(parts, {0.0: network_with(parts, everywhere)}, held[0], AS_THEY_ARE)
    assert found > counted + 0.1


@pytest.mark.parametrize(("aim", "expected"), [("home", 0.0), ("anywhere", 0.0), ("both", None)])
def test_what_is_written_is_what_predicts(made, held, tmp_path, aim, expected):
    """The home end of these is bad at home too, so that the general one is taken."""
    state = made[1]
    phi = choose(made, held, tmp_path, aim=aim).phi
    dial = read_model(tmp_path / DIAL, Dial)
    assert dial.aim == aim and dial.a == dial.chosen[aim] and expected in (None, dial.a)
    assert dial.cases == 4 and [point.a for point in dial.points] == list(POINTS)
    assert dial.points[0].own > 0.95 > 0.1 > dial.points[-1].own and dial.own_gain.mean < -0.8
    ends, weights = load_file(tmp_path / ENDS), load_file(tmp_path / "weights.safetensors")
    assert set(ends) == {f"{end}{name}" for end in (GENERAL, HOME) for name in ("means", "fixed")}
    assert torch.equal(ends[f"{GENERAL}means"], MEANS) and torch.equal(ends[f"{HOME}means"], state.phi["means"])
    assert torch.equal(weights["means"], phi["means"]) and set(weights) == {"means", "fixed"}
    assert torch.equal(phi["means"], between(state.general["phi"], state.phi, dial.a)["means"])


@pytest.mark.parametrize(("aim", "expected"), [("home", 1.0), ("both", ASSUMED), ("anywhere", 0.0), ("each", ASSUMED)])
def test_without_validation_cases_nothing_is_measured_and_a_sentence_says_so(made, tmp_path, aim, expected):
    phi = choose(made, [], tmp_path, aim=aim).phi
    dial = read_model(tmp_path / DIAL, Dial)
    assert dial.a == expected and not dial.points and not dial.reached
    assert f"since no case with a scan was held out: a = {expected:g} is assumed." in dial.note
    assert ("--aim each cannot be given" in dial.note) == (aim == "each")
    general, home = made[1].general["phi"]["means"], made[1].phi["means"]
    torch.testing.assert_close(phi["means"], (1 - expected) * general + expected * home)
    torch.testing.assert_close(load_file(tmp_path / "weights.safetensors")["means"], phi["means"])


def test_a_training_with_one_end_has_no_dial(made, held, tmp_path):
    parts, state = made
    phi = choose((parts, replace(state, general={})), held, tmp_path / "fold").phi
    assert torch.equal(phi["means"], state.phi["means"]) and not (tmp_path / "fold").exists()


def test_one_validation_case_is_too_few_to_choose_on(made, held, tmp_path):
    choose(made, held[:1], tmp_path)
    dial = read_model(tmp_path / DIAL, Dial)
    assert dial.a == ASSUMED and "it takes 2 validation cases" in dial.note


# How much is measured


@pytest.mark.parametrize(
    ("cases_of_time", "points", "count"),
    [(1000, POINTS, MOST_CASES), (ENOUGH_CASES, POINTS, ENOUGH_CASES), (3, FEW_POINTS, 5), (0.5, FEW_POINTS, 0)],
)
@pytest.mark.parametrize("processes", [1, 2])
def test_fewer_points_and_cases_are_measured_where_time_is_short(cases_of_time, points, count, processes):
    """cases_of_time: how many one process could look at, at all points."""
    taken = 0.5
    seconds = 1.001 * cases_of_time * taken * len(POINTS) * len(APPEARANCES) / processes
    assert affordable(taken, seconds, processes=processes) == (points, count)


@pytest.mark.parametrize(("taken", "points", "count"), [(0.01, POINTS, 4), (2.0, FEW_POINTS, 2)])
def test_measuring_takes_its_part_of_the_trainings_time(made, held, tmp_path, monkeypatch, taken, points, count):
    assert MOST_TIME * made[1].seconds == 100
    monkeypatch.setattr(dial, "seconds_of_one", lambda *_, **__: taken)
    seen = []
    choose(made, held, tmp_path, seen=seen)
    found = read_model(tmp_path / DIAL, Dial)
    assert tuple(p.a for p in found.points) == points and found.cases == count
    assert seen == [(number + 1, count) for number in range(count)]


def test_where_time_is_too_short_for_two_cases_nothing_is_measured_and_a_sentence_says_so(
    made, held, tmp_path, monkeypatch
):
    monkeypatch.setattr(dial, "seconds_of_one", lambda *_, **__: 6.0)
    choose(made, held, tmp_path)
    found = read_model(tmp_path / DIAL, Dial)
    assert found.a == ASSUMED and not found.points
    assert "2 validation cases would take longer than 10 % of the training's time: a = 0.75 is assumed." in found.note


def test_a_training_too_short_for_a_home_phase_says_so_where_an_aim_was_asked_for(made, held, tmp_path, caplog):
    parts, state = made
    with caplog.at_level("WARNING", "l2s_auto"):
        choose((parts, replace(state, general={})), held, tmp_path, aim="both")
        choose((parts, replace(state, general={})), held, tmp_path, aim="both")
        assert not caplog.text
        choose((parts, replace(state, general={})), held, tmp_path, aim="home")
    assert "too short for a home phase: the model has one end, and --aim home changes nothing" in caplog.text


def test_the_time_of_a_look_is_that_of_one_scan_at_one_point(made, held, monkeypatch):
    parts, state = made
    looks = []
    monkeypatch.setattr(
        dial, "look", lambda parts, networks, held, appearance: looks.append((len(networks), appearance)) or []
    )
    assert seconds_of_one(parts, state.phi, held[0], most=60.0) > 0
    assert looks == [(1, AS_THEY_ARE)] * 2, "once to warm up"
    assert seconds_of_one(parts, state.phi, held[0], most=0.0) > 0 and len(looks) == 3, "one is enough where it is slow"


def test_the_processes_of_a_team_share_the_cases_and_the_main_one_writes(made, held, tmp_path, monkeypatch):
    parts, state = made
    monkeypatch.setattr(dial, "seconds_of_one", lambda *_, **__: 0.01)
    rows = []
    for rank in range(2):
        monkeypatch.setattr(Team, "from_leader", lambda self, make: make())
        monkeypatch.setattr(Team, "gather", lambda self, values: rows.extend(values) or values)
        folder = tmp_path / str(rank)
        choose_point(replace(parts, team=Team(rank, 2)), state, held, folder, aim="both", progress=lambda *_: None)
        assert (folder / DIAL).exists() == (folder / ENDS).exists() == (rank == 0)
    looked = sorted((case, a, appearance) for a, case, appearance, *_ in rows)
    assert looked == sorted((one.case.id, a, appearance) for one in held for a in POINTS for appearance in APPEARANCES)


def test_a_scan_without_any_label_has_no_dice_and_its_segmentations_agree_if_both_find_nothing(made, held):
    parts, state = made
    empty = np.zeros((2, 2), int)
    assert mean_overlap(empty, empty, 3) is None and mean_overlap(empty, empty + 1, 3) == 0.0
    nothing = replace(held[0], stored=replace(held[0].stored, enriched=np.zeros_like(held[0].stored.enriched)))
    found = measured(
        parts, state.general["phi"], state.phi, [nothing, *held[1:3]], aim="both", seconds=100, progress=lambda *_: None
    )
    assert found.cases >= 2
