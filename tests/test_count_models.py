"""Models of counts: given the batch that a cell comes from, served with a library size, and of what
single-cell packages hand over."""

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf
from sklearn import decomposition

import zoo
from tests.small_models import mlp
from zoo import layers, observations, plots
from zoo.plots.principal import on_two_axes
from zoo.serving import check, export
from zoo.serving.runtime import Session
from zoo.serving.signatures import signatures

COUNTS = np.random.default_rng(3).negative_binomial(2, 0.1, (21, 6))
BATCHES = np.arange(21) % 3


def beside(output_size):
    """A network of Keras's own with two inputs, a batch normalization in it."""

    def make(size):
        x, batch = keras.Input((size,)), keras.Input((3,))
        h = keras.layers.Dense(4)(keras.layers.Concatenate()([x, batch]))
        h = keras.layers.ReLU()(keras.layers.BatchNormalization()(h))
        return keras.Model([x, batch], keras.layers.Dense(output_size)(h))

    return make


def of_batches(likelihood=layers.ZeroInflatedNegativeBinomial, functional=False):
    keras.utils.set_random_seed(0)
    likelihood = likelihood(6)
    networks = (mlp(4), mlp(likelihood.num_params))
    if functional:
        networks = (beside(4)(6), beside(likelihood.num_params)(2))
    return zoo.CVAE(*networks, layers.DiagonalNormal(2), likelihood, num_classes=3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "likelihood", [layers.ZeroInflatedNegativeBinomial, layers.Poisson, layers.Multinomial]
)
def test_a_model_given_the_batch_trains_scores_and_serves(likelihood, tmp_path):
    model = of_batches(likelihood, functional=likelihood is layers.Poisson)
    data = {"counts": COUNTS, "condition": BATCHES, "label": np.zeros(21, np.int32)}
    model.start_at_data(COUNTS)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    history = model.fit(data, batch_size=7, epochs=2, validation_data=data, verbose=0).history
    assert np.isfinite(list(history.values())).all()
    others = (BATCHES + 1) % 3
    log_prob = model.log_prob(COUNTS, num_samples=8, condition=BATCHES)
    assert np.any(log_prob != model.log_prob(COUNTS, num_samples=8, condition=others))
    numbers = zoo.evaluate(model, data, num_samples=8, verbose=0)
    assert numbers["nll"]["num_examples"] == 21
    drawn = model.sample(5, seed=1, condition=2)
    np.testing.assert_array_equal(drawn, np.round(drawn))
    assert [
        finding
        for finding in check(export(model, tmp_path / "served"))
        if finding.problem is not None
    ] == []


def test_cells_of_one_batch_as_they_would_be_in_another_keep_their_library():
    model = of_batches(layers.NegativeBinomial)
    moved = model.transfer(COUNTS, BATCHES, np.full(21, 2))
    np.testing.assert_allclose(moved.numpy().sum(-1), COUNTS.sum(-1), rtol=1e-4)
    with pytest.raises(
        ValueError, match=r"Labels must lie in 0 ... 2. Received: labels in 0 ... 5"
    ):
        model.encode(COUNTS, np.where(BATCHES == 2, 5, BATCHES))


def autoencoder():
    return zoo.Autoencoder(mlp(2), mlp(6), layers.Poisson(6))


def hierarchical():
    return zoo.HierarchicalVAE(
        [mlp(6), mlp(4)],
        [mlp(6), mlp(6)],
        [layers.DiagonalNormal(3), layers.DiagonalNormal(2)],
        layers.NegativeBinomial(6),
        [layers.DiagonalNormal(3)],
    )


def plain():
    return zoo.VAE(mlp(4), mlp(6), layers.DiagonalNormal(2), layers.NegativeBinomial(6))


@pytest.mark.parametrize("make", [plain, of_batches, hierarchical, autoencoder])
def test_what_is_decoded_is_of_the_library_that_is_asked_for(make):
    model = make()
    signature = signatures(model)["decode"]
    assert signature.inputs["library"] == tf.TensorSpec([None], tf.float32, name="library")
    inputs = {name: tf.zeros([2, *spec.shape[1:]]) for name, spec in signature.inputs.items()}
    if "condition" in inputs:
        inputs["condition"] = tf.one_hot([0, 0], 3)
    inputs["library"] = tf.constant([10.0, 1000.0])
    few, many = signature.function(**inputs)["reconstruction"].numpy()
    np.testing.assert_allclose(100 * few, many, rtol=1e-4)
    # In Python too.
    z = {name: inputs[name] for name in model.latent_shapes}
    z = z["z"] if set(z) == {"z"} else z
    conditions = [inputs["condition"]] if "condition" in inputs else []
    decoded = model.decode(z, *conditions, library=inputs["library"]).mean()
    np.testing.assert_allclose(decoded[1], many, rtol=1e-5)


@pytest.mark.parametrize("make", [plain, autoencoder])
def test_a_server_answers_a_library_that_cannot_be_with_nan_in_its_row_alone(make, tmp_path):
    model, z = make(), np.zeros((3, 2), np.float32)
    with Session(export(model, tmp_path / "served")) as session:
        received = session.run("decode", {"z": z, "library": np.float32([9.0, 0.0, -1.0])})
    assert np.isnan(received["reconstruction"][1:]).all()
    expected = model.decode(z[:1], library=9).mean()
    np.testing.assert_allclose(received["reconstruction"][:1], expected, rtol=1e-5)
    with pytest.raises(ValueError, match="`library` must hold positive numbers.* Received: 0."):
        model.decode(z, library=[9, 0, 1])


