"""Estimators of theta's gradient: the real loss after phi's update on the synthetic loss."""

from l2s_auto.hypergradients.finite_difference import CentralDifference, OneSidedDifference
from l2s_auto.hypergradients.forward import Forward
from l2s_auto.hypergradients.unrolled import Unrolled

HYPERGRADIENTS = {
    "unrolled": Unrolled,
    "forward": Forward,
    "finite-difference": OneSidedDifference,
    "finite-difference-central": CentralDifference,
}
