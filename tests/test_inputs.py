"""One meaning of an input, whoever is asked; and what brings data to `fit`."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests import small_models
from tests.conftest import IMAGE_SHAPE
from zoo import layers, networks, validation
from zoo.engine import inputs
from zoo.observations.image import check_image_stream, check_images

LEVELS = np.random.default_rng(0).integers(0, 256, (24, *IMAGE_SHAPE)).astype(np.uint8)
LABELS = np.arange(24, dtype=np.int32) % 3
FORMS = {
    "int64": LEVELS.astype(np.int64),
    "uint16": LEVELS.astype(np.uint16),
    "float32": LEVELS / np.float32(255),
    "float64": LEVELS / 255.0,
    "tensor of uint8": tf.constant(LEVELS),
    "tensor of int32": tf.constant(LEVELS, tf.int32),
    "tensor of floats": tf.constant(LEVELS / 255.0, tf.float32),
    "without channels": LEVELS[..., 0],
    "tensor without channels": tf.constant(LEVELS[..., 0]),
    "list": LEVELS.tolist(),
}


@pytest.fixture(scope="module")
def vae():
    model = zoo.VAE(*small_models.parts())
    model.compile(jit_compile=False)
    return model


@pytest.fixture(scope="module")
def cvae():
    model = zoo.CVAE(*small_models.parts(), num_classes=3)
    model.compile(jit_compile=False)
    return model


METHODS = {
    "reconstruct": lambda model, x: model.reconstruct(x),
    "encode": lambda model, x: model.encode(x).mean(),
    "call": lambda model, x: model(np.asarray(x) if isinstance(x, list) else x).posterior.mean(),
    "predict": lambda model, x: model.predict(
        np.asarray(x) if isinstance(x, list) else x, verbose=0
    ),
    "predict_on_batch": lambda model, x: model.predict_on_batch(x),
    "latent_parameters": lambda model, x: model.latent_parameters(x)["loc"],
    "prepared for fit": lambda model, x: np.asarray(model.standardize(x)["image"], np.float32)
    / (255 if model.standardize(x)["image"].dtype == np.uint8 else 1),
}


@pytest.mark.parametrize("method", METHODS)
def test_the_same_images_mean_the_same_to_every_method(vae, method):
    expected = np.asarray(METHODS[method](vae, LEVELS))
    for form, images in FORMS.items():
        np.testing.assert_allclose(
            METHODS[method](vae, images), expected, rtol=1e-4, atol=1e-5, err_msg=form
        )


def test_bools_are_white_and_black(vae):
    white = LEVELS > 127
    expected = vae.reconstruct(white.astype(np.float32))
    for images in (white, tf.constant(white)):
        np.testing.assert_allclose(vae.reconstruct(images), expected, rtol=1e-5)
        np.testing.assert_allclose(
            vae.log_prob(images, 3), vae.log_prob(white.astype(np.float32), 3), rtol=1e-5
        )
    np.testing.assert_array_equal(
        check_image_stream(tf.constant(white), IMAGE_SHAPE), white.astype(np.float32)
    )


BAD = {
    "levels as floats": (
        LEVELS.astype(np.float32),
        r"float32 pixels in \[0, 255\]. Divide by 255, or pass uint8",
    ),
    "negative": (LEVELS.astype(np.int32) - 1, r"int32 pixels in \[-1, 254\]"),
    "NaN": (np.where(LEVELS > 250, np.nan, LEVELS / 255.0), r"Received: \d+ images with NaN"),
    "0 and 1": (
        (LEVELS > 127).astype(np.uint8),
        r"integers 0 and 1 would be black.*Received: uint8 pixels in \[0, 1\]. Multiply "
        r"by 255, or pass bools or floats",
    ),
    "0 and 1 as int64": (
        (LEVELS > 127).astype(np.int64),
        r"Received: int64 pixels in \[0, 1\]. Multiply by 255",
    ),
    "another shape": (
        LEVELS[:, :3],
        r"must have the shape \(4, 4, 1\). Received: images of shape \(3, 4, 1\)",
    ),
    "text": (np.full(LEVELS.shape, "a"), "Received: dtype (<U1|object)"),
    "none": (LEVELS[:0], r"There are no images. Received: an array of shape \(0, 4, 4, 1\)"),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", BAD)
def test_the_same_images_are_refused_by_every_method(vae, method, case):
    images, message = BAD[case]
    for form in (images, tf.constant(images)):
        if method == "call" and case in ("text", "none"):
            continue  # Keras itself converts what a layer is called with
        with pytest.raises(ValueError, match=message):
            METHODS[method](vae, form)


def test_black_images_are_black_and_one_bright_pixel_makes_levels(vae):
    black = np.zeros((3, *IMAGE_SHAPE), np.uint8)
    assert check_images(black, IMAGE_SHAPE).max() == 0
    levels = (LEVELS > 127).astype(np.uint8)
    levels[0, 0, 0, 0] = 2
    assert check_images(levels, IMAGE_SHAPE) is not None


def test_integers_0_and_1_in_a_stream_are_refused_with_its_first_block():
    model = zoo.VAE(*small_models.parts())
    model.compile(jit_compile=False)
    for dtype in (np.uint8, np.int64):
        with pytest.raises(ValueError, match="integers 0 and 1 would be black"):
            model.fit(
                tf.data.Dataset.from_tensor_slices((LEVELS > 127).astype(dtype)).batch(8), verbose=0
            )
        with pytest.raises(tf.errors.InvalidArgumentError, match="integers 0 and 1 would be black"):
            model.predict(
                tf.data.Dataset.from_tensor_slices((LEVELS > 127).astype(dtype)).batch(8), verbose=0
            )
    assert int(model.optimizer.iterations) == 0
    model.fit(tf.data.Dataset.from_tensor_slices(LEVELS.astype(np.int64)).batch(8), verbose=0)


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [(np.int32, 256, r"is outside 0 ... 255"), (np.int16, -1, r"is outside 0 ... 255")],
)
def test_integers_out_of_range_in_a_stream_stop_the_run(vae, dtype, value, message):
    images = LEVELS.astype(dtype)
    images[-1, 0, 0, 0] = value
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        vae.fit(tf.data.Dataset.from_tensor_slices(images).batch(8), verbose=0)


def test_a_stream_without_batches_is_told_of_batch(vae):
    with pytest.raises(
        ValueError,
        match=r"A stream brings batches \[B, ...\]: add `.batch\(32\)`. Received: single images "
        r"of shape \(4, 4, 1\)",
    ):
        vae.fit(tf.data.Dataset.from_tensor_slices(LEVELS), verbose=0)


def test_grey_images_have_no_log_probability_under_a_bernoulli(vae):
    with pytest.raises(
        ValueError,
        match=r"Under Bernoulli only black and white images have a log-probability. Received: "
        r"grey levels. Pass",
    ):
        vae.log_prob(LEVELS)
    completion = small_models.completion()
    with pytest.raises(ValueError, match="Received: grey levels"):
        completion.log_prob(LEVELS)
    assert vae.log_prob(LEVELS > 127, 3).shape == (24,)


# -- Labels and conditions


def test_a_conditional_model_predicts_what_it_was_fitted_on(cvae):
    data = {"image": LEVELS, "label": LABELS}
    expected = np.asarray(cvae.reconstruct(LEVELS, LABELS))
    streams = [
        tf.data.Dataset.from_tensor_slices(each).batch(10)
        for each in (data, {"image": LEVELS, "condition": np.eye(3)[LABELS]})
    ]
    for x in (data, {"image": LEVELS, "condition": LABELS.astype(np.int64)}, *streams):
        np.testing.assert_allclose(cvae.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        cvae(data).posterior.mean(), cvae.encode(LEVELS, LABELS).mean(), rtol=1e-5
    )
    with pytest.raises(ValueError, match="needs a label for each example"):
        cvae.predict(LEVELS, verbose=0)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS + 1, r"Labels must lie in 0 ... 2. Received: labels in 1 ... 3"),
        (LABELS.astype(np.int64) - 1, "Received: labels in -1 ... 1"),
        (LABELS.astype(str), r"Labels must be integers. Received: dtype <U11. `numpy.unique"),
        (LABELS.astype(np.float32), "Labels must be integers. Received: dtype float32"),
        (LABELS[:5], r"must have the shape \[24, 3\]. Received: shape \(5, 3\)"),
        (
            7 * np.eye(3)[LABELS],
            r"one-hot row that adds up to 1. Received: row 0 is \[7.0, 0.0, 0.0\]",
        ),
        (
            np.eye(3, dtype=np.int32)[LABELS] * 7,
            r"one-hot row that adds up to 1. Received: row 0 is \[7, 0, 0\]",
        ),
        (
            np.zeros((24, 3), np.float32),
            r"one-hot row that adds up to 1. Received: row 0 is \[0.0, 0.0, 0.0\]",
        ),
        (
            np.where(np.eye(3)[LABELS] > 0, np.nan, 0.0),
            "`condition` must hold finite numbers. Received: NaN or infinity",
        ),
    ],
)
def test_labels_that_are_none_are_refused_in_data(cvae, labels, message):
    with pytest.raises(ValueError, match=message):
        cvae.fit({"image": LEVELS, "label": labels}, verbose=0)
    for method in cvae.encode, cvae.reconstruct:
        with pytest.raises(ValueError, match=message):
            method(LEVELS, labels)


@pytest.mark.parametrize("number", [5, 1, 30])
def test_conditions_are_as_many_as_images(cvae, number):
    condition, message = (
        np.resize(LABELS, number),
        rf"must have the shape \[24, 3\]. Received: shape \({number}, 3\)",
    )
    with pytest.raises(ValueError, match=message):
        cvae.log_prob(LEVELS > 127, condition=condition)
    with pytest.raises(ValueError, match=message):
        cvae.encode(LEVELS, tf.constant(condition))
    for name in "label", "condition":
        stream = tf.data.Dataset.from_tensors({"image": LEVELS, name: condition})
        with pytest.raises(
            tf.errors.InvalidArgumentError, match="There must be one condition for each image"
        ):
            cvae.fit(stream, verbose=0)
    z = np.zeros((24, 2), np.float32)
    if number == 1:
        np.testing.assert_array_equal(
            cvae.decode(z, condition).mean(), cvae.decode(z, np.repeat(condition, 24)).mean()
        )
    else:
        with pytest.raises(
            ValueError,
            match=rf"or one for all. Received: {number} conditions, z of shape \(24, 2\)",
        ):
            cvae.decode(z, condition)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            np.zeros((24, 3), np.float32),
            "one-hot row that adds up to 1. Received: a batch with others",
        ),
        (
            7 * np.eye(3, dtype=np.int64)[LABELS],
            "one-hot row that adds up to 1. Received: a batch with others",
        ),
        (np.full((24, 3), np.nan), "one-hot row that adds up to 1. Received: a batch with others"),
    ],
)
def test_rows_that_are_not_one_hot_are_refused_in_streams(cvae, rows, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        cvae.fit(
            tf.data.Dataset.from_tensor_slices({"image": LEVELS, "condition": rows}).batch(8),
            verbose=0,
        )


def test_conditions_in_a_stream_are_finite():
    model = zoo.VAE(*small_models.parts(), condition_shape=(3,))
    model.compile(jit_compile=False)
    stream = tf.data.Dataset.from_tensor_slices(
        {"image": LEVELS, "condition": np.full((24, 3), np.inf)}
    ).batch(8)
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match="`condition` must hold finite numbers. Received: a batch with NaN or infinity",
    ):
        model.fit(stream, verbose=0)


@pytest.mark.parametrize("shift", [-1, 1])
def test_labels_out_of_range_are_refused_as_tensors_and_in_streams(cvae, shift):
    with pytest.raises(ValueError, match=r"Labels must lie in 0 ... 2. Received: labels in"):
        cvae.encode(LEVELS, tf.constant(LABELS + shift))
    data = {"image": LEVELS, "label": LABELS + shift}
    for model in (cvae, small_models.class_style(zoo.SemiSupervisedVAE)):
        model.compile(jit_compile=False)
        if shift == -1 and model is not cvae:
            continue  # -1 is a label that is not known
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"Labels must lie in 0 ... 2"):
            model.fit(tf.data.Dataset.from_tensor_slices(data).batch(8), verbose=0)


def test_text_for_labels_in_a_stream_is_told(cvae):
    with pytest.raises(ValueError, match="Labels must be integers. Received: text"):
        cvae.fit(
            tf.data.Dataset.from_tensor_slices(
                {"image": LEVELS, "label": LABELS.astype(str)}
            ).batch(8),
            verbose=0,
        )


def test_models_without_a_condition_refuse_one(vae):
    condition = np.eye(3, dtype=np.float32)[LABELS]
    asked = [
        lambda: vae.encode(LEVELS, condition),
        lambda: vae.reconstruct(LEVELS, condition),
        lambda: vae.sample(24, condition=condition),
        lambda: vae.log_prob(LEVELS > 127, condition=condition),
        lambda: vae.fit({"image": LEVELS, "condition": condition}, verbose=0),
        lambda: small_models.autoencoder().reconstruct(LEVELS, condition),
    ]
    for make in (
        small_models.hierarchical,
        small_models.class_style,
        small_models.stacked,
        small_models.vamp,
        small_models.hierarchical_vamp,
    ):
        model = make()
        z = tf.nest.map_structure(lambda samples: samples[0], model(LEVELS).z)
        asked += [
            functools.partial(model.encode, LEVELS, condition),
            functools.partial(model.decode, z, condition),
            functools.partial(model.prior, condition),
        ]
    for ask in asked:
        with pytest.raises(
            ValueError, match=r"takes no condition here. Received: a condition of shape \(24, 3\)"
        ):
            ask()
    with pytest.raises(
        ValueError, match="The condition of a CompletionCVAE is a part of the image"
    ):
        small_models.completion().standardize({"image": LEVELS, "condition": condition})


# -- The start at the mean


@pytest.mark.parametrize("form", FORMS)
def test_start_at_mean_knows_every_form(form):
    bias = []
    for images in (LEVELS, FORMS[form]):
        model = zoo.VAE(*small_models.parts())
        model.start_at_mean(images)
        bias.append(model.decoder.stack[-1].bias.numpy())
    np.testing.assert_allclose(bias[1], bias[0], rtol=1e-4, atol=1e-5)


def test_start_at_mean_of_a_decoder_of_ones_own():
    encoder, _, posterior, likelihood = small_models.parts()
    own = keras.Sequential([keras.layers.Dense(5, "relu"), keras.layers.Dense(16)])
    model = zoo.VAE(encoder, own, posterior, likelihood)
    model.start_at_mean(LEVELS)
    mean = (LEVELS / 255.0).mean(axis=0).ravel()
    np.testing.assert_allclose(tf.sigmoid(own.layers[-1].bias), mean, atol=1e-3)
    for last in (keras.layers.Activation("linear"), keras.layers.Dense(16, use_bias=False)):
        other = zoo.VAE(
            encoder, keras.Sequential([keras.layers.Dense(16), last]), posterior, likelihood
        )
        with pytest.raises(
            ValueError,
            match=r"must end in a layer whose `bias` has 16 numbers, or have a method.*Received: "
            r"Sequential",
        ):
            other.start_at_mean(LEVELS)


# -- What brings batches


class Pictures(keras.utils.PyDataset):
    def __init__(self, bring):
        super().__init__()
        self.bring = bring

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return self.bring(index)


class Loader:
    """Walked by batches, as PyTorch's DataLoader is."""

    def __iter__(self):
        return (LEVELS[8 * i : 8 * i + 8] for i in range(3))

    def __len__(self):
        return 3


