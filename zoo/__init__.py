"""A model zoo of variational autoencoders for Keras 3 and TensorFlow.

Nothing heavy is imported until it is used: `zoo list` and recipe files cost no TensorFlow.
"""

import importlib

__version__ = "0.1.0"

# Where each public name is defined.
_NAMES = {
    "Recipe": "zoo.recipe",
    "Dataset": "zoo.recipe",
    "list_recipes": "zoo.registry",
    "VAE": "zoo.models.vae",
    "HierarchicalVAE": "zoo.models.hierarchical_vae",
    "train": "zoo.training",
    "evaluate": "zoo.evaluation.likelihood",
    "load": "zoo.pretrained",
    "export": "zoo.serving.saved_model",
}
_MODULES = ("data", "evaluation", "layers", "losses", "models", "networks", "objectives", "plots", "pretrained", "random", "serving")

__all__ = ["__version__", *_NAMES, *_MODULES]


def __getattr__(name):
    if name in _NAMES:
        value = getattr(importlib.import_module(_NAMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"zoo.{name}")
    else:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return __all__
