"""Where modules are imported from: never from the working folder.

A command is run where the user's scans are, and such a folder may come from anybody: a file `random.py` in it is data.
This module is imported before all others, so it imports nothing that Python has not loaded when it starts.
"""

import os
import sys

_VARIABLE = "PYTHONPATH"
#: The folder that contains this package: whoever runs it trusts what is in there.
_HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def ignore_working_folder() -> None:
    """Remove the working folder from the import path of this process, and of those that it starts.

    Removed are the entry that `python -m` and `python -c` add, and entries of PYTHONPATH that are empty or relative and
    lead to the working folder, such as `.`. A folder that stands in PYTHONPATH by its absolute path stays.
    """
    entries = os.environ[_VARIABLE].split(os.pathsep) if os.environ.get(_VARIABLE) else []
    named = [entry for entry in entries if not _is_working_folder(entry)]
    if named:
        os.environ[_VARIABLE] = os.pathsep.join(named)
    else:
        os.environ.pop(_VARIABLE, None)
    by_name = [os.path.abspath(entry) for entry in named if os.path.isabs(entry)]
    here = _working_folder()
    kept, moved = [], []
    for index, entry in enumerate(sys.path):
        if _is_working_folder(entry):
            continue
        # Python makes relative entries absolute; the first one is of the script, or the working folder.
        if (index == 0 or named != entries) and entry not in by_name and here is not None and _same(entry, here):
            if _is_installed(entry):
                moved.append(entry)
            continue
        kept.append(entry)
    sys.path[:] = kept + [entry for entry in moved if entry not in kept]


def _is_working_folder(entry: str) -> bool:
    """Whether an entry leads to the working folder without its name: empty, `.`, `x/..`."""
    return not entry or (not os.path.isabs(entry) and os.path.normpath(entry) == os.curdir)


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return None


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _is_installed(folder: str) -> bool:
    """Whether modules are installed there, and the working folder is there by chance: they come after all others."""
    site = sys.modules.get("site")
    places = [_HOME, os.path.dirname(os.__file__)]
    if site is not None:
        places += [*site.getsitepackages(), site.getusersitepackages()] if hasattr(site, "getsitepackages") else []
    return any(_same(folder, place) for place in places)
