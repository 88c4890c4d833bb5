"""The classes that `.keras` files name, for Keras to find before the modules that define them are
imported.

Keras builds what a file holds from registered names such as "zoo>VAE", and a class registers when
its module is imported. `import zoo` imports none of them, because they need TensorFlow. Until then,
each name stands for a class that imports the real one when Keras builds from it. Keras is not
imported for that either: it is given the names when somebody else imports it.
"""

import importlib
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

# Module -> the classes of it that Keras saves.
CLASSES = {
    "zoo.layers": [
        "AutoregressiveCodes",
        "Bernoulli",
        "Categorical",
        "CategoricalLevels",
        "Columns",
        "Conditional",
        "ContinuousBernoulli",
        "DiagonalNormal",
        "DiscretizedLogistic",
        "DiscretizedLogisticMixture",
        "Dropout",
        "FSQ",
        "FullCovarianceNormal",
        "GaussianNoise",
        "GroupedQuantizer",
        "Laplace",
        "LookupFree",
        "MaskedCodes",
        "Multinomial",
        "NegativeBinomial",
        "Normal",
        "Poisson",
        "ResidualQuantizer",
        "Sample",
        "SelfMasking",
        "StandardNormal",
        "UniformCategorical",
        "UniformCodes",
        "VampPrior",
        "VectorQuantizer",
        "ZeroInflatedNegativeBinomial",
    ],
    "zoo.losses": ["NegativeLogLikelihood"],
    "zoo.models": [
        "AnomalyModel",
        "Autoencoder",
        "BetaTCVAE",
        "BetaVAE",
        "CVAE",
        "CapacityVAE",
        "ClassStyleVAE",
        "CompletionCVAE",
        "CompletionNetwork",
        "FactorVAE",
        "HierarchicalVAE",
        "HierarchicalVampVAE",
        "JointVAE",
        "LadderVAE",
        "NotMIWAE",
        "SemiSupervisedVAE",
        "StackedVAE",
        "TwoLevelVQVAE",
        "VAE",
        "VQVAE",
        "VampVAE",
    ],
    "zoo.networks": [
        "CausalTransformer",
        "ConvBlock",
        "ConvDecoder",
        "ConvEncoder",
        "GatedPixelCNN",
        "MLP",
        "MaskedTransformer",
        "ResidualBlock",
        "ResidualDecoder",
        "ResidualEncoder",
        "SelfAttention",
        "StateUpdate",
        "Upsample",
    ],
    "zoo.objectives": [
        "BalancedKL",
        "Capacity",
        "DensityRatio",
        "DoublyReparameterized",
        "ELBO",
        "Enumeration",
        "FreeBits",
        "ImportanceWeighted",
        "KL",
        "MIWAE",
        "PathDerivative",
        "Relaxation",
        "ScoreFunction",
        "TotalCorrelation",
        "VIMCO",
        "WeightedKL",
    ],
    "zoo.observations": ["Counts", "Image", "Rows", "ScaledVector", "Table", "Vector"],
    "zoo.schedules": ["Constant", "Cyclical", "Exponential", "Linear"],
}


def make_known() -> None:
    """Lets Keras find the classes by name: at once where it is imported already, otherwise as soon
    as it is."""
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "saving"):
        _register(keras)
    else:
        sys.meta_path.insert(0, _WhenKerasIsImported())


def _register(keras: ModuleType) -> None:
    objects = keras.saving.get_custom_objects()
    for module, names in CLASSES.items():
        for name in names:
            objects.setdefault(f"zoo>{name}", _stand_in(module, name))


def _stand_in(module: str, name: str) -> type:
    """A class that Keras can build from a configuration; what it builds is an instance of the real
    one."""

    def from_config(config: dict[str, Any]) -> Any:
        # The import registers the real class in its place.
        return getattr(importlib.import_module(module), name).from_config(config)

    return type(name, (), {"from_config": staticmethod(from_config)})


class _WhenKerasIsImported:
    """A finder of `sys.meta_path` that finds Keras as the others do, and registers once its module
    has run."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "keras":
            return None
        specs = (
            finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self
        )
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_register(module: ModuleType) -> None:
                run(module)
                _register(module)

            spec.loader.exec_module = run_and_register
        return spec
