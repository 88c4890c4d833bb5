"""The house's own rules: who imports whom, what recipes may touch, and what every recipe has to
have."""

import ast
import importlib
import pydoc
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from tests.conftest import SLOW
from tests.small_models import a_table
from zoo import registry

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "zoo"

# A room imports only rooms before it in this list.
ROOMS = (
    "observations",
    "layers",
    "networks",
    "inference",
    "engine",
    "models",
    "data",
    "evaluation",
    "detection",
    "plots",
    "runs",
    "serving",
    "store",
)
ROOMS = (*ROOMS, "report", "cli")
# Modules of their own, which import none but each other.
LEAVES = {
    "annotations",
    "files",
    "forms",
    "generators",
    "losses",
    "machine",
    "own_layers",
    "packing",
    "random",
    "recipe",
    "registry",
}
LEAVES |= {
    "compat",
    "extras",
    "supported",
    "saved_classes",
    "schedules",
    "shards",
    "tensors",
    "typing",
    "validation",
    "versions",
}
# Names that users know, and where they lead.
DOORS = {"images": {"observations"}, "objectives": {"inference"}, "__main__": {"cli"}}
ALLOWED = (
    {room: LEAVES | set(ROOMS[: number + 1]) for number, room in enumerate(ROOMS)}
    | DOORS
    | dict.fromkeys(LEAVES, LEAVES)
)
STANDARD_LIBRARY_ONLY = (
    *(
        "recipe",
        "registry",
        "store/cards",
        "files",
        "forms",
        "annotations",
        "machine",
        "cli/arguments",
        "cli/options",
        "saved_classes",
        "validation",
    ),
    *("versions", "__init__"),
)


def imports(path):
    """Top-level packages, and parts of zoo, that a file imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", None) == "import_module"
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.args[0].value


def part_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_plan(path):
    part = part_of(path)
    if part == "__init__":
        return
    imported = {name.split(".")[1] for name in imports(path) if name.split(".")[0] == "zoo"}
    assert imported <= ALLOWED[part]


@pytest.mark.parametrize("part", STANDARD_LIBRARY_ONLY)
def test_the_front_door_needs_nothing_heavy(part):
    for name in imports(PACKAGE / f"{part}.py"):
        package, _, rest = name.partition(".")
        ours = {rest.replace(".", "/"), rest.rpartition(".")[0].replace(".", "/")}
        assert package in sys.stdlib_module_names | {"lazy_loader"} or (
            package == "zoo" and ours & {*STANDARD_LIBRARY_ONLY, ""}
        ), name


def test_programs_beside_an_export_need_nothing_of_this_package():
    names = {name.split(".")[0] for name in imports(PACKAGE / "serving" / "probe.py")}
    assert names == {"os", "sys", "tensorflow"}
    names = {name.split(".")[0] for name in imports(PACKAGE / "serving" / "runtime.py")}
    assert names - sys.stdlib_module_names == {"numpy", "tensorflow"}


def test_every_recipe_imports_and_describes_itself_without_tensorflow():
    code = """
import sys
for name in ("tensorflow", "tensorflow_probability", "keras", "numpy"):
    sys.modules[name] = None
from zoo import registry
for name in registry.list_recipes():
    recipe = registry.find(name)
    spec = recipe.build({})
    assert f"zoo train {name}" in recipe.docstring(), name
    kinds = {parameter.kind.name for parameter in recipe.parameters().values()}
    assert kinds <= {"KEYWORD_ONLY"}, name
    print(name, spec.family)
"""
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert len(output.splitlines()) == len(registry.list_recipes())


def test_the_picture_of_the_rooms_shows_each_in_its_place():
    assert tuple(runpy.run_path(str(ROOT / "docs" / "rooms.py"))["ROOMS"]) == ROOMS


def test_zoo_models_imports_every_model():
    """It is what makes their classes known to whoever opens a configuration, such as `zoo
    check`."""
    text = (PACKAGE / "models" / "__init__.py").read_text(encoding="utf-8")
    beside = {
        "__init__",
        "answers",
        "architecture",
        "base",
        "code_model",
        "code_use",
        "condition",
        "exported",
        "importance_sampling",
        "conditional_sampling",
        "imputation",
        "latent_variable",
    }
    names = {path.stem for path in (PACKAGE / "models").glob("*.py")} - beside
    assert {name for name in names if f"from zoo.models.{name} import" in text} == names


def test_every_class_that_keras_saves_is_named_where_keras_finds_it_first():
    import keras

    from zoo import saved_classes

    named = {
        f"zoo>{name}": getattr(importlib.import_module(module), name)
        for module, names in saved_classes.CLASSES.items()
        for name in names
    }
    registered = keras.saving.get_custom_objects()
    assert {name: cls for name, cls in registered.items() if name.startswith("zoo>")} == named


@pytest.mark.parametrize("first", ["zoo", "keras"])
def test_a_keras_file_loads_in_a_process_that_has_imported_zoo_alone(
    first, make_vae, images, tmp_path
):
    import keras
    import numpy as np

    model = make_vae()
    model.save(tmp_path / "model.keras")
    second = {"zoo": "keras", "keras": "zoo"}[first]
    code = f"""
