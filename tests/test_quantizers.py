"""Quantizers: against the PyTorch library on fixed weights, by their formulas, alone in Keras
models."""

import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tests.quantizer_fixtures import DECAY, LEVELS, D, K
from zoo import layers

KNOWN = np.load(Path(__file__).parent / "goldens" / "quantizers.npz")
X = KNOWN["x"]


def vector_quantizer(codebook=KNOWN["books"][0], **arguments):
    layer = layers.VectorQuantizer(*codebook.shape, **{"commitment_cost": 0.0, **arguments})
    (layer.sums if layer.decay is not None else layer.weight).assign(codebook)
    return layer


KINDS = {
    "averages": lambda: layers.VectorQuantizer(K, D),
    "gradient": lambda: layers.VectorQuantizer(K, D, decay=None, gradient="rotation"),
    "cosine": lambda: layers.VectorQuantizer(K, D, distance="cosine"),
    "restarts": lambda: layers.VectorQuantizer(K, D, restart_below=0.5),
    "residual": lambda: layers.ResidualQuantizer([layers.VectorQuantizer(K, D) for _ in range(3)]),
    "shared": lambda: layers.ResidualQuantizer(layers.VectorQuantizer(K, D), depth=3, dropout=0.5),
    "grouped": lambda: layers.GroupedQuantizer([layers.VectorQuantizer(K, 3) for _ in range(2)]),
    "levels in groups": lambda: layers.GroupedQuantizer([layers.FSQ((5, 2, 3))] * 2),
    "FSQ": lambda: layers.FSQ((5, 4, 3, 2, 3, 2)),
    "bits": lambda: layers.LookupFree(D),
}
INVERTIBLE = [kind for kind in KINDS if kind not in ("residual", "shared")]


# -- Against an independent implementation


def gradient_of(layer, x, cotangent):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        quantized = layer.quantize_vectors(x, training=True)[0]
    return tape.gradient(quantized, x, cotangent)


@pytest.mark.parametrize(
    ("name", "make", "scale", "size"),
    [
        ("straight_through", lambda: vector_quantizer(decay=DECAY), 1.0, D),
        ("rotation", lambda: vector_quantizer(gradient="rotation"), 1.0, D),
        ("cosine", lambda: vector_quantizer(distance="cosine"), 1.0, D),
        ("fsq", lambda: layers.FSQ(LEVELS), 2.0, 3),
    ],
)
def test_vectors_codes_and_gradients_are_those_of_the_pytorch_library(name, make, scale, size):
    x = scale * X[..., :size]
    quantized, codes, _ = make().quantize_vectors(x)
    np.testing.assert_array_equal(codes, KNOWN[f"{name}_codes"])
    np.testing.assert_allclose(quantized, KNOWN[f"{name}_quantized"], rtol=1e-5, atol=1e-6)
    gradient = gradient_of(make(), x, KNOWN["cotangent"][..., :size])
    np.testing.assert_allclose(gradient, KNOWN[f"{name}_gradient"], rtol=1e-4, atol=1e-5)


def test_a_step_of_the_averages_is_that_of_the_pytorch_library():
    layer = vector_quantizer(decay=DECAY)
    layer.quantize_vectors(X, training=True)
    np.testing.assert_allclose(layer.counts, KNOWN["counts"], rtol=1e-5)
    np.testing.assert_allclose(layer.codebook, KNOWN["codebook"], rtol=1e-5, atol=1e-6)


