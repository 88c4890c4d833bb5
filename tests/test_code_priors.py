"""Priors over codes: what each position sees, sums over all codes, draws by row."""

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.small_models import X
from zoo import layers, networks
from zoo.random import RowNoise
from zoo.serving import check

K = 3
GRIDS = [(2, 3), (6,), (2, 2, 2)]
CAUSAL = {
    "PixelCNN": lambda: networks.GatedPixelCNN(K, filters=6, num_layers=4, kernel_size=5),
    "transformer": lambda: networks.CausalTransformer(K, width=8, num_layers=2, num_heads=2),
}
PRIORS = {
    **{kind: lambda make=make: layers.AutoregressiveCodes(make()) for kind, make in CAUSAL.items()},
    "masked": lambda: layers.MaskedCodes(
        networks.MaskedTransformer(K, width=8, num_layers=1, num_heads=2), num_steps=3
    ),
    "uniform": lambda: layers.UniformCodes(K),
}


def codes_of(grid, num_rows=2, seed=0):
    return np.random.default_rng(seed).integers(0, K, (num_rows, *grid)).astype(np.int32)


def randomized(layer, scale=0.6):
    """The layer with weights that no initializer would give: everything depends on everything."""
    generator = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(scale * generator.normal(size=weight.shape))
    return layer


def condition_of(num_rows, given):
    return np.eye(4, dtype=np.float32)[np.arange(num_rows) % 4] if given else None


# -- What a position sees


@pytest.mark.parametrize("given", [False, True], ids=["unconditional", "conditional"])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("kind", CAUSAL)
def test_logits_depend_on_all_codes_before_and_on_no_others(kind, grid, given):
    codes, condition = codes_of(grid), condition_of(2, given)
    network = CAUSAL[kind]()
    network(codes, condition=condition)
    randomized(network)
    num_positions = math.prod(grid)
    # The gradient of each position's logits with regard to each code's vector.
    vectors = tf.Variable(network.embed(codes))
    embed, network.embed = network.embed, lambda seen: vectors[:, : seen.shape[1]]
    del embed
    if kind == "transformer":  # its first position sees a vector of its own
        network.embed = lambda seen: tf.concat(
            [tf.zeros([2, 1, 8]), tf.reshape(vectors, [2, num_positions, 8])[:, :-1]], axis=1
        )
    else:
        network.embed = lambda seen: tf.reshape(vectors, [*seen.shape, 6])
    with tf.GradientTape() as tape:
        # Squares, as the sum of logits might not depend on anything.
        logits = tf.reduce_sum(network(codes, condition=condition) ** 2, axis=(0, 2))
    jacobian = tf.reshape(tape.jacobian(logits, vectors), [num_positions, 2, num_positions, -1])
    seen = np.any(np.abs(jacobian) > 0, axis=(1, 3))  # [of logits, of codes]
    np.testing.assert_array_equal(seen, np.tri(num_positions, k=-1, dtype=bool))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("kind", CAUSAL)
def test_one_by_one_the_logits_are_those_of_all_at_once(kind, grid):
    codes, condition = codes_of(grid), condition_of(2, given=True)
    network = CAUSAL[kind]()
    network(codes, condition=condition)
    logits = randomized(network)(codes, condition=condition)
    cache, previous = network.start(2), tf.zeros([2], tf.int32)
    for position in range(math.prod(grid)):
        step, cache = network.step(previous, tf.constant(position), cache, condition)
        np.testing.assert_allclose(step, logits[:, position], rtol=1e-4, atol=1e-4)
        previous = tf.constant(codes.reshape(2, -1)[:, position])


# -- Probabilities

EVERY = np.array(list(itertools.product(range(K), repeat=4)), np.int32).reshape(-1, 2, 2)


@pytest.mark.parametrize("kind", ["PixelCNN", "transformer", "uniform"])
def test_probabilities_of_all_codes_add_up_to_one_and_draws_follow_them(kind):
    prior = PRIORS[kind]()
    prior(EVERY)
    randomized(prior)
    assert prior.is_exact
    probs = np.exp(prior(EVERY).numpy())
    np.testing.assert_allclose(probs.sum(), 1.0, rtol=1e-5)
    num_draws = 4000
    codes = prior.draw(RowNoise.of_seed(0, num_draws), num_draws).numpy().reshape(num_draws, -1)
    counts = np.bincount(codes @ [27, 9, 3, 1], minlength=81)
    # chi^2 of 80 degrees of freedom: 80, give or take four times sqrt(160).
    assert np.sum((counts - num_draws * probs) ** 2 / (num_draws * probs)) < 131