import {first}, {second}, sys
assert "zoo.models" not in sys.modules
model = keras.models.load_model({str(tmp_path / "model.keras")!r})
assert type(model) is zoo.VAE
print(float(keras.ops.sum(model.reconstruct(keras.ops.zeros((1, 4, 4, 1))))))
"""
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    np.testing.assert_allclose(
        float(output),
        float(keras.ops.sum(model.reconstruct(np.zeros((1, 4, 4, 1), np.float32)))),
        rtol=1e-5,
    )


def test_public_names_load_on_first_use():
    code = (
        "import sys, zoo; assert 'tensorflow' not in sys.modules; zoo.Recipe; assert "
        "'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    for name in zoo.__all__:
        assert getattr(zoo, name) is not None
    with pytest.raises(AttributeError, match="GAN"):
        zoo.GAN  # noqa: B018


def mock_examples(spec, observation):
    """Two batches of noise with labels, as the recipe's training sees them."""
    import numpy as np

    num_rows, generator = 2 * spec.batch_size, np.random.default_rng(0)
    shape = (num_rows, *observation.shape)
    if observation.key == "image":
        x = generator.integers(0, 256, shape).astype(np.uint8)
    else:
        x = observation.made_up(shape, generator)
    examples = {observation.key: x, "label": np.arange(num_rows, dtype=np.int32) % 10}
    return examples if spec.training_examples is None else spec.training_examples(examples)


def takes_a_step(name, **execution):
    import numpy as np

    from zoo.runs import training

    file = registry.find(name)
    # In 16 bits one pixel in 300 that is drawn is another level in another kind of graph; models
    # are stored in float32.
    spec = file.build({"dtype": "float32"} if "dtype" in file.parameters() else {})
    table = {"table": a_table(2 * spec.batch_size)} if spec.model_of_examples else None
    model = training.build(spec, 10, table)
    assert type(model).__name__ == spec.family
    model.compile(model.optimizer, **execution)
    examples = mock_examples(spec, model.observation) if table is None else table
    if spec.initialize is not None:
        spec.initialize(model, examples)
    before = model.get_weights()
    history = model.fit(
        {key: array[: spec.batch_size] for key, array in examples.items()},
        batch_size=spec.batch_size,
        verbose=0,
    ).history
    assert np.isfinite(history["loss"][0])
    assert any(np.any(new != old) for new, old in zip(model.get_weights(), before, strict=True))
    return model


