"""First of all in a command, before other modules are imported: what applies while they are."""

import os
import sys

from l2s_auto.core.import_path import ignore_working_folder

_NAME = os.path.basename("".join(getattr(sys, "argv", [])[:1]))

if _NAME in ("-c", "__main__.py"):  # `python -c`, which calls a command; `python -m l2s_auto`
    ignore_working_folder()
elif _NAME.startswith("l2s_"):  # a console script: this process is the command's
    ignore_working_folder()
    from l2s_auto.commands.start import begin

    begin(os.path.splitext(_NAME)[0])
