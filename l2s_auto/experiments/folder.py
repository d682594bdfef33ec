"""The folder that an experiment writes into."""

from __future__ import annotations

from pathlib import Path

from l2s_auto.core.errors import UserError
from l2s_auto.io.atomic import sweep
from l2s_auto.training.run_folder import DATASET_FOLDERS


def make_folder(output: Path, *, picture: str, inside: str = "", data: Path | None = None) -> None:
    """Make it, with a folder inside; UserError, before anything takes long, where results cannot be written.

    picture  name of the figure that is written at the end
    data     where the data are, which are never written to
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
    try:
        (output / inside).mkdir(parents=True, exist_ok=True)
        if (output / picture).is_dir():
            raise IsADirectoryError(f"{output / picture} is a folder")
        sweep(output)
    except OSError as error:
        raise UserError.single(
            "The experiment's folder cannot be made.",
            where=f"-o {output}",
            found=str(error),
            expected="a folder that can be written, or nothing",
            mend="Choose another folder with -o.",
        ) from error
