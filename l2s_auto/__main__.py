"""`python -m l2s_auto` lists the commands."""

import sys

from l2s_auto.cli import list_commands

sys.exit(list_commands())
