"""Packaging: what the distribution holds and what it needs. Tool settings live in
pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
# What some things need beside the core: `zoo.extras` tells which.
EXTRAS = {
    "data": [
        "tensorflow-datasets>=4.9.7,<4.10",
        # Imported by tensorflow-datasets, which does not declare it.
        "importlib_resources",
        "pillow>=10",
        "scikit-learn>=1.4",
    ],
    "plots": ["matplotlib>=3.8", "pillow>=10", "scipy>=1.11"],
    "metrics": ["scikit-learn>=1.4", "scipy>=1.11", "joblib>=1.3"],
    # DataFrames, Parquet files, and tables that are downloaded.
    "tables": ["pandas>=2.1", "pyarrow>=14", "pooch>=1.8"],
    "cells": ["pooch>=1.8", "scipy>=1.11"],
    # The messages of TF Serving: exports hold requests to warm up with, and the client speaks gRPC.
    "serving": ["tensorflow-serving-api>=2.18,<2.22", "grpcio", "protobuf"],
}
EXTRAS["all"] = sorted({package for packages in EXTRAS.values() for package in packages})
# What cells come in elsewhere. Not in "all": it keeps pandas below 3.
ANNDATA = ["anndata>=0.10"]
# Exports for other runtimes, and those runtimes, which check them.
LITERT = ["ai-edge-litert>=2"]
ONNX = ["tf2onnx>=1.17", "onnx>=1.18", "onnxruntime>=1.20"]
TEST = ["pytest>=8", "pytest-xdist>=3.6", "hypothesis>=6"]

setup(
    name="vae-zoo",
    version="0.1.0",
    description="A model zoo of variational autoencoders for Keras 3 and TensorFlow",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8")
    if (ROOT / "README.md").exists()
    else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=[*find_packages(include=["zoo", "zoo.*"]), "zoo.recipes", "zoo.saved_models"],
    # Both lie at the top of the checkout, and inside the package once installed.
    package_dir={"zoo.recipes": "recipes", "zoo.saved_models": "saved_models"},
    package_data={
        "zoo.saved_models": ["**/*"],
        "zoo": ["index.json", "py.typed", "__init__.pyi"],
        "zoo.serving": ["__init__.pyi"],
        "zoo.report": ["page.html", "*.js"],
        "zoo.evaluation": ["classifiers/*"],
    },
    install_requires=[
        "tensorflow>=2.18,<2.22",
        "keras>=3.8,<3.16",
        "tensorflow-probability>=0.25,<0.26",
        # TensorFlow Probability does not import without it, and its version fixes TensorFlow's.
        "tf-keras>=2.18,<2.22",
        # TensorFlow Probability imports distutils, which Python 3.12 left to setuptools.
        "setuptools; python_version>='3.12'",
        "numpy>=1.26",
        "h5py",
        "requests>=2.28",
        "urllib3",
        "lazy_loader>=0.4",
    ],
    extras_require={
        **EXTRAS,
        "cells": [*EXTRAS["cells"], *ANNDATA],
        "gpu": ["tensorflow[and-cuda]>=2.18,<2.22; sys_platform=='linux'"],
        "tensorboard": ["tensorboard>=2.18"],
        "litert": LITERT,
        "onnx": ONNX,
        "bench": ["torch>=2.6", "jax>=0.5", "optax", "pythae>=0.1.2"],
        # What the contract tests need.
        "test": [*EXTRAS["all"], *TEST],
        "dev": [
            *EXTRAS["all"],
            *TEST,
            *LITERT,
            *ONNX,
            "ruff>=0.14,<0.15",
            "pyright[nodejs]>=1.1.414,<1.2",
            "build",
            "pyyaml",
            "selenium",
        ],
    },
    entry_points={"console_scripts": ["zoo = zoo.cli:main"]},
)