def saves(model, tmp_path):
    import keras
    import numpy as np

    model.save(tmp_path / "model.keras")
    for kept, loaded in zip(
        model.get_weights(),
        keras.saving.load_model(tmp_path / "model.keras").get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(kept, loaded)


def first_of_each_family():
    families = {}
    for name in registry.list_recipes():
        families.setdefault(registry.find(name).build({}).family, name)
    return sorted(families.values())


@pytest.mark.parametrize("name", sorted(set(registry.list_recipes()) - set(first_of_each_family())))
def test_every_recipe_takes_a_step(name):
    takes_a_step(name, run_eagerly=True)


# One vector, a label, several layers, a class with a base: the others' steps and answers are
# goldens.
QUICK = ("vae_digits", "cvae_mnist", "iwae_mnist_2layer", "ssvae_mnist")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in first_of_each_family()],
)
def test_every_family_takes_a_step_and_serves(name, tmp_path):
    import numpy as np
    import tensorflow as tf

    from zoo.serving import export, graph
    from zoo.serving.signatures import made_up_rows, signatures

    model = takes_a_step(name, run_eagerly=True)
    saves(model, tmp_path)
    directory = export(model, tmp_path / name)
    # A loop over rows lets them share a state. One over steps is declared, and what follows here
    # holds for it too.
    if not any(answer.loops for answer in model.answers().values()):
        assert not graph.ops(graph.read(directory)) & {
            "While",
            "StatelessWhile",
            "Enter",
            "MapDefun",
        }, "a loop in the graph"
    served = tf.saved_model.load(str(directory)).signatures

    def ask(signature, inputs):
        return {
            output: value.numpy()
            for output, value in served[signature](
                **{k: tf.constant(v) for k, v in inputs.items()}
            ).items()
        }

    # Every row's answer is its own: the same rows in other batches.
    for signature, (_, inputs) in signatures(model).items():
        rows = made_up_rows(inputs, 6)
        whole = ask(signature, rows)
        for batch in ([0], [5, 2, 4]):
            answer = ask(signature, {key: array[batch] for key, array in rows.items()})
            for output, value in answer.items():
                np.testing.assert_allclose(
                    value,
                    whole[output][batch],
                    rtol=1e-4,
                    atol=1e-4,
                    err_msg=f"{signature} {output}",
                )

    # The same seed gives the same sample.
    if hasattr(model, "sample"):
        seed = np.stack([np.full(4, 7), np.arange(4)], axis=-1).astype(np.int32)
        given = {}
        if model.condition_shape is not None:  # a label each, or one white pixel
            ones = np.eye(4, np.prod(model.condition_shape), dtype=np.float32)
            given["condition"] = ones.reshape(4, *model.condition_shape)
        options = {}
        if "temperature" in signatures(model)["sample"].inputs:
            options["temperature"] = np.ones(4, np.float32)
        np.testing.assert_allclose(
            ask("sample", {"seed": seed, **given, **options})["sample"],
            model.sample(4, seed=7, **given),
            rtol=1e-5,
            atol=1e-5,
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.list_recipes())
def test_every_recipe_trains_compiled_and_serves(name, tmp_path):
    from zoo.serving import check, export

    model = takes_a_step(name)
    saves(model, tmp_path)
    directory = export(model, tmp_path / name)
    assert [finding for finding in check(directory) if finding.problem is not None] == []


def test_other_backends_of_keras_are_refused(monkeypatch):
    import keras

    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(
        ImportError,
        match=r"needs Keras on TensorFlow. Received: the Keras backend 'jax'. Set "
        r"KERAS_BACKEND=tensorflow",
    ):
        runpy.run_path(str(PACKAGE / "engine" / "compiled.py"))


def test_what_is_marked_slow_by_name_is_there():
    for stem, names in SLOW.items():
        text = (ROOT / "tests" / f"{stem}.py").read_text(encoding="utf-8")
        for name in names:
            assert f"def {name.partition('[')[0]}(" in text, name


@pytest.mark.slow
def test_stored_models_are_small():
    size = sum(path.stat().st_size for path in (ROOT / "saved_models").rglob("*") if path.is_file())
    assert size < 60e6, f"a checkout and a wheel hold all of them: {size / 1e6:.1f} MB"


def test_wheel_holds_package_recipes_and_stored_models_and_no_tests(tmp_path):
    """Needs a package index: pip builds in an environment of its own."""
    import zipfile

    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            tmp_path,
            ROOT,
        ],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {"zoo"}
    assert {
        "zoo/saved_models/vae_mnist/card.json",
        "zoo/saved_models/vae_digits/README.md",
        "zoo/index.json",
        "zoo/py.typed",
        "zoo/__init__.pyi",
        "zoo/recipes/vae_digits.py",
    } <= set(names)
    assert any(name.endswith("LICENSE") for name in names)
    code = (
        "import zoo; assert 'site' in zoo.__file__, zoo.__file__; zoo.load('vae_digits').sample(2)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path / "site")


def probes(path):
    """Questions whether an object has an attribute: `hasattr`, and `getattr` with a default."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        if node.func.id == "hasattr" or (node.func.id == "getattr" and len(node.args) == 3):
            yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_what_an_object_can_is_told_by_its_type():
    found = [probe for path in FILES for probe in probes(path)]
    assert len(found) <= 5, f"Name the contract, as in `zoo.typing`: {found}"


@pytest.mark.parametrize("name", ["layers", "networks", "objectives", "models", "observations"])
def test_help_shows_the_classes_of_a_public_module(name):
    module = importlib.import_module(f"zoo.{name}")
    text = pydoc.plaintext.document(module)
    classes = [c for c in module.__all__ if isinstance(getattr(module, c), type)]
    assert classes and all(f"class {c}(" in text for c in classes)
