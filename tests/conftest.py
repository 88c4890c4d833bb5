"""Fixtures that several test files share."""

import os
import shutil
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest

IMAGE_SHAPE = (4, 4, 1)
# Tests that start processes take longest. They go first, so that the other workers end no earlier than theirs.
FIRST = ("test_replicas", "test_training", "test_sweep", "test_cli")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem not in FIRST)


@pytest.fixture(scope="session")
def make_vae():
    """Function: a small VAE on 4x4 images; keyword arguments go to `zoo.VAE`."""
    import keras

    import zoo
    from zoo import layers, networks

    def make(latent_dim=3, hidden=(16,), posterior=None, likelihood=None, init_seed=0, model=zoo.VAE, **kwargs):
        keras.utils.set_random_seed(init_seed)
        posterior = posterior or layers.DiagonalNormal(latent_dim)
        likelihood = likelihood or layers.Bernoulli(IMAGE_SHAPE)
        return model(
            encoder=networks.MLP(hidden, posterior.num_params),
            decoder=networks.MLP(hidden, likelihood.num_params),
            posterior=posterior,
            likelihood=likelihood,
            **kwargs,
        )

    return make


@pytest.fixture(scope="session")
def images():
    """40 grey 4x4 images, uint8, with structure that a model can learn."""
    generator = np.random.default_rng(0)
    rows = generator.random((40, 1, 4, 1)) * generator.random((40, 4, 1, 1))
    images = (rows.reshape(40, 4, 4, 1) * 255).astype(np.uint8)
    images.setflags(write=False)
    return images


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """A directory of stored models with one model, and the run that it was pushed from."""
    from zoo import push, training

    directory = tmp_path_factory.mktemp("store")
    run = training.train("vae_digits", {"epochs": 3, "hidden_units": (16,)}, out=directory / "run", verbose=0)
    card = push.push(run, num_samples=20, root=directory / "models", allow_dirty=True, verbose=0)
    return directory, run, card


@pytest.fixture
def models(store, tmp_path, monkeypatch):
    """A copy of the store that `zoo.load` finds, free to be damaged."""
    from zoo import cards, hub

    monkeypatch.setattr(hub, "INDEX", tmp_path / "index.json")
    hub.INDEX.write_text("{}")
    root = shutil.copytree(store[0] / "models", tmp_path / "models")
    monkeypatch.setattr(cards, "roots", lambda: [root])
    return root


@pytest.fixture(scope="session")
def mnist_dir():
    """A TFDS data directory with MNIST, from ZOO_DATA_DIR; tests that need it skip without."""
    directory = os.environ.get("ZOO_DATA_DIR")
    if not directory or not (Path(directory) / "mnist").is_dir():
        pytest.skip("needs MNIST: set ZOO_DATA_DIR to a TFDS data directory that holds it")
    return directory