def test_images_are_decoded_without_a_library():
    assert observations.Image((4, 4, 1)).companion_spec() == {}


class AnnData:
    """What an `anndata.AnnData` has, as far as counts go."""

    def __init__(self, x, layers=None):
        self.X, self.layers, self.obs = x, layers or {}, {"batch": BATCHES}

    def __len__(self):
        return len(self.obs["batch"])

    def __getitem__(self, index):
        raise AssertionError("a view is not needed")


@pytest.mark.parametrize(
    "data",
    [
        scipy.sparse.csr_matrix(COUNTS),
        scipy.sparse.csc_array(COUNTS.astype(np.float32)),
        AnnData(COUNTS.astype(np.float32)),
        AnnData(scipy.sparse.csr_matrix(COUNTS.astype(np.float64))),
        AnnData(np.log1p(COUNTS), {"counts": scipy.sparse.csr_matrix(COUNTS)}),
    ],
    ids=["csr", "csc", "AnnData", "AnnData, sparse", "AnnData, layer"],
)
def test_sparse_matrices_and_cells_with_annotations_are_their_counts(data):
    observation = observations.Counts(6)
    np.testing.assert_array_equal(observation.check(data)["counts"], COUNTS)
    model = plain()
    model.compile(run_eagerly=True)
    model.start_at_data(data)
    model.fit(data, batch_size=7, epochs=1, validation_split=0.3, verbose=0)
    np.testing.assert_array_equal(model.encode(data).mean(), model.encode(COUNTS).mean())


def test_cells_with_annotations_are_measured_and_predicted_as_their_counts():
    data, model = AnnData(scipy.sparse.csr_matrix(COUNTS)), plain()
    model.compile(run_eagerly=True)
    received = zoo.evaluate(model, {"counts": data}, num_samples=2, verbose=0)["nll"]["value"]
    expected = zoo.evaluate(model, COUNTS, num_samples=2, verbose=0)["nll"]["value"]
    assert received == expected
    assert model.predict(data, verbose=0).shape == (21, 6)


@pytest.mark.parametrize("wrap", [AnnData, lambda x: x, scipy.sparse.csr_matrix])
def test_normalized_data_are_told_where_raw_counts_usually_are(wrap):
    normalized = wrap(np.log1p(COUNTS))
    with pytest.raises(
        ValueError,
        match=r"whole numbers.* Received: fractions, such as .*raw ones are usually in "
        r"`adata.layers\['counts'\]` or `adata.raw.X`.",
    ) as told:
        plain().encode(normalized)
    assert "\n" not in str(told.value)
    with pytest.raises(ValueError, match="Counts must be an array of numbers. Received: dtype obj"):
        plain().encode(AnnData(None))


def test_principal_components_are_those_of_scikit_learn():
    codes = np.random.default_rng(0).normal(size=(50, 4)) @ np.diag([1.0, 5.0, 0.5, 3.0]) + 2.0
    places, shares = on_two_axes(codes)
    pca = decomposition.PCA(2)
    expected = pca.fit_transform(codes)
    for received, axis in zip(places.T, expected.T, strict=True):
        np.testing.assert_allclose(received * np.sign(received @ axis), axis, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(shares, pca.explained_variance_ratio_, rtol=1e-6)
    with pytest.raises(ValueError, match=r"two dimensions or more. Received: .* shape \(50, 1\)"):
        on_two_axes(codes[:, :1])


@pytest.mark.parametrize("make", [plain, of_batches])
def test_counts_of_real_cells_are_drawn_beside_those_of_the_model(make, tmp_path):
    data = {"counts": COUNTS, "condition": BATCHES}
    figure = plots.count_marginals(make(), data, seed=1, path=tmp_path / "counts.png")
    means, variances, zeros = (axis.lines[1].get_xdata() for axis in figure.axes)
    np.testing.assert_allclose(means, COUNTS.mean(axis=0))
    np.testing.assert_allclose(variances, COUNTS.var(axis=0))
    np.testing.assert_allclose(zeros, np.mean(COUNTS == 0, axis=0))
    assert [axis.get_xlabel() for axis in figure.axes] == ["real cells (21)"] * 3


def test_drawn_cells_have_the_library_sizes_of_the_real_ones():
    likelihood = layers.Multinomial(6)
    model = zoo.VAE(mlp(4), mlp(6), layers.DiagonalNormal(2), likelihood)
    figure = plots.count_marginals(model, {"counts": COUNTS}, num_examples=9)
    drawn = figure.axes[0].lines[1].get_ydata()  # the mean of each gene
    np.testing.assert_allclose(drawn.sum(), COUNTS[:9].sum(axis=1).mean(), rtol=1e-5)
    with pytest.raises(ValueError, match="are of counts. Received: a model of .*Image"):
        image = layers.Bernoulli((2, 2, 1))
        plots.count_marginals(zoo.VAE(mlp(4), mlp(4), layers.DiagonalNormal(2), image), {})


def test_codes_of_cells_are_drawn_on_two_axes_with_a_legend_of_their_types(tmp_path):
    data = {"counts": COUNTS, "label": BATCHES}
    figure = plots.latent_pca(plain(), data, ["a", "b", "c"], path=tmp_path / "pca.png")
    (axis,) = figure.axes
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["a", "b", "c"]
    assert len(axis.collections[0].get_offsets()) == 21
    assert (tmp_path / "pca.png").stat().st_size > 1000
    assert plots.latent_pca(plain(), {"counts": COUNTS}).axes[0].get_legend() is None
    plots.pictures(plain(), data, tmp_path)
    assert (tmp_path / "latent_pca.png").is_file()
