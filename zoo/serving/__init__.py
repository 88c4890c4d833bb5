"""SavedModels that TF Serving takes: written, checked, served, asked."""

import importlib
from typing import Any

# Where each public name is defined. Loaded on first use: asking a server needs no TensorFlow.
_NAMES = {
    "export": "zoo.serving.saved_model",
    "export_litert": "zoo.serving.other_runtimes",
    "export_onnx": "zoo.serving.other_runtimes",
    "import_layers": "zoo.own_layers",
    "check": "zoo.serving.checks",
    "serve": "zoo.serving.server",
    "Client": "zoo.serving.client",
    "ServerError": "zoo.serving.client",
}

__all__ = list(_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'zoo.serving' has no attribute {name!r}")
    return getattr(importlib.import_module(_NAMES[name]), name)


def __dir__() -> list[str]:
    return __all__
