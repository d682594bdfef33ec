"""Estimators of theta's gradient: the real loss after phi's update on the synthetic loss."""

from l2s_auto.hypergradients.unrolled import Unrolled

HYPERGRADIENTS = {"unrolled": Unrolled}
