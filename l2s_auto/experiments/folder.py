"""The folder that an experiment writes into."""

from __future__ import annotations

from pathlib import Path

from l2s_auto.core.errors import UserError


def make_folder(output: Path, *, picture: str, inside: str = "") -> None:
    """Make it, with a folder inside; UserError, before anything takes long, where results cannot be written.

    picture  name of the figure that is written at the end
    """
    try:
        (output / inside).mkdir(parents=True, exist_ok=True)
        if (output / picture).is_dir():
            raise IsADirectoryError(f"{output / picture} is a folder")
    except OSError as error:
        raise UserError.single(
            "The experiment's folder cannot be made.",
            where=f"-o {output}",
            found=str(error),
            expected="a folder that can be written, or nothing",
            mend="Choose another folder with -o.",
        ) from error
