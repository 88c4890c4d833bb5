import importlib
import io
import sys

import matplotlib
import matplotlib.image
import numpy as np
import pytest
from PIL import Image

import zoo
from zoo import layers, networks, plots
from zoo.plots import latents
from zoo.random import RowNoise


def pixels(figure):
    """The sheet that a figure shows."""
    return np.asarray(figure.axes[0].images[0].get_array())


def test_sample_sheet_shows_the_models_samples(make_vae):
    model = make_vae()
    sheet = pixels(plots.samples(model, num_rows=2, num_columns=3, seed=5))
    expected = model.generate(RowNoise.of_seed(5, 6))["reconstruction"].numpy()[..., 0]
    assert sheet.shape == (2 * 5 + 1, 3 * 5 + 1)
    for number in range(6):
        row, column = divmod(number, 3)
        np.testing.assert_allclose(
            sheet[1 + 5 * row : 5 + 5 * row, 1 + 5 * column : 5 + 5 * column],
            expected[number],
            rtol=1e-6,
        )


def test_reconstructions_stand_below_their_images(make_vae, images):
    model = make_vae()
    sheet = pixels(plots.reconstructions(model, {"image": images}, num_columns=4))
    np.testing.assert_allclose(sheet[1:5, 6:10], images[1, ..., 0] / 255, rtol=1e-6)
    np.testing.assert_allclose(sheet[6:10, 6:10], model.reconstruct(images)[1, ..., 0], rtol=1e-5)


def test_few_images_fill_what_they_can(make_vae, images):
    sheet = pixels(plots.reconstructions(make_vae(), {"image": images[:2]}, num_columns=4))
    assert sheet.shape == (11, 11)


def test_curves_are_labelled_with_units_and_signs():
    history = [
        {
            "epoch": e,
            "elbo": -90.0 + e,
            "log_likelihood": -70.0 + e,
            "kl": 20.0,
            "val_elbo": -91.0 + e,
        }
        for e in range(1, 6)
    ]
    figure = plots.curves(history, noun="image")
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["-ELBO", "distortion: -log p(x|z)", "rate: KL(q || p)"]
    assert all(
        axis.get_xlabel() == "epoch" and axis.get_ylabel() == "nats per image"
        for axis in figure.axes
    )
    of_rows = plots.curves([{"epoch": 1, "elbo": -9.0, "accuracy": 0.5}], noun="row")
    assert [axis.get_ylabel() for axis in of_rows.axes] == ["nats per row", "share of rows"]
    training, validation = figure.axes[0].lines
    np.testing.assert_array_equal(training.get_ydata(), [89, 88, 87, 86, 85])
    np.testing.assert_array_equal(validation.get_ydata(), [90, 89, 88, 87, 86])


def test_pictures_are_written(make_vae, tmp_path):
    plots.samples(make_vae(), path=tmp_path / "samples.png")
    assert matplotlib.image.imread(tmp_path / "samples.png").shape[2] == 4
    with pytest.raises(
        ValueError, match=r"must end in .png or another of .*svg.* Received: 'samples.txt'"
    ):
        plots.samples(make_vae(), path="samples.txt")


