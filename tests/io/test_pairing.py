"""Images and label maps belong together by their names, their folders, or what names share; or are refused."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.io.dataset import find_dataset, verify_dataset
from l2s_auto.io.json_files import write_json
from l2s_auto.io.splits import read_splits
from tests.io.test_dataset import image, label, nnunet

#: Layout -> files of an image and of its label map for a case, and the name that the case gets.
LAYOUTS = {
    "same names": ("images/{k}/{k}.nii.gz", "labels/{k}/{k}.nii.gz", "{k}"),
    "same folders": ("images/{k}/T1.nii.gz", "labels/{k}/seg.nii.gz", "{k}"),
    "folders and files": ("images/{k}/T1.nii.gz", "labels/{k}.nii.gz", "{k}"),
    "folders and names": ("images/{k}/T1.nii.gz", "labels/{k}/T1.nii.gz", "{k}_T1"),
    "BIDS": ("images/{k}/anat/{k}_T1w.nii.gz", "labels/{k}_dseg.nii.gz", "{k}"),
    "ends": ("images/{k}_T1w.nii.gz", "labels/{k}_dseg.nii.gz", "{k}"),
    "an end": ("images/{k}.nii.gz", "labels/{k}_seg.nii.gz", "{k}"),
    "numbers": ("images/{k}_0000.nii.gz", "labels/{k}-label.nii.gz", "{k}"),
    "beginnings": ("images/volume-{k}.nii.gz", "labels/segmentation-{k}.nii.gz", "volume-{k}"),
}


def make(folder: Path, layout: str, cases: tuple[str, ...] = ("sub-1", "sub-2", "sub-3")) -> Path:
    for k in cases:
        first, second, _ = (text.format(k=k) for text in LAYOUTS[layout])
        image(folder / first)
        label(folder / second)
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_clear_is_paired_and_said(tmp_path, layout):
    dataset = find_dataset(make(tmp_path, layout))
    assert [case.id for case in dataset.cases] == [LAYOUTS[layout][2].format(k=f"sub-{n}") for n in (1, 2, 3)]
    for case in dataset.cases:
        name = case.id.removeprefix("volume-").removesuffix("_T1")
        assert name in str(case.images[0].relative_to(tmp_path)) and name in str(case.label.relative_to(tmp_path))
    verify_dataset(dataset)
    assert "paired by" in dataset.notes[0] and "3 cases, such as" in dataset.notes[0]


def test_equal_names_need_no_word(tmp_path):
    for k in "ab":
        image(tmp_path / "images" / f"{k}.nii.gz")
        label(tmp_path / "labels" / f"{k}.nii.gz")
    assert find_dataset(tmp_path).notes == ()


def test_one_without_a_partner_is_named(tmp_path):
    make(tmp_path, "ends")
    image(tmp_path / "images" / "sub-4_T1w.nii.gz")
    with pytest.raises(UserError, match=r"has 1 problem(.|\n)*sub-4_T1w.nii.gz: found no label map"):
        verify_dataset(find_dataset(tmp_path))


def test_names_with_nothing_in_common_stay_as_they_are(tmp_path):
    for k in "ab":
        image(tmp_path / "images" / f"{k}x.nii.gz")
        label(tmp_path / "labels" / f"{k}y.nii.gz")
    with pytest.raises(UserError, match="has 4 problems"):
        verify_dataset(find_dataset(tmp_path))


def test_several_images_in_a_folder_are_refused(tmp_path):
    for k in ("p1", "p2"):
        for contrast in ("T1", "T2"):
            image(tmp_path / "images" / k / f"{contrast}.nii.gz")
        label(tmp_path / "labels" / k / "seg.nii.gz")
    with pytest.raises(UserError, match=r"found 4 images \(images/p1/T1.nii.gz, .*\) and 2 label maps"):
        find_dataset(tmp_path)


def test_channels_in_folders(tmp_path):
    for k in ("p1", "p2"):
        for channel in range(2):
            image(tmp_path / "images" / k / f"scan_{channel:04d}.nii.gz")
        label(tmp_path / "labels" / k / "seg.nii.gz")
    dataset = find_dataset(tmp_path)
    assert [(case.id, len(case.images)) for case in dataset.cases] == [("p1", 2), ("p2", 2)]


def test_a_bids_root_is_told_what_to_make_of_it(tmp_path):
    for k in ("sub-1", "sub-2"):
        image(tmp_path / k / "anat" / f"{k}_T1w.nii.gz")
        label(tmp_path / "derivatives" / "manual" / k / "anat" / f"{k}_dseg.nii.gz")
    with pytest.raises(UserError) as caught:
        find_dataset(tmp_path)
    text = str(caught.value)
    assert "2 images (such as sub-1/anat/sub-1_T1w.nii.gz) and 2 label maps (such as derivatives/manual/sub-1" in text
    assert "images/sub-01.nii.gz and labels/sub-01.nii.gz" in text


def test_what_is_not_used_is_in_the_notes(tmp_path):
    folder = nnunet(tmp_path)
    image(folder / "imagesTr" / "x_0000.nrrd")
    image(folder / "imagesTr" / ".hidden.nii.gz")
    (folder / "labelsTr" / "a.mnc").write_bytes(b"x")
    image(folder / "imagesTs" / "p1" / "a.nii.gz")
    image(folder / "other" / "a.nii.gz")
    image(folder / "loose.nii.gz")
    notes = find_dataset(folder).notes
    assert notes == (
        "1 file is not used: the format .mnc is not read: labelsTr/a.mnc.",
        "1 file is not used: its name does not end with .nii.gz (file_ending in dataset.json): imagesTr/x_0000.nrrd.",
        "1 file is not used: a hidden file (its name begins with a dot): imagesTr/.hidden.nii.gz.",
        "2 files are not used: outside of imagesTr and labelsTr: loose.nii.gz, other.",
        "1 file is not used: folders in this folder are not searched: imagesTs/p1.",
    )


def test_one_name_in_two_forms_of_unicode(tmp_path):
    composed = "Mu\u0308ller"
    image(tmp_path / "images" / f"{composed}.nii.gz")
    label(tmp_path / "labels" / f"{unicodedata.normalize('NFC', composed)}.nii.gz")
    for channel in range(2):
        image(tmp_path / "channels" / "images" / f"{composed}_{channel:04d}.nii.gz")
    label(tmp_path / "channels" / "labels" / "M\u00fcller.nii.gz")
    image(tmp_path / "images" / "b.nii.gz")
    label(tmp_path / "labels" / "b.nii.gz")
    (tmp_path / "subjects.csv").write_text(f"case,subject\n{composed},p1\n", encoding="utf-8")
    dataset = find_dataset(tmp_path)
    assert [(case.id, case.subject) for case in dataset.cases] == [("M\u00fcller", "p1"), ("b", "")] or len(
        dataset.cases
    ) == 2
    verify_dataset(dataset)
    (case,) = find_dataset(tmp_path / "channels").cases
    assert len(case.images) == 2
    write_json(tmp_path / "splits.json", [{"train": ["b"], "val": [composed]}])
    ids = [case.id for case in dataset.cases]
    assert set(read_splits(tmp_path / "splits.json", ids)[0]["val"]) <= set(ids)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("name", ["subjects.csv", "subjects.tsv", "dataset.json", "labels.json"])
def test_pipes_in_place_of_tables_are_refused(tmp_path, name):
    for k in "ab":
        image(tmp_path / "images" / f"{k}.nii.gz")
        label(tmp_path / "labels" / f"{k}.nii.gz")
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=rf"{name}: found no ordinary file"):
        find_dataset(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(UserError, match=rf"{name}: found a link to nothing"):
        find_dataset(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_splits_from_a_pipe_are_refused(tmp_path):
    os.mkfifo(tmp_path / "splits.json")
    with pytest.raises(UserError, match="neither a file nor a folder"):
        read_splits(tmp_path / "splits.json", ["a"])


def test_content_that_is_not_fetched_is_named_for_each_file(tmp_path):
    for k in "abc":
        image(tmp_path / "images" / f"{k}.nii.gz")
        label(tmp_path / "labels" / f"{k}.nii.gz")
    for k, text in (("a", None), ("b", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")):
        path = tmp_path / "images" / f"{k}.nii.gz"
        path.unlink()
        path.symlink_to("../.git/annex/objects/KEY") if text is None else path.write_text(text)
    with pytest.raises(UserError, match="has 2 problems") as caught:
        verify_dataset(find_dataset(tmp_path))
    assert "git annex get a.nii.gz" in str(caught.value) and "git lfs pull" in str(caught.value)
