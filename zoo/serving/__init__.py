"""SavedModels that TF Serving takes: written, checked, served, asked.

A name is imported when it is first used, from where `__init__.pyi` says: asking a server needs no
TensorFlow.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
