import matplotlib.image
import numpy as np
import pytest
from matplotlib import pyplot as plt

from zoo import plots
from zoo.random import RowNoise


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


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
        np.testing.assert_allclose(sheet[1 + 5 * row : 5 + 5 * row, 1 + 5 * column : 5 + 5 * column], expected[number], rtol=1e-6)


def test_reconstructions_stand_below_their_images(make_vae, images):
    model = make_vae()
    sheet = pixels(plots.reconstructions(model, {"image": images}, num_columns=4))
    np.testing.assert_allclose(sheet[1:5, 6:10], images[1, ..., 0] / 255, rtol=1e-6)
    np.testing.assert_allclose(sheet[6:10, 6:10], model.reconstruct(images)[1, ..., 0], rtol=1e-5)


def test_few_images_fill_what_they_can(make_vae, images):
    sheet = pixels(plots.reconstructions(make_vae(), {"image": images[:2]}, num_columns=4))
    assert sheet.shape == (11, 11)


def test_curves_are_labelled_with_units_and_signs():
    history = [{"epoch": e, "elbo": -90.0 + e, "log_likelihood": -70.0 + e, "kl": 20.0, "val_elbo": -91.0 + e} for e in range(1, 6)]
    figure = plots.curves(history)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["-ELBO", "distortion: -log p(x|z)", "rate: KL(q || p)"]
    assert all(axis.get_xlabel() == "epoch" and axis.get_ylabel() == "nats per image" for axis in figure.axes)
    training, validation = figure.axes[0].lines
    np.testing.assert_array_equal(training.get_ydata(), [89, 88, 87, 86, 85])
    np.testing.assert_array_equal(validation.get_ydata(), [90, 89, 88, 87, 86])


def test_pictures_are_written(make_vae, tmp_path):
    plots.samples(make_vae(), path=tmp_path / "samples.png")
    assert matplotlib.image.imread(tmp_path / "samples.png").shape[2] == 4
    assert plt.get_fignums() == []
