"""Agreement of a segmentation with a reference: overlap, surface distances, volumes."""
