"""Small models of every kind, and the densities that tests compute again in NumPy."""

import keras
import numpy as np
import tensorflow as tf
from scipy import stats

import zoo
from tests.conftest import IMAGE_SHAPE
from zoo import layers, networks
from zoo.images import quadrants
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
    return zoo.HierarchicalVAE(
        encoders, decoders, [posterior, upper], likelihood, [prior], **kwargs
    )


def vamp(**kwargs):
    return zoo.VampVAE(*parts(), layers.VampPrior(4, IMAGE_SHAPE), **kwargs)


def hierarchical_vamp(**kwargs):
    encoder, decoder, posterior, likelihood = parts(3)
    upper, prior = layers.DiagonalNormal(2), layers.DiagonalNormal(3)
    encoders, decoders = [encoder, mlp(upper.num_params)], [decoder, mlp(prior.num_params)]
    mixture = layers.VampPrior(4, IMAGE_SHAPE)
    return zoo.HierarchicalVampVAE(
        encoders, decoders, [posterior, upper], likelihood, [prior], mixture, **kwargs
    )


def completion(visible=None, **kwargs):
    encoder, decoder, posterior, likelihood = parts()
    prior = layers.Conditional(mlp(posterior.num_params), layers.DiagonalNormal(2))
    return zoo.CompletionCVAE(
        encoder,
        decoder,
        posterior,
        likelihood,
        prior,
        visible=quadrants(IMAGE_SHAPE, 1) if visible is None else visible,
        **kwargs,
    )


def autoencoder():
    _, decoder, _, likelihood = parts()
    return zoo.Autoencoder(mlp(2), decoder, likelihood)


def stacked(**kwargs):
    base = zoo.VAE(*parts(3))
    posterior = layers.DiagonalNormal(2)
    return zoo.StackedVAE(
        base, mlp(K), mlp(posterior.num_params), mlp(2 * 3), posterior, num_classes=K, **kwargs
    )


def normal_log_prob(parameters, z):
    """log N(z; loc, scale) summed over dimensions, of parameters as `DiagonalNormal` takes them."""
    loc, raw = np.split(np.asarray(parameters, np.float64), 2, axis=-1)
    return stats.norm(loc, np.exp(8 * np.tanh(raw / 8))).logpdf(z).sum(-1)


def bernoulli_log_prob(logits, x):
    logits = np.asarray(logits, np.float64)
    return (x.reshape(len(x), -1) * logits - np.logaddexp(0, logits)).sum(-1)


def a_table(num_rows=20):
    """Rows of a table, with a column of two modes."""
    import pandas as pd

    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": np.where(np.arange(num_rows) % 2, 20.0, 60.0) + generator.normal(size=num_rows),
            "job": generator.choice(["cook", "vet"], num_rows),
            "ill": np.arange(num_rows) % 2,
        }
    )
