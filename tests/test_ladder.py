"""Ladders of residual groups: their shapes, what is weighed while they warm up, and what each group
carries."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo import plots
from zoo.evaluation.latents import kl_by_latent
from zoo.inference.handlers import FromPosterior
from zoo.models import residual_ladder
from zoo.objectives import ELBO, BalancedKL
from zoo.random import RowNoise
from zoo.schedules import Linear

IMAGE_SHAPE = (7, 6, 1)


def small_ladder(**arguments):
    keras.utils.set_random_seed(0)
    sizes = {"groups": (1, 2), "filters": (4, 6), "latent_channels": (1, 2), "patch": 2}
    return residual_ladder(zoo.layers.Bernoulli(IMAGE_SHAPE), **{**sizes, **arguments})


def test_a_ladder_has_latents_of_each_resolution():
    model = small_ladder()
    assert model.latent_shapes == {"z1": (2, 2, 2), "z2": (2, 2, 2), "z3": (4, 4, 1)}
    assert model.likelihood_layer.event_shape == IMAGE_SHAPE
    assert model.sample(3).shape == (3, *IMAGE_SHAPE)


def test_a_ladder_of_more_groups_is_deeper():
    model = small_ladder(groups=(3, 1), num_blocks=2, bottleneck=False, gated=True)
    assert list(model.latents) == ["z1", "z2", "z3", "z4"]
    assert model.count_params() > small_ladder().count_params()


def test_a_level_needs_all_its_numbers():
    with pytest.raises(ValueError, match=r"groups=\(1, 2\), filters=\(4,\), latent_channels="):
        small_ladder(filters=(4,))


def test_a_ladder_learns_and_is_saved(tmp_path):
    model = small_ladder()
    images = (np.random.default_rng(0).random((32, *IMAGE_SHAPE)) < 0.3).astype(np.float32)
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    model.start_at_mean(images)
    before = [weight.numpy() for weight in model.trainable_weights]
    history = model.fit(images, batch_size=16, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert all(
        np.any(weight != old) for weight, old in zip(model.trainable_weights, before, strict=True)
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.sample(2), model.sample(2))


# -- Groups


def a_pass(model, num_rows=6):
    images = (np.random.default_rng(0).random((num_rows, *IMAGE_SHAPE)) < 0.3).astype(np.float32)
    return model.run(FromPosterior(RowNoise(0, 0, tf.range(num_rows))), model.as_data(images))


def awake(**arguments):
    """A ladder whose groups carry something: its networks begin at zero."""
    model = small_ladder(**arguments)
    generator = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(weight + 0.3 * generator.standard_normal(weight.shape))
    return model


def test_a_warm_up_holds_back_the_groups_that_carry_little():
    model = awake(objective=ELBO(regularizer=BalancedKL(Linear(0.0, 1.0, 10))))
    trace = a_pass(model)
    kls = np.array([np.mean(kl) for kl in model.kl_by_latent(trace).values()])
    sizes = np.array([8.0, 8.0, 16.0])  # of maps 2 x 2 x 2, 2 x 2 x 2 and 4 x 4 x 1
    weights = sizes * np.abs(kls)
    weights *= 3 / weights.sum()
    model.compile("adam")
    for step, beta in ((0, 0.0), (4, 0.4), (10, 1.0), (20, 1.0)):
        model._counter.variable.assign(step)
        expected = beta * np.sum((weights if beta < 1 else 1.0) * kls)
        np.testing.assert_allclose(model.regularization(trace), expected, rtol=1e-5)


def test_no_gradient_passes_through_the_weights_of_a_warm_up():
    model = awake(objective=ELBO(regularizer=BalancedKL(0.5)))
    with tf.GradientTape() as tape:
        trace = a_pass(model)
        kls = [tf.reduce_mean(kl) for kl in model.kl_by_latent(trace).values()]
        weights = tf.constant([8.0, 8.0, 16.0]) * tf.abs(tf.stack(kls))
        fixed = tf.stop_gradient(1.5 * weights / tf.reduce_sum(weights))
        difference = model.regularization(trace) - tf.reduce_sum(fixed * tf.stack(kls))
    for gradient in tape.gradient(difference, model.trainable_weights):
        if gradient is not None:
            np.testing.assert_allclose(gradient, 0.0, atol=1e-4)


def test_a_balanced_warm_up_is_saved(tmp_path):
    model = small_ladder(objective=ELBO(regularizer=BalancedKL(Linear(0.0, 1.0, 10))))
    model.compile("adam", run_eagerly=True)
    path = tmp_path / "ladder.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    assert loaded.objective.regularizer.beta.num_steps == 10


def test_groups_carry_what_the_bound_says(tmp_path):
    model = awake()
    images = (np.random.default_rng(0).random((130, *IMAGE_SHAPE)) < 0.3).astype(np.float32)
    model.compile("adam", run_eagerly=True)
    nats = kl_by_latent(model, images)
    assert list(nats) == ["z1", "z2", "z3"]
    whole = model.evaluate(images, batch_size=100, verbose=0, return_dict=True)
    kl = next(value for name, value in whole.items() if name.startswith("kl"))
    np.testing.assert_allclose(sum(nats.values()), kl, rtol=1e-4)
    figure = plots.group_kls(model, {"image": images}, path=tmp_path / "groups.png")
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == [
        "z1  2 x 2 x 2",
        "z2  2 x 2 x 2",
        "z3  4 x 4 x 1",
    ]
    widths = [bar.get_width() for bar in axis.patches]
    np.testing.assert_allclose(widths, list(nats.values()), rtol=1e-6)
