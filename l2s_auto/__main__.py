"""`python -m l2s_auto` lists the commands."""

from __future__ import annotations

import sys

from l2s_auto.cli import list_commands

sys.exit(list_commands())
