"""Semi-supervised MNIST with 100 labels: Kingma et al.'s M2.

    zoo train ssvae_mnist

Not yet measured.

Kingma, Rezende, Mohamed & Welling, "Semi-supervised learning with deep generative models", NIPS 2014 (https://arxiv.org/abs/1406.5298):
a class y and a style z, y summed over where it is unknown. Ten labels a class, drawn by `label_seed`, among 50,000 images; the other 10,000
training images are for validation. The labelled images are repeated, so that a batch holds some of them, and images are binarized anew
at every step, for the classifier as well.
"""

import zoo


def recipe(
    *,
    labels_per_class: int = 10,
    label_seed: int = 0,
    repeat: int = 50,
    classification_weight: float = 10.0,
    hidden_units: tuple[int, ...] = (500,),
    classifier_units: tuple[int, ...] = (500,),
    latent_dim: int = 50,
    learning_rate: float = 1e-3,
    batch_size: int = 200,
    epochs: int = 60,
    seed: int = 0,
) -> zoo.Recipe:
    image_shape = (28, 28, 1)

    def model():
        posterior = zoo.layers.DiagonalNormal(latent_dim)
        likelihood = zoo.layers.Bernoulli(image_shape)
        return zoo.SemiSupervisedVAE(
            classifier=zoo.networks.MLP(classifier_units, 10),
            encoder=zoo.networks.MLP(hidden_units, posterior.num_params),
            decoder=zoo.networks.MLP(hidden_units, likelihood.num_params),
            posterior=posterior,
            likelihood=likelihood,
            num_classes=10,
            classification_weight=classification_weight,
            seed=seed,
        )

    def optimizer(num_steps):
        import keras

        return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, num_steps))

    return zoo.Recipe(
        family="SemiSupervisedVAE",
        model=model,
        optimizer=optimizer,
        dataset=zoo.Dataset(name="mnist", train="train[:50000]", validation="train[50000:]", test="test"),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        training_examples=lambda examples: zoo.data.hide_labels(examples, labels_per_class, label_seed, repeat),
        initialize=lambda model, examples: model.start_at_mean(examples["image"]),
        headline="accuracy",
        evaluation_samples=500,
    )
