"""What is freed goes back to the system, or stays; in new processes: the allocator cannot be told to forget."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import numpy as np
from l2s_auto.core.allocator import spare_memory

def resident():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024

if sys.argv[1] == "spare":
    assert spare_memory()
before = resident()
# A freed 30 MB block raises glibc's threshold, so that the blocks after it come from the heap.
del_me = np.ones(30_000_000, np.uint8)
del del_me
blocks = [np.ones(10_000_000, np.uint8) for _ in range(20)]
last = blocks[-1]
del blocks
print(resident() - before)
"""


def printed(program: str, choice: str) -> int:
    done = subprocess.run([sys.executable, "-c", program, choice], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what glibc keeps")
def test_freed_blocks_go_back_to_the_system():
    held = {choice: printed(PROGRAM, choice) for choice in ("spare", "default")}
    assert held["spare"] < 15e6, held
    assert held["default"] > 100e6, held


REUSE = """
import resource, sys
import numpy as np
from l2s_auto.core.allocator import keep_memory

if sys.argv[1] == "keep":
    assert keep_memory()
def cleared():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

np.ones(50_000_000, np.uint8)
before = cleared()
for _ in range(20):
    np.ones(50_000_000, np.uint8)
print(cleared() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what glibc keeps")
def test_kept_memory_is_used_again():
    pages = {choice: printed(REUSE, choice) for choice in ("keep", "default")}
    assert pages["keep"] < 100 and pages["default"] > 10 * pages["keep"], pages
