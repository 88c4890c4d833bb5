import dataclasses
import importlib
import sys

import numpy as np
import pytest

from zoo import registry
from zoo.registry import RecipeFile

RECIPE = '''"""A recipe for tests."""

import zoo


def recipe(
    *,
    beta: float = 4.0,
    hidden: tuple[int, ...] = (8, 8),
    name: str = "a",
    flag: bool = False,
    limit: int | None = None,
) -> zoo.Recipe:
    return dict(beta=beta, hidden=hidden, name=name, flag=flag, limit=limit)
'''


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_recipe.py"
    path.write_text(RECIPE)
    return registry.find(path)


def test_names_are_file_names():
    assert {"vae_digits", "vae_mnist"} <= set(registry.list_recipes())
    assert registry.find("vae_mnist").path.name == "vae_mnist.py"


def test_a_file_of_its_own_is_a_recipe(file):
    assert file.name == "my_recipe" and file.docstring() == "A recipe for tests."
    assert file.build({"beta": 2})["beta"] == 2.0


@pytest.mark.parametrize(
    ("typed", "bound"),
    [
        ({"beta": "8"}, 8.0),
        ({"beta": 8}, 8.0),
        ({"hidden": "4,5"}, (4, 5)),
        ({"hidden": [4, 5]}, (4, 5)),
        ({"name": "b"}, "b"),
        ({"flag": "true"}, True),
        ({"limit": "3"}, 3),
        ({"limit": "None"}, None),
    ],
)
def test_arguments_take_their_annotated_type(file, typed, bound):
    (name,) = typed
    value = file.bind(typed)[name]
    assert value == bound and type(value) is type(bound)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            {"bata": "8"},
            r"has no argument 'bata'. Did you mean 'beta'\? It takes: beta=4.0, hidden=\(8, 8\)",
        ),
        (
            {"beta": "much"},
            "'beta' of recipe 'my_recipe' must be of type float. Received: beta='much'",
        ),
        ({"hidden": "4,x"}, "Received: hidden='4,x'"),
        ({"limit": "2.5"}, "Received: limit='2.5'"),
        ({"flag": "maybe"}, "must be of type bool. Received: flag='maybe'"),
        ({"name": 3}, "must be of type str. Received: name=3"),
    ],
)
def test_wrong_arguments_are_told(file, typed, message):
    with pytest.raises(ValueError, match=message):
        file.bind(typed)


def test_unknown_recipes_are_told(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"No recipe is named 'vae_mnits'. Did you mean 'vae_mnist'\? `zoo list` shows all",
    ):
        registry.find("vae_mnits")
    with pytest.raises(ValueError, match=r"There is no recipe file 'absent.py'"):
        registry.find("absent.py")
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(
        ValueError, match=r"empty.py is not a recipe: it defines no function `recipe"
    ):
        registry.find(tmp_path / "empty.py").load()


def make_plugin(directory, package, files):
    (directory / package).mkdir(parents=True)
    (directory / package / "__init__.py").write_text("")
    for name in files:
        (directory / package / f"{name}.py").write_text(RECIPE)
    metadata = directory / f"{package}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[zoo.recipes]\n{package} = {package}\n")


def test_recipes_of_plugins_are_found(tmp_path, monkeypatch):
    make_plugin(tmp_path, "zoo_plugin_a", ["plugin_vae", "_private"])
    monkeypatch.syspath_prepend(tmp_path)
    assert "plugin_vae" in registry.list_recipes() and "_private" not in registry.list_recipes()
    assert registry.find("plugin_vae").build({"beta": "3"})["beta"] == 3.0


def test_a_file_that_is_no_python_is_told(tmp_path):
    (tmp_path / "mine.py").write_text("import zoo\ndef recipe(:\n")
    with pytest.raises(ValueError, match=r"mine\.py, line 2, is no Python: invalid syntax"):
        registry.find(str(tmp_path / "mine.py")).load()


def test_two_recipes_of_one_name_are_told(tmp_path, monkeypatch):
    make_plugin(tmp_path, "zoo_plugin_b", ["vae_mnist"])
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ValueError, match=r"Two recipes are named 'vae_mnist': .* Rename one of the files"
    ):
        registry.list_recipes()


def test_another_package_called_recipes_is_none_of_ours(tmp_path, monkeypatch):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "__init__.py").write_text("")
    for name in [name for name in sys.modules if name.split(".")[0] == "recipes"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, registry.OURS, raising=False)
    assert "vae_digits" in registry.list_recipes()
    assert importlib.import_module("recipes").__path__ == [str(tmp_path / "recipes")]
    monkeypatch.delitem(sys.modules, "recipes")


def test_numbers_of_a_recipe_are_checked():
    known = registry.find("vae_digits").build({})
    changed = dataclasses.replace(known, epochs=np.int64(3), seed=np.uint8(1))
    assert (type(changed.epochs), changed.epochs, type(changed.seed)) == (int, 3, int)
    for name in ("epochs", "batch_size", "evaluation_samples"):
        for value in (0, True, 2.0):
            with pytest.raises(
                ValueError, match=f"`{name}` must be a positive integer. Received: {name}={value!r}"
            ):
                dataclasses.replace(known, **{name: value})
    with pytest.raises(ValueError, match="`seed` must be an integer in .* Received: seed=True"):
        dataclasses.replace(known, seed=True)


def test_recipe_files_are_values():
    assert registry.find("vae_mnist") == registry.find("vae_mnist")
    assert isinstance(registry.find("vae_mnist"), RecipeFile)
