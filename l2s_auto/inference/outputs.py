"""The folder that a prediction writes into: what it may replace there, and writing so that a kill loses nothing.

manifest.json knows the hash of each file that a prediction wrote. A hash is noted before its file gets its name, beside
the hash of what the file was before; so a rerun after a kill knows both as the program's own.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from l2s_auto.core.errors import Offence, UserError
from l2s_auto.inference.manifest import FILES, read_manifest
from l2s_auto.inference.tables import Row, changed_table, locked, read_table, write_table
from l2s_auto.io.content import hash_of_file
from l2s_auto.io.json_files import write_json
from l2s_auto.io.ownership import discard, input_at, is_own, what_is_at

VOLUMES, QUALITY, FAILURES, MANIFEST = "volumes.csv", "qc.csv", "failures.csv", "manifest.json"
_MEND = "Move it, choose another output folder, or replace it with --overwrite."
_NEVER = "Choose another output folder."
_CHANGED = "a file that was changed since it was written"
_UNKNOWN = "a file that is not in manifest.json"
_WITHOUT_HASH = "a file of an earlier version, whose manifest does not tell whether it was changed since"


@dataclass(frozen=True)
class Rows:
    """Rows that take the place of those of `replace` in a table."""

    columns: Sequence[str]
    rows: Sequence[Mapping[str, object]]
    replace: Sequence[str]


@dataclass(frozen=True)
class Staged:
    """Files that are written but do not have their names yet.

    hashes   name below the output folder -> SHA-256
    publish  gives them their names
    folder   where they are until then
    """

    hashes: Mapping[str, str] = field(default_factory=dict)
    publish: Callable[[], None] = lambda: None
    folder: Path | None = None

    def discard(self) -> None:
        """Delete them, if they still have no names."""
        if self.folder is not None:
            discard(self.folder)


NOTHING = Staged()


@dataclass(frozen=True)
class OutputFolder:
    """Where a prediction writes.

    overwrite  whether files may be replaced that no prediction wrote, or that were changed since
    replace    names of files that may be replaced whatever they hold
    """

    path: Path
    overwrite: bool = False
    replace: frozenset[str] = frozenset()

    @property
    def manifest_path(self) -> Path:
        return self.path / MANIFEST

    def manifest(self) -> dict[str, Any]:
        """The manifest as it is now."""
        return read_manifest(self.manifest_path, overwrite=self.overwrite)

    def table(self, name: str) -> tuple[list[str], list[Row]]:
        """As `read_table`; nothing of a file that is no table and may be overwritten."""
        try:
            return read_table(self.path / name)
        except UserError:
            if not self.overwrite:
                raise
            return [], []

    def add_run(self, run: Mapping[str, Any]) -> int:
        """Note a run; returns its index."""
        with locked(self.manifest_path):
            manifest = self.manifest()
            manifest["runs"].append(dict(run))
            write_json(self.manifest_path, manifest)
        return len(manifest["runs"]) - 1

    def look(self) -> tuple[dict[str, Any], list[Offence]]:
        """The manifest, and what is wrong with it; then the manifest is an empty one."""
        try:
            return self.manifest(), []
        except UserError as error:
            return read_manifest(self.manifest_path, overwrite=True), list(error.offences)

    def require_replaceable(self, names: Sequence[str]) -> None:
        """UserError that names every file that is not to be replaced, tables that are none included."""
        if self._refused(names):
            with locked(self.manifest_path):  # looked at again, while no other job of the folder writes
                refuse(self._refused(names))

    def _refused(self, names: Sequence[str]) -> list[Offence]:
        manifest, offences = self.look()
        return [*offences, *self.foreign(names, manifest)]

    def foreign(self, names: Iterable[str], manifest: Mapping[str, Any]) -> list[Offence]:
        """What is not to be replaced of the files of these names."""
        offences = []
        for name in dict.fromkeys(names):
            found = self._foreign(name, manifest)
            if found is not None:
                wanted = "nothing, or what an earlier prediction wrote there"
                mend = _NEVER if self.overwrite or input_at(self.path / name) is not None else _MEND
                offences.append(Offence(str(self.path / name), found, wanted, mend))
        return offences

    def _foreign(self, name: str, manifest: Mapping[str, Any]) -> str | None:
        path = self.path / name
        folder = path.parent
        if folder != self.path and os.path.lexists(folder) and not os.path.isdir(folder):
            return f"{folder} is a file"
        if folder != self.path and folder.is_symlink():
            return f"{folder} is a link to another folder"
        found = what_is_at(path)
        if found is None or (found == "a file" and self.is_known(name, manifest)):
            return None
        if found == "a folder" or input_at(path) is not None:
            return found
        if self.overwrite or name in self.replace:
            return None
        if found != "a file":
            return found
        if name in manifest[FILES]:
            return _CHANGED
        return _WITHOUT_HASH if manifest["runs"] and not manifest[FILES] else _UNKNOWN

    def is_known(self, name: str, manifest: Mapping[str, Any]) -> bool:
        """Whether a file is there, and holds what a prediction wrote."""
        hashes, path = manifest[FILES].get(name, ()), self.path / name
        if os.path.islink(path) or not os.path.isfile(path):
            return False
        if is_own(path):
            return True
        return _hash_or_none(path) in hashes

    def commit(
        self,
        case: str,
        entry: Mapping[str, Any],
        tables: Mapping[str, Rows],
        staged: Staged = NOTHING,
    ) -> None:
        """Note a case, put its rows into the tables, and give its files their names.

        UserError, with nothing changed, where a file was changed by somebody else meanwhile.
        """
        with locked(self.manifest_path):
            manifest = self.manifest()
            refuse(self.foreign([*tables, *staged.hashes], manifest))
            texts = {
                name: changed_table(
                    self.path / name, rows.columns, rows.rows, replace=rows.replace, overwrite=self.overwrite
                )
                for name, rows in tables.items()
            }
            written = {n: hashlib.sha256(text.encode()).hexdigest() for n, text in texts.items() if text is not None}
            for name, new in {**written, **staged.hashes}.items():
                path = self.path / name
                manifest[FILES][name] = list(dict.fromkeys(filter(None, [new, _hash_or_none(path)])))
            manifest["cases"] = dict(sorted({**manifest["cases"], case: dict(entry)}.items()))
            manifest[FILES] = dict(sorted(manifest[FILES].items()))
            write_json(self.manifest_path, manifest)
            for name, text in texts.items():
                write_table(self.path / name, text)
            staged.publish()


def _hash_or_none(path: Path) -> str | None:
    """SHA-256 of a file; None where there is none, or no right to read it."""
    try:
        return hash_of_file(path) if os.path.isfile(path) else None
    except OSError:
        return None


def refuse(offences: Sequence[Offence]) -> None:
    """UserError for files that are not to be replaced."""
    if offences:
        raise UserError("Files would be replaced that no prediction wrote, or that were changed since.", offences)
