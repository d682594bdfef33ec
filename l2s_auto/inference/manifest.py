"""What was done, with what, to which files: manifest.json."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from l2s_auto import __version__
from l2s_auto.core.errors import UserError
from l2s_auto.inference.load import Model
from l2s_auto.inference.tables import locked
from l2s_auto.io.json_files import write_json

PACKAGES = ("torch", "numpy", "nibabel", "SimpleITK", "dynamic-network-architectures", "connected-components-3d")


def describe_run(model: Model, options: Mapping[str, Any]) -> dict[str, Any]:
    """Model, versions and options of one call, for `add_run`."""
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": {
            "source": str(model.source),
            "sha256": model.hash,
            "folds": list(model.folds),
            "dataset": model.plan.dataset,
            "method": model.recipe.method.name,
            "largest_piece_only": list(model.calibration.only_largest()),
        },
        "versions": {"l2s_auto": __version__, "python": platform.python_version(), **_package_versions()},
        "platform": platform.platform(),
        "options": dict(options),
    }


def add_run(path: Path, run: Mapping[str, Any]) -> int:
    """Add a run to {"runs": [...], "cases": {case: {"run": index of its run, ...}}}; returns its index."""
    with locked(path):
        old = read_manifest(path)
        write_json(path, {"runs": [*old["runs"], dict(run)], "cases": old["cases"]})
    return len(old["runs"])


def note_case(path: Path, run: int, case: str, entry: Mapping[str, Any]) -> None:
    """Put what a run did to a case in place of what is said of it; several runs, or parts of one, share a folder."""
    with locked(path):
        old = read_manifest(path)
        cases = {**old["cases"], case: {"run": run, **entry}}
        write_json(path, {"runs": old["runs"], "cases": dict(sorted(cases.items()))}, durable=False)


def read_manifest(path: Path) -> dict[str, Any]:
    """A manifest, or an empty one where there is no file. UserError if the file is something else."""
    if not path.exists():
        return {"runs": [], "cases": {}}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(value["runs"], list) and isinstance(value["cases"], dict):
            return value
        found = "runs and cases of another form"
    except (OSError, ValueError, KeyError, TypeError) as error:
        found = f"{type(error).__name__}: {error}"
    raise UserError.single(
        "A file has the name of the manifest that is to be written.",
        where=str(path),
        found=found,
        expected="no such file, or a manifest from an earlier prediction",
        mend="Move the file, or choose another output folder.",
    )


def _package_versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return versions