def test_the_masked_prior_bounds_what_one_by_one_in_any_order_would_give():
    prior = PRIORS["masked"]()
    prior(EVERY)
    randomized(prior)
    network, mask = prior.network, prior.network.mask_code
    codes = EVERY[:5].reshape(5, 4)
    # The bound by hand: over all orders, and all positions of each.
    total = np.zeros(5)
    for order in itertools.permutations(range(4)):
        for number, position in enumerate(order):
            seen = np.full_like(codes, mask)
            seen[:, list(order[:number])] = codes[:, list(order[:number])]
            logits = network(seen.reshape(5, 2, 2)).numpy()[:, position]
            log_probs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
            total += log_probs[np.arange(5), codes[:, position]]
    expected = total / 24
    num_draws = 2000
    repeated = np.repeat(EVERY[:5], num_draws, axis=0)
    draws = prior(repeated, noise=RowNoise.of_seed(0, len(repeated))).numpy()
    draws = draws.reshape(5, num_draws)
    error = draws.std(axis=1) / math.sqrt(num_draws)
    assert np.all(np.abs(draws.mean(axis=1) - expected) < 4 * error)
    assert not prior.is_exact and np.exp(expected).sum() < 1


@pytest.mark.parametrize("kind", PRIORS)
def test_draws_are_functions_of_their_rows_alone_in_every_mode(kind):
    prior = PRIORS[kind]()
    condition = condition_of(6, given=kind != "uniform")
    prior(codes_of((2, 3), 6), condition=condition)
    randomized(prior)
    seeds, rows = np.arange(6) % 2, np.arange(6)
    temperature = np.linspace(0.5, 1.5, 6).astype(np.float32)

    def draw(order):
        noise = RowNoise(tf.constant(seeds[order]), 0, tf.constant(rows[order]))
        given = None if condition is None else tf.constant(condition[order])
        return prior.draw(noise, len(order), given, tf.constant(temperature[order]))

    every = draw(np.arange(6)).numpy()
    assert every.dtype == np.int32 and every.min() >= 0 and every.max() < K
    for order in ([3], [5, 0, 2], [4, 4]):
        np.testing.assert_array_equal(draw(np.array(order)), every[order])
    for jit_compile in (False, True):
        compiled = tf.function(lambda: draw(np.arange(6)), jit_compile=jit_compile)()
        np.testing.assert_array_equal(compiled, every)


@pytest.mark.parametrize("kind", ["PixelCNN", "transformer"])
def test_at_temperature_0_each_code_is_the_most_probable(kind):
    prior = PRIORS[kind]()
    prior(codes_of((2, 3)))
    randomized(prior)
    codes = prior.draw(RowNoise.of_seed(0, 2), 2, temperature=0.0)
    best = np.argmax(prior.network(codes), axis=-1).reshape(codes.shape)
    np.testing.assert_array_equal(codes, best)


@pytest.mark.parametrize("kind", PRIORS)
def test_configurations_give_the_prior_again(kind):
    prior = PRIORS[kind]()
    again = type(prior).from_config(prior.get_config())
    assert again.get_config() == prior.get_config()


# -- In a model


def tokenizer():
    keras.utils.set_random_seed(0)
    decoder = keras.Sequential([keras.layers.Conv2DTranspose(1, 2, 2), keras.layers.Flatten()])
    encoder, quantizer = keras.layers.Conv2D(2, 2, strides=2), layers.VectorQuantizer(K, 2)
    return encoder, decoder, quantizer, layers.Bernoulli((4, 4, 1))


@pytest.mark.parametrize(
    "kind", [pytest.param("PixelCNN", marks=pytest.mark.slow), "transformer", "masked", "uniform"]
)
def test_a_model_with_a_prior_trains_saves_and_draws(kind, tmp_path):
    model = zoo.VQVAE(*tokenizer(), prior=PRIORS[kind]())
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(X, batch_size=7, epochs=30, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    if kind in CAUSAL:
        assert history["kl"][-1] < 4 * math.log(K) - 0.1
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.sample(5, seed=3), model.sample(5, seed=3))
    draws = model.generate(RowNoise.of_seed(3, 5))
    np.testing.assert_allclose(
        model.detokenize(draws["codes"]), draws["reconstruction"], rtol=1e-5, atol=1e-6
    )
    # Some temperature for each row is that of a row alone.
    some = model.sample(2, seed=3, temperature=(0.0, 1.0))
    np.testing.assert_array_equal(some[0], model.sample(2, seed=3, temperature=0.0)[0])
    np.testing.assert_array_equal(some[1], model.sample(2, seed=3)[1])


