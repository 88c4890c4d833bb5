import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo import networks

# Name -> network, shape of x, shape of the maps beside it, and the shape of one output.
MAPS = {
    "block": (networks.ConvBlock(5, 3), (6, 4, 2), (6, 4, 3), (6, 4, 5)),
    "gated bottleneck": (
        networks.ConvBlock(4, 2, bottleneck=True, gated=True),
        (6, 4, 2),
        None,
        (6, 4, 4),
    ),
    "residual": (networks.ResidualBlock(4, groups=2), (6, 4, 4), (6, 4, 2), (6, 4, 4)),
    "residual of other channels": (networks.ResidualBlock(5), (3, 3, 2), None, (3, 3, 5)),
    "attention": (networks.SelfAttention(6, num_heads=3, groups=2), (3, 2, 6), None, (3, 2, 6)),
    "nearest": (networks.Upsample(3), (3, 2, 5), None, (6, 4, 3)),
    "subpixel": (networks.Upsample(3, "subpixel"), (3, 2, 5), None, (6, 4, 3)),
    "state": (networks.StateUpdate(4), (3, 2, 5), (3, 2, 4), (3, 2, 4)),
    "state of twice the resolution": (
        networks.StateUpdate(4, 2, 2, bottleneck=True, upsample_to=3),
        (3, 2, 5),
        (3, 2, 4),
        (6, 4, 3),
    ),
}
SIZES = {"filters": (4, 6), "num_blocks": 1, "groups": 2}
CODERS = {
    "encoder": (networks.ResidualEncoder(6, **SIZES), (9, 6, 2), (3,), (6,)),
    "encoder with attention": (
        networks.ResidualEncoder(6, (8, 8), groups=2, attention=True, bottleneck=True),
        (9, 6, 2),
        None,
        (6,),
    ),
    "encoder to maps": (
        networks.ResidualEncoder(4 * 3 * 2, **SIZES, patch=2, maps=True),
        (16, 12, 1),
        None,
        (24,),
    ),
    "decoder": (
        networks.ResidualDecoder((9, 6, 2), 9 * 6 * 4, **SIZES, gated=True, hidden_units=5),
        (3,),
        (2,),
        (216,),
    ),
    "decoder of patches": (
        networks.ResidualDecoder((9, 6, 2), 9 * 6 * 2, **SIZES, patch=4, upsampling="subpixel"),
        (3,),
        None,
        (108,),
    ),
    "decoder of maps": (
        networks.ResidualDecoder((8, 4, 1), 8 * 4, **SIZES, maps=True, attention=True),
        (4 * 2 * 3,),
        None,
        (32,),
    ),
}
NETWORKS = MAPS | CODERS


def made(name):
    """A network whose weights are all drawn, those that begin at zero too, and what it is called
    on."""
    network, x_shape, condition_shape, output_shape = NETWORKS[name]
    network = type(network).from_config(network.get_config())
    generator = np.random.default_rng(0)

    def normals(shape):
        return tf.constant(generator.normal(size=(3, *shape)), tf.float32)

    given = {} if condition_shape is None else {"condition": normals(condition_shape)}
    x = normals(x_shape)
    network(x, **given)
    for weight in network.trainable_weights:
        weight.assign(0.3 * generator.normal(size=weight.shape))
    return network, x, given, output_shape


