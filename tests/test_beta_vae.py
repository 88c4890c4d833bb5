"""VAEs with a regularizer of their own: the formulas in NumPy, and schedules inside the compiled
step."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.models.beta_vae import BetaVAE, CapacityVAE
from zoo.objectives import ELBO, FreeBits, ImportanceWeighted, ScoreFunction
from zoo.random import RowNoise
from zoo.schedules import Cyclical, Linear


def terms_of(model, images):
    noise = RowNoise(0, 0, tf.range(len(images)))
    batch = model.prepare({"image": tf.constant(images)}, noise)
    return {
        name: term.numpy() for name, term in model.loss_terms(batch, noise, training=True).items()
    }


def kl_by_hand(model, images):
    """KL(q(z|x) || N(0, I)) of each image, float64: Kingma & Welling 2014, appendix B."""
    q = model.encode(images)
    loc, variance = q.loc.numpy().astype(np.float64), q.variance().numpy().astype(np.float64)
    return 0.5 * np.sum(loc**2 + variance - 1 - np.log(variance), axis=-1)


def test_beta_weighs_the_kl(make_vae, images):
    vae = terms_of(make_vae(), images)
    for beta in (0.0, 0.5, 1.0, 4):
        model = make_vae(model=BetaVAE, beta=beta)
        terms = terms_of(model, images)
        np.testing.assert_allclose(
            terms["loss"], -terms["log_likelihood"] + np.float32(beta) * terms["kl"], rtol=1e-6
        )
        # The loss is another; what is reported is not.
        for name in (
            "elbo",
            "log_likelihood",
            "kl",
        ):
            np.testing.assert_array_equal(terms[name], vae[name])
    np.testing.assert_array_equal(
        terms_of(make_vae(model=BetaVAE, beta=1.0), images)["loss"], vae["loss"]
    )


def test_capacity_holds_the_mean_kl_of_the_batch(make_vae, images):
    model = make_vae(model=CapacityVAE, pixels="as_given")
    kl = kl_by_hand(model, images)
    assert kl.max() - kl.min() > 0.01
    for capacity in (0.0, float(np.median(kl)), float(kl.mean()) + 3):
        model = make_vae(model=CapacityVAE, pixels="as_given", capacity=capacity, gamma=7.0)
        terms = terms_of(model, images)
        expected = 7 * abs(kl.mean() - capacity)
        np.testing.assert_allclose(
            terms["loss"] + terms["log_likelihood"], np.full(40, expected), rtol=1e-4, atol=1e-4
        )


def test_every_argument_changes_the_loss_and_every_weight_gets_a_gradient(make_vae, images):
    images = images[:8]
    losses = set()
    for model in (
        make_vae(),
        make_vae(model=BetaVAE),
        make_vae(model=BetaVAE, beta=2.0),
        make_vae(model=BetaVAE, beta=2.0, objective=ELBO(2)),
        make_vae(model=BetaVAE, beta=Linear(3.0, 1.0, 10)),
        make_vae(model=CapacityVAE),
        make_vae(model=CapacityVAE, capacity=3.0),
        make_vae(model=CapacityVAE, gamma=2.0),
    ):
        noise = RowNoise(0, 0, tf.range(8))
        with tf.GradientTape() as tape:
            batch = model.prepare({"image": tf.constant(images)}, noise)
            loss = tf.reduce_mean(model.loss_terms(batch, noise, True)["loss"])
        losses.add(float(loss))
        for gradient in tape.gradient(loss, [weight.value for weight in model.trainable_weights]):
            assert np.all(np.isfinite(gradient)) and np.any(gradient != 0)
    assert len(losses) == 8


@pytest.mark.parametrize(("family", "argument"), [(BetaVAE, "beta"), (CapacityVAE, "capacity")])
def test_schedules_move_inside_the_compiled_step_and_are_traced_once(
    make_vae, images, family, argument
):
    traces = []

    class Counted(family):
        def regularization(self, trace):
            traces.append(type(trace.z))
            return super().regularization(trace)

    schedule = Cyclical(7, ramp=1.0, low=0.5, high=2.0)
    model = make_vae(model=Counted, pixels="as_given", **{argument: schedule})
    # Weights stand still, and all batches are the same images: what moves is the schedule, four
    # steps in each compiled call.
    model.compile(keras.optimizers.SGD(0.0), jit_compile=family is BetaVAE)
    batch = images[:10]
    history = model.fit(
        np.tile(batch, (4, 1, 1, 1)), batch_size=10, epochs=3, shuffle=False, verbose=0
    ).history
    kl = kl_by_hand(model, batch).mean()
    values = np.array([float(schedule(step)) for step in range(12)]).reshape(3, 4)
    expected = (values * kl if family is BetaVAE else 30 * np.abs(kl - values)).mean(axis=1)
    assert len(np.unique(expected.round(3))) == 3
    np.testing.assert_allclose(
        np.add(history["loss"], history["log_likelihood"]), expected, rtol=1e-3, atol=1e-3
    )
    assert int(model.training_step) == 12 and len(traces) == 1
    # Evaluation weighs as training would at this step.
    received = model.evaluate(batch, batch_size=10, verbose=0, return_dict=True)
    value = float(schedule(12))
    expected = value * kl if family is BetaVAE else 30 * abs(kl - value)
    assert received["loss"] + received["log_likelihood"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("family", "arguments"),
    [
        (BetaVAE, {"beta": Linear(0.0, 4.0, 10)}),
        (CapacityVAE, {"capacity": Linear(0.0, 5.0, 10), "gamma": 3.0}),
    ],
)
def test_a_saved_model_goes_on_where_it_stopped(make_vae, images, tmp_path, family, arguments):
    model = make_vae(model=family, **arguments)
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    model.fit(images, batch_size=8, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded) is family
    assert json.loads(json.dumps(loaded.get_config())) == json.loads(json.dumps(model.get_config()))
    assert int(loaded.training_step) == int(model.training_step) == 5  # halfway up
    histories = [m.fit(images, batch_size=8, epochs=1, verbose=0).history for m in (model, loaded)]
    assert histories[0] == histories[1]


def test_objectives_without_a_place_for_the_weight_are_refused(make_vae, images):
    for family in (BetaVAE, CapacityVAE):
        for objective in (ImportanceWeighted(5), FreeBits(0.1)):
            name = type(objective).__name__
            reason = (
                f"{name} bounds log p\\(x\\), and {family.__name__} has a regularizer of its "
                f"own.*Use ELBO. Received: objective={name}"
            )
            with pytest.raises(ValueError, match=reason):
                make_vae(model=family, objective=objective)
    model = make_vae(model=BetaVAE, beta=3.0, objective=ScoreFunction())
    np.testing.assert_allclose(
        terms_of(model, images)["loss"],
        terms_of(make_vae(model=BetaVAE, beta=3.0), images)["loss"],
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("family", "arguments", "message"),
    [
        (
            BetaVAE,
            {"beta": -1.0},
            r"`beta` must be a non-negative number or a schedule of `zoo.schedules`. "
            r"Received: beta=-1.0",
        ),
        (BetaVAE, {"beta": "4"}, "Received: beta='4'"),
        (
            CapacityVAE,
            {"capacity": float("inf")},
            r"`capacity` must be a non-negative number or a schedule.*Received: capacity=inf",
        ),
        (
            CapacityVAE,
            {"gamma": -2.0},
            "`gamma` must be a non-negative number. Received: gamma=-2.0",
        ),
        (
            CapacityVAE,
            {"gamma": None},
            "`gamma` must be a non-negative number. Received: gamma=None",
        ),
    ],
)
def test_wrong_arguments_are_told(make_vae, family, arguments, message):
    with pytest.raises(ValueError, match=message):
        make_vae(model=family, **arguments)
