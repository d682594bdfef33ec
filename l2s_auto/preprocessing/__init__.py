"""From a scan as it is stored to the image a network reads, and back again; label maps likewise."""
