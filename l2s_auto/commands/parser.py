"""A command's options and help. Nothing but argparse is loaded, so that `--help` is quick."""

from __future__ import annotations

import argparse
import difflib
import shutil
import textwrap
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

from l2s_auto import __version__
from l2s_auto.core.folding import WIDTH, folded


class Parser(argparse.ArgumentParser):
    """Options are never abbreviated; a misspelt one gets a suggestion. Ends with exit code 2 on a wrong one."""

    def __init__(self, prog: str, *, description: str, examples: str) -> None:
        super().__init__(
            prog=prog,
            description=textwrap.fill(description, 80),
            epilog="examples:\n" + textwrap.indent(textwrap.dedent(examples).strip(), "  "),
            formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=_width()),
            allow_abbrev=False,
        )
        self.color = False  # no escape codes: of Python 3.14, whose help would have them
        self.add_argument("--version", action="version", version=f"l2s_auto {__version__}")

    def parse(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """The options, from the command line if `arguments` is None. An unknown one is an error with a suggestion."""
        found, unknown = self.parse_known_args(arguments)
        if unknown:
            known = list(self._option_string_actions)
            hints = []
            for option in unknown:
                close = difflib.get_close_matches(option.split("=")[0], known, n=1)
                hints.append(f"{option!r}" + (f" (did you mean {close[0]}?)" if close else ""))
            self.error(f"there is no such option: {', '.join(hints)}")
        return found

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{folded(f'{self.prog}: {message}')}\nTry: {self.prog} --help\n")


def _width() -> int:
    """Columns of the help: those of the terminal, 80 at most."""
    return min(WIDTH, max(40, shutil.get_terminal_size().columns - 2))
