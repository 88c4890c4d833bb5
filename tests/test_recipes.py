"""Every argument of every recipe is read, and every choice that one names can be built."""

import itertools
import json
import types
import typing

import keras
import numpy as np
import pytest

import zoo
from tests.small_models import a_table
from zoo import registry
from zoo.serving.signatures import signatures

NUM_STEPS = 100
# So that models are small: their architecture is looked at, not their weights.
SMALL = {
    "hidden_units": (4,),
    "num_components": 3,
    "filters": (4, 4),
    "image_size": 8,
    "num_codes": 16,
    "prior_filters": 4,
    "prior_layers": 1,
}


def other_values(hint, value):
    """Values that an argument may have beside `value`."""
    if typing.get_origin(hint) is typing.Literal:
        return [choice for choice in typing.get_args(hint) if choice != value]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [each for option in typing.get_args(hint) for each in other_values(option, value)]
    if hint is type(None):
        return []
    if hint is bool:
        return [not value]
    if hint is int:
        return [3 if value is None else value + 1]
    if hint is float:
        return [value * 0.5 + 0.3 if isinstance(value, float) else 0.25]
    if hint is str:  # a file
        return ["wine"]
    if typing.get_origin(hint) is tuple:
        return [(3, 3) if value is None else tuple(each + 1 for each in value)]
    raise AssertionError(f"no other value is known for {hint}")


def examples(num_rows=40):
    return {"image": np.zeros((num_rows, 2, 2, 1), np.uint8), "label": np.arange(num_rows) % 2}


def model_of(spec):
    """The model of a recipe; of one that is found in the data, of a small table."""
    return spec.model({"table": a_table()}) if spec.model_of_examples else spec.model()


def unnamed(value):
    """A configuration without the names that Keras numbers."""
    if isinstance(value, dict):
        if value.get("class_name") == "DTypePolicy":  # its name says all
            return value
        return {
            key: unnamed(each)
            for key, each in value.items()
            if key not in ("name", "shared_object_id", "build_config")
        }
    return [unnamed(each) for each in value] if isinstance(value, list | tuple) else value


def outside(spec):
    """What a recipe says beside its model, as text."""
    optimizer = spec.optimizer(NUM_STEPS)
    plain = {name: value for name, value in vars(spec).items() if not callable(value)}
    seen = None
    if spec.training_examples is not None:
        seen = [array.tolist() for array in spec.training_examples(examples(600)).values()]
    return json.dumps(
        [plain, unnamed(keras.saving.serialize_keras_object(optimizer)), seen], default=str
    )


def architecture(spec):
    return json.dumps(unnamed(keras.saving.serialize_keras_object(model_of(spec))))


def arguments_of(file):
    """The values that a recipe is tried at: its own, made small."""
    defaults = {name: parameter.default for name, parameter in file.parameters().items()}
    small = {name: value for name, value in SMALL.items() if name in defaults}
    for name in small:
        if isinstance(defaults[name], tuple):
            small[name] = tuple(4 for _ in defaults[name])
        elif defaults[name] is None:
            small[name] = None
        elif name == "hidden_units":  # of a single layer
            small[name] = 4
    return defaults | small


@pytest.fixture(scope="module", autouse=True)
def _one_base():
    """`ssvae_mnist` stands on a stored model, which is loaded once."""
    with pytest.MonkeyPatch.context() as patch:
        loaded = zoo.load("vae_mnist")
        patch.setattr(zoo, "load", lambda name: loaded)
        yield


@pytest.mark.parametrize("name", registry.list_recipes())
def test_every_argument_changes_something(name):
    file = registry.find(name)
    base = arguments_of(file)
    spec = file.build(base)
    before, built = outside(spec), None
    for argument, hint in file.hints().items():
        # What a stored model of another name changes is all.
        if argument in ("return", "model"):
            continue
        values = other_values(hint, base[argument])
        assert values, argument
        for value in values:
            changed = file.build({**base, argument: value})
            if outside(changed) == before:
                built = built or architecture(spec)
                assert architecture(changed) != built, f"{argument}={value!r} changes nothing"


def choices(file):
    """Every combination of the choices that a recipe names."""
    named = {
        name: [None, *other_values(hint, object())]
        for name, hint in file.hints().items()
        if "Literal" in str(hint)
    }
    for values in itertools.product(*named.values()):
        yield {name: value for name, value in zip(named, values, strict=True) if value is not None}


@pytest.mark.parametrize(
    "name",
    [name for name in registry.list_recipes() if "Literal" in str(registry.find(name).hints())],
)
def test_every_choice_can_be_built(name):
    file = registry.find(name)
    small = arguments_of(file)
    for chosen in choices(file):
        assert isinstance(model_of(file.build({**small, **chosen})), keras.Model)


def others(file):
    """Every argument at another value than its own, but for choices."""
    base = arguments_of(file)
    plain = {
        name: hint
        for name, hint in file.hints().items()
        if name != "return" and "Literal" not in str(hint)
    }
    return {name: other_values(hint, base[name])[0] for name, hint in plain.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.list_recipes())
def test_every_choice_takes_a_step_and_has_a_graph_to_export(name):
    file = registry.find(name)
    small = arguments_of(file)
    for chosen in [*choices(file), others(file)]:
        spec = file.build({**small, **chosen})
        model = model_of(spec)
        model.compile(spec.optimizer(NUM_STEPS), run_eagerly=True)
        images = (
            np.random.default_rng(0)
            .integers(0, 256, (20, *model.observation.shape))
            .astype(np.uint8)
        )
        data = {"image": images, "label": np.arange(20, dtype=np.int32) % 10}
        data = {"table": a_table()} if spec.model_of_examples else data
        assert np.isfinite(model.fit(data, batch_size=20, verbose=0).history["loss"][0]), chosen
        for signature in signatures(model).values():
            assert signature.traced().structured_outputs, chosen


def test_no_argument_is_a_string_of_any_kind():
    """Names of choices are listed, so that a misspelt one is refused before anything is built; a
    file and a stored model may have any name."""
    for name in registry.list_recipes():
        hints = registry.find(name).hints()
        assert str not in [
            hint for argument, hint in hints.items() if argument not in ("data", "model")
        ], name


def test_a_misspelt_choice_is_refused_with_the_choices():
    with pytest.raises(
        ValueError,
        match=r"Literal\['enumeration', 'relaxation', 'score_function'\]. Received: "
        r"estimator='enumerate'",
    ):
        registry.find("joint_vae_mnist").build({"estimator": "enumerate"})
    with pytest.raises(ValueError, match="Received: scale='shred'"):
        registry.find("vae_mnist_gaussian").build({"scale": "shred"})


def test_the_score_function_of_joint_vae_takes_a_step():
    file = registry.find("joint_vae_mnist")
    model = file.build(
        {"estimator": "score_function", "hidden_units": (4,), "latent_dim": 2}
    ).model()
    model.compile("adam", run_eagerly=True)
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28, 1)).astype(np.uint8)
    assert np.isfinite(model.fit(images, batch_size=20, verbose=0).history["loss"][0])