def batch(index):
    return LEVELS[8 * index : 8 * index + 8]


# Keras, at the end of whatever has no length.
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_python_that_brings_batches_trains_as_arrays_do():
    def losses(x, epochs=2, **arguments):
        keras.utils.set_random_seed(0)
        model = zoo.VAE(*small_models.parts())
        model.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
        return model.fit(x, epochs=epochs, shuffle=False, verbose=0, **arguments).history["loss"]

    expected = losses(LEVELS, batch_size=8)
    for x in (
        Pictures(batch),
        Pictures(lambda i: {"image": batch(i), "label": LABELS[:8]}),
        Pictures(lambda i: (batch(i), None)),
        Loader(),
    ):
        np.testing.assert_allclose(losses(x), expected, rtol=1e-5)
    np.testing.assert_allclose(losses(map(batch, range(3)), epochs=1), expected[:1], rtol=1e-5)
    np.testing.assert_allclose(
        losses((batch(i % 3) for i in range(6)), steps_per_epoch=3), expected, rtol=1e-5
    )
    assert np.isfinite(losses(LEVELS, validation_data=Pictures(batch))).all()


def test_python_that_brings_batches_predicts_and_evaluates(vae):
    np.testing.assert_allclose(
        vae.predict(Pictures(batch), verbose=0),
        vae.predict(LEVELS, verbose=0),
        rtol=1e-5,
        atol=1e-6,
    )
    np.testing.assert_allclose(
        vae.evaluate(Loader(), verbose=0), vae.evaluate(LEVELS, batch_size=8, verbose=0), rtol=1e-5
    )


