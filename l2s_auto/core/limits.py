"""Bounds that options and plans share; importing them costs nothing."""

#: mm of a voxel's edge, at most.
WIDEST = 500.0
#: Features of a stage that the planner gives, at most.
MOST_FEATURES = 320