def test_pictures_are_whole_or_absent(tmp_path, monkeypatch):
    history = [{"epoch": 1, "elbo": -90.0}]
    plots.curves(history, path=tmp_path / "curves.png")
    before = (tmp_path / "curves.png").read_bytes()
    monkeypatch.setattr("os.replace", lambda *paths: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        plots.curves(history, path=tmp_path / "curves.png")
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
    assert (tmp_path / "curves.png").read_bytes() == before


def test_drawing_leaves_the_users_backend_and_pyplot_alone(monkeypatch):
    monkeypatch.setattr(zoo, "plots", plots)
    for name in [name for name in sys.modules if name.startswith("zoo.plots")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it fails
    monkeypatch.setattr(
        matplotlib, "use", lambda *arguments: pytest.fail("the backend is the user's")
    )
    figure = importlib.import_module("zoo.plots").curves([{"epoch": 1, "elbo": -90.0}])
    with Image.open(io.BytesIO(figure._repr_png_())) as picture:  # what a notebook shows
        assert picture.format == "PNG"


@pytest.fixture
def cvae(make_vae):
    return make_vae(model=zoo.CVAE, num_classes=3)


def test_a_column_is_a_class_and_a_row_one_hand(cvae):
    sheet = pixels(plots.samples(cvae, num_rows=2, seed=5))
    assert sheet.shape == (2 * 5 + 1, 3 * 5 + 1)
    noise = RowNoise(5, 0, np.array([1, 1], np.int32))
    expected = cvae.generate(noise, np.array([0, 2]))["reconstruction"].numpy()[..., 0]
    np.testing.assert_allclose(sheet[6:10, 1:5], expected[0], rtol=1e-5)
    np.testing.assert_allclose(sheet[6:10, 11:15], expected[1], rtol=1e-5)
    one = pixels(plots.samples(cvae, num_rows=1, num_columns=2, seed=5, label=2))
    np.testing.assert_allclose(one[1:5, 6:10], expected[1], rtol=1e-5)


def test_a_label_for_a_model_without_labels_is_told(make_vae):
    with pytest.raises(ValueError, match="VAE is not conditional on a label. Received: label=7"):
        plots.samples(make_vae(), label=7)


def test_pictures_suit_the_model(cvae, make_vae, images, tmp_path):
    examples = {"image": images, "label": (np.arange(len(images)) % 3).astype(np.int32)}
    likelihood = layers.Bernoulli((4, 4, 1))
    network = zoo.CompletionNetwork(
        networks.MLP((4,), 16), likelihood, visible=zoo.images.quadrants((4, 4), 1)
    )
    expected = {
        "cvae": (cvae, {"samples.png", "reconstructions.png", "transfers.png", "traversals.png"}),
        "two": (
            make_vae(latent_dim=2),
            {
                "samples.png",
                "reconstructions.png",
                "latent_map.png",
                "manifold.png",
                "traversals.png",
            },
        ),
        "autoencoder": (
            zoo.Autoencoder(networks.MLP((4,), 3), networks.MLP((4,), 16), likelihood),
            {"reconstructions.png"},
        ),
        "network": (network, {"completions.png"}),
    }
    for name, (model, files) in expected.items():
        (tmp_path / name).mkdir()
        plots.pictures(model, examples, tmp_path / name)
        assert {path.name for path in (tmp_path / name).iterdir()} == files
    sheet = pixels(plots.transfers(cvae, examples, num_rows=2))
    np.testing.assert_allclose(sheet[1:5, 1:5], images[0, ..., 0] / 255, rtol=1e-6)
    np.testing.assert_allclose(
        sheet[1:5, 11:15], cvae.transfer(images[:1], [0], [0])[0, ..., 0], rtol=1e-5
    )
    sheet = pixels(plots.completions(network, examples, num_rows=2))
    assert sheet[1, 1] == pytest.approx(0.4)
    assert sheet[3, 1] == pytest.approx(images[0, 2, 0, 0] / 255)
    plots.decoded_draws({"a": make_vae(), "b": make_vae()}, path=tmp_path / "draws.png")


def test_pictures_in_colours_keep_them(make_vae, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3)).astype(np.uint8)
    likelihood = layers.DiscretizedLogisticMixture((4, 4, 3), 2)
    model, examples = make_vae(likelihood=likelihood, latent_dim=2), {"image": images}
    sheet = pixels(plots.reconstructions(model, examples, num_columns=3))
    np.testing.assert_allclose(sheet[1:5, 6:10], images[1] / 255, rtol=1e-6)
    np.testing.assert_allclose(sheet[6:10, 6:10], model.reconstruct(images)[1], rtol=1e-5)
    sheet = pixels(plots.samples(model, num_rows=1, num_columns=2, seed=5))
    drawn = model.generate(RowNoise.of_seed(5, 2))["reconstruction"]
    np.testing.assert_allclose(sheet[1:5, 6:10], drawn[1], rtol=1e-5)
    sheet = pixels(plots.interpolations(model, examples, num_rows=1, num_steps=2))
    np.testing.assert_allclose(sheet[1:5, 16:20], images[1] / 255, rtol=1e-6)
    for figure in (plots.manifold(model, 2), plots.traversals(model, examples, num_steps=3)):
        sheet = pixels(figure)
        assert sheet.shape[-1] == 3 and np.ptp(sheet, axis=-1).max() > 0.01
    plots.traversals(model, examples, reach=2.0, path=tmp_path / "traversals.gif")
    code = model.encode(images[:1]).mean().numpy()
    with Image.open(tmp_path / "traversals.gif") as gif:
        frame = np.asarray(gif.convert("RGB"))
    moved = [code + (-2.0 - code) * np.eye(2, dtype=np.float32)[dim] for dim in (0, 1)]
    expected = [255 * model.decode(z).mean()[0].numpy() for z in moved]
    # Twice the size, in 256 colours of the frame's own; the more active dimension comes first.
    first, second = (frame[2:10:2, left : left + 8 : 2] for left in (2, 12))
    errors = [
        np.abs(first - e).mean() + np.abs(second - f).mean() for e, f in (expected, expected[::-1])
    ]
    assert min(errors) < 4


# -- The latent space


@pytest.fixture(scope="module")
def active(make_vae, images):
    model = make_vae(model=zoo.BetaVAE, beta=0.02, latent_dim=4)
    model.compile(zoo_adam(1e-2))
    model.fit(images, batch_size=10, epochs=30, verbose=0)
    return model


def zoo_adam(rate):
    import keras

    return keras.optimizers.Adam(rate)


def test_traversals_move_one_dimension_a_row_by_kl(active, images, tmp_path):
    figure = plots.traversals(active, {"image": images}, row=3, num_dims=3, num_steps=5, reach=2.0)
    sheet, labels = pixels(figure), [label.get_text() for label in figure.axes[0].get_yticklabels()]
    kl = np.array([float(label.split(": ")[1].split()[0]) for label in labels])
    assert sheet.shape == (3 * 5 + 1, 5 * 5 + 1) and np.all(np.diff(kl) <= 0) and kl[0] > 0.1
    code = active.encode(images[3:4]).mean().numpy()
    dim = int(labels[1].split("{")[1].split("}")[0]) - 1
    code[0, dim] = 2.0  # the last step of the second row
    expected = active.decode(code).mean().numpy()[0, ..., 0]
    np.testing.assert_allclose(sheet[6:10, 21:25], expected, rtol=1e-4, atol=1e-5)
    plots.traversals(active, {"image": images}, path=tmp_path / "traversals.gif")
    with Image.open(tmp_path / "traversals.gif") as gif:
        # Four latents.
        assert gif.n_frames == 2 * 11 - 2
        assert gif.size == (
            2 * (4 * 4 + 5),
            2 * (5 + 1),
        )


def test_interpolations_go_from_code_to_code(active, images):
    sheet = pixels(plots.interpolations(active, {"image": images}, num_rows=2, num_steps=4))
    assert sheet.shape == (2 * 5 + 1, 6 * 5 + 1)
    # The second pair's first image.
    np.testing.assert_allclose(sheet[6:10, 1:5], images[2, ..., 0] / 255, rtol=1e-6)
    np.testing.assert_allclose(
        sheet[6:10, 6:10], active.reconstruct(images[2:3])[0, ..., 0], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        sheet[6:10, 21:25], active.reconstruct(images[3:4])[0, ..., 0], rtol=1e-4, atol=1e-5
    )


def test_slerp_keeps_to_the_circle():
    a, b = np.array([2.0, 0.0, 0.0]), np.array([0.0, 0.0, 2.0])
    between = latents.slerp(a, b, np.linspace(0, 1, 7)[:, None])
    np.testing.assert_allclose(np.linalg.norm(between, axis=1), 2.0)
    np.testing.assert_allclose(between[3], [np.sqrt(2), 0, np.sqrt(2)])
    np.testing.assert_allclose(latents.slerp(a, 3 * a, 0.5), 2 * a)
    np.testing.assert_allclose(latents.slerp(0 * a, a, 0.5), a / 2)


def test_manifold_is_a_grid_of_equal_shares(make_vae):
    model = make_vae(latent_dim=2)
    sheet = pixels(plots.manifold(model, num_steps=4))
    # The normal's quantile 1/8, upper left.
    corner = model.decode(np.float32([[-1.1503494, 1.1503494]])).mean()[0, ..., 0]
    np.testing.assert_allclose(sheet[1:5, 1:5], corner, rtol=1e-5)
    with pytest.raises(
        ValueError, match="A manifold is drawn of two dimensions and no condition. Received: {'z': "
    ):
        plots.manifold(make_vae(latent_dim=3))


def test_aggregate_posterior_shows_the_most_active_dimensions(active, images):
    figure = plots.aggregate_posterior(active, {"image": images}, num_dims=3)
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert len(titles) == 3 and all("nats" in title for title in titles)


def test_factor_maps_show_the_dimensions_that_tell_most(make_vae, monkeypatch):
    generator = np.random.default_rng(0)
    factors = np.stack([generator.integers(0, 3, 60), generator.integers(0, 4, 60)], axis=1)
    codes = generator.normal(size=(60, 4))
    codes[:, 2] = factors[:, 0] + 0.01 * codes[:, 2]  # z3 is the first factor, z1 nearly
    codes[:, 0] = factors[:, 0] + 0.3 * codes[:, 0]
    codes[:, 3] = 1.0  # and z4 nothing
    monkeypatch.setattr(plots.codes, "means", lambda model, examples: codes)
    examples = {"image": np.zeros((60, 5, 5, 1), np.uint8), "factors": factors}
    figure = plots.factor_maps(make_vae(), examples, names=("shape", "scale"))
    first = next(axis for axis in figure.axes if axis.get_title() == "shape")
    assert first.get_xlabel() == "$z_{3}$: 100 % explained"
    assert first.get_ylabel().startswith("$z_{1}$")
    with pytest.raises(ValueError, match="There are 2 factors"):
        plots.factor_maps(make_vae(), examples, names=("shape",))
    with pytest.raises(ValueError, match="needs 'factors' beside 'image'"):
        plots.factor_maps(make_vae(), {"image": examples["image"]})


@pytest.mark.parametrize(
    "draw",
    [
        lambda model, examples: plots.samples(model),
        lambda model, examples: plots.manifold(model),
        lambda model, examples: plots.decoded_draws({"": model}),
        plots.reconstructions,
        plots.completions,
        plots.transfers,
        plots.traversals,
        plots.interpolations,
    ],
)
def test_sheets_of_what_is_no_image_are_refused(draw):
    likelihood, posterior = layers.Poisson(6), layers.DiagonalNormal(2)
    model = zoo.VAE(networks.MLP((4,), 4), networks.MLP((4,), 6), posterior, likelihood)
    examples = {"counts": np.ones((3, 6), np.int32), "label": np.zeros(3, np.int32)}
    with pytest.raises(
        ValueError, match=r"Sheets are of images. Received: a model of cells of shape \(6,\)"
    ):
        draw(model, examples)


def test_maps_of_no_model_are_refused(images):
    with pytest.raises(ValueError, match="`models` must hold a model a panel. Received: models={}"):
        plots.latent_maps({}, {"image": images, "label": np.zeros(len(images), np.int32)})


def test_models_without_one_diagonal_latent_are_refused(make_vae, images):
    model = make_vae(posterior=layers.FullCovarianceNormal(3))
    for plot in (plots.traversals, plots.aggregate_posterior):
        with pytest.raises(
            ValueError,
            match="A model with one latent vector of diagonal normals is needed. Received: VAE",
        ):
            plot(model, {"image": images})
