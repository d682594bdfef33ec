"""Methods side by side on a dataset, the comparison of the method's paper."""

from l2s_auto.experiments.methods.run import methods

__all__ = ["methods"]