@pytest.mark.parametrize("name", NETWORKS)
def test_contract(name, tmp_path):
    network, x, given, output_shape = made(name)
    with tf.GradientTape() as tape:
        tape.watch(given)
        y = network(x, **given)
        loss = tf.reduce_sum(y**2)
    assert y.shape == (3, *output_shape)
    shapes = [tensor.shape for tensor in (x, *given.values())]
    assert tuple(network.compute_output_shape(*shapes)) == (3, *output_shape)
    gradients = tape.gradient(
        loss, [*[w.value for w in network.trainable_weights], *given.values()]
    )
    assert all(np.any(gradient != 0) for gradient in gradients)
    for jit_compile in (False, True):
        compiled = tf.function(network, jit_compile=jit_compile)
        np.testing.assert_allclose(compiled(x, **given), y, rtol=1e-3, atol=1e-4)
    # Rows are their own.
    half = {key: value[1:] for key, value in given.items()}
    np.testing.assert_allclose(network(x[1:], **half), y[1:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_saved_networks_compute_the_same(name, tmp_path):
    network, x, given, _ = made(name)
    inputs = [keras.Input(tensor.shape[1:]) for tensor in (x, *given.values())]
    model = keras.Model(inputs, network(*inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    values = [x, *given.values()]
    np.testing.assert_array_equal(loaded(values), model(values))


@pytest.mark.parametrize("name", ["residual", "attention"])
def test_what_a_residual_network_adds_begins_at_zero(name):
    network, x_shape, condition_shape, _ = MAPS[name]
    network = type(network).from_config(network.get_config())
    generator = np.random.default_rng(0)
    x = generator.normal(size=(2, *x_shape)).astype(np.float32)
    given = {}
    if condition_shape:
        given["condition"] = generator.normal(size=(2, *condition_shape)).astype(np.float32)
    np.testing.assert_array_equal(network(x, **given), x)


def test_attention_is_that_of_the_formula():
    network, x, _, _ = made("attention")
    network = networks.SelfAttention(6, num_heads=3)
    network(x)
    generator = np.random.default_rng(0)
    for weight in network.trainable_weights:
        weight.assign(generator.normal(size=weight.shape))
    kernel, bias, out, out_bias = (np.asarray(w, np.float64) for w in network.weights)
    places = np.asarray(x, np.float64).reshape(3, 6, 6)  # [B, H W, C]
    added = []
    for row in places:
        queries, keys, values = np.split(row @ kernel[0, 0] + bias, 3, axis=-1)
        heads = []
        for head in range(3):
            part = slice(2 * head, 2 * head + 2)
            logits = queries[:, part] @ keys[:, part].T / np.sqrt(2)
            weights = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
            heads.append(weights @ values[:, part])
        added.append(np.concatenate(heads, axis=-1) @ out[0, 0] + out_bias)
    expected = (places + np.stack(added)).reshape(x.shape)
    np.testing.assert_allclose(network(x), expected, rtol=1e-4, atol=1e-5)


def test_upsampling_repeats_places_or_fills_them_from_channels():
    x = np.arange(8, dtype=np.float32).reshape(1, 1, 2, 4)
    nearest = networks.Upsample(4)(x)
    np.testing.assert_array_equal(nearest, np.repeat(np.repeat(x, 2, axis=1), 2, axis=2))
    subpixel = networks.Upsample(1, "subpixel")(x)
    np.testing.assert_array_equal(subpixel[0, :, :, 0], [[0, 1, 4, 5], [2, 3, 6, 7]])


@pytest.mark.parametrize("patch", [1, 2])
def test_a_decoder_starts_at_the_mean_of_its_pixels(patch):
    decoder = networks.ResidualDecoder((6, 5, 2), 6 * 5 * 4, filters=(4, 3), patch=patch)
    decoder.build((None, 3))
    values = np.random.default_rng(0).normal(size=6 * 5 * 4).astype(np.float32)
    decoder.set_output_bias(values)
    expected = np.broadcast_to(values.reshape(30, 4).mean(axis=0), (30, 4)).ravel()
    np.testing.assert_allclose(
        decoder(np.ones((1, 3), np.float32))[0], expected, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("gated", [False, True])
def test_a_block_starts_at_the_mean_of_its_pixels(gated):
    block = networks.ConvBlock(2, gated=gated, zero_output=True)
    block.build((None, 3, 3, 1))
    block.set_output_bias(np.tile([1.0, -2.0], 9))
    y = block(np.ones((1, 3, 3, 1), np.float32))
    np.testing.assert_allclose(y, np.broadcast_to([1.0, -2.0], y.shape), rtol=1e-6)


def test_wrong_arguments_are_told():
    with pytest.raises(ValueError, match="'nearest' or 'subpixel'. Received: method='bilinear'"):
        networks.Upsample(3, "bilinear")
    with pytest.raises(ValueError, match="divide the 6 `filters`. Received: num_heads=4"):
        networks.SelfAttention(6, num_heads=4)
    with pytest.raises(ValueError, match="power of 2. Received: patch=3"):
        networks.ResidualEncoder(6, patch=3)
    with pytest.raises(ValueError, match=r"\(H, W, C\). Received: image_shape=\(4, 4\)"):
        networks.ResidualDecoder((4, 4), 16)
    with pytest.raises(ValueError, match="the 4 x 4 places of a map. Received: output_size=17"):
        networks.ResidualDecoder((4, 4, 1), 17)
    encoder = networks.ResidualEncoder(7, filters=(4, 4), maps=True)
    with pytest.raises(ValueError, match="the 2 x 2 places of a map. Received: output_size=7"):
        encoder.build((None, 4, 4, 1))
    encoder = networks.ResidualEncoder(8, filters=(4, 4), maps=True)
    with pytest.raises(ValueError, match=r"no condition. Received: .*shape \(None, 3\)"):
        encoder.build((None, 4, 4, 1), (None, 3))
