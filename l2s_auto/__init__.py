"""l2s_auto: segmentation networks for your own scans, trained with Learn2Synth.

The import is light: neither PyTorch nor SimpleITK is loaded before a command needs it.
"""

__version__ = "0.1.0"
