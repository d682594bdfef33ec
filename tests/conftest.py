"""What all tests share."""

import os

# One thread is faster for volumes as small as the tests' own, and leaves the other cores to others.
os.environ.setdefault("OMP_NUM_THREADS", "1")
