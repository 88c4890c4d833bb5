"""What every model beside the VAE keeps to; and those that are given something, each against its
formula in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special

import zoo
from tests.conftest import IMAGE_SHAPE
from tests.small_models import (
    LABELS,
    NOISE,
    K,
    X,
    autoencoder,
    bernoulli_log_prob,
    class_style,
    completion,
    hierarchical,
    hierarchical_vamp,
    mlp,
    parts,
    stacked,
    vamp,
)
from zoo import layers, objectives
from zoo.images import center_column, quadrants

MODELS = {
    "autoencoder": autoencoder,
    "cvae": lambda: zoo.CVAE(*parts(), num_classes=K),
    "hierarchical": hierarchical,
    "vamp": vamp,
    "hierarchical vamp": hierarchical_vamp,
    "class and style": class_style,
    "class, and style without it": lambda: class_style(style_sees_class=False),
    "score function": lambda: class_style(objective=objectives.ScoreFunction(2)),
    "relaxation": lambda: class_style(objective=objectives.Relaxation()),
    "joint": lambda: class_style(zoo.JointVAE, style_capacity=3.0, class_capacity=1.0),
    "semi-supervised": lambda: class_style(zoo.SemiSupervisedVAE),
    "stacked": stacked,
    "completion": completion,
    "completion network": lambda: zoo.CompletionNetwork(
        mlp(16), layers.Bernoulli(IMAGE_SHAPE), visible=quadrants(IMAGE_SHAPE, 1)
    ),
}


def batch_of(model):
    """What `loss_terms` gets: prepared rows, with whatever the model takes beside the images."""
    data = model.standardize({"image": X, "label": LABELS})
    return model.prepare({name: tf.convert_to_tensor(value) for name, value in data.items()}, NOISE)


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_every_weight_gets_a_gradient_and_configuration_rebuilds_the_model(make):
    model = make()
    batch = batch_of(model)
    with tf.GradientTape() as tape:
        terms = model.loss_terms(batch, NOISE, training=True)
        loss = tf.reduce_mean(terms["loss"])
    assert set(terms) == set(model.term_names)
    for name, term in terms.items():
        assert tuple(term[0].shape if isinstance(term, tuple) else term.shape) == (len(X),), name
    for weight, gradient in zip(
        model.trainable_weights,
        tape.gradient(loss, [w.value for w in model.trainable_weights]),
        strict=True,
    ):
        assert gradient is not None and np.all(np.isfinite(gradient)) and np.any(gradient != 0), (
            weight.path
        )
    config = keras.saving.serialize_keras_object(model)
    again = keras.saving.deserialize_keras_object(config)
    assert keras.saving.serialize_keras_object(again) == config
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(
        again.loss_terms(batch, NOISE, training=False)["loss"], terms["loss"], rtol=1e-5
    )


QUICK = ("semi-supervised",)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name, marks=[] if name in QUICK else pytest.mark.slow)
        for name, make in MODELS.items()
    ],
)
def test_every_model_trains_the_same_in_all_modes(make):
    """One XLA program, the same loop over TensorFlow's kernels, and plain steps in Python."""
    data = {"image": np.tile((255 * X).astype(np.uint8), (4, 1, 1, 1)), "label": np.tile(LABELS, 4)}

    def trained(**execution):
        keras.utils.set_random_seed(0)
        model = make()
        model.compile(keras.optimizers.SGD(0.001), **execution)
        history = model.fit(data, batch_size=8, epochs=2, verbose=0).history
        return model, history

    (model, history), *others = [
        trained(jit_compile=True),
        trained(jit_compile=False),
        trained(run_eagerly=True),
    ]
    assert [model.execution] + [other.execution for other, _ in others] == [
        "xla-block",
        "tf-loop",
        "eager",
    ]
    for other, other_history in others:
        for name, values in history.items():
            np.testing.assert_allclose(
                other_history[name],
                values,
                rtol=1e-4,
                atol=1e-6,
                err_msg=f"{other.execution}: {name}",
            )
        for weight, other_weight in zip(model.weights, other.weights, strict=True):
            np.testing.assert_allclose(
                other_weight,
                weight,
                rtol=1e-4,
                atol=1e-5,
                err_msg=f"{other.execution}: {weight.path}",
            )


# -- Conditional on a label


def test_cvae_takes_labels_and_vectors_and_transfers():
    model = zoo.CVAE(*parts(), num_classes=K)
    one_hot = np.eye(K, dtype=np.float32)[LABELS]
    np.testing.assert_array_equal(model.encode(X, LABELS).loc, model.encode(X, one_hot).loc)
    np.testing.assert_array_equal(
        model.standardize({"image": X, "label": LABELS})["condition"], one_hot
    )
    np.testing.assert_array_equal(
        model.sample(4, seed=1, condition=2), model.sample(4, seed=1, condition=[2, 2, 2, 2])
    )
    to = np.roll(LABELS, 1)
    expected = model.decode(model.encode(X, LABELS).mean(), to).mean()
    np.testing.assert_allclose(model.transfer(X, LABELS, to), expected, rtol=1e-5)
    assert np.any(np.abs(model.transfer(X, LABELS, LABELS) - expected) > 1e-4)
    with pytest.raises(
        ValueError, match=r"Labels must lie in 0 ... 2. Received: labels in 0 ... 3"
    ):
        model.encode(X, LABELS + (LABELS == 2))
    for ask in (lambda: model.standardize(X), lambda: model.sample(3)):
        with pytest.raises(ValueError, match=r"needs a label for each example.*Received: none"):
            ask()
    with pytest.raises(
        ValueError, match=r"`condition` must have the shape \[7, 3\]. Received: shape \(7, 2\)"
    ):
        model.standardize({"image": X, "condition": one_hot[:, :2]})


