"""The folder that an experiment writes into."""

from __future__ import annotations

from pathlib import Path

from l2s_auto.core.errors import UserError
from l2s_auto.io.atomic import sweep
from l2s_auto.io.places import (
    DATASET_FOLDERS,
    contents,
    kind_of,
    mark,
    refuse_folder,
    require_outside_of_datasets,
)

#: Kind of folder, as its mark tells.
KIND = "experiment"


def make_folder(
    output: Path, *, picture: str, inside: str = "", data: Path | None = None, overwrite: bool = False
) -> None:
    """Make it, with a folder inside; UserError, before anything takes long, where results cannot be written.

    picture    name of the figure that is written at the end
    data       where the data are, which are never written to
    overwrite  whether files that no experiment wrote may be replaced
    What a killed experiment was writing there is removed.
    """
    own, home = output.resolve(), data.resolve() if data is not None else None
    if home is not None and (own == home or any(home / name in (own, *own.parents) for name in DATASET_FOLDERS)):
        raise UserError.single(
            "The experiment would write among the data.",
            where=f"-o {output}",
            found="the folder of the data, or one of its scans",
            expected="another one",
            mend="Choose another folder with -o.",
        )
    require_outside_of_datasets(output)
    try:
        if (output / picture).is_dir():
            raise IsADirectoryError(f"{output / picture} is a folder")
        if not overwrite and not is_experiment(output, data=data):
            refuse_folder(output, kind="an experiment")
        mark(output, KIND)
        (output / inside).mkdir(parents=True, exist_ok=True)
        sweep(output)
    except OSError as error:
        raise UserError.single(
            "The experiment's folder cannot be made.",
            where=f"-o {output}",
            found=str(error),
            expected="a folder that can be written, or nothing",
            mend="Choose another folder with -o.",
        ) from error


def is_experiment(folder: Path, *, data: Path | None = None) -> bool:
    """Whether an experiment made the folder, or nothing but the data are in it. Earlier versions left no mark."""
    home = data.resolve() if data is not None else None
    others = [name for name in contents(folder) if (folder / name).resolve() != home]
    if not others or kind_of(folder) == KIND:
        return True
    settings = folder / "settings"
    return (folder / "plans" / "choices.json").is_file() or any(settings.glob("*, maps ????????.json"))
