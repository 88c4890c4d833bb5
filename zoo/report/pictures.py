"""Which pictures the page of a model shows, and what each says in plain words."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from zoo import plots
from zoo.evaluation.anomalies import contributions, tells_columns
from zoo.evaluation.imputation import hide_cells, which_are_hidden
from zoo.models.anomaly_model import AnomalyModel
from zoo.models.base import Model
from zoo.observations import Counts, Image, Table
from zoo.observations.frames import is_frame

# The first of the test split; of a detector's, the first of each kind.
NUM_EXAMPLES = 1000
# Filling a row takes a thousand samples and as many draws.
NUM_IMPUTED = 200
HIDDEN_SHARE, HIDDEN_SEED = 0.1, 0
NUM_ODD = 4


class Picture(NamedTuple):
    """A picture that is not drawn yet.

    Attributes:
        draw: Function () -> figure.
        caption: What it shows, in plain words.
    """

    draw: Callable[[], Figure]
    caption: str


def pictures_of(model: Model, examples: Mapping[str, Any] | None) -> list[Picture]:
    """The pictures that suit a model, the most telling first.

    Args:
        model: A trained model of the zoo.
        examples: Dict of test data [N, ...]; None where they are not at hand, which leaves the
            pictures that need none.
    """
    of_images = isinstance(model.observation, Image)
    if examples is None:
        return _drawn_images(model) if of_images else []
    normal = without_anomalies(examples)
    shown = _of_scores(model, examples) if isinstance(model, AnomalyModel) else []
    if of_images:
        return [
            *shown,
            *_drawn_images(model),
            *_of_images(model, examples, normal),
            *_of_groups(model, normal),
        ]
    if "impute" in model.answers():
        shown += _of_gaps(model, normal)
    if isinstance(model.observation, Table):
        caption = (
            "Each column of the test rows (grey), and of rows that the model draws (blue): "
            "where they differ, the model has not learned the column."
        )
        shown.append(Picture(partial(plots.marginals, model, normal), caption))
    if isinstance(model.observation, Counts):
        shown += _of_counts(model, normal)
    return shown + _of_codes(model, normal)


def taken(examples: Mapping[str, Any], rows: np.ndarray) -> dict[str, Any]:
    """The rows of these numbers of a dict of data."""
    return {
        name: array.iloc[rows].reset_index(drop=True) if is_frame(array) else array[rows]
        for name, array in examples.items()
    }


def without_anomalies(examples: Mapping[str, Any]) -> dict[str, Any]:
    """The normal ones of examples that say which are an "anomaly"; otherwise all."""
    if "anomaly" not in examples:
        return dict(examples)
    return taken(examples, np.flatnonzero(np.asarray(examples["anomaly"]) == 0))


# -- Detectors


def _of_scores(model, examples):
    scores, anomaly = model.scores(examples), examples.get("anomaly")
    anomaly = None if anomaly is None else np.asarray(anomaly, bool)
    noun = model.observation.noun
    draw = partial(plots.scores, scores, anomaly, model.threshold, noun=noun)
    shown = [Picture(draw, " ".join(_about_scores(model, scores, anomaly)))]
    if tells_columns(model):
        is_normal = scores <= model.threshold if anomaly is None else ~anomaly
        shown.append(_of_columns(model, examples[model.key], is_normal))
    return shown


def _about_scores(model, scores, anomaly):
    """What the histogram of scores shows, sentence by sentence."""
    noun, threshold = model.observation.noun, model.threshold
    yield f"How odd each test {noun} is: -log p(x), in nats."
    if anomaly is None:
        yield f"Which {noun}s are anomalies is not known."
    else:
        yield (
            f"{(~anomaly).sum():,} are normal, {anomaly.sum():,} are known to be anomalies: "
            f"of each kind the first {NUM_EXAMPLES:,} at most."
        )
    if not np.isfinite(threshold):
        yield f"Too few normal {noun}s were spared to set a threshold."
        return
    yield (
        f"What scores above {threshold:.1f} nats is called an anomaly. "
        f"{model.num_calibration:,} normal {noun}s that training did not see set this threshold: "
        f"{model.false_alarm_rate:.0%} of new normal ones are expected above it."
    )
    is_above = scores > threshold
    if anomaly is None:
        yield f"Of all here {is_above.mean():.1%} are."
        return
    yield (
        f"Of the normal ones here {is_above[~anomaly].mean():.1%} are, of the anomalies "
        f"{is_above[anomaly].mean():.1%}. Right: the share of anomalies that is found, against "
        "that of false alarms, at every threshold; the dot is this one."
    )


def _of_columns(model, x, is_normal):
    nats, names = contributions(model, x)
    usual = nats[is_normal] if is_normal.any() else None
    caption = (
        f"Why the oddest {model.observation.noun}s are odd: how much each column adds to the "
        "score, in nats more than it does on average in normal ones, the greatest first."
    )
    return Picture(partial(plots.contributions, nats, usual, names, NUM_ODD), caption)


# -- Tables, vectors, counts


def _of_gaps(model, examples):
    observation, x = model.observation, examples[model.key][:NUM_IMPUTED]
    if "complete" in examples:
        complete, why = examples["complete"][:NUM_IMPUTED], "are hidden in the data"
        number = int(which_are_hidden(observation, x, complete).sum())
    else:
        complete, why = x, f"were hidden for this picture, at random with the seed {HIDDEN_SEED}"
        x, number = hide_cells(observation, complete, HIDDEN_SHARE, HIDDEN_SEED)
    if not number:
        return []
    units = "standard deviations of each column"
    if not isinstance(observation, Table):
        units = "the units of the data"
    caption = (
        f"Gaps that the model fills: {number:,} cells of {len(x):,} test {observation.noun}s, "
        f"whose numbers are known and {why}. Left: what was hidden, against what the model puts "
        f"there, in {units}; on the line they agree. Right: some of the cells with the interval "
        "that is to hold the truth in 9 of 10 cases."
    )
    data = {model.key: x, "complete": complete}
    return [Picture(partial(plots.imputations, model, data), caption)]


def _of_counts(model, examples):
    noun, shown = model.observation.noun, []
    if dict(model.latent_shapes).get("z", (1,)) != (1,):
        colour = ", coloured by their label" if "label" in examples else ""
        caption = (
            f"Codes of the test {noun}s on the two directions along which they vary most{colour}."
        )
        shown.append(Picture(partial(plots.latent_pca, model, examples), caption))
    if model.latents:
        caption = (
            f"Each point is one of the counts: its mean, its variance and how often it is 0 in "
            f"real {noun}s, and in {noun}s that the model draws. On the line they agree."
        )
        shown.append(Picture(partial(plots.count_marginals, model, examples), caption))
    return shown


def _of_codes(model, examples):
    if not plots.has_code_of_normals(model):
        return []
    noun = model.observation.noun
    caption = (
        f"Codes of the test {noun}s, drawn from q(z|x) (grey), beside the prior that new {noun}s "
        "are drawn from (line): the dimensions that hold most."
    )
    return [Picture(partial(plots.aggregate_posterior, model, examples), caption)]


def _of_groups(model, examples):
    """Of a hierarchy."""
    if len(model.latents) < 2:
        return []
    caption = (
        f"What each group of latents tells of an {model.observation.noun}, the first that is drawn "
        "on top; a group without a bar is not used."
    )
    return [Picture(partial(plots.group_kls, model, examples), caption)]


# -- Images


def _drawn_images(model):
    """Those that need no data."""
    shown = []
    if "sample" in model.answers() and model.visible is None:
        caption = "Images that the model draws: codes from the prior, decoded."
        shown.append(Picture(partial(plots.samples, model), caption))
    if list(model.latent_shapes.values()) == [(2,)] and model.condition_shape is None:
        caption = "The plane of codes, decoded from place to place."
        shown.append(Picture(partial(plots.manifold, model), caption))
    return shown


def _of_images(model, examples, normal):
    if model.visible is not None:
        caption = "What the model sees of test images, what it makes of the rest, and the images."
        return [Picture(partial(plots.completions, model, examples), caption)]
    kinds = "" if "anomaly" not in examples else ", normal ones and anomalies"
    caption = f"Test images (above){kinds}, and what the model gives back of them (below)."
    shown = [Picture(partial(plots.reconstructions, model, examples), caption)]
    if plots.has_code_of_normals(model):
        caption = "The code of a test image, one dimension moved at a time, those that hold most."
        shown.append(Picture(partial(plots.traversals, model, normal), caption))
        shown += _of_codes(model, normal)
        if "factors" in normal and model.latent_shapes["z"] != (1,):
            caption = "Codes of test images, coloured by what the images are known to differ in."
            shown.append(Picture(partial(plots.factor_maps, model, normal), caption))
        if model.condition_shape is None:
            caption = "The way from the code of a test image to that of another."
            shown.append(Picture(partial(plots.interpolations, model, normal), caption))
    return shown
