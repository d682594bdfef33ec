"""`python -m l2s_auto` lists the commands."""

import sys

from l2s_auto.cli import list_commands
from l2s_auto.commands.runner import run_command

sys.exit(run_command(list_commands, command="l2s_auto", leaves=True))
