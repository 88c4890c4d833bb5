"""Which pictures the page of a model shows, by what the model is of and what is known of the
data."""

import keras
import numpy as np

import zoo
from tests.conftest import IMAGE_SHAPE
from tests.small_models import a_table, mlp, parts
from zoo import layers, observations
from zoo.report import _picture
from zoo.report import pictures as shown
from zoo.report.pictures import pictures_of

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (30, *IMAGE_SHAPE)).astype(np.uint8)
ANOMALY = (np.arange(30) % 3 == 0).astype(np.int32)
COUNTS = GENERATOR.negative_binomial(2, 0.1, (30, 6))


def small(likelihood, **kwargs):
    keras.utils.set_random_seed(0)
    posterior = layers.DiagonalNormal(2)
    networks = (mlp(posterior.num_params), mlp(likelihood.num_params))
    model = zoo.VAE(*networks, posterior, likelihood, **kwargs)
    model.compile(run_eagerly=True)
    return model


def of_table(frame):
    table = zoo.Table.of(frame)
    return small(layers.Columns.of(table), observation=table)


def detector(member, rows, num_calibration=19):
    model = zoo.AnomalyModel([member], num_calibration=num_calibration, false_alarm_rate=0.1)
    model.compile(run_eagerly=True)
    if num_calibration:
        model.calibrate(rows)
    return model


def drawn(model, examples):
    """First words of the captions -> the figures."""
    return {" ".join(p.caption.split()[:3]): p.draw() for p in pictures_of(model, examples)}


def captions(model, examples):
    return " ".join(picture.caption for picture in pictures_of(model, examples))


def texts(figure):
    return " ".join(axis.get_title() for axis in figure.axes)


# -- Gaps


def test_observed_cells_are_hidden_and_filled_and_how_many_is_told():
    model = small(layers.Columns(["student_t"] * 4), observation=observations.Vector(4, True))
    rows = GENERATOR.normal(size=(30, 4)).astype(np.float32)
    rows[::5, 0] = np.nan
    assert (
        "11 cells of 30 test vectors, whose numbers are known and were hidden for this picture, at "
        "random with the seed 0." in captions(model, {"vector": rows})
    )
    figures = drawn(model, {"vector": rows})
    assert list(figures) == ["Gaps that the", "Codes of the"]
    assert "11 hidden cells, mean squared error" in texts(figures["Gaps that the"])


def test_cells_that_the_data_hide_are_those_that_are_shown(monkeypatch):
    monkeypatch.setattr(shown, "NUM_IMPUTED", 20)
    model = small(layers.Columns(["student_t"] * 4), observation=observations.Vector(4, True))
    complete = GENERATOR.normal(size=(30, 4)).astype(np.float32)
    rows = complete.copy()
    rows[:10, 1] = np.nan
    examples = {"vector": rows, "complete": complete}
    about = "10 cells of 20 test vectors, whose numbers are known and are hidden in the data."
    assert about in captions(model, examples)
    assert "10 hidden cells" in texts(drawn(model, examples)["Gaps that the"])


def test_a_table_shows_gaps_marginals_and_codes():
    frame = a_table(30)
    model = of_table(frame)
    assert list(drawn(model, {"table": frame})) == [
        "Gaps that the",
        "Each column of",
        "Codes of the",
    ]
    assert "in standard deviations of each column;" in captions(model, {"table": frame})
    # Classes have no numbers to compare.
    texts_alone = frame[["job"]]
    assert list(drawn(of_table(texts_alone), {"table": texts_alone})) == [
        "Each column of",
        "Codes of the",
    ]
    assert pictures_of(model, None) == []


def test_rows_of_a_model_that_is_given_a_label_are_drawn_with_the_labels_of_the_data():
    frame = a_table(30)
    table, posterior = zoo.Table.of(frame), layers.DiagonalNormal(2)
    likelihood = layers.Columns.of(table)
    networks = (mlp(posterior.num_params), mlp(likelihood.num_params))
    model = zoo.CVAE(*networks, posterior, likelihood, observation=table, num_classes=3)
    figure = zoo.plots.marginals(model, {"table": frame, "label": np.arange(30) % 3})
    assert figure.get_suptitle() == "30 real rows (grey), and 30 drawn (blue)"
    some = zoo.plots.marginals(of_table(frame), {"table": frame}, num_columns=2)
    assert some.get_suptitle().endswith("1,000 drawn (blue); the first 2 of 3 columns")


