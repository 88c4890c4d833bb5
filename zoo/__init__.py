"""A model zoo of variational autoencoders for Keras 3 and TensorFlow.

Nothing heavy is imported until it is used: `zoo list` and recipe files cost no TensorFlow.
"""

import importlib
from typing import Any

from zoo import saved_classes

__version__ = "0.1.0"

# Where each public name is defined.
_NAMES = {
    "Recipe": "zoo.recipe",
    "Dataset": "zoo.recipe",
    "list_recipes": "zoo.registry",
    "Autoencoder": "zoo.models.autoencoder",
    "VAE": "zoo.models.vae",
    "BetaVAE": "zoo.models.beta_vae",
    "CapacityVAE": "zoo.models.beta_vae",
    "BetaTCVAE": "zoo.models.beta_tcvae",
    "FactorVAE": "zoo.models.factor_vae",
    "LadderVAE": "zoo.models.ladder_vae",
    "VQVAE": "zoo.models.vq_vae",
    "HierarchicalVAE": "zoo.models.hierarchical_vae",
    "VampVAE": "zoo.models.vamp_vae",
    "HierarchicalVampVAE": "zoo.models.vamp_vae",
    "CVAE": "zoo.models.cvae",
    "CompletionCVAE": "zoo.models.completion_cvae",
    "CompletionNetwork": "zoo.models.completion_cvae",
    "ClassStyleVAE": "zoo.models.class_style_vae",
    "JointVAE": "zoo.models.joint_vae",
    "SemiSupervisedVAE": "zoo.models.semi_supervised_vae",
    "StackedVAE": "zoo.models.stacked_vae",
    "train": "zoo.runs.training",
    "evaluate": "zoo.evaluation.likelihood",
    "load": "zoo.store.pretrained",
    "export": "zoo.serving.saved_model",
}
_MODULES = {
    "data": "zoo.data",
    "evaluation": "zoo.evaluation",
    "images": "zoo.images",
    "layers": "zoo.layers",
    "losses": "zoo.losses",
    "models": "zoo.models",
    "networks": "zoo.networks",
    "objectives": "zoo.objectives",
    "observations": "zoo.observations",
    "plots": "zoo.plots",
    "random": "zoo.random",
    "schedules": "zoo.schedules",
    "serving": "zoo.serving",
    "pretrained": "zoo.store.pretrained",
    "sprites": "zoo.data.sprites",
    "sweep": "zoo.runs.sweep",
}

__all__ = ["__version__", *_NAMES, *_MODULES]

saved_classes.make_known()  # `keras.models.load_model` then needs `import zoo` alone


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(_NAMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(_MODULES[name])
    else:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
