"""`zoo serve` and the client, against a server.

The server is `tensorflow_model_server` where it is on the path; `tests/stand_in_server.py`, which
keeps to its documents, everywhere.
"""

import io
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import requests
import yaml

import zoo
from zoo import cli, layers
from zoo.serving import Client, ServerError, configuration, export, server

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def models(make_vae, images):
    model = make_vae()
    model.compile()
    model.fit(images, batch_size=10, epochs=2, verbose=0)
    return {
        "plain": model,
        "given": make_vae(posterior=layers.FullCovarianceNormal(3), condition_shape=(2,)),
    }


@pytest.fixture(scope="module")
def base(models, tmp_path_factory):
    base = tmp_path_factory.mktemp("served") / "base"
    for name, model in models.items():
        export(model, base / name)
        configuration.write(base)
    export(models["plain"], base / "plain")
    configuration.write(base)
    return base


def free_ports():
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("localhost", 0))
        return one.getsockname()[1], two.getsockname()[1]


def program_that(directory, text):
    """A directory to put on the path, with a program of the server's name."""
    directory.mkdir(exist_ok=True)
    program = directory / server.PROGRAM
    program.write_text(text)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return f"{directory}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="module", params=["stand-in", "tensorflow_model_server"])
def running(request, tmp_path_factory):
    """`zoo serve`: what it printed until the models were ready, and its two ports."""
    path = os.environ["PATH"]
    if request.param == "stand-in":
        stand_in = (
            f"#!{sys.executable}\nimport "
            f"runpy\nrunpy.run_path({str(ROOT / 'tests' / 'stand_in_server.py')!r}, "
            "run_name='__main__')\n"
        )
        path = program_that(tmp_path_factory.mktemp("bin") / "bin", stand_in)
    elif shutil.which(server.PROGRAM) is None:
        pytest.skip(f"needs {server.PROGRAM} on the path")
    base = request.getfixturevalue("base")  # not before it is known that there is a server
    rest, grpc = free_ports()
    command = [
        sys.executable,
        "-m",
        "zoo.cli",
        "serve",
        str(base),
        "--rest-port",
        str(rest),
        "--grpc-port",
        str(grpc),
    ]
    process = subprocess.Popen(
        command, env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    printed = []
    for line in process.stdout:
        printed.append(line)
        if line.startswith("gRPC:"):
            break
    yield "".join(printed), rest, grpc
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 130
    process.stdout.close()
    with pytest.raises(ConnectionRefusedError):  # the server ended with the command that started it
        socket.create_connection(("localhost", rest), timeout=5)


@pytest.fixture(params=["http", "grpc"])
def client(request, running):
    _, rest, grpc = running

    def client(model, **options):
        made.append(
            Client(
                f"{request.param}://localhost:{rest if request.param == 'http' else grpc}",
                model,
                **options,
            )
        )
        return made[-1]

    made = []
    yield client
    for each in made:
        each.close()


def test_serve_waits_and_prints_lines_that_are_answered(running):
    printed, rest, _ = running
    lines = [line.strip() for line in printed.splitlines() if line.strip().startswith("curl")]
    assert printed.startswith("Every model is ready.") and len(lines) == 2
    for line, answer in zip(sorted(lines), ('"predictions"', '"signature_def"'), strict=True):
        if shutil.which("curl"):
            assert answer in subprocess.run(line, shell=True, capture_output=True, text=True).stdout
        assert f"http://localhost:{rest}/v1/models/" in line


def close(received, expected):
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5)


def test_answers_are_those_of_python(client, models, images):
    model, asked = models["plain"], client("plain")
    x = images[:5]
    close(asked.encode(x)["loc"], model.encode(x).loc)
    close(asked.encode(x)["scale"], model.encode(x).stddev())
    close(asked.reconstruct(x), model.reconstruct(x))
    close(asked.decode(asked.encode(x)["loc"]), model.reconstruct(x))
    np.testing.assert_array_equal(asked.sample(7, seed=3)["sample"], model.sample(7, seed=3))
    close(asked.log_prob(x > 127, seed=3), model.log_prob(x > 127, num_samples=64, seed=3))
    assert asked.score(x).keys() == {"elbo", "kl", "log_likelihood"}
    assert asked.encode(x[:1])["loc"].shape == (1, 3) and asked.encode(x)["loc"].dtype == np.float32


