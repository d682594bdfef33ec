"""Bounds that options, plans and recipes share; importing them costs nothing.

They are far beyond what a network is trained with, and keep a damaged or hostile file from taking the machine's memory
or time before it is refused.
"""

#: mm of a voxel's edge, at most and at least.
WIDEST = 1e4
MIN_SPACING = 1e-7
#: Features of a stage that the planner gives, at most; of a stage in a plan.
MOST_FEATURES = 320
MAX_FEATURES = 4096
#: Stages of a network; convolutions of a stage.
MAX_STAGES = 16
MAX_CONVOLUTIONS = 64
#: Weights of a network, as its plan describes it.
MAX_WEIGHTS = 500_000_000
#: Voxels of a patch along one axis.
MAX_EXTENT = 4096
#: Voxels of a patch, and numbers in the largest of the arrays that one patch needs inside of a network.
MAX_PATCH_VOXELS = 1 << 25
MAX_ACTIVATIONS = 1 << 31
#: Samples of a batch.
MAX_BATCH = 1_000_000
#: Labels, channels, regions and pairs of a dataset.
MAX_LABELS = 65_535
MAX_CHANNELS = 1024
#: Label maps are read as 32-bit integers.
MIN_LABEL, MAX_LABEL = -(2**31), 2**31 - 1
#: Iterations, counts and seeds.
MAX_ITERATIONS = 10**9
MAX_COUNT = 2**31 - 1
MAX_SEED = 2**63 - 1
#: Seconds of a training: 30 years.
MAX_SECONDS = 1e9
#: Intensities, options of parts: a number and its negative.
MAX_INTENSITY = 1e12
MIN_RANGE = 1e-12
MAX_OPTION = 1e9
