"""A model zoo of variational autoencoders for Keras 3 and TensorFlow.

Nothing heavy is imported until it is used: `zoo list` and recipe files cost no TensorFlow. Where
each public name comes from is told by `__init__.pyi`.
"""

import lazy_loader

from zoo import saved_classes, supported

__version__ = "0.1.0"

supported.check()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]

saved_classes.make_known()  # `keras.models.load_model` then needs `import zoo` alone