def test_conditions_versions_and_labels(client, models, images):
    model, condition = models["given"], np.float32([[0, 1], [1, 0], [1, 1]])
    asked = client("given")
    np.testing.assert_array_equal(
        asked.sample(3, seed=1, condition=condition)["sample"],
        model.sample(3, seed=1, condition=condition),
    )
    close(asked.reconstruct(images[:3], condition), model.reconstruct(images[:3], condition))
    assert asked.encode(images[:3], condition)["scale_tril"].shape == (3, 3, 3)
    for chosen in ({"version": 1}, {"version": 2}, {"label": "stable"}, {"label": "canary"}):
        close(
            client("plain", **chosen).reconstruct(images[:2]),
            models["plain"].reconstruct(images[:2]),
        )


def test_the_readme_asks_rightly(running, images):
    (code,) = re.findall(
        r"```python no-run\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    code, replaced = re.subn(r"^images = .*$", "", code, flags=re.MULTILINE)
    assert replaced == 1
    names = {"images": images[:3]}
    exec(
        code.replace("localhost:8501", f"localhost:{running[1]}").replace("vae_mnist", "plain"),
        names,
    )
    assert names["reconstructions"].shape == (3, 4, 4, 1)
    assert names["pictures"].shape == (16, 4, 4, 1)
    assert names["nats"].shape == (3,)


def test_mistakes_are_clear_and_the_next_request_is_answered(client, images):
    asked = client("plain")
    with pytest.raises(
        ValueError, match="'plain' has no signature 'classify': it has decode, encode, reconstruct"
    ):
        asked.classify(images[:2])
    with pytest.raises(
        ValueError, match="'encode' of 'plain' takes image. Received: condition, image"
    ):
        asked.encode(images[:2], condition=[[0, 1]])
    with pytest.raises(
        ValueError, match=r"'image' must have the shape \[B, 4, 4, 1\]. Received: shape \(2, 4, 4\)"
    ):
        asked.encode(images[:2, ..., 0])
    with pytest.raises(
        ValueError, match="'image' must hold numbers of type float32. Received: <U1"
    ):
        asked.encode(np.full([1, 4, 4, 1], "a"))
    with pytest.raises(
        ValueError, match="'seed' must hold numbers of type int32. Received: float64"
    ):
        asked.ask("sample", seed=np.zeros([1, 2]))
    with pytest.raises(
        ValueError, match="All inputs must have as many rows. Received: {'image': 2, 'seed': 1}"
    ):
        asked.ask("score", image=images[:2], seed=np.zeros([1, 2], np.int32))
    for chosen, message in (({"version": 9}, "Servable not found"), ({"label": "beta"}, "label")):
        with pytest.raises(
            ServerError, match=f"The server of 'plain' refused the request: .*{message}"
        ):
            client("plain", **chosen).sample(1)
    with pytest.raises(
        ServerError, match="The server of 'absent' refused the request: Servable not found"
    ):
        client("absent").sample(1)
    assert asked.sample(2)["z"].shape == (2, 3)


def test_arguments_of_the_client_are_checked():
    with pytest.raises(
        ValueError,
        match="must start with http://, https:// or grpc://. Received: url='localhost:8501'",
    ):
        Client("localhost:8501", "plain")
    with pytest.raises(
        ValueError, match="by its number or by its label. Received: version=1, label='stable'"
    ):
        Client("http://localhost:8501", "plain", version=1, label="stable")


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_silent_address_is_named(scheme, images):
    port, _ = free_ports()
    message = f"Nothing answers at {scheme}://localhost:{port}.*: is the server running?"
    with (
        Client(f"{scheme}://localhost:{port}", "plain") as client,
        pytest.raises(ConnectionError, match=message),
    ):
        client.encode(images[:1])


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_server_that_does_not_answer_is_given_up(scheme, images):
    with socket.socket() as silent:
        silent.bind(("localhost", 0))
        silent.listen()
        client = Client(f"{scheme}://localhost:{silent.getsockname()[1]}", "plain", timeout=0.3)
        with client, pytest.raises(TimeoutError, match="did not answer within 0.3 seconds"):
            client.encode(images[:1])


def test_asking_over_rest_needs_no_tensorflow():
    code = (
        "import sys; from zoo.serving import Client; Client('http://localhost:1', 'm'); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_without_a_server_the_command_for_one_is_told(base, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["serve", str(base)]) == 2
    message = capsys.readouterr().err
    assert (
        "There is no tensorflow_model_server on the path, and no Docker. On a machine "
        "that has Docker: docker run --rm -p 8501:8501" in message
    )
    assert (
        f"-v {base}:/models:ro tensorflow/serving --model_config_file=/models/models.config"
        in message
    )
    program_that(tmp_path, "#!/bin/sh\nexit 3\n")
    assert cli.main(["serve", str(base)]) == 2
    assert (
        "The server ended with status 3 before version 1 of 'given' was ready."
        in capsys.readouterr().err
    )


def test_another_program_at_the_port_is_not_taken_for_a_ready_server(monkeypatch):
    states = '{"model_version_status": [{"state": "AVAILABLE"}]}'
    for text in (
        "<html>",
        "[1]",
        states.replace("AVAILABLE", "LOADING"),
        states.replace("{", "[").replace("}", "]"),
        '{"model_version_status": [1]}',
    ):
        monkeypatch.setattr(
            server.urllib.request, "urlopen", lambda url, timeout, text=text: io.StringIO(text)
        )
        assert not server._is_available("http://localhost:8501/v1/models/plain")
    monkeypatch.setattr(server.urllib.request, "urlopen", lambda url, timeout: io.StringIO(states))
    assert server._is_available("http://localhost:8501/v1/models/plain")


def test_a_directory_that_is_no_base_is_refused(base, tmp_path, capsys):
    assert cli.main(["serve", str(tmp_path)]) == 2
    assert "holds no <model>/<version>/. `zoo export RECIPE --out" in capsys.readouterr().err
    shutil.copytree(base, tmp_path / "base")
    shutil.rmtree(tmp_path / "base" / "given")
    assert cli.main(["serve", str(tmp_path / "base")]) == 2
    assert (
        "does not describe what is there: there is no model 'given'. `zoo export` writes it anew."
        in capsys.readouterr().err
    )


def test_a_missing_configuration_is_written(base, tmp_path, monkeypatch):
    shutil.copytree(base / "plain", tmp_path / "base" / "plain")
    monkeypatch.setenv("PATH", program_that(tmp_path / "bin", "#!/bin/sh\nexit 3\n"))
    with pytest.raises(RuntimeError, match="The server ended with status 3"):
        server.serve(tmp_path / "base")
    assert configuration.labels(tmp_path / "base") == {"plain": {"stable": 2}}


def test_compose_file_serves_the_directory(base):
    (service,) = yaml.safe_load((base / configuration.COMPOSE).read_text())["services"].values()
    assert service["image"] == configuration.IMAGE and service["volumes"] == [".:/models:ro"]
    assert service["ports"] == ["8501:8501", "8500:8500"]
    *_, mount, image = server.docker_command(base)[: -len(service["command"])]
    assert server.docker_command(base)[-len(service["command"]) :] == service["command"]
    assert (mount, image) == (f"{base}:/models:ro", configuration.IMAGE)


def test_front_door_names(models):
    assert zoo.serving.Client is Client and "check" in dir(zoo.serving)
    with pytest.raises(AttributeError, match="Server"):
        zoo.serving.Server  # noqa: B018


# -- Recorded requests and replies

RECORDED = json.loads((ROOT / "tests" / "goldens" / "rest_rows.json").read_text(encoding="utf-8"))


def reply_of(status, text):
    reply = requests.Response()
    reply.status_code, reply._content = status, text.encode()
    return reply


@pytest.mark.parametrize("exchange", RECORDED["exchanges"], ids=lambda exchange: exchange["call"])
def test_requests_and_replies_are_the_documented_ones(exchange, monkeypatch):
    def answer(self, method, url, data, headers, timeout):
        if url.endswith("/metadata"):
            assert (method, data) == ("GET", None)
            return reply_of(200, RECORDED["metadata"])
        assert (method, url) == ("POST", "http://host:8501/v1/models/tiny/versions/3:predict")
        assert json.loads(data) == exchange["request"]
        assert headers == {"Content-Type": "application/json"}
        return reply_of(200, exchange["reply"])

    monkeypatch.setattr(requests.Session, "request", answer)
    with Client("http://host:8501/", "tiny", version=3) as client:
        assert client.signatures.keys() == {"encode", "decode", "score"}
        arguments = {
            name: np.array(value) if name != "seed" else value
            for name, value in exchange["arguments"].items()
        }
        received = getattr(client, exchange["call"])(**arguments)
    expected = exchange["answer"]
    if not isinstance(expected, dict):
        received, expected = {"": received}, {"": expected}
    assert received.keys() == expected.keys()
    for name, array in received.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, np.array(expected[name], np.float32))


@pytest.mark.parametrize("refusal", RECORDED["refusals"], ids=lambda refusal: refusal["status"])
def test_refusals_are_told_in_the_servers_words(refusal, monkeypatch):
    monkeypatch.setattr(
        requests.Session,
        "request",
        lambda *arguments, **keywords: reply_of(refusal["status"], refusal["reply"]),
    )
    with (
        Client("http://host:8501", "tiny", label="stable") as client,
        pytest.raises(ServerError, match=refusal["message"]),
    ):
        client.encode(np.zeros([1, 1, 2, 1]))
