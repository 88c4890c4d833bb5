"""Several stochastic layers, and priors that are mixtures of posteriors: each against its formula
in NumPy."""

import numpy as np
import pytest
from scipy import special, stats

import zoo
from tests.conftest import IMAGE_SHAPE
from tests.small_models import (
    NOISE,
    X,
    bernoulli_log_prob,
    hierarchical,
    hierarchical_vamp,
    normal_log_prob,
    parts,
    vamp,
)


def test_log_weights_of_two_layers_are_those_of_the_formula():
    model = hierarchical()
    out = model(X, noise=NOISE, num_samples=4)
    z1, z2 = out.z["z1"].numpy(), out.z["z2"].numpy()
    assert z1.shape == (4, 7, 3) and z2.shape == (4, 7, 2)
    # The latents have draws of their own.
    assert abs(np.corrcoef(z1[..., 0].ravel(), z2[..., 0].ravel())[0, 1]) < 0.9
    received = out.log_weights
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
    one, vae = (
        zoo.HierarchicalVAE([encoder], [decoder], [posterior], likelihood, []),
        zoo.VAE(encoder, decoder, posterior, likelihood),
    )
    # What it reports as the KL is an average; the weights of samples are the same.
    assert not one.has_analytic_kl
    np.testing.assert_allclose(
        one(X, noise=NOISE).log_weights, vae(X, noise=NOISE).log_weights, rtol=1e-5
    )
    with pytest.raises(
        ValueError, match="Received: 1 encoders, 1 decoders, 1 posteriors, 1 priors"
    ):
        zoo.HierarchicalVAE([encoder], [decoder], [posterior], likelihood, [posterior])
    with pytest.raises(TypeError, match="unexpected keyword argument 'condition_shape'"):
        zoo.HierarchicalVAE([encoder], [decoder], [posterior], likelihood, [], condition_shape=(3,))


# -- A mixture of posteriors as prior


def mixture_log_prob(model, encoder, z):
    """log 1/K sum_k q(z|u_k), in NumPy."""
    pixels = special.expit(model.prior_layer.pixel_logits.numpy().astype(np.float64)).astype(
        np.float32
    )
    by_component = [normal_log_prob(encoder(pixels[[k]]), z) for k in range(len(pixels))]
    return special.logsumexp(by_component, axis=0) - np.log(len(pixels))


def test_vamp_prior_is_the_mixture_of_the_posteriors_of_its_pseudo_inputs():
    model = vamp()
    out = model(X, noise=NOISE, num_samples=4)
    z = out.z.numpy()
    for s in range(4):
        np.testing.assert_allclose(
            out.prior.log_prob(out.z)[s], mixture_log_prob(model, model.encoder, z[s]), rtol=1e-4
        )
    np.testing.assert_allclose(
        model.kl(out),
        np.mean(out.posterior.log_prob(z) - out.prior.log_prob(z), axis=0),
        rtol=1e-4,
        atol=1e-5,
    )
    images = (255 * np.random.default_rng(1).random((9, *IMAGE_SHAPE))).astype(np.uint8)
    model.start_at_images(images)
    pixels = special.expit(model.prior_layer.pixel_logits.numpy())
    np.testing.assert_allclose(pixels, np.clip(images[[0, 2, 4, 6]] / 255, 0.02, 0.98), atol=1e-5)
    assert set(model.generate(NOISE)) == {"z", "reconstruction", "sample"}
    with pytest.raises(ValueError, match="4 pseudo-inputs need as many images. Received: 3 images"):
        model.prior_layer.start_at(images[:3])
    with pytest.raises(TypeError, match="unexpected keyword argument 'condition_shape'"):
        vamp(condition_shape=(3,))


def test_log_weights_of_two_layers_under_a_vamp_prior_are_those_of_the_formula():
    model = hierarchical_vamp()
    out = model(X, noise=NOISE, num_samples=4)
    z1, z2 = out.z["z1"].numpy(), out.z["z2"].numpy()
    assert z1.shape == (4, 7, 3) and z2.shape == (4, 7, 2)
    received = out.log_weights
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
    with pytest.raises(
        ValueError, match="HierarchicalVampVAE has two stochastic layers. Received: 1 encoders"
    ):
        zoo.HierarchicalVampVAE([encoder], [decoder], [posterior], likelihood, [])
