"""Digit and style without a label: JointVAE's ten classes and continuous style.

    zoo train joint_vae_mnist

26 minutes on one of two cores of an AMD EPYC that was shared with other work. With seed 0 expect an
accuracy of 0.7489 on the 10,000 test images, and 111.26 nats of -log p(x) with 500 importance
samples.

Dupont, "Learning disentangled joint continuous and discrete representations", NeurIPS 2018
(https://arxiv.org/abs/1804.00104): capacities of both latents grow to their ends and hold them
there. Dupont draws y by Gumbel-softmax and uses convolutions on 32x32 images; here y is summed over
(`estimator=enumeration`), relaxed or estimated by its score function, in dense networks. `accuracy`
is that of the best one-to-one assignment of classes to digits; Dupont reports 88.7 % (quoted from
memory, not checked). Whichever estimator trains, all bounds that are reported are those of the
discrete model.

What y holds is decided by what grows first: where both capacities grow together, as Dupont's do,
the classes of these dense networks become slant and thickness (`class_epochs=50`), and a class that
is certain before the style has room keeps more of the digits. The weight of the distance to the
capacities is 8, where theirs is 30: see `beta_vae_mnist_capacity`.
"""

from typing import Literal

import zoo

STEPS_PER_EPOCH = 500  # 50,000 images in batches of 100


def recipe(
    *,
    estimator: Literal["enumeration", "relaxation", "score_function"] = "enumeration",
    style_capacity: float = 10.0,
    style_epochs: int = 50,
    class_capacity: float = 2.3,
    class_epochs: int = 3,
    gamma: float = 8.0,
    hidden_units: tuple[int, ...] = (200, 200),
    latent_dim: int = 10,
    learning_rate: float = 1e-3,
    epochs: int = 100,
    seed: int = 0,
) -> zoo.Recipe:
    image_shape = (28, 28, 1)

    def objective():
        if estimator == "enumeration":
            return zoo.objectives.Enumeration()
        if estimator == "relaxation":
            return zoo.objectives.Relaxation(
                temperature=zoo.schedules.Exponential(1.0, 0.5, rate=3e-5)
            )
        return zoo.objectives.ScoreFunction(baseline=zoo.networks.MLP((200,), 1))

    def model():
        posterior = zoo.layers.DiagonalNormal(latent_dim)
        likelihood = zoo.layers.Bernoulli(image_shape)
        return zoo.JointVAE(
            classifier=zoo.networks.MLP(hidden_units, 10),
            encoder=zoo.networks.MLP(hidden_units, posterior.num_params),
            decoder=zoo.networks.MLP(hidden_units, likelihood.num_params),
            posterior=posterior,
            likelihood=likelihood,
            num_classes=10,
            style_sees_class=False,
            style_capacity=zoo.schedules.Linear(
                0.0, style_capacity, style_epochs * STEPS_PER_EPOCH
            ),
            class_capacity=zoo.schedules.Linear(
                0.0, class_capacity, class_epochs * STEPS_PER_EPOCH
            ),
            gamma=gamma,
            objective=objective(),
            seed=seed,
        )

    def optimizer(num_steps):
        import keras

        return keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
        )

    return zoo.Recipe(
        family="JointVAE",
        model=model,
        optimizer=optimizer,
        dataset=zoo.Dataset(
            name="mnist", train="train[:50000]", validation="train[50000:]", test="test"
        ),
        epochs=epochs,
        batch_size=100,
        seed=seed,
        initialize=lambda model, examples: model.start_at_mean(examples["image"]),
        headline="accuracy",
        evaluation_samples=500,
    )
