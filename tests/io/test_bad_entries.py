"""One bad entry of a folder stops nobody: files without permission, odd names, pipes, links, absurd headers."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel
import numpy as np
import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.core.types import Volume
from l2s_auto.evaluation.folders import evaluate_folders
from l2s_auto.io import stored
from l2s_auto.io.atomic import atomic_path, sweep, unfinished
from l2s_auto.io.case_files import list_scans
from l2s_auto.io.dataset import find_dataset, find_scans, verify_dataset
from l2s_auto.io.volumes import case_name, read_header, read_volume, write_label_map, write_volume
from tests.io.test_dataset import image, label
from tests.io.test_volumes import write_dicom_series

NOBODY = 65534
needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be another user")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can enter, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def another_user() -> Iterator[None]:
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@needs_root
def test_what_may_not_be_read_stops_nobody(open_folder):
    image(open_folder / "a.nii.gz")
    image(open_folder / "closed.nii.gz")
    (open_folder / "closed.nii.gz").chmod(0)
    for name in ("notes.txt", "README", "IM0001"):
        (open_folder / name).write_text("nothing")
        (open_folder / name).chmod(0)
    (open_folder / "folder").mkdir(mode=0o700)
    (open_folder / "list only").mkdir()
    (open_folder / "list only" / "x.nii.gz").write_bytes(b"x")
    (open_folder / "list only").chmod(0o744)
    with another_user():
        cases = {case.id: case for case in find_scans(open_folder, 1)}
        assert set(cases) == {"a", "closed", "folder", "list only"}
        read_volume(cases["a"].images[0])
        for name in ("closed", "folder", "list only"):
            with pytest.raises(UserError, match="no right to read it"):
                read_volume(cases[name].images[0])
        with pytest.raises(UserError, match="A folder cannot be read"):
            list_scans(open_folder / "folder")
        with pytest.raises(UserError, match="no right to read it"):
            read_header(open_folder / "list only" / "x.nii.gz")


@needs_root
def test_a_slice_that_may_not_be_read_is_named(open_folder):
    array = np.random.default_rng(0).integers(0, 1000, (4, 6, 5)).astype(np.int16)
    folder = open_folder / "series"
    write_dicom_series(folder, array)
    (folder / "notes.txt").write_text("nothing")
    (folder / "notes.txt").chmod(0)
    from l2s_auto.io import dicom_reader

    with another_user():
        assert [case.id for case in find_scans(folder, 1)] == ["series"]
        np.testing.assert_array_equal(dicom_reader.read(folder).data[0], array.transpose(2, 1, 0))
    shutil.copy(folder / "1.2.3-8.dcm", folder / "IM0001")
    for name in ("1.2.3-8.dcm", "IM0001"):
        (folder / name).chmod(0)
    with another_user(), pytest.raises(UserError, match=r"2 DICOM files .* 1.2.3-8.dcm \(Permission denied\), IM0001"):
        dicom_reader.read(folder)


@needs_root
def test_a_dataset_with_closed_files_names_them_all(open_folder):
    for case in "abc":
        image(open_folder / "images" / f"{case}.nii.gz")
        label(open_folder / "labels" / f"{case}.nii.gz")
    (open_folder / "images" / "a.nii.gz").chmod(0)
    (open_folder / "labels" / "b.nii.gz").chmod(0)
    (open_folder / "labels" / "notes.txt").write_text("nothing")
    (open_folder / "labels" / "notes.txt").chmod(0)
    with another_user(), pytest.raises(UserError, match="has 2 problems") as caught:
        verify_dataset(find_dataset(open_folder))
    assert all(name in str(caught.value) for name in ("a.nii.gz", "b.nii.gz", "no right"))


def huge(path: Path) -> None:
    """A header that claims 32767³ voxels, and 1 kB behind it."""
    content = bytearray(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4)).to_bytes())
    struct.pack_into("<3h", content, 42, 32767, 32767, 32767)
    content += bytes(1000)
    path.write_bytes(gzip.compress(bytes(content)) if path.suffix == ".gz" else bytes(content))


def test_a_dataset_whose_headers_claim_too_much_names_all(tmp_path):
    for case in "abcd":
        image(tmp_path / "images" / f"{case}.nii.gz")
        label(tmp_path / "labels" / f"{case}.nii.gz")
    huge(tmp_path / "images" / "a.nii.gz")
    huge(tmp_path / "labels" / "b.nii.gz")
    (tmp_path / "images" / "c.nii.gz").write_bytes(b"")
    with pytest.raises(UserError, match="has 3 problems") as caught:
        verify_dataset(find_dataset(tmp_path))
    text = str(caught.value)
    assert all(name in text for name in ("images/a.nii.gz", "labels/b.nii.gz", "images/c.nii.gz"))
    assert "70362301923326 bytes of voxels" in text or "70362301923678" in text
    with pytest.raises(UserError, match="cannot be evaluated") as caught:
        evaluate_folders(tmp_path / "labels", tmp_path / "images", {1: "one"})
    assert all(name in str(caught.value) for name in ("images/a.nii.gz", "labels/b.nii.gz", "images/c.nii.gz"))


def test_channels_are_counted_before_voxels_are_read(tmp_path, monkeypatch):
    for case in "ab":
        image(tmp_path / "images" / f"{case}.nii.gz")
        label(tmp_path / "labels" / f"{case}.nii.gz")
    image(tmp_path / "images" / "a.nii.gz", channels=50)
    (tmp_path / "labels.json").write_text('{"one": 1}')
    dataset = find_dataset(tmp_path)
    with pytest.raises(UserError, match=r"a.nii.gz: found 50 channels; expected 1|b.nii.gz: found 1 channels"):
        verify_dataset(dataset)


def test_more_than_the_memory(tmp_path, monkeypatch):
    image(tmp_path / "a.nii.gz")
    monkeypatch.setattr(stored, "_physical_memory", lambda: 100)
    for read in (read_header, read_volume):
        with pytest.raises(UserError, match=r"more voxels than the memory holds \(0.0 GB of voxels\)"):
            read(tmp_path / "a.nii.gz")


@pytest.mark.skipif(os.name == "nt", reason="names of bytes")
def test_names_that_are_not_utf8_become_names_that_are(tmp_path):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/sc\xffn\xe9.nii.gz"))
    write_volume(odd, Volume(np.random.default_rng(0).random((1, 3, 4, 5)).astype(np.float32), np.eye(4)))
    (case,) = find_scans(tmp_path, 1)
    assert case.id == "sc%FFn%E9" and case.images == (odd,)
    assert case_name("é.nii.gz") == "é"
    assert find_scans(odd, 1)[0].id == case.id
    read_volume(odd)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_sockets_and_links_to_nothing(tmp_path):
    image(tmp_path / "good.nii.gz")
    for name in ("pipe.nii.gz", "pipe", "pipe.txt"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "gone.nii.gz").symlink_to(tmp_path / "missing")
    (tmp_path / "loop.nii.gz").symlink_to(tmp_path / "loop.nii.gz")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "device.nii.gz").symlink_to("/dev/zero")
    (tmp_path / "folder.nii.gz").mkdir()
    (tmp_path / "-o.nii.gz").write_bytes(b"")
    (tmp_path / 'a "b"\n,c.nii.gz').write_bytes(b"x")
    here = os.getcwd()
    os.chdir(tmp_path)  # names of sockets are short
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket.nii.gz")
    os.chdir(here)
    found = {}
    for case in find_scans(tmp_path, 1):
        try:
            read_volume(case.images[0])
            found[case.id] = ""
        except UserError as error:
            found[case.id] = error.offences[0].found
    server.close()
    assert found.pop('a "b"\n,c').startswith("damaged")
    assert found == {
        "good": "",
        "pipe": "neither a file nor a folder",
        "device": "neither a file nor a folder",
        "socket": "neither a file nor a folder",
        "gone": "a link to nothing",
        "loop": "a link to nothing",
        "folder": "a folder",
        "-o": "an empty file (0 bytes)",
    }


@pytest.mark.parametrize("name", ["x" * 248 + ".nii.gz", "é" * 120 + ".nii.gz", "x." + "y" * 240 + ".nrrd"])
def test_long_names_are_written(tmp_path, name):
    path = tmp_path / name
    write_label_map(path, np.ones((2, 3, 4), int), np.eye(4))
    assert read_header(path)[0] == (2, 3, 4)
    other = unfinished("z" + name[1:])
    assert len(os.fsencode(unfinished(name))) <= 255 and other != unfinished(name)
    assert unfinished(name).endswith(path.suffix)
    (tmp_path / unfinished(name)).write_text("x")
    assert sweep(tmp_path) == [], "this process still writes it"
    with atomic_path(tmp_path / ("a." + "b" * 250)) as temporary:
        temporary.write_text("x")
