"""Stored models: their cards, where they are found, loading, storing, verifying."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["pretrained"])
