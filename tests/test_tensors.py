"""What is told of values that are no numbers, no latents or no parts of a model: one short line."""

import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests import small_models
from zoo import tensors, validation


def test_values_are_shown_in_one_short_line():
    assert validation.shown(np.zeros((3, 4))) == "ndarray of shape (3, 4) and type float64"
    assert validation.shown(tf.zeros([2])).endswith("of shape (2,) and type float32")
    assert validation.shown(-1.0) == "-1.0" and validation.shown("a\nb") == r"'a\nb'"
    assert len(validation.shown(list(range(1000)))) < 210


def test_numbers_of_every_type_are_float32_and_others_are_refused():
    for value in (
        3,
        [1.5, 2],
        np.ones(2),
        np.ones(2, np.uint8),
        np.array([True]),
        tf.ones([2], tf.float64),
    ):
        assert tensors.as_numbers("z", value).dtype == tf.float32
    for value in (
        "a",
        None,
        [object()],
        np.array(["a"]),
        tf.constant(["a"]),
        {"a": 1},
        [[1], [1, 2]],
    ):
        with pytest.raises(ValueError, match="`z` must be an array of numbers. Received: z="):
            tensors.as_numbers("z", value)
    with pytest.raises(
        ValueError, match=r"`z` must have the shape \[..., 2\]. Received: shape \(4, 3\)"
    ):
        tensors.as_vectors("z", np.ones((4, 3)), 2)


def test_latents_that_are_not_those_of_the_model_are_told():
    model = small_models.class_style()
    for z, received in (
        (np.ones((2, 2)), "z=ndarray of shape"),
        ({"y": np.ones((2, 3))}, r"keys \['y'\]"),
    ):
        with pytest.raises(
            ValueError, match=f"`z` must be a dict that holds 'y' and 'z'. Received: {received}"
        ):
            model.decode(z)
    with pytest.raises(
        ValueError, match=r"`z` must have the shape \[..., 2\]. Received: shape \(\)"
    ):
        small_models.autoencoder().decode(-1)


def test_parts_that_are_none_are_told_by_name():
    encoder, decoder, posterior, likelihood = small_models.parts()
    for arguments, name in (
        (("odd", decoder, posterior, likelihood), "encoder"),
        ((encoder, decoder, [1], likelihood), "posterior"),
        ((encoder, decoder, posterior, "1"), "likelihood"),
    ):
        with pytest.raises(ValueError, match=f"`{name}` must be a .*Received: {name}="):
            zoo.VAE(*arguments)
    with pytest.raises(
        ValueError,
        match="`optimizer` must be the name of a Keras optimizer, or one. Received: optimizer=3",
    ):
        zoo.VAE(encoder, decoder, posterior, likelihood).compile(3)


def test_a_network_that_fails_says_so_in_one_line():
    encoder, decoder, posterior, likelihood = small_models.parts()
    decoder.build((None, 5))
    with pytest.raises(
        ValueError, match=r"^MLP 'mlp_\d+' cannot be called on .*: .*expected axis -1.*"
    ) as raised:
        zoo.VAE(encoder, decoder, posterior, likelihood)
    assert "\n" not in str(raised.value) and raised.value.__cause__ is not None


def test_integers_beyond_what_a_tensor_holds_are_refused():
    with pytest.raises(
        ValueError,
        match=r"`num_samples` must be an integer below 2\*\*31. Received: "
        r"num_samples=1180591620717411303424",
    ):
        zoo.objectives.ELBO(num_samples=2**70)
    with pytest.raises(TypeError, match="`model` must be a model of the zoo. Received: 3"):
        zoo.evaluate(3, np.zeros((2, 4, 4)))
    with pytest.raises(
        ValueError, match="`batch_size` must be a positive integer. Received: batch_size=-1"
    ):
        zoo.data.batches("digits", "test", batch_size=-1)
