"""scVI on neurons of the worm: counts of 2,000 genes, explained by ten numbers a cell.

    zoo train scvi_worm_neurons

Not yet measured.

Lopez et al., "Deep generative modeling for single-cell transcriptomics", Nature Methods 15, 2018
(https://doi.org/10.1038/s41592-018-0229-2), with the networks of scvi-tools' SCVI: one hidden layer
of 128 units with batch normalization on either side, dropout in the encoder, zero-inflated negative
binomial counts given the library size, and a KL that comes in over the epochs.
"""

import zoo


def recipe(
    *,
    hidden_units: int = 128,
    latent_dim: int = 10,
    dropout: float = 0.1,
    learning_rate: float = 1e-3,
    batch_size: int = 128,
    epochs: int = 80,
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

        return keras.optimizers.Adam(learning_rate)

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