def test_python_that_brings_no_batches_is_told(vae):
    with pytest.raises(
        ValueError, match="A generator can be walked once.*Received: a generator for 2 epochs"
    ):
        vae.fit((batch(i) for i in range(3)), epochs=2, verbose=0)
    with pytest.raises(ValueError, match="Received: a generator that has come to its end"):
        vae.fit(iter(()), verbose=0)
    with pytest.raises(
        ValueError, match="a generative model has no targets|A generative model has no targets"
    ):
        vae.fit(Pictures(lambda i: (batch(i), LABELS[:8])), verbose=0)
    arrays = LEVELS, {"image": LEVELS}, LEVELS.tolist(), tf.constant(LEVELS)
    for x in arrays:
        assert inputs.as_stream(x) is x


# -- Numbers


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3)])
def test_integers_of_numpy_are_integers(value):
    assert validation.integer("n", value) == 3 and type(validation.integer("n", value)) is int


@pytest.mark.parametrize("value", [0, -1, 1.5, 3.0, float("nan"), True, np.True_, "3", None, [3]])
def test_what_is_no_positive_integer_is_refused_by_name(value):
    with pytest.raises(ValueError, match="`n` must be a positive integer. Received: n="):
        validation.integer("n", value)


WRONG = [
    ("batch_size", -4),
    ("batch_size", 0),
    ("batch_size", 2.5),
    ("epochs", 0),
    ("epochs", True),
    ("initial_epoch", -1),
    ("initial_step", -1),
    ("steps_per_epoch", 0),
    ("validation_steps", "all"),
    ("validation_batch_size", 0),
    ("validation_split", 1.5),
    ("validation_split", float("nan")),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_fit_refuses_numbers_that_are_none(vae, name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}={value!r}"):
        vae.fit(LEVELS, verbose=0, **{name: value})


def test_other_methods_refuse_the_same_numbers(vae):
    for name, value in (("batch_size", -4), ("batch_size", 0), ("steps", 0)):
        for method in (vae.evaluate, vae.predict):
            with pytest.raises(
                ValueError, match=f"`{name}` must be a positive integer. Received: {name}={value}"
            ):
                method(LEVELS, verbose=0, **{name: value})
    with pytest.raises(
        ValueError,
        match="`initial_step` must lie within an epoch of 3 steps. Received: initial_step=3",
    ):
        vae.fit(LEVELS, batch_size=8, initial_step=3, verbose=0)
    for seed in (float("nan"), 1.5, [3], -1, True):
        with pytest.raises(ValueError, match="`seed` must be an integer in 0 ... 2"):
            vae.sample(2, seed=seed)
        with pytest.raises(ValueError, match="`seed` must be an integer in 0 ... 2"):
            vae.log_prob(LEVELS > 127, seed=seed)
        with pytest.raises(ValueError, match="`seed` must be an integer in 0 ... 2"):
            zoo.VAE(*small_models.parts(), seed=seed)
    for steps in (-1, 0, 1.5, True):
        with pytest.raises(
            ValueError,
            match="`steps_per_execution` must be a positive integer. Received: "
            f"steps_per_execution={steps!r}",
        ):
            zoo.VAE(*small_models.parts()).compile(steps_per_execution=steps)
    with pytest.raises(
        ValueError, match="`jit_compile` must be 'auto', True or False. Received: jit_compile='yes'"
    ):
        zoo.VAE(*small_models.parts()).compile(jit_compile="yes")


def test_numbers_of_numpy_work_where_those_of_python_do():
    posterior, likelihood = (
        layers.DiagonalNormal(np.int64(2)),
        layers.Bernoulli((np.int32(4), 4, 1)),
    )
    model = zoo.BetaVAE(
        networks.MLP((np.int64(5),), np.int64(4)),
        networks.MLP((5,), 16),
        posterior,
        likelihood,
        beta=np.float32(0.5),
        seed=np.int64(1),
    )
    model.compile(steps_per_execution=np.int64(2), jit_compile=False)
    model.fit(
        LEVELS,
        batch_size=np.int64(8),
        epochs=np.int64(1),
        validation_split=np.float32(0.25),
        verbose=0,
    )
    assert model.sample(np.int64(2), seed=np.uint32(3)).shape == (2, *IMAGE_SHAPE)
    assert model.log_prob(LEVELS > 127, num_samples=np.int16(3)).shape == (24,)
    assert type(model.get_config()["seed"]) is int