# -- Detectors


def test_a_detector_of_rows_shows_scores_and_the_columns_of_the_oddest():
    frame = a_table(30)
    frame.loc[4, "age"] = 900.0
    model = detector(of_table(a_table(30)), frame[5:24])
    figures = drawn(model, {"table": frame})
    assert list(figures) == [
        "How odd each",
        "Why the oddest",
        "Gaps that the",
        "Each column of",
        "Codes of the",
    ]
    assert len(figures["How odd each"].axes) == 1
    odd = figures["Why the oddest"].axes[0]
    assert odd.get_title().startswith("row 4: ")
    assert odd.get_yticklabels()[0].get_text() == "age"
    told = captions(model, {"table": frame})
    assert "Which rows are anomalies is not known." in told
    assert f"What scores above {model.threshold:.1f} nats is called an anomaly. 19 normal" in told
    above = np.mean(model.scores(frame) > model.threshold)
    assert f"10% of new normal ones are expected above it. Of all here {above:.1%} are." in told


def test_a_detector_of_images_shows_scores_of_both_kinds_and_the_codes_of_the_normal():
    model = detector(zoo.VAE(*parts()), IMAGES[ANOMALY == 0][:19])
    examples = {"image": IMAGES, "anomaly": ANOMALY}
    figures = drawn(model, examples)
    assert list(figures) == [
        "How odd each",
        "Images that the",
        "The plane of",
        "Test images (above),",
        "The code of",
        "Codes of the",
        "The way from",
    ]
    legend = figures["How odd each"].axes[0].get_legend().get_texts()
    assert [text.get_text() for text in legend[:2]] == ["normal (20)", "anomalies (10)"]
    told, scores = captions(model, examples), model.scores(IMAGES)
    assert "20 are normal, 10 are known to be anomalies" in told
    share = np.mean(scores[ANOMALY == 1] > model.threshold)
    assert f"of the anomalies {share:.1%}. Right: the share" in told
    assert "Why the oddest" not in told


def test_a_detector_without_a_threshold_says_so():
    model = detector(zoo.VAE(*parts()), None, num_calibration=0)
    told = captions(model, {"image": IMAGES, "anomaly": ANOMALY})
    assert "Too few normal images were spared to set a threshold." in told


# -- Counts, and models without a posterior


def test_a_model_of_counts_shows_codes_by_label_and_marginals():
    examples = {"counts": COUNTS, "label": ANOMALY}
    model = small(layers.NegativeBinomial(6))
    assert list(drawn(model, examples)) == ["Codes of the", "Each point is"]
    told = [picture.caption for picture in pictures_of(model, examples)]
    assert told[0].endswith("along which they vary most, coloured by their label.")
    assert told[2].startswith("Codes of the test cells, drawn from q(z|x)")
    assert "label" not in captions(model, {"counts": COUNTS})
    autoencoder = zoo.Autoencoder(mlp(2), mlp(6), layers.Poisson(6))
    assert list(drawn(autoencoder, examples)) == ["Codes of the"]


def test_a_picture_that_cannot_be_drawn_is_told_on_the_page():
    def draw():
        raise ValueError("A library of <70,000>.")

    text = _picture(shown.Picture(draw, "Counts"))
    assert text == '<p class="faint">A picture is left out: A library of &lt;70,000&gt;.</p>'


def test_normal_rows_are_those_that_are_no_anomalies():
    frame = a_table(4)
    normal = shown.without_anomalies({"table": frame, "anomaly": np.array([1, 0, 0, 1])})
    assert normal["table"].equals(frame[1:3].reset_index(drop=True))
    np.testing.assert_array_equal(normal["anomaly"], [0, 0])
