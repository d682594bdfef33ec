"""Metadata and console scripts. The version is read as text, so that installing needs no dependency."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
SOURCE = (ROOT / "l2s_auto" / "__init__.py").read_text(encoding="utf-8")
VERSION = re.search(r'^__version__ = "([^"]+)"', SOURCE, re.MULTILINE)
assert VERSION, "l2s_auto/__init__.py has no __version__"

setup(
    name="l2s_auto",
    version=VERSION[1],
    description="Plan and train 3D segmentation networks for your own scans with Learn2Synth, in one command",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Healthcare Industry",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
    ],
    keywords="segmentation MRI deep-learning synthetic-data Learn2Synth SynthSeg nnU-Net",
    packages=find_packages(include=["l2s_auto", "l2s_auto.*"]),
    python_requires=">=3.10",
    install_requires=[
        "torch>=2.6",
        "numpy>=1.26",
        "scipy>=1.11",
        "nibabel>=5.2",
        "SimpleITK>=2.3",
        "batchgenerators>=0.25",
        "dynamic-network-architectures>=0.3.1,<0.5",
        "pydantic>=2.6,<3",
        "safetensors>=0.4.3",
        "matplotlib>=3.8",
        "pillow>=10.1",
        "connected-components-3d>=3.14",
        "filelock>=4.1",
        "blosc2>=3.3",
        "isal>=1.6",
        "tqdm>=4.65",
    ],
    extras_require={"dev": ["pytest>=8", "pytest-xdist>=3.6", "ruff>=0.9", "mypy>=1.13", "pydicom>=3"]},
    entry_points={
        "console_scripts": [
            "l2s_plan_and_train=l2s_auto.cli:plan_and_train",
            "l2s_predict=l2s_auto.cli:predict",
            "l2s_evaluate=l2s_auto.cli:evaluate",
            "l2s_demo=l2s_auto.cli:demo",
            "l2s_export=l2s_auto.cli:export_model",
            "l2s_import=l2s_auto.cli:import_model",
            "l2s_experiment=l2s_auto.cli:experiment",
        ]
    },
)
