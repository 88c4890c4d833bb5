"""scVI on neurons of the worm: counts of 2,000 genes, explained by ten numbers a cell.

    zoo train scvi_worm_neurons

2 minutes on one core of an Intel Xeon that was shared with other work. With seed 0 expect 168.26
nats: -log p(x) of the 837 test cells, given their library sizes, with 1,000 importance samples
each.

Lopez et al., "Deep generative modeling for single-cell transcriptomics", Nature Methods 15, 2018
(https://doi.org/10.1038/s41592-018-0229-2), with the networks of scvi-tools' SCVI: one hidden layer
of 128 units with batch normalization on either side, dropout in the encoder, and zero-inflated
negative binomial counts given the library size.

The epoch with the best bound on the 419 validation cells is kept, the 77th of 120: -173.77 nats.
The epsilon of Adam was chosen by it, which is -175.75 with that of Keras.
"""

import zoo


def recipe(
    *,
    hidden_units: int = 128,
    latent_dim: int = 10,
    dropout: float = 0.1,
    learning_rate: float = 1e-3,
    batch_size: int = 128,
    epochs: int = 120,
    seed: int = 0,
) -> zoo.Recipe:
    num_genes = 2000

    def network(output_size, dropout):
        import keras

        return keras.Sequential(
            [
                keras.layers.Dense(hidden_units),
                keras.layers.BatchNormalization(),
                keras.layers.ReLU(),
                zoo.layers.Dropout(dropout),
                keras.layers.Dense(output_size),
            ]
        )

    def model():
        posterior = zoo.layers.DiagonalNormal(latent_dim)
        likelihood = zoo.layers.ZeroInflatedNegativeBinomial(num_genes)
        return zoo.VAE(
            encoder=network(posterior.num_params, dropout),
            decoder=network(likelihood.num_params, 0.0),
            posterior=posterior,
            likelihood=likelihood,
            seed=seed,
        )

    def optimizer(num_steps):
        import keras

        # Genes that hardly occur have small gradients, which an epsilon of 1e-7 makes steps of.
        return keras.optimizers.Adam(learning_rate, epsilon=0.01)

    return zoo.Recipe(
        family="VAE",
        model=model,
        optimizer=optimizer,
        dataset=zoo.Dataset(
            name="worm_neurons", train="train", validation="validation", binarization="grey"
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        keep="best",
        evaluation_samples=1000,
        initialize=lambda model, examples: model.start_at_data(examples["counts"]),
    )
