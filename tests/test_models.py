"""The models beside the VAE: each against its formula in NumPy, and what they refuse."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

import zoo
from tests.conftest import IMAGE_SHAPE
from zoo import layers, networks, objectives
from zoo.images import center_column, quadrants
from zoo.random import RowNoise

K = 3
X = np.random.default_rng(0).random((7, *IMAGE_SHAPE)).round().astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0], np.int32)
NOISE = RowNoise(0, 0, tf.range(len(X)))


def mlp(output_size):
    return networks.MLP((6,), output_size, "tanh")


def parts(latent_dim=2):
    """Encoder, decoder, posterior and likelihood of a small model."""
    keras.utils.set_random_seed(0)
    posterior, likelihood = layers.DiagonalNormal(latent_dim), layers.Bernoulli(IMAGE_SHAPE)
    return mlp(posterior.num_params), mlp(likelihood.num_params), posterior, likelihood


def class_style(model=zoo.ClassStyleVAE, **kwargs):
    return model(mlp(K), *parts(), num_classes=K, **kwargs)


def hierarchical(**kwargs):
    encoder, decoder, posterior, likelihood = parts(3)
    upper = layers.DiagonalNormal(2)
    prior = layers.DiagonalNormal(3)
    encoders, decoders = [encoder, mlp(upper.num_params)], [decoder, mlp(prior.num_params)]
    return zoo.HierarchicalVAE(encoders, decoders, [posterior, upper], likelihood, [prior], **kwargs)


def vamp(**kwargs):
    return zoo.VampVAE(*parts(), layers.VampPrior(4, IMAGE_SHAPE), **kwargs)


def hierarchical_vamp(**kwargs):
    encoder, decoder, posterior, likelihood = parts(3)
    upper, prior = layers.DiagonalNormal(2), layers.DiagonalNormal(3)
    encoders, decoders = [encoder, mlp(upper.num_params)], [decoder, mlp(prior.num_params)]
    mixture = layers.VampPrior(4, IMAGE_SHAPE)
    return zoo.HierarchicalVampVAE(encoders, decoders, [posterior, upper], likelihood, [prior], mixture, **kwargs)


def completion(visible=None, **kwargs):
    encoder, decoder, posterior, likelihood = parts()
    prior = layers.Conditional(mlp(posterior.num_params), layers.DiagonalNormal(2))
    return zoo.CompletionCVAE(
        encoder, decoder, posterior, likelihood, prior, visible=quadrants(IMAGE_SHAPE, 1) if visible is None else visible, **kwargs
    )


def autoencoder():
    _, decoder, _, likelihood = parts()
    return zoo.Autoencoder(mlp(2), decoder, likelihood)


def stacked(**kwargs):
    base = zoo.VAE(*parts(3))
    posterior = layers.DiagonalNormal(2)
    return zoo.StackedVAE(base, mlp(K), mlp(posterior.num_params), mlp(2 * 3), posterior, num_classes=K, **kwargs)


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
    "completion network": lambda: zoo.CompletionNetwork(mlp(16), layers.Bernoulli(IMAGE_SHAPE), visible=quadrants(IMAGE_SHAPE, 1)),
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
    for weight, gradient in zip(model.trainable_weights, tape.gradient(loss, [w.value for w in model.trainable_weights]), strict=True):
        assert gradient is not None and np.all(np.isfinite(gradient)) and np.any(gradient != 0), weight.path
    config = keras.saving.serialize_keras_object(model)
    again = keras.saving.deserialize_keras_object(config)
    assert keras.saving.serialize_keras_object(again) == config
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(again.loss_terms(batch, NOISE, training=False)["loss"], terms["loss"], rtol=1e-5)


QUICK = ("completion", "semi-supervised")


@pytest.mark.parametrize(
    "make", [pytest.param(make, id=name, marks=[] if name in QUICK else pytest.mark.slow) for name, make in MODELS.items()]
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

    (model, history), *others = [trained(jit_compile=True), trained(jit_compile=False), trained(run_eagerly=True)]
    assert [model.execution] + [other.execution for other, _ in others] == ["xla-block", "tf-loop", "eager"]
    for other, other_history in others:
        for name, values in history.items():
            np.testing.assert_allclose(other_history[name], values, rtol=1e-4, atol=1e-6, err_msg=f"{other.execution}: {name}")
        for weight, other_weight in zip(model.weights, other.weights, strict=True):
            np.testing.assert_allclose(other_weight, weight, rtol=1e-4, atol=1e-5, err_msg=f"{other.execution}: {weight.path}")


# -- Hierarchical


def normal_log_prob(parameters, z):
    """log N(z; loc, scale) summed over dimensions, of parameters as `DiagonalNormal` takes them."""
    loc, raw = np.split(np.asarray(parameters, np.float64), 2, axis=-1)
    return stats.norm(loc, np.exp(8 * np.tanh(raw / 8))).logpdf(z).sum(-1)


def bernoulli_log_prob(logits, x):
    logits = np.asarray(logits, np.float64)
    return (x.reshape(len(x), -1) * logits - np.logaddexp(0, logits)).sum(-1)


def test_log_weights_of_two_layers_are_those_of_the_formula():
    model = hierarchical()
    out = model(X, noise=NOISE, num_samples=4)
    z1, z2 = out.z["z1"].numpy(), out.z["z2"].numpy()
    assert z1.shape == (4, 7, 3) and z2.shape == (4, 7, 2)
    assert abs(np.corrcoef(z1[..., 0].ravel(), z2[..., 0].ravel())[0, 1]) < 0.9  # the latents have draws of their own
    received = model.log_weights(X, out)
    for s in range(4):
        expected = (
            bernoulli_log_prob(model.decoders[0](z1[s]), X)
            + normal_log_prob(model.decoders[1](z2[s]), z1[s])
            + stats.norm.logpdf(z2[s]).sum(-1)
            - normal_log_prob(model.encoders[0](X), z1[s])
            - normal_log_prob(model.encoders[1](z1[s]), z2[s])
        )
        np.testing.assert_allclose(received[s], expected, rtol=1e-4)
    assert set(model.generate(NOISE)) == {"z1", "z2", "reconstruction", "sample"}
    assert {"z1_loc", "z1_scale", "z2_loc", "z2_scale"} == set(model.latent_parameters(X))


def test_one_layer_is_the_vae():
    encoder, decoder, posterior, likelihood = parts()
    one, vae = zoo.HierarchicalVAE([encoder], [decoder], [posterior], likelihood, []), zoo.VAE(encoder, decoder, posterior, likelihood)
    assert not one.has_analytic_kl  # what it reports as the KL is an average; the weights of samples are the same
    np.testing.assert_allclose(one.log_weights(X, one(X, noise=NOISE)), vae.log_weights(X, vae(X, noise=NOISE)), rtol=1e-5)
    with pytest.raises(ValueError, match="Received: 1 encoders, 1 decoders, 1 posteriors, 1 priors"):
        zoo.HierarchicalVAE([encoder], [decoder], [posterior], likelihood, [posterior])
    with pytest.raises(ValueError, match="HierarchicalVAE takes no condition"):
        zoo.HierarchicalVAE([encoder], [decoder], [posterior], likelihood, [], condition_shape=(3,))


# -- A mixture of posteriors as prior


def mixture_log_prob(model, encoder, z):
    """log 1/K sum_k q(z|u_k), in NumPy."""
    pixels = special.expit(model.prior_layer.pixel_logits.numpy().astype(np.float64)).astype(np.float32)
    by_component = [normal_log_prob(encoder(pixels[[k]]), z) for k in range(len(pixels))]
    return special.logsumexp(by_component, axis=0) - np.log(len(pixels))


def test_vamp_prior_is_the_mixture_of_the_posteriors_of_its_pseudo_inputs():
    model = vamp()
    out = model(X, noise=NOISE, num_samples=4)
    z = out.z.numpy()
    for s in range(4):
        np.testing.assert_allclose(out.prior.log_prob(out.z)[s], mixture_log_prob(model, model.encoder, z[s]), rtol=1e-4)
    np.testing.assert_allclose(model.kl(out), np.mean(out.posterior.log_prob(z) - out.prior.log_prob(z), axis=0), rtol=1e-4, atol=1e-5)
    images = (255 * np.random.default_rng(1).random((9, *IMAGE_SHAPE))).astype(np.uint8)
    model.start_at_images(images)
    pixels = special.expit(model.prior_layer.pixel_logits.numpy())
    np.testing.assert_allclose(pixels, np.clip(images[[0, 2, 4, 6]] / 255, 0.02, 0.98), atol=1e-5)
    assert set(model.generate(NOISE)) == {"z", "reconstruction", "sample"}
    with pytest.raises(ValueError, match="4 pseudo-inputs need as many images. Received: 3 images"):
        model.prior_layer.start_at(images[:3])
    with pytest.raises(ValueError, match="VampVAE takes no condition"):
        vamp(condition_shape=(3,))


def test_log_weights_of_two_layers_under_a_vamp_prior_are_those_of_the_formula():
    model = hierarchical_vamp()
    out = model(X, noise=NOISE, num_samples=4)
    z1, z2 = out.z["z1"].numpy(), out.z["z2"].numpy()
    assert z1.shape == (4, 7, 3) and z2.shape == (4, 7, 2)
    received = model.log_weights(X, out)
    for s in range(4):
        expected = (
            bernoulli_log_prob(model.decoders[0](z1[s], condition=z2[s]), X)
            + normal_log_prob(model.decoders[1](z2[s]), z1[s])
            + mixture_log_prob(model, model.encoders[1], z2[s])
            - normal_log_prob(model.encoders[0](X, condition=z2[s]), z1[s])
            - normal_log_prob(model.encoders[1](X), z2[s])
        )
        np.testing.assert_allclose(received[s], expected, rtol=1e-4)
    assert model.latent_shapes == {"z1": (3,), "z2": (2,)}
    assert set(model.generate(NOISE)) == {"z1", "z2", "reconstruction", "sample"}
    assert {"z1_loc", "z1_scale", "z2_loc", "z2_scale"} == set(model.latent_parameters(X))
    encoder, decoder, posterior, likelihood = parts()
    with pytest.raises(ValueError, match="HierarchicalVampVAE has two stochastic layers. Received: 1 encoders"):
        zoo.HierarchicalVampVAE([encoder], [decoder], [posterior], likelihood, [])


# -- Class and style


def bounds_by_class(model):
    """q(y|x) [B, K], and log p(x|y, z) - KL_z [B, K] with the model's own draw of z for each class, in NumPy."""
    logits = np.asarray(model.classifier(X), np.float64)
    q = special.softmax(logits, axis=-1)
    eps = NOISE.of_latent(1).normal(1, (2,)).numpy()
    columns = []
    for k in range(K):
        y = np.tile(np.eye(K, dtype=np.float32)[k], (len(X), 1))
        given = {"condition": y} if model.style_sees_class else {}
        loc, raw = np.split(np.asarray(model.encoder(X, **given), np.float64), 2, axis=-1)
        scale = np.exp(8 * np.tanh(raw / 8))
        log_likelihood = bernoulli_log_prob(model.decoder((loc + scale * eps).astype(np.float32), condition=y), X)
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
    """-log p(x) of the class-and-style model by many samples of (y, z) and by a sum over y of many samples of z."""
    model = class_style()
    last = model.encoder.stack[-1]
    last.kernel.assign(tf.zeros_like(last.kernel))  # q(z|x, y) = N(0, I): no sample of an untrained q is then worth thousands of others
    sums, _ = model.importance_sums({"image": tf.constant(X)}, RowNoise.of_seed(0, len(X)), 4000, chunk=4000)
    z = np.random.default_rng(0).normal(size=(20000, 2)).astype(np.float32)
    for row in range(2):
        by_class = [
            special.logsumexp(
                bernoulli_log_prob(model.decoder(z, condition=np.tile(np.eye(K, dtype=np.float32)[k], (len(z), 1))), X[[row]])
            )
            for k in range(K)
        ]
        expected = special.logsumexp(by_class) - np.log(len(z) * K)
        assert abs(sums.log_mean(4000)[row] - expected) < 0.1  # five of the larger standard error, which is 0.02


