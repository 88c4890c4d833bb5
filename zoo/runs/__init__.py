"""Running a recipe: the run directory, its record, sweeps."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["sweep"])
