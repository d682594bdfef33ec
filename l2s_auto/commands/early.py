"""First of all in a command, before other modules are imported: what applies while they are."""

import os
import sys

from l2s_auto.core.import_path import ignore_working_folder

_PROGRAM = "".join(getattr(sys, "argv", [])[:1])
_NAME = os.path.basename(_PROGRAM)
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _is_worker() -> bool:
    """Whether this process is a command's worker, which has the command's name too."""
    processes = sys.modules.get("multiprocessing.process")
    if processes is None:
        return False
    return processes.parent_process() is not None or getattr(processes.current_process(), "_inheriting", False)


if _is_worker():
    pass
elif _PROGRAM == "-c":  # `python -c`, which calls a command
    ignore_working_folder()
elif _NAME.startswith("l2s_") or os.path.dirname(_PROGRAM) == _PACKAGE:  # this process is the command's
    ignore_working_folder()
    import signal

    for _number in (signal.SIGINT, signal.SIGTERM):  # until `begin` has imported what it needs
        if signal.getsignal(_number) is not signal.SIG_IGN:
            signal.signal(_number, lambda number, frame: os._exit(130))
    from l2s_auto.commands.start import begin

    begin(os.path.splitext(_NAME)[0])