def test_semi_supervised_loss_is_kingmas():
    model = class_style(zoo.SemiSupervisedVAE, classification_weight=5.0)
    q, of_class = bounds_by_class(model)
    of_class -= np.log(K)  # L(x, y) with log p(y)
    unlabelled = (q * (of_class - np.log(q))).sum(1)
    labels = np.where(np.arange(7) < 3, LABELS, -1).astype(np.int32)
    rows = np.arange(7)
    labelled = of_class[rows, LABELS] + 5.0 * np.log(q[rows, LABELS])
    terms = model.loss_terms({"image": tf.constant(X), "label": tf.constant(labels)}, NOISE, training=True)
    np.testing.assert_allclose(terms["loss"], -np.where(labels >= 0, labelled, unlabelled), rtol=1e-4)
    np.testing.assert_allclose(terms["elbo"], unlabelled, rtol=1e-4)
    np.testing.assert_array_equal(terms["accuracy"][0], q.argmax(1) == labels)
    np.testing.assert_array_equal(terms["accuracy"][1], labels >= 0)


def test_semi_supervised_accuracy_counts_labelled_rows_alone():
    model = class_style(zoo.SemiSupervisedVAE)
    model.compile(run_eagerly=True)
    labels = np.where(np.arange(7) < 4, LABELS, -1)
    received = model.evaluate({"image": X, "label": labels}, batch_size=5, verbose=0, return_dict=True)["accuracy"]
    assert received == pytest.approx(np.mean(np.argmax(model.classify(X)[:4], axis=-1) == labels[:4]))


