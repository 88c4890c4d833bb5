"""What a recipe does after the last step: `Recipe.finish`."""

import json

import numpy as np
import pytest

import zoo
from zoo import plots
from zoo.engine import execution
from zoo.evaluation import latents
from zoo.runs import training

# Its third epoch spoils what the first two have learned, so that the kept epoch is not the last.
RECIPE = '''"""A recipe that has something to do after the last step."""

import json
from pathlib import Path

import zoo


def recipe(*, log: str, keep: str = "best", seed: int = 0) -> zoo.Recipe:
    def finish(model, examples):
        call = {"step": int(model.training_step), "image": examples["image"][..., 0].tolist()}
        calls = json.loads(Path(log).read_text())
        Path(log).write_text(json.dumps([*calls, call]))
        bias = model.decoder.stack[-1].bias
        bias.assign(bias + 1.0)

    def model():
        posterior, likelihood = zoo.layers.DiagonalNormal(2), zoo.layers.Bernoulli((8, 8, 1))
        encoder = zoo.networks.MLP((8,), posterior.num_params)
        decoder = zoo.networks.MLP((8,), likelihood.num_params)
        return zoo.VAE(encoder, decoder, posterior, likelihood, seed=seed)

    def optimizer(num_steps):
        import keras

        rate = keras.optimizers.schedules.PiecewiseConstantDecay([2 * num_steps // 3], [0.01, 2.0])
        return keras.optimizers.Adam(rate)

    return zoo.Recipe(
        family="VAE",
        model=model,
        optimizer=optimizer,
        dataset=zoo.Dataset(
            name="digits", train="train[:100]", validation="train[100:130]", binarization="grey"
        ),
        epochs=3,
        batch_size=50,
        seed=seed,
        keep=keep,
        finish=finish,
    )
'''


@pytest.fixture(params=["best", "last"])
def run(request, tmp_path, monkeypatch):
    """A finished run; the recipe writes beside it what `finish` was given."""
    monkeypatch.setattr(execution, "execution_mode", lambda *arguments: "eager")
    # What looks at a finished run takes longer than these few steps.
    monkeypatch.setattr(plots, "pictures", lambda *arguments: None)
    monkeypatch.setattr(latents, "collapse_of", lambda *arguments: None)
    recipe, log = tmp_path / "mine.py", tmp_path / "calls.json"
    recipe.write_text(RECIPE)
    log.write_text("[]")
    arguments = {"keep": request.param, "log": str(log)}
    return training.train(recipe, arguments, out=tmp_path / "run", verbose=0)


def kept(run):
    """The weights that the run kept before `finish` saw them."""
    keep = json.loads((run / "run.json").read_text())["arguments"]["keep"]
    with np.load(run / ("best.npz" if keep == "best" else "checkpoint.npz")) as archive:
        return [archive[str(number)] for number in range(len(zoo.load(run).weights))]


def calls(run):
    return json.loads((run.parent / "calls.json").read_text())


def test_it_runs_once_after_the_last_step_on_the_weights_that_are_kept(run):
    (call,) = calls(run)
    assert call["step"] == 6  # of 3 epochs of 2
    images = zoo.data.load("digits", "train[100:130]")["image"]
    np.testing.assert_array_equal(call["image"], images[..., 0])
    record = json.loads((run / "run.json").read_text())
    assert record["kept_epoch"] == {"best": 2, "last": 3}[record["arguments"]["keep"]]
    model = zoo.load(run)
    changed = [weight is model.decoder.stack[-1].bias for weight in model.weights]
    for weight, before, is_bias in zip(model.weights, kept(run), changed, strict=True):
        np.testing.assert_array_equal(weight, before + np.float32(is_bias))


def test_going_on_with_a_finished_run_leaves_it_and_the_weights_alone(run):
    before = (run / "model.weights.h5").read_bytes()
    training.train(run, resume=True, verbose=0)
    assert len(calls(run)) == 1
    assert (run / "model.weights.h5").read_bytes() == before
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    zoo.load(run)  # the record is still that of the files


@pytest.mark.parametrize("run", ["best"], indirect=True)
@pytest.mark.parametrize("damage", ["killed", "weights lost", "weights damaged"])
def test_a_run_that_did_not_come_to_its_end_does_it_on_what_was_kept(run, damage):
    before = zoo.load(run).get_weights()
    record = json.loads((run / "run.json").read_text())
    if damage == "killed":
        (run / "run.json").write_text(json.dumps({**record, "status": "running"}))
    elif damage == "weights lost":
        (run / "model.weights.h5").unlink()
    else:
        (run / "model.weights.h5").write_bytes(b"damaged")
    training.train(run, resume=True, verbose=0)
    assert len(calls(run)) == 2
    for weight, value in zip(zoo.load(run).get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, value)
