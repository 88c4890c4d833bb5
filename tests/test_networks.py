import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo import networks

NETWORKS = {
    "mlp": (networks.MLP((7, 5), 6, "tanh"), (4, 3, 2)),
    "gated mlp": (networks.MLP((7, 5), 6, "glu"), (4, 3, 2)),
    "conv encoder": (networks.ConvEncoder(6, filters=(4, 5), hidden_units=7), (13, 10, 2)),
    "conv decoder": (
        networks.ConvDecoder((13, 10, 2), 13 * 10 * 4, filters=(4, 5), hidden_units=7),
        (3,),
    ),
}


@pytest.mark.parametrize(
    "condition_shape", [None, (3,), (2, 2, 1)], ids=["alone", "with a vector", "with an image"]
)
@pytest.mark.parametrize("name", NETWORKS)
def test_contract(name, condition_shape, tmp_path):
    network, input_shape = NETWORKS[name]
    network = type(network).from_config(network.get_config())
    x = np.random.default_rng(0).normal(size=(5, *input_shape)).astype(np.float32)
    given = (
        {}
        if condition_shape is None
        else {
            "condition": np.random.default_rng(1)
            .normal(size=(5, *condition_shape))
            .astype(np.float32)
        }
    )
    y = network(x, **given)
    assert y.shape == (5, network.output_size)
    for jit_compile in (False, True):
        np.testing.assert_allclose(
            tf.function(network, jit_compile=jit_compile)(x, **given), y, rtol=1e-4, atol=1e-5
        )
    # Every weight matters to the output, and so does the condition.
    with tf.GradientTape() as tape:
        tensors = {key: tf.constant(value) for key, value in given.items()}
        tape.watch(tensors)
        loss = tf.reduce_sum(network(x, **tensors) ** 2)
    gradients = tape.gradient(
        loss, [*[w.value for w in network.trainable_weights], *tensors.values()]
    )
    assert all(np.any(gradient != 0) for gradient in gradients)


@pytest.mark.parametrize("name", NETWORKS)
def test_saved_networks_compute_the_same(name, tmp_path):
    network, input_shape = NETWORKS[name]
    inputs = keras.Input(input_shape)
    model = keras.Model(inputs, type(network).from_config(network.get_config())(inputs))
    assert model.output_shape == (None, network.output_size)
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(2, *input_shape)).astype(np.float32)
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(x), model(x))


@pytest.mark.parametrize(
    "image_shape", [(1, 1, 1), (8, 8, 1), (28, 28, 1), (31, 17, 3), (64, 64, 1)]
)
def test_convolutions_take_any_image_shape(image_shape):
    size = int(np.prod(image_shape))
    assert networks.ConvEncoder(4, filters=(3, 3))(tf.zeros([2, *image_shape])).shape == (2, 4)
    assert networks.ConvDecoder(image_shape, 2 * size, filters=(3, 3))(tf.zeros([2, 4])).shape == (
        2,
        2 * size,
    )


def test_a_gated_layer_multiplies_each_unit_by_its_gate():
    network = networks.MLP((3,), 2, "glu")
    x = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    network.build(x.shape)
    (kernel, bias), (last, last_bias) = (
        (np.asarray(weight, np.float64) for weight in layer.weights) for layer in network.stack
    )
    unit, gate = np.split(x @ kernel + bias, 2, axis=-1)
    np.testing.assert_allclose(
        network(x), (unit / (1 + np.exp(-gate))) @ last + last_bias, rtol=1e-4, atol=1e-6
    )


def test_wrong_arguments_are_told():
    with pytest.raises(
        ValueError,
        match=r"multiple of the 16 pixels.*Received: image_shape=\(4, 4, 1\), output_size=17",
    ):
        networks.ConvDecoder((4, 4, 1), 17)
    with pytest.raises(
        ValueError,
        match=r"`hidden_units` must hold positive integers. Received: hidden_units=\(8, -1\)",
    ):
        networks.MLP((8, -1), 2)


def test_a_convolutional_decoder_starts_at_the_mean_of_its_pixels():
    decoder = networks.ConvDecoder((6, 5, 2), 6 * 5 * 4, filters=(4, 3), hidden_units=7)
    decoder.build((None, 3))
    values = np.random.default_rng(0).normal(size=6 * 5 * 4).astype(np.float32)
    for layer in (*decoder.stem.stack, *decoder.convolutions):
        layer.kernel.assign(0.0 * layer.kernel)
    decoder.set_output_bias(values)
    expected = np.broadcast_to(values.reshape(30, 4).mean(axis=0), (30, 4)).ravel()
    np.testing.assert_allclose(
        decoder(np.ones((1, 3), np.float32))[0], expected, rtol=1e-5, atol=1e-6
    )
