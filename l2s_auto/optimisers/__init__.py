"""Update rules as functions of (parameters, gradients, state), each with its exact derivative."""

from l2s_auto.optimisers.adam import Adam
from l2s_auto.optimisers.sgd import SGD

OPTIMISERS = {"adam": Adam, "sgd": SGD}
