"""The feed-forward baseline of `cvae_mnist_quadrants`: the hidden pixels, each on its own, given 1,
2 or 3 quadrants.

    zoo train nn_mnist_quadrants quadrants=1

Three minutes on one of two cores of an AMD EPYC. With seed 0 expect 105.94 nats for 1 quadrant,
66.20 nats for 2 and 29.70 nats for 3: -log p(hidden | visible) on the 10,000 test images, with no
latent to integrate over.

Sohn, Lee & Yan, NIPS 2015 (https://papers.nips.cc/paper/5775), section 5: a network with two hidden
layers and the cross-entropy of every pixel. Pyro's tutorial reports 100.4 / 61.9 / 25.4 nats for 1
/ 2 / 3 quadrants, with 500 units a layer, on grey targets, stopped by test images. Here pixels are
binarized and the epoch with the lowest validation loss is kept; `hidden_units=500,500 epochs=40`
came to 104.63 / 65.11 / 29.14 nats, in files of three times the size.
"""

import zoo


def recipe(
    *,
    quadrants: int = 1,
    hidden_units: tuple[int, ...] = (200, 200),
    learning_rate: float = 1e-3,
    batch_size: int = 100,
    epochs: int = 60,
    seed: int = 0,
) -> zoo.Recipe:
    image_shape = (28, 28, 1)

    def model():
        likelihood = zoo.layers.Bernoulli(image_shape)
        return zoo.CompletionNetwork(
            network=zoo.networks.MLP(hidden_units, likelihood.num_params),
            likelihood=likelihood,
            visible=zoo.images.quadrants(image_shape, quadrants),
            seed=seed,
        )

    def optimizer(num_steps):
        import keras

        return keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
        )

    return zoo.Recipe(
        family="CompletionNetwork",
        model=model,
        optimizer=optimizer,
        dataset=zoo.Dataset(
            name="mnist", train="train[:50000]", validation="train[50000:]", test="test"
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        keep="best",
        headline=f"conditional_nll_q{quadrants}",
    )
