"""A command and all its processes import nothing from the folder where it is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.inference.tiny_models import blocks, expected_labels, write_scan

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "import sys\nfrom l2s_auto.cli import plan_and_train\nsys.exit(plan_and_train())\n"
#: What Python and a console script import before a command's first line.
OF_PYTHON = (
    "import sys; sys.argv = ['l2s_x']; import re; from l2s_auto.commands import early; print(*sorted(sys.modules))"
)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    for number in range(3):
        image = blocks() + 0.01 * np.random.default_rng(number).standard_normal((12, 13, 14)).astype(np.float32)
        write_scan(tmp_path / "data" / "images" / f"c{number}.nii.gz", image)
        write_scan(tmp_path / "data" / "labels" / f"c{number}.nii.gz", expected_labels(blocks()).astype(np.int16))
    return tmp_path / "data"


@pytest.mark.skipif(os.name == "nt", reason="paths of PYTHONPATH")
def test_a_planning_with_workers_imports_nothing_from_the_working_folder(dataset, tmp_path):
    script, here, marks = tmp_path / "bin" / "l2s_plan_and_train", tmp_path / "here", tmp_path / "marks"
    script.parent.mkdir()
    script.write_text(COMMAND, encoding="utf-8")
    here.mkdir()
    loaded = subprocess.run([sys.executable, "-c", OF_PYTHON], capture_output=True, text=True, check=True, cwd=ROOT)
    early = {name.split(".")[0] for name in loaded.stdout.split()} | {"sitecustomize", "usercustomize", "nt", "_winapi"}
    others = {"numpy", "torch", "scipy", "nibabel", "SimpleITK", "tbb", "blosc2", "pydantic", "tqdm", "filelock"}
    for name in (set(sys.stdlib_module_names) | others) - early:
        (here / f"{name}.py").write_text(f"open({str(marks)!r}, 'a').write('{name} ')\n", encoding="utf-8")
    assert (here / "random.py").exists() and (here / "grp.py").exists() and (here / "subprocess.py").exists()
    done = subprocess.run(
        [sys.executable, str(script), str(dataset), "-o", str(tmp_path / "run"), "--dry-run", "--workers", "2"],
        capture_output=True,
        text=True,
        cwd=here,
        timeout=120,
        env={**os.environ, "PYTHONPATH": f".:{ROOT}:", "OMP_NUM_THREADS": "1"},
    )
    assert not marks.exists(), marks.read_text(encoding="utf-8")
    assert done.returncode == 0, done.stderr
