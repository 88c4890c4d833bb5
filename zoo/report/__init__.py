"""One self-contained page about a model, or about two side by side: its record, its numbers, its
pictures, and a decoder to play with."""

import base64
import html
import importlib.resources
import json
from pathlib import Path
from string import Template

import numpy as np

from zoo import data
from zoo.evaluation.latents import LatentReader, is_readable, most_information
from zoo.files import check_file_target, write_atomically
from zoo.models.vq_vae import VQVAE
from zoo.observations import Image
from zoo.plots.figures import png
from zoo.report import explorer, tokens
from zoo.report.pictures import NUM_EXAMPLES, pictures_of, taken, without_anomalies
from zoo.store import cards, pretrained

WIDE = 700  # pixels of a picture that a narrow page does not shrink to its own width
EXPLORER = '<div class="explorer'
SCRIPTS = ("layers.js", "explorer.js", "tokens.js")  # in their order


def report(*targets: str | Path, path: str | Path, data_dir: str | Path | None = None) -> Path:
    """Writes the page.

    Args:
        targets: One or two run directories, or names of recipes with stored weights.
        path: The .html file. It needs nothing beside it and no network.
        data_dir: As in `zoo.data.load`; where the data are not at hand, the pictures that need them
            are left out, and the page says so.

    Returns:
        `path`, as a `Path`.

    Raises:
        ValueError: If there are none or more than two targets, or one cannot be opened.
    """
    if len(targets) not in (1, 2):
        raise ValueError(
            f"A report is about one model, or two side by side. Received: {len(targets)}."
        )
    path = Path(path)
    check_file_target("`path`", path, makes_parent=True)
    for target in targets:
        pretrained.assert_there(target)  # before another one's model is read for seconds
    models = [pretrained.open_model(target) for target in targets]
    sections = [
        _section(target, *opened, data_dir, named=len(targets) > 1)
        for target, opened in zip(targets, models, strict=True)
    ]
    page = Template(_file("page.html")).substitute(
        title=" and ".join(name for name, _ in sections),
        subtitle=_subtitle("".join(text for _, text in sections)),
        columns=len(sections),
        models="\n".join(text for _, text in sections),
        script="\n".join(map(_file, SCRIPTS)),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page.encode())
    return path


def _file(name):
    return (importlib.resources.files(__name__) / name).read_text(encoding="utf-8")


def _subtitle(text):
    runs = "; the decoders on this page run in it" if EXPLORER in text else ""
    return f"Variational autoencoders of the zoo. Nats per example{runs}."


def _section(target, model, recipe_name, recipe, data_dir, named):
    """(name, HTML) of one model."""
    record = pretrained.record_of(target)
    examples, absent = _examples(recipe, data_dir)
    latents = _latents(model, examples)
    order = None
    if latents is not None and "kl_per_dim" in latents:
        order = np.argsort(latents["kl_per_dim"])[::-1]
    parts = [
        *([f"<h2>{_text(recipe_name)}</h2>"] if named else []),
        _headline(record, recipe),
        _explorer(model, order, examples),
        "<h2>Numbers</h2>",
        _numbers(record, latents, model.observation.noun),
        "<h2>Pictures</h2>",
        *([f'<p class="faint">{_text(absent)}</p>'] if absent else []),
        *map(_picture, pictures_of(model, examples)),
        *_curves(target, recipe_name),
        "<h2>Record</h2>",
        _record(record, recipe, isinstance(model.observation, Image)),
    ]
    return recipe_name, "<section>\n" + "\n".join(parts) + "\n</section>"


def _examples(recipe, data_dir):
    """Test examples, or None and why there are none."""
    dataset = recipe.dataset
    try:
        examples = data.load(dataset, dataset.test, data_dir=data_dir)
    except ValueError as error:
        return None, f"Pictures and numbers that need data are left out: {error}"
    if "anomaly" not in examples:
        return {name: array[:NUM_EXAMPLES] for name, array in examples.items()}, None
    is_anomaly = np.asarray(examples["anomaly"], bool)
    kinds = [np.flatnonzero(kind)[:NUM_EXAMPLES] for kind in (is_anomaly, ~is_anomaly)]
    return taken(examples, np.sort(np.concatenate(kinds))), None


def _latents(model, examples):
    if examples is None or not is_readable(model):
        return None
    normal = without_anomalies(examples)
    return None if data.num_examples(normal) < 2 else LatentReader(model, normal, NUM_EXAMPLES)()


# -- Parts of a section


def _headline(record, recipe):
    if "recipe" in record and "evaluation" in record:
        return f'<p class="headline">{_text(cards.headline(record, recipe.headline))}</p>'
    return '<p class="headline">not yet measured on the test split</p>'


