"""From one sequence to others: the table of the method's paper, on simulated scans."""

from l2s_auto.experiments.contrast.run import contrast

__all__ = ["contrast"]