# -- Completion


def test_completion_scores_hidden_pixels_alone_and_keeps_the_visible_ones():
    model = completion()
    hidden = ~quadrants(IMAGE_SHAPE, 1).reshape(-1)
    out = model({"image": tf.constant(X)}, noise=NOISE)
    seen = np.where(hidden, -1.0, X.reshape(7, -1)).astype(np.float32)
    logits = np.asarray(model.decoder(out.z[0], condition=seen.reshape(X.shape)), np.float64)
    flat = X.reshape(7, -1)
    expected = np.where(hidden, flat * logits - np.logaddexp(0, logits), 0.0).sum(-1)
    np.testing.assert_allclose(out.likelihood.log_prob(X)[0], expected, rtol=1e-5)
    np.testing.assert_allclose(
        out.prior.loc,
        np.asarray(model.prior_layer.network(seen.reshape(X.shape)))[:, :2],
        rtol=1e-5,
    )

    completed = model.generate(NOISE, X)
    for name in ("reconstruction", "sample"):
        np.testing.assert_allclose(
            completed[name].numpy().reshape(7, -1)[:, ~hidden], flat[:, ~hidden], atol=1e-6
        )
    # What is hidden plays no part in the completion, and a great part in the score.
    other = np.where(hidden.reshape(IMAGE_SHAPE), 1 - X, X)
    np.testing.assert_array_equal(model.generate(NOISE, other)["sample"], completed["sample"])
    assert np.all(np.abs(model.log_prob(other, 8) - model.log_prob(X, 8)) > 1e-3)


def test_completion_sees_of_images_what_is_visible_when_no_condition_is_given():
    model = completion()
    model.compile(jit_compile=False)
    expected = np.asarray(model.reconstruct(X, X))
    np.testing.assert_array_equal(model.reconstruct(X), expected)
    for data in X, {"image": X}, tf.data.Dataset.from_tensor_slices(X).batch(3):
        np.testing.assert_allclose(model.predict(data, verbose=0), expected, rtol=1e-5)


def test_completion_network_is_the_cross_entropy_of_hidden_pixels():
    visible = quadrants(IMAGE_SHAPE, 3)
    model = zoo.CompletionNetwork(mlp(16), layers.Bernoulli(IMAGE_SHAPE), visible=visible)
    logits = np.asarray(
        model.network(np.where(visible[..., None], X, -1).astype(np.float32)), np.float64
    )
    flat = X.reshape(7, -1)
    expected = np.where(visible.reshape(-1), 0.0, flat * logits - np.logaddexp(0, logits)).sum(-1)
    np.testing.assert_allclose(model.log_prob(X), expected, rtol=1e-5)
    model.compile()
    numbers = zoo.evaluate(
        model, {"image": X, "label": LABELS}, nll_name="conditional_nll_q3", verbose=0
    )
    assert numbers["conditional_nll_q3"]["value"] == pytest.approx(-expected.mean(), rel=1e-5)
    assert set(numbers) == {"conditional_nll_q3", "log_likelihood"}


def test_masks_show_what_they_say():
    assert [quadrants((4, 4), n).astype(int).tolist() for n in (1, 3)] == [
        [[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]],
        [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]],
    ]
    assert quadrants((28, 28), 2)[:, :14].all() and quadrants((28, 28), 2).sum() == 392
    assert np.flatnonzero(center_column((28, 28))[0]).tolist() == [13]
    with pytest.raises(ValueError, match="1, 2 or 3 quadrants can be seen. Received: 4"):
        quadrants((4, 4), 4)
    with pytest.raises(ValueError, match="1 to 3 columns can be seen. Received: 4"):
        center_column((4, 4), 4)
    with pytest.raises(
        ValueError, match=r"`visible` must be a mask of shape \(4, 4\).*Received: shape \(3, 4\)"
    ):
        completion(visible=np.zeros((3, 4)))
    with pytest.raises(ValueError, match="completes binary images. Received: likelihood=Normal"):
        zoo.CompletionNetwork(
            mlp(16), layers.Normal(IMAGE_SHAPE), visible=quadrants(IMAGE_SHAPE, 1)
        )


# -- Autoencoder


def test_autoencoder_offers_no_more_than_it_has():
    model = autoencoder()
    logits = np.asarray(model.decoder(model.encoder(X)), np.float64)
    expected = bernoulli_log_prob(logits, X)
    terms = model.loss_terms({"image": tf.constant(X)}, NOISE, training=True)
    np.testing.assert_allclose(terms["loss"], -expected, rtol=1e-5)
    np.testing.assert_allclose(
        model.reconstruct(X).numpy().reshape(7, -1), special.expit(logits), rtol=1e-5
    )
    for absent in ("sample", "generate", "score", "log_prob", "prior", "kl"):
        assert not hasattr(model, absent)
    with pytest.raises(TypeError, match="unexpected keyword argument 'condition_shape'"):
        zoo.Autoencoder(mlp(2), mlp(16), layers.Bernoulli(IMAGE_SHAPE), condition_shape=(3,))