def test_labels_that_are_not_labels_are_told():
    model = class_style(zoo.SemiSupervisedVAE)
    with pytest.raises(ValueError, match="SemiSupervisedVAE needs 'label' beside 'image'"):
        model.standardize(X)
    with pytest.raises(ValueError, match=r"Labels must lie in 0 ... 2, or be -1 where unknown. Received: labels in -2 ... 3"):
        model.standardize({"image": X, "label": LABELS * 0 + np.array([-2, 3, 0, 0, 0, 0, 0])})
    with pytest.raises(ValueError, match=r"`label` must be int \[7\]. Received: float64"):
        model.standardize({"image": X, "label": LABELS * 1.0})
    with pytest.raises(ValueError, match="SemiSupervisedVAE sums over classes. Received: objective=Relaxation"):
        class_style(zoo.SemiSupervisedVAE, objective=objectives.Relaxation())
    with pytest.raises(ValueError, match="Received: classification_weight=-1"):
        class_style(zoo.SemiSupervisedVAE, classification_weight=-1)
    with pytest.raises(ValueError, match="ClassStyleVAE infers its class and takes no condition"):
        class_style(condition_shape=(3,))


def test_only_active_latents_of_the_base_are_kept():
    model = stacked()
    last = model.base.encoder.stack[-1]
    last.kernel.assign(last.kernel * np.array([5, 0, 5, 1, 1, 1], np.float32))  # the mean of the second latent is constant
    model.keep_active(X)
    np.testing.assert_array_equal(model.active, [1, 0, 1])


