"""From a dataset to a model: the parts are built, meet in one step, and are looped over, checkpointed, validated."""
