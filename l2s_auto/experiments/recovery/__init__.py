"""Recovery of a made-up scanner's parameters, the paper's synthetic experiment."""

from l2s_auto.experiments.recovery.run import recovery

__all__ = ["recovery"]
