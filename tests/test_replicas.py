"""Several devices and several processes take the steps that one device takes on the whole batch."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo import shards
from zoo.engine import replicas

WORKER = Path(__file__).with_name("replicas_worker.py")
QUICK = ("uneven", "on disk", "adversary")
REST = (
    "dropout by row",
    "capacity",
    "total correlation",
    "quantizer",
    "residual quantizer",
    "bits",
    "sgd",
    "adam",
    "clipped",
    "tf-loop",
    "free-bits",
    "synchronized",
)
# What two devices do in their own way: `replicas_worker` sees to it that they agree with each
# other.
OWN_WAY = ("dropout", "batch normalization")


def start(*arguments, environment=None):
    command = [sys.executable, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(WORKER.parents[1])} | (environment or {})
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def wait(*processes):
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output


def cluster(num_workers):
    """The environment of each worker of a cluster on this machine."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(num_workers)]
    addresses = [f"localhost:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    task = {"cluster": {"worker": addresses}}
    return [
        {"TF_CONFIG": json.dumps(task | {"task": {"type": "worker", "index": i}})}
        for i in range(num_workers)
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(strategy, cases, number of workers) -> file of the trained weights and histories; each is
    trained once."""
    directory, files = tmp_path_factory.mktemp("trained"), {}

    def train(strategy, cases, num_workers=1):
        key = (strategy, cases, num_workers)
        if key not in files:
            files[key] = directory / f"{len(files)}.npz"
            environments = cluster(num_workers) if strategy == "multi_worker" else [None]
            wait(
                *(
                    start(WORKER, strategy, files[key], *cases, environment=each)
                    for each in environments
                )
            )
        return files[key]

    return train


def assert_same_training(received, expected, case):
    with np.load(received) as a, np.load(expected) as b:
        names = [name for name in b.files if name.startswith(f"{case}/")]
        assert len(names) >= 8
        for name in names:
            # Adam divides small differences by small second moments.
            tolerance = 1e-3 if case == "adam" else 1e-5
            np.testing.assert_allclose(
                a[name], b[name], rtol=tolerance, atol=tolerance, err_msg=name
            )
        histories = [json.loads(str(archive["histories"]))[case] for archive in (a, b)]
    assert histories[0].keys() == histories[1].keys() and "val_loss" in histories[0]
    for name, values in histories[1].items():
        np.testing.assert_allclose(histories[0][name], values, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    "cases", [QUICK, pytest.param(REST, marks=pytest.mark.slow)], ids=["quick", "rest"]
)
def test_two_devices_train_as_one_does(cases, trained):
    for case in cases:
        assert_same_training(trained("mirrored", cases), trained("one", cases), case)


@pytest.mark.slow
def test_devices_agree_on_the_state_of_keras_layers(trained):
    with np.load(trained("mirrored", OWN_WAY)) as archive:
        histories = json.loads(str(archive["histories"]))
    assert all(np.isfinite(histories[case]["loss"]).all() for case in OWN_WAY)


@pytest.mark.parametrize(
    ("num_workers", "cases"),
    [
        (2, QUICK[:2]),
        pytest.param(2, REST, marks=pytest.mark.slow),
        pytest.param(4, QUICK, marks=pytest.mark.slow),
    ],
    ids=["2 quick", "2 rest", "4 quick"],
)
def test_several_processes_train_as_one_does(num_workers, cases, trained):
    for case in cases:
        reference = trained("one", QUICK if case in QUICK else REST)
        assert_same_training(trained("multi_worker", cases, num_workers), reference, case)


def zoo_train(environment, out, *arguments):
    return start(
        "-m",
        "zoo.cli",
        "train",
        "vae_digits",
        "--strategy",
        "multi_worker",
        "--out",
        out,
        *arguments,
        environment=environment,
    )


@pytest.mark.slow
def test_a_killed_worker_stops_the_others_with_a_clear_line_and_all_resume(tmp_path):
    out, arguments = tmp_path / "run", ["epochs=60", "hidden_units=16", "batch_size=300"]
    chief, other = (zoo_train(each, out, *arguments) for each in cluster(2))
    while not (out / "history.csv").exists():
        assert chief.poll() is None and other.poll() is None, (
            chief.communicate()[0] + other.communicate()[0]
        )
        time.sleep(0.01)
    other.kill()
    output = chief.communicate(timeout=120)[0]
    other.communicate()
    assert chief.returncode == 2 and "Traceback" not in output, output
    assert "Another worker stopped answering after epoch" in output
    assert "Start all workers again with --resume" in output
    finished = len((out / "history.csv").read_text().splitlines()) - 1
    assert 1 <= finished < 60
    files = {path.name for path in out.iterdir()}
    wait(*(zoo_train(each, out, "--resume") for each in cluster(2)))
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "finished" and record["epochs"] == 60
    assert record["strategy"] == {"name": "CollectiveAllReduceStrategy", "replicas": 2}
    assert files < {path.name for path in out.iterdir()}


@pytest.mark.parametrize(("size", "num_replicas"), [(6, 3), (7, 3), (2, 3), (1, 4)])
def test_shards_of_a_batch_add_up_to_it(size, num_replicas):
    values = np.random.default_rng(0).normal(size=[size, 2]).astype(np.float32)
    parts = [
        shards.take({"v": tf.constant(values)}, size, None, tf.constant(replica), num_replicas)
        for replica in range(num_replicas)
    ]
    np.testing.assert_allclose(
        sum(shard.mean(batch["v"]) for batch, shard in parts), values.mean(axis=0), rtol=1e-5
    )
    counted = [
        (value, weight)
        for batch, shard in parts
        for value, weight in zip(*_pair(shard.weigh(batch["v"][:, 0])), strict=True)
    ]
    assert sum(weight for _, weight in counted) == size
    assert sum(value * weight for value, weight in counted) == pytest.approx(
        values[:, 0].sum(), rel=1e-5
    )
    # Rows that fill a shape count in no shard.
    filled = {"v": tf.constant(np.concatenate([values, np.full([3, 2], 7.0, np.float32)]))}
    parts = [
        shards.take(filled, size + 3, tf.constant(size), tf.constant(replica), num_replicas)
        for replica in range(num_replicas)
    ]
    np.testing.assert_allclose(
        sum(shard.mean(batch["v"]) for batch, shard in parts), values.mean(axis=0), rtol=1e-5
    )


def _pair(term):
    return [
        np.asarray(part)
        for part in (term if isinstance(term, tuple) else (term, np.ones(len(term))))
    ]


def test_wrong_strategies_are_told(monkeypatch, make_vae):
    with pytest.raises(ValueError, match="must be 'mirrored' or 'multi_worker'. Received: 'tpu'"):
        replicas.make_strategy("tpu")
    for name in ("TF_CONFIG", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        ValueError, match="needs to know its workers. Start it by Slurm, or set TF_CONFIG"
    ):
        replicas.make_strategy("multi_worker")
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope():
        model = make_vae()
        with pytest.raises(
            ValueError,
            match="cannot run eagerly. Received: run_eagerly=True in a OneDeviceStrategy",
        ):
            model.compile(run_eagerly=True)
    optimizer = keras.optimizers.SGD()
    with pytest.raises(ValueError, match="optimizer was made outside of the model's strategy"):
        model.compile(optimizer)
