import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from zoo.evaluation import likelihood, progress
from zoo.random import EVALUATION_STEP, RowNoise


@pytest.fixture(scope="module")
def model(make_vae, images):
    model = make_vae()
    model.compile(jit_compile=False)  # every evaluation would compile anew
    model.fit(images, batch_size=10, epochs=10, verbose=0)
    return model


def numpy_log_prob(model, images, num_samples, seed):
    """log p(x) and effective sample size in float64 NumPy, from the networks' outputs and the
    documented noise."""
    noise = RowNoise(seed, EVALUATION_STEP, tf.range(len(images)))
    x = (noise.uniform(0, model.observation.shape).numpy() < images / np.float32(255)).astype(
        np.float64
    )
    parameters = model.encoder(tf.constant(x, tf.float32)).numpy().astype(np.float64)
    loc, scale = parameters[:, :3], np.exp(8 * np.tanh(parameters[:, 3:] / 8))
    eps = noise.normal(1, (3,), num_samples).numpy().astype(np.float64)
    z = loc + scale * eps
    logits = (
        model.decoder(tf.constant(z.reshape(-1, 3), tf.float32))
        .numpy()
        .reshape(num_samples, len(images), -1)
        .astype(np.float64)
    )
    flat = x.reshape(len(x), -1)
    log_likelihood = (flat * logits - np.logaddexp(0, logits)).sum(-1)
    log_prior = (-0.5 * z**2 - 0.5 * np.log(2 * np.pi)).sum(-1)
    log_posterior = (-0.5 * eps**2 - 0.5 * np.log(2 * np.pi) - np.log(scale)).sum(-1)
    log_weights = log_likelihood + log_prior - log_posterior
    log_prob = special.logsumexp(log_weights, axis=0) - np.log(num_samples)
    ess = np.exp(
        2 * special.logsumexp(log_weights, axis=0) - special.logsumexp(2 * log_weights, axis=0)
    )
    kl = 0.5 * (scale**2 + loc**2 - 1 - 2 * np.log(scale)).sum(-1)
    return log_prob, ess, log_likelihood.mean(0), kl, loc


@pytest.mark.parametrize("jit_compile", [False, True])
def test_numbers_are_those_of_a_float64_computation(model, images, jit_compile, monkeypatch):
    monkeypatch.setattr(model, "_mode", "xla-block" if jit_compile else "tf-loop")
    numbers = likelihood.evaluate(model, images, num_samples=77, seed=5, verbose=0)
    log_prob, ess, log_likelihood, kl, loc = numpy_log_prob(model, images, 77, 5)
    assert numbers["nll"]["value"] == pytest.approx(-log_prob.mean(), abs=1e-3)
    assert numbers["nll"]["stderr_images"] == pytest.approx(
        log_prob.std(ddof=1) / np.sqrt(40), rel=1e-3
    )
    assert numbers["nll"]["effective_sample_size"] == pytest.approx(np.median(ess), rel=1e-3)
    assert numbers["log_likelihood"]["value"] == pytest.approx(log_likelihood.mean(), abs=1e-3)
    assert numbers["kl"]["value"] == pytest.approx(kl.mean(), abs=1e-3)
    assert numbers["elbo"]["value"] == pytest.approx((log_likelihood - kl).mean(), abs=1e-3)
    assert numbers["active_units"]["value"] == (loc.var(0) > 0.01).sum()
    assert numbers["nll"]["num_samples"] == 77 and numbers["nll"]["num_examples"] == 40


def test_more_samples_raise_the_estimate(model, images):
    few, many = (likelihood.evaluate(model, images, num_samples=n, verbose=0) for n in (1, 500))
    assert many["nll"]["value"] < few["nll"]["value"]
    assert many["nll"]["value"] < -many["elbo"]["value"]


@pytest.mark.parametrize("batch_size", [7, 64])
def test_chunks_do_not_change_the_numbers(model, images, monkeypatch, batch_size):
    expected = likelihood.evaluate(model, images, num_samples=40, verbose=0)
    monkeypatch.setattr(likelihood, "BATCH_SIZE", batch_size)
    received = likelihood.evaluate(model, images, num_samples=40, verbose=0)
    for name in expected:
        assert received[name]["value"] == pytest.approx(expected[name]["value"], rel=1e-5)
    assert received["nll"]["stderr_sampling"] == pytest.approx(
        expected["nll"]["stderr_sampling"], rel=1e-3
    )


