"""l2s_auto: segmentation networks for your own scans, trained with Learn2Synth.

    from l2s_auto import Predictor
    predictor = Predictor.load("l2s_runs/my_dataset")
    predictor.predict("scan.nii.gz").save("segmentation.nii.gz")

The import is light: neither PyTorch nor SimpleITK is loaded before something needs it.
"""

TYPE_CHECKING = False  # nothing is imported here: not even `typing`, which `python -m` would find in the working folder
if TYPE_CHECKING:
    from typing import Any

    from l2s_auto.inference.predictor import Predictor

__all__ = ["Predictor", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> "Any":
    if name == "Predictor":
        from l2s_auto.inference.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