def test_stacked_bound_is_that_of_both_models():
    model = stacked(classification_weight=5.0)
    base_weights = len(model.base.weights)
    assert len(model.trainable_weights) == len(model.weights) - base_weights - 1  # and the mask of active latents
    loc, raw = np.split(np.asarray(model.base.encoder(X), np.float64), 2, axis=-1)
    h = (loc + np.exp(8 * np.tanh(raw / 8)) * NOISE.of_latent(0).normal(1, (3,)).numpy()).astype(np.float32)
    q = special.softmax(np.asarray(model.classifier(h), np.float64), axis=-1)
    eps = NOISE.of_latent(2).normal(1, (2,)).numpy()
    columns = []
    for k in range(K):
        y = np.tile(np.eye(K, dtype=np.float32)[k], (len(X), 1))
        loc, raw = np.split(np.asarray(model.encoder(h, condition=y), np.float64), 2, axis=-1)
        scale = np.exp(8 * np.tanh(raw / 8))
        log_prob = normal_log_prob(model.decoder((loc + scale * eps).astype(np.float32), condition=y), h)
        columns.append(log_prob - 0.5 * (scale**2 + loc**2 - 1 - 2 * np.log(scale)).sum(-1) - np.log(K))
    m1 = bernoulli_log_prob(model.base.decoder(h), X) - normal_log_prob(model.base.encoder(X), h)
    of_class = np.stack(columns, axis=1) + m1[:, None]
    unlabelled = (q * (of_class - np.log(q))).sum(1)
    labelled = of_class[np.arange(7), LABELS] + 5.0 * np.log(q[np.arange(7), LABELS])
    labels = np.where(np.arange(7) < 3, LABELS, -1).astype(np.int32)
    terms = model.loss_terms({"image": tf.constant(X), "label": tf.constant(labels)}, NOISE, training=True)
    np.testing.assert_allclose(terms["elbo"], unlabelled, rtol=1e-4)
    np.testing.assert_allclose(terms["loss"], -np.where(labels >= 0, labelled, unlabelled), rtol=1e-4)
    # Without its second latent, M2 sees a zero there and gives it the prior of M1.
    model.active.assign([1.0, 0.0, 1.0])
    out = model.enumerated({"image": tf.constant(X)}, NOISE)
    shown = out.z["h"].numpy() * np.array([1, 0, 1], np.float32)
    np.testing.assert_allclose(model.encode(X).given("y", out.z).logits_parameter(), model.classifier(shown), rtol=1e-5)
    assert np.all(out.prior.given("h", out.z).loc[..., 1] == 0) and np.all(out.prior.given("h", out.z).stddev()[..., 1] == 1)
    assert model.decode({"y": np.eye(K, dtype=np.float32), "z": np.zeros((K, 2), np.float32)}).batch_shape == (K,)
    with pytest.raises(ValueError, match="`base` must be a zoo.VAE without a condition. Received: CVAE"):
        zoo.StackedVAE(zoo.CVAE(*parts(3), num_classes=K), mlp(K), mlp(4), mlp(6), layers.DiagonalNormal(2))