def _explorer(model, order, examples):
    if isinstance(model, VQVAE):
        return _tokens(model, examples)
    try:
        program = explorer.program(model, order)
    except ValueError as error:
        return f'<p class="faint">No explorer: {_text(error)}</p>'
    content = json.dumps(program).replace("</", "<\\/")
    return f"""{EXPLORER}">
<div><canvas></canvas><p class="note"></p></div>
<div><p class="faint">Move a latent, the most active first: the decoder's mean of p(x|z).</p>
<div class="sliders"></div>
<div class="buttons"><select aria-label="class"></select>
<button class="random">z ~ N(0, I)</button><button class="reset">z = 0</button></div></div>
<script type="application/json">{content}</script>
</div>"""


def _tokens(model, examples):
    if examples is None:
        return '<p class="faint">No tokens: there are no test images here.</p>'
    try:
        program = tokens.program(model, examples[model.key])
    except ValueError as error:
        return f'<p class="faint">No tokens: {_text(error)}</p>'
    content = json.dumps(program).replace("</", "<\\/")
    return f"""{EXPLORER} tokens">
<div><canvas></canvas><p class="note"></p></div>
<div><p class="faint">A test image as tokens. Choose a place and give it another code: the decoder's
mean of p(x|codes).</p>
<div class="grid"></div>
<div class="sliders"><label><span>code</span><input type="range" min="0" step="1"
aria-label="code of the place"><output></output></label></div>
<div class="buttons"><select aria-label="picture"></select><button class="reset">as it was</button>
</div></div>
<script type="application/json">{content}</script>
</div>"""


def _numbers(record, latents, noun):
    rows = [_row(name, number, noun) for name, number in record.get("numbers", {}).items()]
    if latents is not None:
        rows += [
            (
                "mutual_information",
                f"{latents['mutual_information']:.3f}",
                f"nats, I(x; z): {most_information(latents)}",
            ),
            (
                "marginal_kl",
                f"{latents['marginal_kl']:.3f}",
                "nats, KL(q(z) || p(z)): what the KL holds beside",
            ),
            (
                "prior_distance",
                f"{latents['prior_distance']:.3f}",
                "sliced Wasserstein distance of q(z) and p(z)",
            ),
        ]
    lines = [
        f'<tr><td>{_text(name)}</td><td class="number">{value}</td><td>{_text(unit)}</td></tr>'
        for name, value, unit in rows
    ]
    return f"<table>{''.join(lines)}</table>"


def _row(name, number, noun):
    if not isinstance(number, dict):  # a run's, of its validation split
        return name.replace("val_", "validation: "), f"{number:.3f}", "nats"
    value = number["value"]
    value = f"{value:.3f}" if isinstance(value, float) else f"{value} of {number['of']}"
    errors = {
        "stderr_images": "images",
        "stderr_examples": f"{noun}s",
        "stderr_sampling": "noise",
        "stderr_runs": f"{len(number.get('values', ()))} runs",
    }
    parts = [number["unit"]]
    parts += [f"± {number[key]:.3f} over {what}" for key, what in errors.items() if key in number]
    return name, value, ", ".join(parts)


def _picture(picture):
    try:
        figure = picture.draw()
    except ValueError as error:
        return f'<p class="faint">A picture is left out: {_text(error)}</p>'
    return _image(png(figure, dpi=110), picture.caption)


def _curves(target, recipe_name):
    """The picture that training drew, where it is: in the run, or beside the stored model."""
    directory = Path(target) if Path(target).is_dir() else cards.model_directory(recipe_name)
    if directory is None or not (directory / "curves.png").is_file():
        return []
    content = (directory / "curves.png").read_bytes()
    return [_image(content, "Training curves: bound, distortion and rate by epoch")]


def _image(content, caption):
    source = base64.b64encode(content).decode()
    caption, kind = _text(caption), "wide" if _width(content) > WIDE else "narrow"
    return (
        f'<figure><div class="{kind}"><img alt="{caption}" src="data:image/png;base64,{source}">'
        f"</div><figcaption>{caption}</figcaption></figure>"
    )


def _width(content):
    """Of a PNG file, in pixels."""
    return int.from_bytes(content[16:20], "big")


def _record(record, recipe, of_images):
    training, dataset = record.get("training", record), recipe.dataset
    what = ", ".join(filter(None, (dataset.binarization, dataset.pictures)))
    what = f" ({what})" if of_images else ""
    rows = {
        "model": recipe.family,
        "data": f"{dataset.name}: {dataset.train}, {dataset.validation}, {dataset.test}{what}",
        "arguments": ", ".join(f"{name}={value!r}" for name, value in record["arguments"].items()),
        "seed": record.get("seed"),
        "epochs": training.get("epochs"),
        "time": f"{training['seconds'] / 60:.1f} minutes" if "seconds" in training else None,
        "machine": training.get("machine"),
        "how": training.get("mode"),
        "versions": ", ".join(
            f"{name} {version}" for name, version in record.get("versions", {}).items()
        ),
        "revision": record.get("git"),
    }
    lines = [
        f"<tr><th>{name}</th><td>{_text(value)}</td></tr>"
        for name, value in rows.items()
        if value is not None
    ]
    return f"<table>{''.join(lines)}</table>"


def _text(value):
    return html.escape(str(value))
