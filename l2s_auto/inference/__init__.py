"""From a trained model and scans to segmentations, volumes and quality control. Imports nothing when imported."""