# -- Conditional on a label


def test_cvae_takes_labels_and_vectors_and_transfers():
    model = zoo.CVAE(*parts(), num_classes=K)
    one_hot = np.eye(K, dtype=np.float32)[LABELS]
    np.testing.assert_array_equal(model.encode(X, LABELS).loc, model.encode(X, one_hot).loc)
    np.testing.assert_array_equal(model.standardize({"image": X, "label": LABELS})["condition"], one_hot)
    np.testing.assert_array_equal(model.sample(4, seed=1, condition=2), model.sample(4, seed=1, condition=[2, 2, 2, 2]))
    to = np.roll(LABELS, 1)
    expected = model.decode(model.encode(X, LABELS).mean(), to).mean()
    np.testing.assert_allclose(model.transfer(X, LABELS, to), expected, rtol=1e-5)
    assert np.any(np.abs(model.transfer(X, LABELS, LABELS) - expected) > 1e-4)
    with pytest.raises(ValueError, match=r"Labels must lie in 0 ... 2. Received: labels in 0 ... 3"):
        model.encode(X, LABELS + (LABELS == 2))
    with pytest.raises(ValueError, match=r"needs a label beside each image.*Received: none"):
        model.standardize(X)
    with pytest.raises(ValueError, match=r"`condition` must have the shape \[7, \*\(3,\)\]. Received: shape \(7, 2\)"):
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
    np.testing.assert_allclose(out.prior.loc, np.asarray(model.prior_layer.network(seen.reshape(X.shape)))[:, :2], rtol=1e-5)

    completed = model.generate(NOISE, X)
    for name in ("reconstruction", "sample"):
        np.testing.assert_allclose(completed[name].numpy().reshape(7, -1)[:, ~hidden], flat[:, ~hidden], atol=1e-6)
    # What is hidden plays no part in the completion, and a great part in the score.
    other = np.where(hidden.reshape(IMAGE_SHAPE), 1 - X, X)
    np.testing.assert_array_equal(model.generate(NOISE, other)["sample"], completed["sample"])
    assert np.all(np.abs(model.log_prob(other, 8) - model.log_prob(X, 8)) > 1e-3)


def test_completion_network_is_the_cross_entropy_of_hidden_pixels():
    visible = quadrants(IMAGE_SHAPE, 3)
    model = zoo.CompletionNetwork(mlp(16), layers.Bernoulli(IMAGE_SHAPE), visible=visible)
    logits = np.asarray(model.network(np.where(visible[..., None], X, -1).astype(np.float32)), np.float64)
    flat = X.reshape(7, -1)
    expected = np.where(visible.reshape(-1), 0.0, flat * logits - np.logaddexp(0, logits)).sum(-1)
    np.testing.assert_allclose(model.log_prob(X), expected, rtol=1e-5)
    model.compile()
    numbers = zoo.evaluate(model, {"image": X, "label": LABELS}, nll_name="conditional_nll_q3", verbose=0)
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
    with pytest.raises(ValueError, match=r"`visible` must be a mask of shape \(4, 4\).*Received: shape \(3, 4\)"):
        completion(visible=np.zeros((3, 4)))
    with pytest.raises(ValueError, match="completes binary images. Received: likelihood=Normal"):
        zoo.CompletionNetwork(mlp(16), layers.Normal(IMAGE_SHAPE), visible=quadrants(IMAGE_SHAPE, 1))


# -- Autoencoder


def test_autoencoder_offers_no_more_than_it_has():
    model = autoencoder()
    logits = np.asarray(model.decoder(model.encoder(X)), np.float64)
    expected = bernoulli_log_prob(logits, X)
    terms = model.loss_terms({"image": tf.constant(X)}, NOISE, training=True)
    np.testing.assert_allclose(terms["loss"], -expected, rtol=1e-5)
    np.testing.assert_allclose(model.reconstruct(X).numpy().reshape(7, -1), special.expit(logits), rtol=1e-5)
    for absent in ("sample", "generate", "score", "log_prob", "prior", "kl"):
        assert not hasattr(model, absent)
    with pytest.raises(ValueError, match="Autoencoder takes no condition"):
        zoo.Autoencoder(mlp(2), mlp(16), layers.Bernoulli(IMAGE_SHAPE), condition_shape=(3,))