def test_error_over_noise_is_what_new_seeds_do(model, images):
    numbers = [
        likelihood.evaluate(model, images, num_samples=64, seed=seed, verbose=0)["nll"]
        for seed in range(4)
    ]
    spread = np.std([number["value"] for number in numbers], ddof=1)
    claimed = np.mean([number["stderr_sampling"] for number in numbers])
    # The spread of 4 values has a relative standard error of 1 / sqrt(6) = 0.41; within a factor of
    # three.
    assert claimed / 3 < spread < 3 * claimed


def test_table_shows_values_errors_and_units(model, images):
    text = likelihood.table(likelihood.evaluate(model, images, num_samples=10, verbose=0))
    assert "nll" in text
    assert "nats +-" in text
    assert "over noise (10 samples, effective" in text
    assert "of 3 latent dimensions" in text


def test_wrong_arguments_are_told(model, images):
    with pytest.raises(
        ValueError, match="`num_samples` must be a positive integer. Received: num_samples=0"
    ):
        likelihood.evaluate(model, images, num_samples=0)
    with pytest.raises(ValueError, match=r"Received: images of shape \(2, 2, 1\)"):
        likelihood.evaluate(model, images[:, :2, :2])


def test_an_estimate_that_hangs_on_few_samples_is_named(model, images, caplog, monkeypatch):
    with caplog.at_level("WARNING", "zoo"):
        likelihood.evaluate(model, images, num_samples=40, verbose=0)
        assert not [record for record in caplog.records if record.name == "zoo"]
        monkeypatch.setattr(likelihood, "TRUSTED_SAMPLE_SIZE", 40)
        likelihood.evaluate(model, images, num_samples=40, verbose=0)
    (record,) = caplog.records
    assert "is an upper bound here and no estimate: of 40 samples of each image" in record.message
    assert "(median; 40 would be trusted)" in record.message


def test_disentanglement_is_scored_beside_the_factors(model, images):
    generator = np.random.default_rng(0)
    examples = {
        "image": np.repeat(images, 6, axis=0),
        "factors": generator.integers(0, 3, (240, 2)),
    }
    numbers = likelihood.evaluate(
        model, examples, num_samples=2, metrics=["mig", "modularity"], verbose=0
    )
    assert numbers["mig"]["unit"] == "score" and 0 <= numbers["mig"]["value"] <= 1
    assert "mig" in likelihood.table(numbers)
    with pytest.raises(
        ValueError, match=r"the examples have no ground-truth factors. Received: metrics='all'"
    ):
        likelihood.evaluate(model, images, num_samples=2, metrics="all", verbose=0)


class Interrupted(Exception):
    pass


def test_an_evaluation_goes_on_where_it_was_interrupted(model, images, tmp_path, monkeypatch):
    monkeypatch.setattr(likelihood, "BATCH_SIZE", 16)
    options = {"num_samples": 20, "verbose": 0}
    whole = likelihood.evaluate(model, images, **options)
    measured, write = [], progress.write_atomically

    def interrupted(path, content):
        if measured:
            raise Interrupted
        measured.append(path)
        write(path, content)

    monkeypatch.setattr(progress, "write_atomically", interrupted)
    with pytest.raises(Interrupted):
        likelihood.evaluate(model, images, progress_dir=tmp_path, **options)
    monkeypatch.setattr(progress, "write_atomically", write)
    (kept,) = tmp_path.rglob("*.npz")
    with np.load(kept) as archive:
        values = dict(archive)
    np.savez(kept, **values | {"log_prob": values["log_prob"] - 16.0})  # to see that it is read
    # Other arguments, other examples: nothing to go on from.
    for given, others in ((images, {**options, "seed": 1}), (images[::-1], options)):
        again = likelihood.evaluate(model, given, progress_dir=tmp_path, **others)
        assert again == likelihood.evaluate(model, given, **others)
    resumed = likelihood.evaluate(model, images, progress_dir=tmp_path, **options)
    assert resumed["nll"]["value"] == pytest.approx(whole["nll"]["value"] + 16.0 * 16 / 40)
    assert {key: number for key, number in resumed.items() if key != "nll"} == {
        key: number for key, number in whole.items() if key != "nll"
    }
    assert not list(tmp_path.rglob("*.npz"))
