"""What a network does in training alone, it does in `fit`, in every mode, and nowhere else."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests import small_models
from tests.conftest import IMAGE_SHAPE
from zoo import layers, networks
from zoo.layers.noise import RowKeyedLayer
from zoo.random import RowNoise, layers_draw

MODES = {
    "xla-block": {"jit_compile": True},
    "tf-loop": {"jit_compile": False},
    "eager": {"run_eagerly": True},
}
IMAGES = np.random.default_rng(0).integers(0, 256, (32, *IMAGE_SHAPE)).astype(np.uint8)
LABELS = np.arange(32, dtype=np.int32) % small_models.K


@keras.saving.register_keras_serializable(package="tests")
class Witness(keras.layers.Layer):
    """A small network that writes down whether it is called in training."""

    def __init__(self, output_size, **kwargs):
        super().__init__(**kwargs)
        self.output_size = output_size
        self.network = networks.MLP((6,), output_size, "tanh")
        self.seen = []

    def get_config(self):
        return {**super().get_config(), "output_size": self.output_size}

    def build(self, x_shape, condition_shape=None):
        self.network.build(x_shape, condition_shape)

    def call(self, x, condition=None, training=None):
        self.seen.append(training)
        return self.network(x, condition=condition)


def cvae():
    return zoo.CVAE(*small_models.parts(), num_classes=small_models.K)


MODELS = {
    "vae": lambda **kwargs: zoo.VAE(*small_models.parts(), **kwargs),
    "beta": lambda: zoo.BetaVAE(*small_models.parts()),
    "cvae": cvae,
    "completion": small_models.completion,
    "hierarchical": small_models.hierarchical,
    "vamp": small_models.vamp,
    "hierarchical vamp": small_models.hierarchical_vamp,
    "class and style": small_models.class_style,
    "semi-supervised": lambda: small_models.class_style(zoo.SemiSupervisedVAE),
    "stacked": small_models.stacked,
    "autoencoder": small_models.autoencoder,
    "path derivative": lambda: MODELS["vae"](objective=zoo.objectives.PathDerivative()),
    "importance weighted": lambda: MODELS["vae"](
        objective=zoo.objectives.ImportanceWeighted(num_samples=2)
    ),
    "vimco": lambda: MODELS["vae"](objective=zoo.objectives.VIMCO(num_samples=2)),
    "score function": lambda: MODELS["vae"](
        objective=zoo.objectives.ScoreFunction(baseline=Witness(1))
    ),
    "relaxation": lambda: small_models.class_style(objective=zoo.objectives.Relaxation()),
}


@pytest.mark.parametrize("name", MODELS)
def test_training_reaches_every_network_in_fit_and_none_in_evaluate(name, monkeypatch):
    monkeypatch.setattr(small_models, "mlp", Witness)
    model = MODELS[name]()
    witnesses = [layer for layer in model._flatten_layers() if isinstance(layer, Witness)]
    frozen = {id(layer) for layer in model.base._flatten_layers()} if name == "stacked" else set()
    assert len(witnesses) >= 2
    model.compile(run_eagerly=True)
    data = {"image": IMAGES, "label": LABELS}
    for run, expected in ((model.fit, True), (model.evaluate, False)):
        for witness in witnesses:
            witness.seen.clear()
        run(data, batch_size=16, verbose=0)
        for witness in witnesses:
            assert set(witness.seen) == {expected and id(witness) not in frozen}, witness.name


def with_layers(*inner, output_size=6):
    return keras.Sequential(
        [
            keras.layers.Flatten(),
            keras.layers.Dense(8, "relu"),
            *inner,
            keras.layers.Dense(output_size),
        ]
    )


def make(encoder, **arguments):
    keras.utils.set_random_seed(0)
    likelihood = layers.Bernoulli(IMAGE_SHAPE)
    return zoo.VAE(
        encoder,
        networks.MLP((8,), likelihood.num_params),
        layers.DiagonalNormal(3),
        likelihood,
        **arguments,
    )


def weights_of(model):
    return [weight.numpy() for weight in model.weights]


@pytest.mark.parametrize("mode", MODES)
def test_batch_normalization_learns_its_statistics_in_fit_and_leaves_them_in_evaluate(mode):
    layer = keras.layers.BatchNormalization(momentum=0.5)
    model = make(with_layers(layer))
    model.compile(keras.optimizers.SGD(0.0), **MODES[mode])
    model.fit(IMAGES, batch_size=16, epochs=20, shuffle=False, verbose=0)
    # Grey levels as probabilities of white: the mean over binarizations of what the layer is given.
    x = keras.ops.convert_to_numpy(model.encoder.layers[0](IMAGES / np.float32(255)))
    moved = layer.moving_mean.numpy()
    assert moved.max() > 0.1
    assert (
        abs(np.mean(moved) - np.mean(keras.ops.relu(x @ model.encoder.layers[1].kernel.numpy())))
        < 0.1
    )
    before = weights_of(model)
    model.evaluate(IMAGES, verbose=0)
    model.predict(IMAGES, verbose=0)
    for a, b in zip(weights_of(model), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "layer", [keras.layers.Dropout(0.999999), layers.Dropout(0.999999)], ids=["keras", "zoo"]
)
@pytest.mark.parametrize("mode", MODES)
def test_dropout_of_nearly_everything_leaves_no_gradient(mode, layer):
    model = make(with_layers(layer))
    model.compile(keras.optimizers.SGD(0.1), **MODES[mode])
    kernel = model.encoder.layers[1].kernel
    before = kernel.numpy()
    model.fit(IMAGES, batch_size=16, verbose=0)
    np.testing.assert_allclose(kernel.numpy(), before, atol=1e-3)
    assert np.abs(model.encode(IMAGES).mean()).max() > 1e-3  # and drops nothing elsewhere


@pytest.mark.parametrize(
    "objective",
    [
        pytest.param(zoo.objectives.ELBO(num_samples=2), id="ELBO", marks=pytest.mark.slow),
        pytest.param(zoo.objectives.PathDerivative(), id="PathDerivative"),
    ],
)
def test_row_keyed_noise_is_the_same_in_every_mode(objective):
    trained = {}
    for mode, arguments in MODES.items():
        keras.utils.set_random_seed(0)
        encoder = with_layers(layers.Dropout(0.3), layers.GaussianNoise(0.5))
        decoder = with_layers(layers.Dropout(0.5), output_size=16)
        model = zoo.VAE(
            encoder,
            decoder,
            layers.DiagonalNormal(3),
            layers.Bernoulli(IMAGE_SHAPE),
            objective=objective,
        )
        model.compile(keras.optimizers.SGD(0.01), **arguments)
        model.fit(IMAGES, batch_size=16, epochs=2, verbose=0)
        trained[mode] = weights_of(model)
    for mode in ("xla-block", "tf-loop"):
        for a, b in zip(trained[mode], trained["eager"], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=mode)


def drawn(layer, x, step=0, rows=None):
    rows = tf.range(len(x)) if rows is None else tf.constant(rows)
    with layers_draw(RowNoise(0, step, rows)):
        return layer(x, training=True).numpy()


def test_row_keyed_dropout_drops_its_rate_and_keeps_the_mean():
    x = np.ones((2000, 10), np.float32)
    y = drawn(layers.Dropout(0.3), x)
    assert set(np.unique(y)) == {np.float32(0.0), np.float32(1 / 0.7)}
    error = (0.3 * 0.7 / y.size) ** 0.5
    assert abs(np.mean(y == 0) - 0.3) < 4 * error
    noise = drawn(layers.GaussianNoise(2.0), x) - 1
    assert abs(noise.std() - 2.0) < 4 * 2.0 / (2 * y.size) ** 0.5
    assert abs(noise.mean()) < 4 * 2.0 / y.size**0.5


def test_row_keyed_noise_belongs_to_the_row_the_step_the_layer_and_the_sample():
    x = np.ones((6, 50), np.float32)
    first, second = layers.Dropout(0.5), layers.Dropout(0.5)
    second.number = 1
    whole = drawn(first, x)
    np.testing.assert_array_equal(drawn(first, x[:2], rows=[4, 1]), whole[[4, 1]])
    assert not np.array_equal(drawn(first, x, step=1), whole)
    assert not np.array_equal(drawn(second, x), whole)
    samples = drawn(first, np.ones((12, 50), np.float32), rows=range(6))  # two samples of six rows
    np.testing.assert_array_equal(samples[:6], whole)
    assert not np.array_equal(samples[6:], whole)
    np.testing.assert_array_equal(first(x), x)


def test_row_keyed_noise_outside_of_a_step_says_what_to_use():
    with pytest.raises(
        ValueError,
        match=r"zoo.layers.Dropout draws by row.* use keras.layers.Dropout. Received: a call "
        r"with training=True",
    ):
        layers.Dropout(0.5)(np.ones((2, 3), np.float32), training=True)
    for rate in (-0.1, 1.0, float("nan"), "half", True):
        with pytest.raises(ValueError, match=f"`rate` must be a fraction.*Received: rate={rate!r}"):
            layers.Dropout(rate)
    with pytest.raises(ValueError, match="Received: stddev=-1"):
        layers.GaussianNoise(-1)


def test_layers_that_draw_by_row_are_numbered_and_saved(tmp_path):
    model = make(with_layers(layers.Dropout(0.5), layers.GaussianNoise(0.1)))
    model.compile()
    model.build_optimizer()
    assert [
        layer.number for layer in model._flatten_layers() if isinstance(layer, RowKeyedLayer)
    ] == [0, 1]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [layer.get_config() for layer in loaded.encoder.layers] == [
        layer.get_config() for layer in model.encoder.layers
    ]


def test_a_network_may_be_a_functional_model_of_two_inputs():
    image, label = keras.Input(IMAGE_SHAPE), keras.Input((3,))
    merged = keras.layers.Concatenate()([keras.layers.Flatten()(image), label])
    encoder = keras.Model([image, label], keras.layers.Dense(6)(keras.layers.Dropout(0.1)(merged)))
    likelihood = layers.Bernoulli(IMAGE_SHAPE)
    arguments = (layers.DiagonalNormal(3), likelihood)
    model = zoo.CVAE(encoder, networks.MLP((4,), likelihood.num_params), *arguments, num_classes=3)
    model.compile()
    assert np.isfinite(model.fit({"image": IMAGES, "label": LABELS}, verbose=0).history["loss"][0])
    unaware = with_layers()
    with pytest.raises(
        ValueError,
        match=r"takes the condition: as `call\(x, condition=None\)`, or as the second "
        r"input.*Sequential",
    ):
        zoo.CVAE(unaware, networks.MLP((4,), likelihood.num_params), *arguments, num_classes=3)
