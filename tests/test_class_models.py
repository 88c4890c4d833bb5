"""Models with a class among their latents: each against its sum over classes in NumPy, and what
they refuse."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

import zoo
from tests.small_models import (
    LABELS,
    NOISE,
    K,
    X,
    bernoulli_log_prob,
    class_style,
    mlp,
    normal_log_prob,
    parts,
    stacked,
)
from zoo import layers, objectives
from zoo.inference.handlers import EveryClass
from zoo.random import RowNoise


def bounds_by_class(model):
    """q(y|x) [B, K], and log p(x|y, z) - KL_z [B, K] with the model's own draw of z for each class,
    in NumPy."""
    logits = np.asarray(model.classifier(X), np.float64)
    q = special.softmax(logits, axis=-1)
    eps = NOISE.of_latent(1).normal(1, (2,)).numpy()
    columns = []
    for k in range(K):
        y = np.tile(np.eye(K, dtype=np.float32)[k], (len(X), 1))
        given = {"condition": y} if model.style_sees_class else {}
        loc, raw = np.split(np.asarray(model.encoder(X, **given), np.float64), 2, axis=-1)
        scale = np.exp(8 * np.tanh(raw / 8))
        log_likelihood = bernoulli_log_prob(
            model.decoder((loc + scale * eps).astype(np.float32), condition=y), X
        )
        columns.append(log_likelihood - 0.5 * (scale**2 + loc**2 - 1 - 2 * np.log(scale)).sum(-1))
    return q, np.stack(columns, axis=1)


@pytest.mark.parametrize("sees_class", [True, False])
def test_bound_sums_over_classes(sees_class):
    model = class_style(style_sees_class=sees_class)
    q, of_class = bounds_by_class(model)
    elbo = (q * of_class).sum(1) - (q * np.log(q * K)).sum(1)
    terms = model.loss_terms({"image": tf.constant(X)}, NOISE, training=True)
    np.testing.assert_allclose(terms["elbo"], elbo, rtol=1e-4)
    np.testing.assert_allclose(terms["loss"], -elbo, rtol=1e-4)
    np.testing.assert_allclose(terms["kl_y"], (q * np.log(q * K)).sum(1), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(terms["kl_y"] + terms["kl_z"], terms["kl"], rtol=1e-5)


def test_capacities_are_of_the_batch_mean():
    model = class_style(zoo.JointVAE, style_capacity=3.0, class_capacity=1.0, gamma=7.0)
    terms = model.loss_terms({"image": tf.constant(X)}, NOISE, training=True)
    penalty = 7.0 * (abs(np.mean(terms["kl_z"]) - 3.0) + abs(np.mean(terms["kl_y"]) - 1.0))
    np.testing.assert_allclose(terms["loss"], penalty - terms["log_likelihood"], rtol=1e-5)
    with pytest.raises(ValueError, match="Received: gamma=-1"):
        class_style(zoo.JointVAE, style_capacity=3.0, class_capacity=1.0, gamma=-1)
    with pytest.raises(ValueError, match="style_capacity"):
        class_style(zoo.JointVAE, style_capacity=-3.0, class_capacity=1.0)


def test_importance_sampling_agrees_with_summing_over_classes():
    """-log p(x) of the class-and-style model by many samples of (y, z) and by a sum over y of many
    samples of z."""
    model = class_style()
    last = model.encoder.stack[-1]
    # Q(z|x, y) = N(0, I): no sample of an untrained q is then worth thousands of others.
    last.kernel.assign(tf.zeros_like(last.kernel))
    sums, _ = model.importance_sums(
        {"image": tf.constant(X)}, RowNoise.of_seed(0, len(X)), 4000, chunk=4000
    )
    z = np.random.default_rng(0).normal(size=(20000, 2)).astype(np.float32)
    for row in range(2):
        by_class = [
            special.logsumexp(
                bernoulli_log_prob(
                    model.decoder(
                        z, condition=np.tile(np.eye(K, dtype=np.float32)[k], (len(z), 1))
                    ),
                    X[[row]],
                )
            )
            for k in range(K)
        ]
        expected = special.logsumexp(by_class) - np.log(len(z) * K)
        # Five of the larger standard error, which is 0.02.
        assert abs(sums.log_mean(4000)[row] - expected) < 0.1


def test_semi_supervised_loss_is_kingmas():
    model = class_style(zoo.SemiSupervisedVAE, classification_weight=5.0)
    q, of_class = bounds_by_class(model)
    of_class -= np.log(K)  # L(x, y) with log p(y)
    unlabelled = (q * (of_class - np.log(q))).sum(1)
    labels = np.where(np.arange(7) < 3, LABELS, -1).astype(np.int32)
    rows = np.arange(7)
    labelled = of_class[rows, LABELS] + 5.0 * np.log(q[rows, LABELS])
    terms = model.loss_terms(
        {"image": tf.constant(X), "label": tf.constant(labels)}, NOISE, training=True
    )
    np.testing.assert_allclose(
        terms["loss"], -np.where(labels >= 0, labelled, unlabelled), rtol=1e-4
    )
    np.testing.assert_allclose(terms["elbo"], unlabelled, rtol=1e-4)
    np.testing.assert_array_equal(terms["accuracy"][0], q.argmax(1) == labels)
    np.testing.assert_array_equal(terms["accuracy"][1], labels >= 0)


def test_semi_supervised_accuracy_counts_labelled_rows_alone():
    model = class_style(zoo.SemiSupervisedVAE)
    model.compile(run_eagerly=True)
    labels = np.where(np.arange(7) < 4, LABELS, -1)
    received = model.evaluate(
        {"image": X, "label": labels}, batch_size=5, verbose=0, return_dict=True
    )["accuracy"]
    assert received == pytest.approx(
        np.mean(np.argmax(model.classify(X)[:4], axis=-1) == labels[:4])
    )


def test_labels_that_are_not_labels_are_told():
    model = class_style(zoo.SemiSupervisedVAE)
    with pytest.raises(ValueError, match="SemiSupervisedVAE needs 'label' beside 'image'"):
        model.standardize(X)
    with pytest.raises(
        ValueError,
        match=r"Labels must lie in 0 ... 2, or be -1 where unknown. Received: labels in -2 ... 3",
    ):
        model.standardize({"image": X, "label": LABELS * 0 + np.array([-2, 3, 0, 0, 0, 0, 0])})
    with pytest.raises(ValueError, match="Labels must be integers. Received: dtype float64"):
        model.standardize({"image": X, "label": LABELS * 1.0})
    with pytest.raises(
        ValueError, match="SemiSupervisedVAE sums over classes. Received: objective=Relaxation"
    ):
        class_style(zoo.SemiSupervisedVAE, objective=objectives.Relaxation())
    with pytest.raises(ValueError, match="Received: classification_weight=-1"):
        class_style(zoo.SemiSupervisedVAE, classification_weight=-1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'condition_shape'"):
        class_style(condition_shape=(3,))


def test_only_active_latents_of_the_base_are_kept():
    model = stacked()
    last = model.base.encoder.stack[-1]
    # The mean of the second latent is constant.
    last.kernel.assign(last.kernel * np.array([5, 0, 5, 1, 1, 1], np.float32))
    model.keep_active(X)
    np.testing.assert_array_equal(model.active, [1, 0, 1])


def test_stacked_bound_is_that_of_both_models():
    model = stacked(classification_weight=5.0)
    base_weights = len(model.base.weights)
    # And the mask of active latents.
    assert len(model.trainable_weights) == len(model.weights) - base_weights - 1
    loc, raw = np.split(np.asarray(model.base.encoder(X), np.float64), 2, axis=-1)
    h = (loc + np.exp(8 * np.tanh(raw / 8)) * NOISE.of_latent(0).normal(1, (3,)).numpy()).astype(
        np.float32
    )
    q = special.softmax(np.asarray(model.classifier(h), np.float64), axis=-1)
    eps = NOISE.of_latent(2).normal(1, (2,)).numpy()
    columns = []
    for k in range(K):
        y = np.tile(np.eye(K, dtype=np.float32)[k], (len(X), 1))
        loc, raw = np.split(np.asarray(model.encoder(h, condition=y), np.float64), 2, axis=-1)
        scale = np.exp(8 * np.tanh(raw / 8))
        log_prob = normal_log_prob(
            model.decoder((loc + scale * eps).astype(np.float32), condition=y), h
        )
        columns.append(
            log_prob - 0.5 * (scale**2 + loc**2 - 1 - 2 * np.log(scale)).sum(-1) - np.log(K)
        )
    m1 = bernoulli_log_prob(model.base.decoder(h), X) - normal_log_prob(model.base.encoder(X), h)
    of_class = np.stack(columns, axis=1) + m1[:, None]
    unlabelled = (q * (of_class - np.log(q))).sum(1)
    labelled = of_class[np.arange(7), LABELS] + 5.0 * np.log(q[np.arange(7), LABELS])
    labels = np.where(np.arange(7) < 3, LABELS, -1).astype(np.int32)
    terms = model.loss_terms(
        {"image": tf.constant(X), "label": tf.constant(labels)}, NOISE, training=True
    )
    np.testing.assert_allclose(terms["elbo"], unlabelled, rtol=1e-4)
    np.testing.assert_allclose(
        terms["loss"], -np.where(labels >= 0, labelled, unlabelled), rtol=1e-4
    )
    # Without its second latent, M2 sees a zero there and gives it the prior of M1.
    model.active.assign([1.0, 0.0, 1.0])
    out = model.run(EveryClass(NOISE, "y"), {"image": tf.constant(X)})
    shown = out.z["h"].numpy() * np.array([1, 0, 1], np.float32)
    np.testing.assert_allclose(
        model.encode(X).given("y", out.z).logits_parameter(), model.classifier(shown), rtol=1e-5
    )
    assert np.all(out["h"].prior.loc[..., 1] == 0) and np.all(out["h"].prior.stddev()[..., 1] == 1)
    assert model.decode(
        {"y": np.eye(K, dtype=np.float32), "z": np.zeros((K, 2), np.float32)}
    ).batch_shape == (K,)
    with pytest.raises(
        ValueError, match="`base` must be a zoo.VAE without a condition. Received: CVAE"
    ):
        zoo.StackedVAE(
            zoo.CVAE(*parts(3), num_classes=K), mlp(K), mlp(4), mlp(6), layers.DiagonalNormal(2)
        )
