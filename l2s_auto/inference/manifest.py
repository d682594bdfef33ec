"""What was done, with what, to which files: manifest.json."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from l2s_auto import __version__
from l2s_auto.core.errors import UserError
from l2s_auto.inference.load import Model
from l2s_auto.io.folders import require_no_pipe

#: Where the manifest keeps the hashes of what was written.
FILES = "files"
PACKAGES = ("torch", "numpy", "nibabel", "SimpleITK", "dynamic-network-architectures", "connected-components-3d")


def describe_run(model: Model, options: Mapping[str, Any]) -> dict[str, Any]:
    """Model, versions and options of one call, for the list of runs."""
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": {
            "source": str(model.source),
            "sha256": model.hash,
            "folds": list(model.folds),
            "dataset": model.plan.dataset,
            "method": model.recipe.method.name,
            "largest_piece_only": list(model.calibration.only_largest()),
            **model.setting.described(),
        },
        "versions": {"l2s_auto": __version__, "python": platform.python_version(), **_package_versions()},
        "platform": platform.platform(),
        "options": dict(options),
    }


def read_manifest(path: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """{"runs": [...], "cases": {case: {"run": index of its run, ...}}, "files": {name: [SHA-256, ...]}}, and what else
    there is; an empty one where there is no file.

    files  of each file below the folder what it may hold: what was written last, and before that, in case that the
           program was killed in between

    Manifests of earlier versions have no hashes. UserError if the file is something else, unless it may be overwritten.
    """
    empty: dict[str, Any] = {"runs": [], "cases": {}, FILES: {}}
    if not os.path.lexists(path):
        return empty
    try:
        require_no_pipe(path)
        value = json.loads(path.read_text(encoding="utf-8"))
        if _is_manifest(value):
            return {**value, FILES: value.get(FILES, {})}
        found = "runs, cases or files of another form"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        found = f"{type(error).__name__}: {error}"
    if overwrite and not path.is_dir():
        return empty
    raise UserError.single(
        "A file has the name of the manifest that is to be written.",
        where=str(path),
        found=found,
        expected="no such file, or a manifest from an earlier prediction",
        mend="Move the file, choose another output folder, or replace it with --overwrite.",
    )


def _is_manifest(value: Any) -> bool:
    """Whether this is what a prediction writes; a run of ours tells its version of l2s_auto."""
    runs, cases, files = value["runs"], value["cases"], value.get(FILES, {})
    return (
        isinstance(runs, list)
        and bool(runs)
        and all("l2s_auto" in run["versions"] for run in runs)
        and all(isinstance(run.get(name, {}), dict) for run in runs for name in ("versions", "model", "options"))
        and all(isinstance(entry, dict) for entry in cases.values())
        and all(isinstance(known, list) and all(isinstance(one, str) for one in known) for known in files.values())
    )


def _package_versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return versions