def test_residual_codes_are_those_of_the_pytorch_library():
    layer = layers.ResidualQuantizer([vector_quantizer(book) for book in KNOWN["books"]])
    quantized, codes, _ = layer.quantize_vectors(X)
    np.testing.assert_array_equal(codes, KNOWN["residual_codes"])
    np.testing.assert_allclose(quantized, KNOWN["residual_quantized"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.vectors(codes), quantized, rtol=1e-5, atol=1e-6)


def test_lookup_free_codes_and_entropies_are_those_of_the_pytorch_library():
    layer = layers.LookupFree(D, entropy_cost=0.1, commitment_cost=0.25, temperature=0.1)
    x = tf.constant(0.1 * X)
    num_places = X.shape[1]
    with tf.GradientTape() as tape:
        tape.watch(x)
        quantized, codes, terms = layer.quantize_vectors(x)
        # The library takes means over places and elements where the zoo takes sums.
        entropy, diversity, commitment = (
            tf.reduce_mean(terms[name]) / num_places
            for name in ("entropy", "diversity", "commitment")
        )
        loss = 0.1 * (entropy - diversity) + 0.25 * commitment / D
    np.testing.assert_array_equal(codes, KNOWN["lookup_free_codes"])
    np.testing.assert_array_equal(quantized, KNOWN["lookup_free_quantized"])
    # The library's logarithms are of probabilities of at least 1e-5.
    received = [entropy, diversity, commitment / D]
    np.testing.assert_allclose(received, KNOWN["lookup_free_parts"], rtol=3e-5)
    np.testing.assert_allclose(loss, KNOWN["lookup_free_loss"], rtol=1e-4)
    np.testing.assert_allclose(
        tape.gradient(loss, x), KNOWN["lookup_free_gradient"], rtol=1e-3, atol=1e-5
    )


# -- What holds for every kind


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_the_contract(kind, tmp_path):
    keras.utils.set_random_seed(0)
    layer = KINDS[kind]()
    quantized, codes, terms = layer.quantize_vectors(X)
    assert codes.dtype == tf.int32 and codes.shape == (3, 4, *layer.code_shape)
    assert np.min(codes) >= 0 and np.max(codes) < layer.num_codes
    assert list(terms) == list(layer.term_names) and terms["loss"].shape == (3,)
    np.testing.assert_allclose(layer.vectors(codes), quantized, rtol=1e-6, atol=1e-6)

    for jit_compile in (False, True):
        compiled = tf.function(layer.quantize_vectors, jit_compile=jit_compile)(X)
        np.testing.assert_array_equal(compiled.codes, codes)
        np.testing.assert_allclose(compiled.quantized, quantized, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(compiled.terms["loss"], terms["loss"], rtol=1e-4, atol=1e-4)

    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert [w.shape for w in again.weights] == [w.shape for w in layer.weights]

    # In 16 bits the vectors come rounded, and nothing else changes.
    short = layer.quantize_vectors(tf.cast(X, tf.bfloat16))
    assert short.quantized.dtype == tf.float32
    rounded = layer.quantize_vectors(tf.cast(tf.cast(X, tf.bfloat16), tf.float32))
    np.testing.assert_array_equal(short.codes, rounded.codes)


@pytest.mark.parametrize("kind", INVERTIBLE)
def test_codes_and_their_vectors_are_inverses(kind):
    keras.utils.set_random_seed(0)
    layer = KINDS[kind]()
    every = np.arange(layer.num_codes, dtype=np.int32)
    codes = np.stack(np.broadcast_arrays(*[every] * math.prod(layer.code_shape)), -1)
    codes = codes.reshape(-1, *layer.code_shape)
    vectors = layer.vectors(codes)
    np.testing.assert_array_equal(layer.codes(vectors), codes)
    np.testing.assert_array_equal(layer.vectors(layer.codes(vectors)), vectors)


@pytest.mark.parametrize("kind", KINDS)
def test_alone_in_a_functional_model_it_trains_by_its_own_loss_and_survives_a_file(kind, tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 2))
    quantizer = KINDS[kind]()
    h = keras.layers.Dense(D)(inputs)
    quantized, codes, terms = quantizer(h)
    outputs = keras.layers.Dense(2)(quantized)
    model = keras.Model(inputs, {"x": outputs, "codes": codes, "loss": terms["loss"]})
    x = np.random.default_rng(0).normal(size=(8, 4, 2)).astype(np.float32)
    told = model(x)
    assert len(model.losses) == 1
    np.testing.assert_allclose(model.losses[0], np.mean(told["loss"]), rtol=1e-5)

    trained = keras.Model(inputs, outputs)
    trained.compile("adam", loss="mse")
    before = trained.layers[1].kernel.numpy()
    trained.fit(x, x, epochs=2, batch_size=4, verbose=0)
    assert np.all(trained.layers[1].kernel.numpy() != before)
    trained.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), trained(x))
    # The next step is that of the model that was saved.
    trained.fit(x, x, epochs=1, batch_size=4, shuffle=False, verbose=0)
    loaded.fit(x, x, epochs=1, batch_size=4, shuffle=False, verbose=0)
    for a, b in zip(trained.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(a, b)


# -- By formula


def test_what_the_decoder_gets_is_the_code_to_the_bit_with_the_gradient_of_the_vector():
    layer = vector_quantizer()
    quantized, codes, _ = layer.quantize_vectors(100.0 * X)
    np.testing.assert_array_equal(quantized, layer.codebook.numpy()[codes])
    np.testing.assert_array_equal(gradient_of(layer, X, KNOWN["cotangent"]), KNOWN["cotangent"])


def test_learned_codes_are_drawn_to_the_vectors_and_the_decoder_does_not_reach_them():
    layer = vector_quantizer(decay=None, commitment_cost=0.25)
    with tf.GradientTape(persistent=True) as tape:
        quantized, codes, terms = layer.quantize_vectors(X, training=True)
        loss, sum_of_outputs = tf.reduce_sum(terms["loss"]), tf.reduce_sum(quantized)
    expected = np.zeros((K, D), np.float32)
    np.add.at(expected, codes, 2 * (layer.codebook.numpy()[codes] - X))  # d/de sum |x - e|^2
    gradient = tf.convert_to_tensor(tape.gradient(loss, layer.weight.value))
    np.testing.assert_allclose(gradient, expected, rtol=1e-4)
    assert tape.gradient(sum_of_outputs, layer.weight.value) is None
    distance = ((X - layer.codebook.numpy()[codes]) ** 2).sum((1, 2))
    np.testing.assert_allclose(terms["loss"], 1.25 * distance, rtol=1e-5)


def test_the_gradient_of_a_residual_quantizer_passes_once():
    layer = layers.ResidualQuantizer([vector_quantizer(book) for book in KNOWN["books"]])
    np.testing.assert_array_equal(gradient_of(layer, X, KNOWN["cotangent"]), KNOWN["cotangent"])


def test_a_codebook_starts_at_clusters_and_uses_all_its_codes():
    generator = np.random.default_rng(0)
    centres = 10.0 * generator.normal(size=(K, D))
    vectors = centres[generator.integers(0, K, 2000)] + generator.normal(size=(2000, D))
    # Starts differ by seed, and one of these finds each cluster.
    errors = []
    for seed in range(10):
        layer = layers.VectorQuantizer(K, D, seed=seed)
        layer.start_at(vectors)
        quantized, codes, _ = layer.quantize_vectors(vectors.astype(np.float32))
        assert len(np.unique(codes)) == K
        errors.append(np.mean(np.sum((vectors - quantized) ** 2, axis=-1)))
    assert min(errors) < 1.1 * D  # the variance within clusters
    layer = layers.VectorQuantizer(K, D, distance="cosine", decay=None)
    layer.start_at(vectors)
    np.testing.assert_allclose(np.linalg.norm(layer.weight, axis=-1), 1.0, rtol=1e-5)


def test_residual_levels_start_at_what_those_before_leave():
    vectors = np.random.default_rng(0).normal(size=(500, D)).astype(np.float32)
    for layer in (KINDS["residual"](), KINDS["shared"]()):
        layer.start_at(vectors)
        errors = []
        codes = layer.quantize_vectors(vectors[:, None]).codes
        for depth in range(4):
            kept = np.where(np.arange(3) < depth, codes, -1)
            errors.append(np.mean((vectors - layer.vectors(kept)[:, 0]) ** 2))
        assert all(np.diff(errors) < -0.01)  # each level leaves less


def test_a_code_that_nothing_is_near_to_restarts_at_a_vector_of_the_batch():
    books = KNOWN["books"][0].copy()
    books[2] = 100.0
    layer = vector_quantizer(books, decay=0.5, restart_below=0.3)
    layer.quantize_vectors(X, training=True)
    assert layer.counts[2] == 0.5 and np.all(layer.codebook[2] == 100.0)
    for _ in range(2):
        layer.quantize_vectors(X, training=True)
    vector = layer.codebook[2].numpy()
    np.testing.assert_allclose(np.min(np.abs(X - vector).max(-1)), 0.0, atol=1e-6)
    assert layer.counts[2] == np.float32(0.3)
    # Another step takes other vectors.
    other = vector_quantizer(books, decay=0.5, restart_below=0.3)
    other.counts.assign(np.zeros(K))
    other.quantize_vectors(X, training=True)
    assert len(np.unique(other.codebook, axis=0)) > K // 2


def test_levels_are_left_out_by_row_and_count_for_nothing():
    layer = layers.ResidualQuantizer(
        [vector_quantizer(book, commitment_cost=1.0) for book in KNOWN["books"]], dropout=1.0
    )
    x = np.repeat(X, 100, axis=0)
    quantized, codes, terms = layer.quantize_vectors(x, training=True)
    depths = np.sum(codes.numpy()[:, 0] >= 0, axis=-1)
    # Each depth of 1, 2, 3 has 100 of 300 rows, give or take four standard errors of 8.2.
    assert np.all(np.abs(np.bincount(depths, minlength=4)[1:] - 100) < 33)
    kept = np.arange(3) < depths[:, None, None]
    np.testing.assert_array_equal(codes.numpy() >= 0, np.broadcast_to(kept, codes.shape))
    one = codes.numpy()[depths == 1][..., 0]
    np.testing.assert_allclose(quantized[depths == 1], KNOWN["books"][0][one], rtol=1e-5)
    np.testing.assert_allclose(
        terms["commitment"][depths == 1],
        ((x[depths == 1] - KNOWN["books"][0][one]) ** 2).sum((1, 2)),
        rtol=1e-5,
    )
    assert np.all(layer.quantize_vectors(x).codes >= 0)  # outside of training


def test_a_shared_codebook_takes_one_step_for_all_levels():
    layer = layers.ResidualQuantizer(vector_quantizer(decay=0.9), depth=2)
    book, counts = layer.quantizers[0].codebook.numpy(), np.ones(K)
    codes = layer.quantize_vectors(X, training=True).codes.numpy()
    used = np.bincount(codes.ravel(), minlength=K)
    np.testing.assert_allclose(layer.quantizers[0].counts, 0.9 * counts + 0.1 * used, rtol=1e-5)
    sums = 0.9 * book.copy()
    np.add.at(sums, codes[..., 0], 0.1 * X)
    np.add.at(sums, codes[..., 1], 0.1 * (X - book[codes[..., 0]]))
    np.testing.assert_allclose(layer.quantizers[0].sums, sums, rtol=1e-4, atol=1e-5)


def test_every_level_of_fsq_is_reached_and_its_code_is_the_mixed_radix():
    layer = layers.FSQ((4, 3))
    x = np.stack(np.meshgrid(np.linspace(-8, 8, 99), np.linspace(-8, 8, 99)), -1)[None]
    quantized, codes, _ = layer.quantize_vectors(x.astype(np.float32))
    np.testing.assert_array_equal(np.unique(quantized[..., 0]), [-1, -0.5, 0, 0.5])
    np.testing.assert_array_equal(np.unique(quantized[..., 1]), [-1, 0, 1])
    digits = np.round(quantized.numpy() * [2, 1] + [2, 1])
    np.testing.assert_array_equal(codes, digits[..., 0] + 4 * digits[..., 1])


def test_entropies_of_bits_are_those_of_all_their_codes():
    x = (0.3 * X[..., :4]).astype(np.float64)
    layer = layers.LookupFree(4, temperature=0.5)
    terms = layer.quantize_vectors(x.astype(np.float32)).terms
    every = layer.vectors(np.arange(16)).numpy()
    weights = np.exp(-((x[..., None, :] - every) ** 2).sum(-1) / 0.5)
    probs = weights / weights.sum(-1, keepdims=True)  # [B, places, 16]
    np.testing.assert_allclose(terms["entropy"], stats.entropy(probs, axis=-1).sum(1), rtol=1e-5)
    whole = stats.entropy(probs.mean((0, 1)))
    np.testing.assert_allclose(terms["diversity"], np.full(3, 4 * whole), rtol=1e-5)


def test_diversity_of_many_bits_is_that_of_parts():
    x = np.random.default_rng(0).normal(size=(64, 2, 12)).astype(np.float32)
    whole = layers.LookupFree(12, temperature=1.0).quantize_vectors(x).terms["diversity"]
    halves = [
        layers.LookupFree(6, temperature=1.0).quantize_vectors(part).terms["diversity"]
        for part in np.split(x, 2, axis=-1)
    ]
    np.testing.assert_allclose(whole, halves[0] + halves[1], rtol=1e-5)


# -- What they refuse


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.VectorQuantizer(1, 2), "`num_codes` must be .* Received: num_codes=1"),
        (lambda: layers.VectorQuantizer(0, 2), "`num_codes` must be .* Received: num_codes=0"),
        (lambda: layers.VectorQuantizer(4, 2, decay=1.0), "`decay` must .* Received: decay=1.0"),
        (
            lambda: layers.VectorQuantizer(4, 2, distance="angle"),
            "`distance` must be 'euclidean' or 'cosine'. Received: distance='angle'",
        ),
        (
            lambda: layers.VectorQuantizer(4, 2, decay=None, restart_below=1.0),
            "`restart_below` needs moving averages.* Received: restart_below=1.0, decay=None",
        ),
        (lambda: layers.FSQ((8, 1)), r"`levels` must be .* Received: levels=\(8, 1\)"),
        (lambda: layers.FSQ([2] * 32), "`levels` must be .* Received: levels="),
        (lambda: layers.LookupFree(31), "`code_dim` must be .* Received: code_dim=31"),
        (
            lambda: layers.LookupFree(3, temperature=0),
            "`temperature` must be a positive number. Received: temperature=0",
        ),
        (
            lambda: layers.ResidualQuantizer(layers.VectorQuantizer(4, 2)),
            "`depth` is the number of levels that share one quantizer. Received: .*depth=None",
        ),
        (
            lambda: layers.ResidualQuantizer([layers.FSQ((3, 3))]),
            "`quantizers` must hold layers of the kind VectorQuantizer. Received: <FSQ",
        ),
        (
            lambda: layers.ResidualQuantizer([layers.VectorQuantizer(4, 2)], dropout=2),
            "`dropout` must be a fraction .* Received: dropout=2",
        ),
        (lambda: layers.GroupedQuantizer([]), r"`quantizers` must hold .* Received: \[\]"),
        (
            lambda: layers.GroupedQuantizer([layers.FSQ((3, 3)), layers.FSQ((3, 4))]),
            r"`quantizers` must be alike .* Received: \[\(2, 9, \(\)\), \(2, 12, \(\)\)\]",
        ),
        (
            lambda: layers.VectorQuantizer(4, 2)(tf.zeros([3, 5])),
            r"VectorQuantizer codes vectors of 2 elements.* Received: .* shape \(3, 5\)",
        ),
        (
            lambda: layers.VectorQuantizer(4, 2).start_at(np.zeros((3, 2))),
            "A codebook of 4 codes starts at no fewer vectors. Received: 3",
        ),
    ],
)
def test_what_does_not_fit_is_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()
