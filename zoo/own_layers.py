"""A user's own layers in a configuration: known by name once the user has run the file that defines
them.

A configuration names classes and functions and holds no code. Those of Keras and of this package
are found; a file that the configuration names is never run on its word.
"""

import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType

import keras

from zoo.registry import new_module

# What was imported here, as paths that hold from anywhere: a process that this one starts imports
# it as well.
imported: list[str] = []


def import_layers(name: str | Path) -> ModuleType:
    """Runs a user's Python file, or imports a module, so that configurations may name the classes
    and functions that it defines.

    Those that are decorated with `keras.saving.register_keras_serializable` go by their registered
    name, the others by their own.

    Args:
        name: The path of a .py file, whose neighbours it may import, or the name of a module on
            Python's path.

    Returns:
        The module.

    Raises:
        ValueError: If there is none, or it fails.
    """
    is_file = str(name).endswith(".py")
    try:
        module = _run_file(Path(name)) if is_file else importlib.import_module(str(name))
    except (Exception, SystemExit) as error:  # the file may be anyone's
        raise ValueError(
            f"The layers of {str(name)!r} cannot be imported ({type(error).__name__}: {error})."
        ) from None
    objects = keras.saving.get_custom_objects()
    package = module.__name__.partition(".")[0]
    for attribute, value in vars(module).items():
        origin = inspect.getmodule(value)  # None of builtins such as random.random
        if callable(value) and origin and origin.__name__.partition(".")[0] == package:
            objects.setdefault(attribute, value)
    lasting = str(Path(name).resolve()) if is_file else str(name)
    if lasting not in imported:
        imported.append(lasting)
    return module


def _run_file(path):
    path = path.resolve()
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    module, loader = new_module(path.stem, path)
    # Dataclasses and pickles look their module up.
    is_first = sys.modules.setdefault(path.stem, module) is module
    try:
        loader.exec_module(module)
    except BaseException:
        if is_first:
            del sys.modules[path.stem]
        raise
    return module


def unknown_parts(configuration: object) -> list[str]:
    """What a Keras configuration names and nothing here has defined, such as "'Encoder' of
    my_layers", each once."""
    found = {}
    for part in _parts(configuration):
        name, module = part["registered_name"], part["module"]
        if (
            name
            and module
            and module.partition(".")[0] not in ("builtins", "keras", "zoo")
            and not keras.saving.get_registered_object(name)
        ):
            shown = part["config"] if part["class_name"] == "function" else part["class_name"]
            found[f"{shown!r} of {module}"] = None
    return list(found)


def _parts(configuration):
    """All serialized objects within a configuration."""
    if isinstance(configuration, dict):
        if {"module", "class_name", "config", "registered_name"} <= configuration.keys():
            yield configuration
        for value in configuration.values():
            yield from _parts(value)
    elif isinstance(configuration, list):
        for value in configuration:
            yield from _parts(value)
