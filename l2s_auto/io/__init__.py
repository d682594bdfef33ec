"""Files in and out: volumes, datasets, JSON, splits. Everything that is written is written atomically."""
