"""Mutants of FreeSurfer's volumes, and of pairs of a header and voxels: NIfTI's and Analyze's."""

from __future__ import annotations

import contextlib
import gzip
import random
import struct
from pathlib import Path

import nibabel as nib
import numpy as np

from fuzzing.scans import FIELDS, NUMBERS, SHAPE, Mutant

#: (offset in the header of an .mgh, struct format) of what decides how it is read
MGH_FIELDS = (*((4 * n, ">i") for n in range(7)), (28, ">h"), *((30 + 4 * n, ">f") for n in range(15)))


def mgh(rng: random.Random, folder: Path, name: str) -> Mutant:
    """An .mgz or .mgh file."""
    path = folder / f"{name}{rng.choice(('.mgz', '.mgh'))}"
    kind = rng.choice((np.uint8, np.int16, np.int32, np.float32))
    data = (np.random.default_rng(rng.randrange(2**31)).random(SHAPE) * 200).astype(kind)
    affine = np.array([[-1.0, 0, 0.1, 7], [0, 0, 2, -8], [0, -1.5, 0, 9], [0, 0, 0, 1]])
    content = bytearray(nib.MGHImage(data, affine).to_bytes())
    done = _mutate(rng, content, MGH_FIELDS, start=284)
    damaged = False
    if path.suffix == ".mgz":
        packed = bytearray(gzip.compress(bytes(content)))
        way = rng.choice(("sound", "sound", "sound", "cut gzip", "no gzip", "more"))
        done.append(way)
        if way == "cut gzip":
            del packed[rng.randrange(len(packed)) :]
            damaged = True
        elif way == "more":
            packed += b"more" * rng.randrange(1, 50)
        content = content if way == "no gzip" else packed
    path.write_bytes(content)
    return Mutant(path, f"mgh: {', '.join(done)}", damaged)


def pair(rng: random.Random, folder: Path, name: str) -> Mutant:
    """An .hdr with its .img, of NIfTI or Analyze."""
    kind = rng.choice((nib.Nifti1Pair, nib.Nifti2Pair, nib.AnalyzeImage, nib.Spm99AnalyzeImage))
    data = (np.random.default_rng(rng.randrange(2**31)).random(SHAPE) * 200).astype(np.int16)
    image = kind(data, np.diag([rng.choice((-1, -2)), 1.5, 2, 1]))
    header, voxels = bytearray(image.header.binaryblock), bytearray(data.tobytes(order="F"))
    done = _mutate(rng, header, FIELDS, start=None)
    way = rng.choice(("nothing", "nothing", "cut voxels", "more voxels", "no voxels", "gzip", "cut gzip"))
    done.append(way)
    damaged = way in ("cut voxels", "more voxels", "no voxels", "cut gzip")
    ending = ".img"
    if way == "cut voxels":
        del voxels[rng.randrange(len(voxels)) :]
    elif way == "more voxels":
        voxels += b"more"
    elif "gzip" in way:
        voxels, ending = bytearray(gzip.compress(bytes(voxels))), ".img.gz"
        if way == "cut gzip":
            del voxels[rng.randrange(len(voxels)) :]
    if way != "no voxels":
        (folder / f"{name}{ending}").write_bytes(voxels)
    path = folder / f"{name}.hdr"
    path.write_bytes(header)
    # What the header says may fit voxels of another number too.
    return Mutant(path, f"{kind.__name__}: {', '.join(done)}", damaged and done[0] == "nothing" and len(done) == 2)


def _mutate(rng: random.Random, content: bytearray, fields: tuple, *, start: int | None) -> list[str]:
    """Change one thing or two; start: of the voxels, None where they are elsewhere -> what was done."""
    done = []
    for _ in range(rng.choice((1, 1, 2))):
        way = rng.choice(("nothing", "nothing", "field", "field", "field", "header bytes", "cut", "empty"))
        done.append(way)
        if way == "field":
            offset, form = rng.choice(fields)
            value = rng.choice(NUMBERS)
            with contextlib.suppress(struct.error, ValueError, OverflowError):
                struct.pack_into(form, content, offset, value if form.endswith("f") else int(value))
        elif way == "header bytes" and content:
            for _ in range(rng.randrange(1, 20)):
                content[rng.randrange(min(start or len(content), len(content)))] = rng.randrange(256)
        elif way == "cut":
            del content[rng.randrange(len(content) + 1) :]
        elif way == "empty":
            content.clear()
        if len(content) < 300:
            break
    return done


KINDS = {"mgh": mgh, "pair": pair}
