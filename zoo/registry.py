"""Finds recipes by file name: ours, and those of packages that declare the entry-point group
`zoo.recipes`. Ours lie in `recipes/` of a checkout, and are `zoo.recipes` once installed.

A plug-in's pyproject.toml says `[project.entry-points."zoo.recipes"] my_zoo =
"my_package.recipes"`; every .py file of that package that defines `recipe` is then a recipe.
Standard library alone.
"""

import ast
import dataclasses
import difflib
import functools
import hashlib
import importlib
import importlib.abc
import importlib.metadata
import importlib.util
import inspect
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.annotations import as_annotated, check_annotation, shown
from zoo.recipe import Recipe

ENTRY_POINT_GROUP = "zoo.recipes"
# The package of ours; the group goes by its name.
OURS = "zoo.recipes"


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

    def load(self) -> types.ModuleType:
        """The module, which is run once however often it is asked for.

        Raises:
            ValueError: If the file is no Python, or defines no recipe.
        """
        return self._module

    @functools.cached_property
    def _module(self):
        module = importlib.import_module(self.module) if self.module is not None else self._run()
        if not callable(vars(module).get("recipe")):
            raise ValueError(
                f"{self.path} is not a recipe: it defines no function `recipe(*, ...) -> "
                "zoo.Recipe`."
            )
        return module

    def _run(self):
        """The file as a module of its own; Python's import would leave a directory of bytecode
        beside it."""
        module = types.ModuleType(self.name)
        module.__file__ = str(self.path)
        try:
            exec(compile(self.source, str(self.path), "exec"), module.__dict__)
        except SyntaxError as error:
            raise _no_python(error) from None
        except ModuleNotFoundError as error:
            raise ValueError(
                f"{self.path} imports a module that Python does not find. Received: "
                f"{error.name!r}. Install it; where it is a file of your own, name it: `--import "
                f"{error.name}.py`, in Python `zoo.serving.import_layers('{error.name}.py')`."
            ) from None
        return module

    @functools.cached_property
    def source(self) -> bytes:
        """The file's content, read once: what is run, hashed and copied is the same."""
        return self.path.read_bytes()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.source).hexdigest()

    def docstring(self) -> str:
        """The file's docstring; nothing is run.

        Raises:
            ValueError: If the file is no Python.
        """
        try:
            return ast.get_docstring(ast.parse(self.source)) or ""
        except SyntaxError as error:
            error.filename = str(self.path)
            raise _no_python(error) from None

    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """Name -> `inspect.Parameter` of the recipe's arguments."""
        return inspect.signature(self.load().recipe).parameters

    def hints(self) -> dict[str, Any]:
        """Name -> annotation of the recipe's arguments; the type of the default where there is
        none.

        Raises:
            ValueError: If the annotations cannot be read.
        """
        parameters = self.parameters()
        try:
            hints = typing.get_type_hints(self.load().recipe, include_extras=True)
        except (NameError, TypeError, AttributeError, SyntaxError) as error:
            raise ValueError(
                f"The annotations of recipe {self.name!r} cannot be read: {error}. Import what "
                "they name."
            ) from None
        return {
            name: hints.get(name, _type_of_default(parameter))
            for name, parameter in parameters.items()
        }

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """All arguments with their values, defaults included.

        Args:
            arguments: Dict from name to a value, or to a string as typed on a command line ("8",
                "0.5", "200,200").

        Raises:
            ValueError: If a name is unknown, a value has the wrong type, or nothing can be typed
                for an annotation (`zoo.annotations`).
        """
        parameters, hints = self.parameters(), self.hints()
        bound = {name: parameter.default for name, parameter in parameters.items()}
        for name, value in arguments.items():
            if name not in parameters:
                defaults = ", ".join(f"{n}={p.default!r}" for n, p in parameters.items())
                raise ValueError(
                    f"Recipe {self.name!r} has no argument {name!r}."
                    f"{_did_you_mean(name, parameters)} It takes: {defaults}."
                )
            if value is not parameters[name].default:  # which may be what nobody can type
                bound[name] = self._convert(name, value, hints[name])
        return bound

    def _convert(self, name, value, hint):
        try:
            check_annotation(hint)
            return as_annotated(value, hint)
        except TypeError as error:
            raise ValueError(
                f"Argument {name!r} of recipe {self.name!r} takes no value: {error}. Received: "
                f"{name}={value!r}. Annotate it as bool, int, float, str, Path, Literal, or as a "
                "tuple, list, dict or union of these."
            ) from None
        except ValueError:
            raise ValueError(
                f"Argument {name!r} of recipe {self.name!r} must be of type {shown(hint)}. "
                f"Received: {name}={value!r}."
            ) from None

    def build(self, arguments: Mapping[str, Any]) -> Recipe:
        """The `Recipe` for these arguments."""
        return self.load().recipe(**self.bind(arguments))


def list_recipes() -> list[str]:
    """Names of all recipes, sorted."""
    return sorted(_find_all())


def find(name: str | Path) -> RecipeFile:
    """The recipe of this name, or in this .py file.

    Raises:
        ValueError: If there is none.
    """
    if str(name).endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise ValueError(f"There is no recipe file {str(name)!r}.")
        return RecipeFile(path.stem, path.resolve(), None)
    name, recipes = str(name), _find_all()
    if name not in recipes:
        raise ValueError(
            f"No recipe is named {name!r}.{_did_you_mean(name, recipes)} `zoo list` shows all "
            f"{len(recipes)}."
        )
    return recipes[name]


def _find_all():
    packages = [
        OURS,
        *sorted(entry.value for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)),
    ]
    found = {}
    for package in packages:
        for recipe in _recipes_of(package):
            if recipe.name in found:
                raise ValueError(
                    f"Two recipes are named {recipe.name!r}: {found[recipe.name].path} and "
                    f"{recipe.path}. Rename one of the files."
                )
            found[recipe.name] = recipe
    return found


def _recipes_of(package):
    module = _ours() if package == OURS else importlib.import_module(package)
    for directory in module.__path__:
        for path in sorted(Path(directory).glob("*.py")):
            if not path.name.startswith("_"):
                yield RecipeFile(path.stem, path, f"{package}.{path.stem}")


def _ours():
    """`zoo.recipes`, from beside the package where that is a checkout."""
    if OURS not in sys.modules:
        package = Path(__file__).parent
        installed = package / "recipes"
        directory = installed if installed.is_dir() else package.parent / "recipes"
        sys.modules[OURS], loader = new_module(OURS, directory / "__init__.py", directory)
        loader.exec_module(sys.modules[OURS])
    return sys.modules[OURS]


def new_module(
    name: str, path: Path, submodules: Path | None = None
) -> tuple[types.ModuleType, importlib.abc.Loader]:
    """The module of a Python file, which has not run yet, and what runs it: its `exec_module`.

    Args:
        name: What the module is called.
        path: The file.
        submodules: Where those of a package lie.

    Raises:
        ValueError: If the file's name is none of a Python file.
    """
    places = None if submodules is None else [str(submodules)]
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=places)
    if spec is None or spec.loader is None:
        raise ValueError(f"A Python file ends in .py. Received: {str(path)!r}.")
    return importlib.util.module_from_spec(spec), spec.loader


def _did_you_mean(name, names):
    close = difflib.get_close_matches(name, names, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _type_of_default(parameter):
    return Any if parameter.default in (None, parameter.empty) else type(parameter.default)


def _no_python(error):
    return ValueError(f"{error.filename}, line {error.lineno}, is no Python: {error.msg}.")
