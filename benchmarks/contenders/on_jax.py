"""JAX."""

import math

import numpy as np

from contenders.task import LEARNING_RATE, Loop, timed


def jax_scan(task):
    """One compiled program an epoch: `lax.scan` over its batches, images on the device, Optax's
    Adam."""
    import jax
    import optax
    from jax import nn
    from jax import numpy as jnp

    num_images, num_pixels = len(task.images), math.prod(task.image_shape)
    batch_size = min(task.batch_size, num_images)
    num_full = num_images // batch_size * batch_size
    images = jnp.asarray(task.images.reshape(num_images, num_pixels))
    optimizer = optax.adam(LEARNING_RATE)
    glorot = nn.initializers.glorot_uniform()

    def initial_network(key, sizes):
        keys = jax.random.split(key, len(sizes) - 1)
        return [
            (glorot(k, (i, o)), jnp.zeros(o))
            for k, i, o in zip(keys, sizes[:-1], sizes[1:], strict=True)
        ]

    def apply(network, h):
        for weights, bias in network[:-1]:
            h = nn.relu(h @ weights + bias)
        weights, bias = network[-1]
        return h @ weights + bias

    def mean_loss(networks, images, key):
        binarize_key, latent_key = jax.random.split(key)
        encoder, decoder = networks
        grey = images.astype(jnp.float32) / 255
        x = (jax.random.uniform(binarize_key, grey.shape) < grey).astype(jnp.float32)
        loc, log_scale = jnp.split(apply(encoder, x), 2, axis=-1)
        logits = apply(decoder, loc + jnp.exp(log_scale) * jax.random.normal(latent_key, loc.shape))
        log_likelihood = -optax.sigmoid_binary_cross_entropy(logits, x).sum(-1)
        kl = 0.5 * (loc**2 + jnp.exp(2 * log_scale) - 1 - 2 * log_scale).sum(-1)
        return (kl - log_likelihood).mean()

    def step(state, rows):
        networks, moments, key = state
        key, step_key = jax.random.split(key)
        loss, gradients = jax.value_and_grad(mean_loss)(networks, images[rows], step_key)
        updates, moments = optimizer.update(gradients, moments)
        return (optax.apply_updates(networks, updates), moments, key), loss

    @jax.jit
    def epoch(state, order):
        state, losses = jax.lax.scan(step, state, order[:num_full].reshape(-1, batch_size))
        if num_full < num_images:
            state, _ = step(state, order[num_full:])
        return state, losses.mean()

    key, encoder_key, decoder_key = jax.random.split(jax.random.key(0), 3)
    hidden = [400, 400]
    networks = (
        initial_network(encoder_key, [num_pixels, *hidden, 2 * task.latent_dim]),
        initial_network(decoder_key, [task.latent_dim, *hidden, num_pixels]),
    )
    state = (networks, optimizer.init(networks), key)
    rng = np.random.default_rng(0)

    @timed
    def run_epoch():
        nonlocal state
        state, loss = jax.block_until_ready(epoch(state, rng.permutation(num_images)))
        return float(loss)

    device = jax.devices()[0]
    return Loop(
        run_epoch,
        sum(leaf.size for leaf in jax.tree.leaves(networks)),
        "CPU" if device.platform == "cpu" else device.device_kind,
    )
