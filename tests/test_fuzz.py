"""Whatever a method is given, it answers, or says in one line what is wrong with it. Examples are
the same each time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import zoo
from tests import small_models
from tests.conftest import IMAGE_SHAPE
from tests.fuzzing import ANYTHING, outcome, scratch_in, tried
from zoo import layers, losses, networks, objectives, schedules
from zoo.images import center_column, quadrants

IMAGES = np.random.default_rng(0).integers(0, 256, (6, *IMAGE_SHAPE)).astype(np.uint8)
BLACK_AND_WHITE = IMAGES > 127
LABELS = small_models.LABELS[:6]
CONDITION = np.eye(small_models.K, dtype=np.float32)[LABELS]
MODELS = {
    "vae": lambda: zoo.VAE(*small_models.parts()),
    "beta": lambda: zoo.BetaVAE(*small_models.parts()),
    "cvae": lambda: zoo.CVAE(*small_models.parts(), num_classes=small_models.K),
    "completion": small_models.completion,
    "hierarchical": small_models.hierarchical,
    "vamp": small_models.vamp,
    "class and style": small_models.class_style,
    "semi-supervised": lambda: small_models.class_style(zoo.SemiSupervisedVAE),
    "stacked": small_models.stacked,
    "autoencoder": small_models.autoencoder,
}
# Method -> arguments that are fine; those of CONDITIONED go besides to models of images given their
# class.
METHODS = {
    "fit": {
        "x": {"image": IMAGES, "label": LABELS},
        "epochs": 1,
        "batch_size": 3,
        "initial_epoch": 0,
        "initial_step": 0,
        "steps_per_epoch": 2,
        "validation_split": 0.0,
        "validation_data": None,
        "validation_batch_size": 2,
        "validation_steps": None,
        "y": None,
        "sample_weight": None,
        "class_weight": None,
    },
    "evaluate": {
        "x": {"image": IMAGES, "label": LABELS},
        "batch_size": 3,
        "steps": None,
        "y": None,
        "sample_weight": None,
    },
    "predict": {"x": {"image": IMAGES, "label": LABELS}, "batch_size": 3, "steps": None},
    "encode": {"x": IMAGES},
    "decode": {"z": np.zeros((6, 2), np.float32)},
    "reconstruct": {"x": IMAGES},
    "sample": {"num_rows": 2, "seed": 0},
    "log_prob": {"x": BLACK_AND_WHITE, "num_samples": 2, "seed": 0},
    "prior": {},
    "classify": {"x": IMAGES},
    "transfer": {"x": IMAGES, "from_label": LABELS, "to_label": LABELS},
    "start_at_mean": {"images": IMAGES},
    "train_on_batch": {"x": IMAGES},
    "compile": {
        "optimizer": "adam",
        "jit_compile": False,
        "run_eagerly": True,
        "steps_per_execution": None,
    },
}
CONDITIONED = ("encode", "decode", "reconstruct", "sample", "log_prob", "prior")
QUIET = ("fit", "evaluate", "predict")


@pytest.fixture(scope="module")
def models():
    made = {name: make() for name, make in MODELS.items()}
    for model in made.values():
        model.compile(run_eagerly=True)  # nothing is compiled for what is tried once
    return made


def draw_call(data, models):
    """(model, method, arguments) of a call with one or two arguments of any kind."""
    name = data.draw(st.sampled_from(sorted(models)), "model")
    method = data.draw(
        st.sampled_from([method for method in METHODS if hasattr(models[name], method)]), "method"
    )
    arguments = dict(METHODS[method])
    if method in CONDITIONED and name != "autoencoder":
        arguments["condition"] = None
    if name == "cvae" and method in CONDITIONED:
        arguments["condition"] = CONDITION[:2] if method == "sample" else CONDITION
    return models[name], method, with_odd(data, arguments)


def check_methods(models, data):
    model, method, arguments = draw_call(data, models)
    if method in QUIET:
        arguments["verbose"] = 0
    try:
        outcome(lambda: getattr(model, method)(**arguments))
    finally:
        if method == "compile":
            model.compile(run_eagerly=True)


# Class or function -> arguments that are fine.
CONSTRUCTORS = [
    (layers.Bernoulli, {"event_shape": IMAGE_SHAPE}),
    (layers.ContinuousBernoulli, {"event_shape": IMAGE_SHAPE}),
    (layers.Normal, {"event_shape": IMAGE_SHAPE, "scale": 1.0}),
    (layers.Laplace, {"event_shape": IMAGE_SHAPE, "scale": 1.0}),
    (layers.CategoricalLevels, {"event_shape": IMAGE_SHAPE}),
    (
        layers.DiscretizedLogisticMixture,
        {"event_shape": IMAGE_SHAPE, "num_components": 2},
    ),
    (layers.DiscretizedLogistic, {"event_shape": IMAGE_SHAPE, "scale": "shared"}),
    (layers.DiagonalNormal, {"latent_dim": 2}),
    (layers.FullCovarianceNormal, {"latent_dim": 2}),
    (layers.Categorical, {"latent_dim": 2}),
    (layers.StandardNormal, {"latent_dim": 2}),
    (layers.UniformCategorical, {"num_classes": 2}),
    (layers.VampPrior, {"num_components": 2, "image_shape": IMAGE_SHAPE}),
    (
        layers.Conditional,
        {"network": networks.MLP((2,), 4), "distribution": layers.DiagonalNormal(2)},
    ),
    (layers.Dropout, {"rate": 0.5}),
    (layers.GaussianNoise, {"stddev": 0.5}),
    (
        layers.Sample,
        {
            "posterior": layers.DiagonalNormal(2),
            "prior": layers.StandardNormal(2),
            "seed": 0,
            "weight": 1.0,
        },
    ),
    (objectives.ELBO, {"num_samples": 1}),
    (objectives.FreeBits, {"nats": 0.1, "num_samples": 1}),
    (objectives.ImportanceWeighted, {"num_samples": 2}),
    (objectives.PathDerivative, {"num_samples": 2}),
    (objectives.DoublyReparameterized, {"num_samples": 2}),
    (objectives.ScoreFunction, {"num_samples": 2, "baseline": None}),
    (objectives.VIMCO, {"num_samples": 2}),
    (objectives.Enumeration, {}),
    (objectives.Relaxation, {"temperature": 0.5}),
    (schedules.Constant, {"value": 1.0}),
    (schedules.Linear, {"start": 0.0, "end": 1.0, "num_steps": 3}),
    (schedules.Cyclical, {"period": 3, "ramp": 0.5, "low": 0.0, "high": 1.0}),
    (schedules.Exponential, {"start": 1.0, "end": 0.5, "rate": 0.1}),
    (losses.NegativeLogLikelihood, {}),
    (networks.MLP, {"hidden_units": (2,), "output_size": 2, "activation": "relu"}),
    (
        networks.ConvEncoder,
        {
            "output_size": 2,
            "filters": (2,),
            "kernel_size": 2,
            "hidden_units": (2,),
            "activation": "relu",
        },
    ),
    (
        networks.ConvDecoder,
        {
            "image_shape": IMAGE_SHAPE,
            "output_size": 16,
            "filters": (2,),
            "kernel_size": 2,
            "hidden_units": (2,),
            "activation": "relu",
        },
    ),
    (quadrants, {"image_shape": IMAGE_SHAPE, "num_seen": 1}),
    (center_column, {"image_shape": IMAGE_SHAPE, "num_seen": 1}),
    (
        zoo.Recipe,
        {
            "family": "VAE",
            "model": len,
            "optimizer": len,
            "dataset": None,
            "epochs": 1,
            "batch_size": 1,
            "seed": 0,
            "keep": "last",
        },
    ),
    (
        zoo.Dataset,
        {
            "name": "digits",
            "train": "train",
            "validation": "test",
            "test": "test",
            "binarization": "grey",
        },
    ),
]
PARTS = dict(
    zip(("encoder", "decoder", "posterior", "likelihood"), small_models.parts(), strict=True)
)
VAE_ARGUMENTS = {
    **PARTS,
    "prior": None,
    "objective": None,
    "pixels": None,
    "condition_shape": None,
    "seed": 0,
}
CONSTRUCTORS += [
    (zoo.VAE, VAE_ARGUMENTS),
    (zoo.BetaVAE, {**VAE_ARGUMENTS, "beta": 2.0}),
    (zoo.CapacityVAE, {**VAE_ARGUMENTS, "capacity": 2.0, "gamma": 1.0}),
    (zoo.CVAE, {**PARTS, "num_classes": 3}),
    (
        zoo.CompletionCVAE,
        {**PARTS, "prior": layers.StandardNormal(2), "visible": quadrants(IMAGE_SHAPE, 1)},
    ),
    (
        zoo.Autoencoder,
        {
            "encoder": networks.MLP((2,), 2),
            "decoder": networks.MLP((2,), 16),
            "likelihood": layers.Bernoulli(IMAGE_SHAPE),
        },
    ),
    (zoo.ClassStyleVAE, {"classifier": networks.MLP((2,), 3), **PARTS, "num_classes": 3}),
]


def with_odd(data, fine, kept=()):
    """The arguments, with one or two of any kind in their places."""
    arguments, candidates = dict(fine), sorted(set(fine) - set(kept))
    if candidates:
        for odd in data.draw(
            st.lists(st.sampled_from(candidates), min_size=1, max_size=2, unique=True), "odd"
        ):
            arguments[odd] = data.draw(ANYTHING, odd)
    return arguments


def check_constructors(data):
    function, fine = data.draw(st.sampled_from(CONSTRUCTORS), "of")
    arguments = with_odd(data, fine)
    outcome(lambda: function(**arguments))


def check_functions(model, directory, data, left_out=()):
    functions = {
        "load": (zoo.load, {"source": "vae_digits", "version": None}),
        "data": (
            zoo.data.load,
            {
                "name": "digits",
                "split": "test",
                "data_dir": None,
                "binarization": "grey",
                "seed": 0,
            },
        ),
        "batches": (
            zoo.data.batches,
            {
                "name": "digits",
                "split": "test",
                "batch_size": 3,
                "shuffle": False,
                "seed": 0,
                "data_dir": None,
                "binarization": "grey",
            },
        ),
        "evaluate": (
            zoo.evaluate,
            {
                "model": model,
                "examples": IMAGES,
                "num_samples": 2,
                "seed": 0,
                "split": "test",
                "metrics": (),
                "verbose": 0,
            },
        ),
        "export": (
            zoo.export,
            {"model": model, "directory": str(directory / "export"), "version": None, "card": None},
        ),
    }
    name = data.draw(st.sampled_from(sorted(set(functions) - set(left_out))), "function")
    function, fine = functions[name]
    arguments = with_odd(data, fine, ["verbose"])
    outcome(lambda: function(**arguments), (ValueError, TypeError, OSError))
    assert scratch_in(directory) == []


@tried(100)
@given(data=st.data())
def test_methods(models, data):
    check_methods(models, data)


@tried(150)
@given(data=st.data())
def test_constructors(data):
    check_constructors(data)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@tried(40)
@given(data=st.data())
def test_functions(models, place, data):
    check_functions(models["vae"], place, data, left_out=["export"])  # which takes seconds


@pytest.mark.slow
@tried(2000)
@given(data=st.data())
def test_many_methods(models, data):
    check_methods(models, data)


@pytest.mark.slow
@tried(2000)
@given(data=st.data())
def test_many_constructors(data):
    check_constructors(data)


@pytest.mark.slow
@tried(400)
@given(data=st.data())
def test_many_functions(models, place, data):
    check_functions(models["vae"], place, data)
