"""Which model a prediction uses: the one that is named, or the one that is chosen, and then what it is."""

from __future__ import annotations

from pathlib import Path

from l2s_auto.core.folding import say
from l2s_auto.core.printable import printable


def named_model(given: Path | None, *, shown: bool) -> Path:
    """The model to use; the first line printed says which. UserError if none is named, and there is none.

    shown  whether this process speaks
    """
    if given is not None:
        if shown:
            say(f"Model: {printable(given)}", whole=[printable(given)])
        return given
    from l2s_auto.inference.last_model import choose_model
    from l2s_auto.inference.usable import described

    choice = choose_model()
    if shown:
        say(f"Model: {printable(choice.path)}", whole=[printable(choice.path)])
        for line in [*described(choice.path), *choice.lines()]:
            say(line)
    return choice.path
