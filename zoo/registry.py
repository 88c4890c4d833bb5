"""Finds recipes by file name: ours in `recipes/`, and those of packages that declare the entry-point group `zoo.recipes`.

A plug-in's pyproject.toml says `[project.entry-points."zoo.recipes"] my_zoo = "my_package.recipes"`; every .py file of that package
that defines `recipe` is then a recipe. Standard library alone.
"""

import dataclasses
import difflib
import importlib
import importlib.metadata
import importlib.util
import inspect
import types
import typing
from pathlib import Path

ENTRY_POINT_GROUP = "zoo.recipes"
# `recipes/__init__.py` defines this name; another package called `recipes` does not.
MARKER = "ZOO_RECIPES"


@dataclasses.dataclass(frozen=True)
class RecipeFile:
    """A recipe that was found and not yet run.

    Attributes:
        name: The file's name without its suffix.
        path: The file.
        module: Its import name, or None for a file given by its path.
    """

    name: str
    path: Path
    module: str | None

    def load(self):
        """The imported module."""
        if self.module is not None:
            module = importlib.import_module(self.module)
        else:
            spec = importlib.util.spec_from_file_location(self.name, self.path)
            module = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(module)
            except SyntaxError as error:
                raise ValueError(f"{error.filename}, line {error.lineno}, is no Python: {error.msg}.") from None
        if not callable(getattr(module, "recipe", None)):
            raise ValueError(f"{self.path} is not a recipe: it defines no function `recipe(*, ...) -> zoo.Recipe`.")
        return module

    def docstring(self):
        return inspect.cleandoc(self.load().__doc__ or "")

    def parameters(self):
        """Name -> `inspect.Parameter` of the recipe's arguments."""
        return inspect.signature(self.load().recipe).parameters

    def bind(self, arguments):
        """All arguments with their values, defaults included.

        Args:
            arguments: Dict from name to a value, or to a string as typed on a command line ("8", "0.5", "200,200").

        Raises:
            ValueError: If a name is unknown or a value has the wrong type.
        """
        parameters = self.parameters()
        bound = {name: parameter.default for name, parameter in parameters.items()}
        hints = typing.get_type_hints(self.load().recipe)
        for name, value in arguments.items():
            if name not in parameters:
                known = ", ".join(f"{n}={p.default!r}" for n, p in parameters.items())
                raise ValueError(f"Recipe {self.name!r} has no argument {name!r}.{_did_you_mean(name, parameters)} It takes: {known}.")
            bound[name] = _convert(self.name, name, value, hints.get(name, type(parameters[name].default)))
        return bound

    def build(self, arguments):
        """The `Recipe` for these arguments."""
        return self.load().recipe(**self.bind(arguments))


def list_recipes():
    """Names of all recipes, sorted."""
    return sorted(_find_all())


def find(name):
    """The recipe of this name, or in this .py file.

    Raises:
        ValueError: If there is none.
    """
    if str(name).endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise ValueError(f"There is no recipe file {str(name)!r}.")
        return RecipeFile(path.stem, path.resolve(), None)
    recipes = _find_all()
    if name not in recipes:
        raise ValueError(f"No recipe is named {name!r}.{_did_you_mean(name, recipes)} `zoo list` shows all {len(recipes)}.")
    return recipes[name]


def _find_all():
    packages = ["recipes", *sorted(entry.value for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP))]
    found = {}
    for package in packages:
        for recipe in _recipes_of(package):
            if recipe.name in found:
                raise ValueError(
                    f"Two recipes are named {recipe.name!r}: {found[recipe.name].path} and {recipe.path}. Rename one of the files."
                )
            found[recipe.name] = recipe
    return found


def _recipes_of(package):
    module = importlib.import_module(package)
    if package == "recipes" and not hasattr(module, MARKER):
        where = Path(module.__file__).parent if module.__file__ else next(iter(module.__path__))
        raise ImportError(
            f"The package `recipes` that Python finds is not the zoo's: {where}. It hides the zoo's recipes; rename it, "
            "or start Python where it is not on the path."
        )
    for directory in module.__path__:
        for path in sorted(Path(directory).glob("*.py")):
            if not path.name.startswith("_"):
                yield RecipeFile(path.stem, path, f"{package}.{path.stem}")


def _did_you_mean(name, known):
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _convert(recipe, name, value, hint):
    """A command line's string, or a Python value, as the annotated type."""
    try:
        return _as_type(value, hint)
    except (TypeError, ValueError):
        shown = getattr(hint, "__name__", str(hint)) if not typing.get_args(hint) else str(hint)
        raise ValueError(f"Argument {name!r} of recipe {recipe!r} must be of type {shown}. Received: {name}={value!r}.") from None


def _as_type(value, hint):
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        if type(None) in typing.get_args(hint) and value in (None, "None"):
            return None
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
        return _as_type(value, hint)
    if origin is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(_as_type(part, typing.get_args(hint)[0]) for part in parts)
    if hint is bool:
        named = {"true": True, "false": False, True: True, False: False}
        key = value.lower() if isinstance(value, str) else value
        if key not in named:
            raise ValueError(value)
        return named[key]
    if hint is int and (isinstance(value, bool) or (isinstance(value, float) and not value.is_integer())):
        raise ValueError(value)
    if hint is str and not isinstance(value, str):
        raise ValueError(value)
    return hint(value)