def test_the_prior_alone_trains_on_an_autoencoder_that_was_trained():
    parts = tokenizer()
    base = zoo.VQVAE(*parts)
    base.compile(keras.optimizers.Adam(0.01))
    base.fit(X, batch_size=7, epochs=3, verbose=0)
    before, codes = base.get_weights(), base.tokenize(X)
    model = zoo.VQVAE(*parts, prior=PRIORS["transformer"](), trains="prior")
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(X, batch_size=7, epochs=20, verbose=0).history
    assert history["kl"][-1] < history["kl"][0] - 0.1
    for a, b in zip(base.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model.tokenize(X), codes)


def test_a_prior_of_classes_learns_what_they_look_like_and_asks_for_one():
    model = zoo.VQVAE(*tokenizer(), prior=PRIORS["transformer"](), num_classes=2)
    model.compile(keras.optimizers.Adam(0.03))
    dark, light = np.zeros((8, 4, 4, 1), np.float32), np.ones((8, 4, 4, 1), np.float32)
    data = {"image": np.concatenate([dark, light]), "label": np.repeat([0, 1], 8)}
    model.start_codebook(np.random.default_rng(0).random((40, 4, 4, 1)).astype(np.float32))
    model.fit(data, batch_size=16, epochs=150, verbose=0)
    images = model.generate(RowNoise.of_seed(0, 2), np.array([0, 1]))["reconstruction"].numpy()
    assert images[0].mean() < 0.3 and images[1].mean() > 0.7
    assert model.tokenize(data["image"]).shape == (16, 2, 2)  # of x alone
    with pytest.raises(ValueError, match="needs a label for each example.*Received: none"):
        model.sample(2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PixelCNN", "masked"])
def test_what_is_exported_draws_and_scores_as_python_does(kind, tmp_path):
    num_classes = 2 if kind == "masked" else None
    model = zoo.VQVAE(*tokenizer(), prior=PRIORS[kind](), num_classes=num_classes)
    randomized(model.prior_layer)
    zoo.export(model, tmp_path / "model")
    findings = list(check(tmp_path / "model"))
    assert not [finding for finding in findings if finding.problem], findings
    assert {f.where for f in findings}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: layers.AutoregressiveCodes(networks.MaskedTransformer(3)),
            "`network` must give codes one by one.* Received: network=<MaskedTransformer",
        ),
        (
            lambda: layers.MaskedCodes(networks.CausalTransformer(3)),
            "`network` must know masked codes.* Received: network=<CausalTransformer",
        ),
        (
            lambda: zoo.VQVAE(*tokenizer(), prior=layers.UniformCodes(4)),
            "`prior` must be one of the quantizer's 3 codes. Received: a prior of 4 codes",
        ),
        (
            lambda: zoo.VQVAE(*tokenizer(), prior=layers.StandardNormal(4)),
            "`prior` must be a layer .* Received: prior=<StandardNormal",
        ),
        (
            lambda: zoo.VQVAE(*tokenizer(), trains="decoder"),
            "`trains` must be 'all' or 'prior'. Received: trains='decoder'",
        ),
        (
            lambda: zoo.VQVAE(*tokenizer()).sample(2, temperature=-1.0),
            "`temperature` must be a non-negative number. Received: temperature=-1.0",
        ),
        (
            lambda: zoo.VQVAE(*tokenizer()).sample(3, temperature=(0.5, 1.0)),
            r"`temperature` must be a number.* Received: temperature=\(0.5, 1.0\) for 3 rows",
        ),
        (
            lambda: zoo.VQVAE(*tokenizer()).sample(2, temperature={"z1": 0.5}),
            "`temperature` must be a number.* Received: temperature={'z1': 0.5} for 2 rows",
        ),
        (
            lambda: networks.CausalTransformer(3, width=6, num_heads=4),
            "`width` must be a multiple of `num_heads`. Received: width=6, num_heads=4",
        ),
        (
            lambda: networks.GatedPixelCNN(3, kernel_size=4),
            "`kernel_size` must be odd. Received: kernel_size=4",
        ),
        (lambda: networks.GatedPixelCNN(1), "`num_codes` must be .* Received: num_codes=1"),
    ],
)
def test_what_does_not_fit_is_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()
