"""The client takes from a server what it asked for, and nothing else; and it does not wait for
ever."""

import contextlib
import itertools
import json
import re
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import requests

from zoo.serving import Client, ServerError
from zoo.serving.client import Ports

RECORDED = json.loads(
    (Path(__file__).parent / "goldens" / "rest_rows.json").read_text(encoding="utf-8")
)
IMAGES = np.float32([[[[0.0], [1.0]]], [[[0.5], [0.25]]]])
GOOD = {"predictions": [{"loc": [0.5, 1], "scale": [1, 1]}, {"loc": [0.25, 1], "scale": [1, 1]}]}


@pytest.fixture
def answering(monkeypatch):
    """Function: a client whose server describes the recorded model and answers every question with
    this text."""

    def answering(text, metadata=RECORDED["metadata"]):
        def answer(self, method, url, data, headers, timeout):
            reply = requests.Response()
            reply.status_code, reply._content = (
                200,
                (metadata if url.endswith("/metadata") else text).encode(),
            )
            return reply

        monkeypatch.setattr(requests.Session, "request", answer)
        return Client("http://host:8501", "tiny")

    return answering


def test_the_answer_of_a_good_server_is_taken(answering):
    answer = answering(json.dumps(GOOD)).encode(IMAGES)
    np.testing.assert_array_equal(answer["loc"], np.float32([[0.5, 1], [0.25, 1]]))


def rows(**changes):
    return json.dumps({"predictions": [row | changes for row in GOOD["predictions"]]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            json.dumps({"predictions": GOOD["predictions"][:1]}),
            r"did not answer 2 rows of 'encode': 'loc' has the shape \(1, 2\) in place of \(2, 2\)",
        ),
        (json.dumps({"predictions": []}), r"'loc' has the shape \(0,\) in place of \(2, 2\)"),
        (rows(scale=[1, 1, 1]), r"'scale' has the shape \(2, 3\) in place of \(2, 2\)"),
        (rows(loc=0.5), r"'loc' has the shape \(2,\) in place of \(2, 2\)"),
        (
            rows(loc=["NaN", "1"]),
            r"in another form than TF Serving's. Asked: rows of 'encode'. Received: "
            r"{'predictions': \[{'loc': \['NaN', '1'\]",
        ),
        (rows(loc=[None, 1]), "in another form"),
        (rows(loc=[True, False]), "in another form"),
        (rows(loc=[1e300, 1]), "in another form"),
        (
            json.dumps({"predictions": [{"loc": [1], "scale": [1, 1]}, *GOOD["predictions"][1:]]}),
            "in another form",
        ),
        (json.dumps({"predictions": [{"loc": [1, 1]}] * 2}), "in another form"),
        (json.dumps({"predictions": [[0.5, 1], [0.5, 1]]}), "in another form"),
        (json.dumps({"predictions": 3}), "in another form"),
        (json.dumps({"outputs": {"loc": [[1, 1]]}}), "in another form.*Received: {'outputs'"),
        (json.dumps(["predictions"]), "in another form"),
        ("null", "in another form.*Received: None"),
        (
            "<html>Welcome</html>",
            r"is no model server: it answered '<html>Welcome</html>' \(HTTP 200\)",
        ),
        ("", "is no model server: it answered ''"),
        ("[" * 100_000, r"is no model server: it answered '\[\["),
    ],
    ids=lambda value: value[:40] if value.startswith(("{", "[", "<")) else "",
)
def test_answers_that_were_not_asked_for_are_refused(text, message, answering):
    with pytest.raises(ServerError, match=message):
        answering(text).encode(IMAGES)


@pytest.mark.parametrize(
    "metadata",
    ['{"metadata": {"signature_def": []}}', '{"metadata": null}', "[1]", '{"predictions": []}'],
)
def test_signatures_of_another_form_are_refused(metadata, answering):
    with pytest.raises(
        ServerError,
        match=f"Asked: the signatures. Received: {re.escape(str(json.loads(metadata)))}",
    ):
        answering("", metadata).encode(IMAGES)


def test_answers_over_grpc_are_compared_with_what_was_asked():
    client = Client("grpc://localhost:1", "tiny")
    client.signatures = {
        "encode": Ports({"image": ("float32", (None, 1, 2, 1))}, {"loc": ("float32", (None, 2))})
    }
    for answer, message in (
        (
            {"loc": np.zeros((3, 2), np.float32)},
            r"2 rows of 'encode': 'loc' has the shape \(3, 2\) in place of \(2, 2\)",
        ),
        ({"loc": np.zeros((2, 2))}, "'loc' holds float64 in place of float32"),
        ({"scale": np.zeros((2, 2), np.float32)}, "it answered scale in place of loc"),
        ({}, "it answered nothing in place of loc"),
    ):
        client._transport.predict = lambda *asked, answer=answer: answer
        with pytest.raises(ServerError, match=message):
            client.encode(IMAGES)
    client.close()


# -- What is asked


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            255 * IMAGES,
            r"floats in \[0, 1\]. Received: float32 in \[0.0, 255.0\]. Divide by 255, or "
            r"pass uint8",
        ),
        (np.where(IMAGES > 0.4, np.nan, IMAGES), r"Received: float32 in \[nan, nan\]"),
        (
            np.uint8(IMAGES == 1),
            "integers 0 and 1 would be black. Received: uint8. Multiply by 255, or pass bools",
        ),
        (np.int64(300 * IMAGES), r"integers in 0 ... 255.*Received: int64 in \[0, 300\]"),
        (IMAGES[:0], r"at least one row. Received: shape \(0, 1, 2, 1\)"),
    ],
    ids=["levels", "NaN", "0 and 1", "300", "none"],
)
def test_images_mean_what_they_mean_everywhere(images, message, answering):
    with pytest.raises(ValueError, match=message):
        answering(json.dumps(GOOD)).encode(images)


def test_all_types_of_images_ask_the_same(answering, monkeypatch):
    client, asked = answering(json.dumps(GOOD)), []
    monkeypatch.setattr(
        client._transport,
        "predict",
        lambda signature, inputs, ports: asked.append(inputs["image"]) or {},
    )
    levels = np.uint8([[[[0], [255]]], [[[51], [102]]]])
    for images in (
        levels,
        levels.astype(np.int64),
        (levels / 255).astype(np.float64),
        levels.tolist(),
    ):
        with pytest.raises(ServerError, match="it answered nothing in place of loc, scale"):
            client.encode(images)
    assert all(image.dtype == np.float32 for image in asked)
    np.testing.assert_array_equal(asked, [asked[0]] * 4)


def test_numbers_that_a_signature_cannot_hold_are_refused(answering):
    client = answering(json.dumps(GOOD))
    with pytest.raises(
        ValueError,
        match=r"'z' must hold finite numbers of type float32. Received: float64 in \[1e\+300, "
        r"1e\+300\]",
    ):
        client.decode(np.full((1, 2), 1e300))
    with pytest.raises(
        ValueError,
        match=r"'seed' must hold finite numbers of type int32. Received: int64 in \[1099511627776",
    ):
        client.ask("score", image=IMAGES, seed=np.full((2, 2), 2**40))
    for seed in (1.5, 2**31, True, float("nan")):
        with pytest.raises(
            ValueError, match=f"`seed` must be an integer of 32 bits. Received: seed={seed!r}"
        ):
            client.score(IMAGES, seed=seed)
    for num_rows in (0, -1, 2.5):
        with pytest.raises(
            ValueError,
            match=f"`num_rows` must be a positive integer. Received: num_rows={num_rows!r}",
        ):
            client.sample(num_rows)
    with pytest.raises(
        ValueError, match=r"'image' must hold at least one row. Received: shape \(\)"
    ):
        client.score(0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"version": 0}, "`version` must be a positive integer. Received: version=0"),
        ({"version": True}, "Received: version=True"),
        ({"label": ""}, "`label` must be a name. Received: label=''"),
        ({"timeout": 0}, "`timeout` must be a positive number of seconds. Received: timeout=0"),
        ({"timeout": float("inf")}, "Received: timeout=inf"),
    ],
    ids=str,
)
def test_arguments_of_the_client_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        Client("http://localhost:8501", "plain", **arguments)


# -- Connections


@contextlib.contextmanager
def server(*connections):
    """The port of a server that treats its connections one after another: each is a function of the
    accepted socket."""

    def serve():
        for treat in connections:
            accepted, _ = listening.accept()
            with accepted, contextlib.suppress(OSError):
                treat(accepted)

    with socket.create_server(("localhost", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(10)


def http_reply(text):
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


def read_request(accepted):
    """Head and body come in pieces."""
    with accepted.makefile("rb") as lines:
        head = list(itertools.takewhile(lambda line: line not in (b"\r\n", b""), lines))
        lines.read(
            sum(int(line.split()[1]) for line in head if line.lower().startswith(b"content-length"))
        )


def answers(*texts):
    """A connection that answers as many requests, and is closed at the next one."""

    def treat(accepted):
        for text in texts:
            read_request(accepted)
            accepted.sendall(http_reply(text))
        read_request(accepted)

    return treat


def sends(content):
    """A connection that is closed after these bytes."""

    def treat(accepted):
        read_request(accepted)
        accepted.sendall(content)

    return treat


METADATA, ANSWER = RECORDED["metadata"], json.dumps(GOOD)


def test_a_kept_connection_that_the_server_dropped_is_opened_again():
    with (
        server(answers(METADATA), answers(ANSWER, ANSWER), answers(ANSWER)) as port,
        Client(f"http://localhost:{port}", "tiny") as client,
    ):
        for _ in range(3):
            assert client.encode(IMAGES)["loc"].shape == (2, 2)


def test_a_server_that_always_hangs_up_is_asked_twice_and_told():
    message = "closed the connection before it answered"
    with (
        server(answers(METADATA), answers()) as port,
        Client(f"http://localhost:{port}", "tiny") as client,
        pytest.raises(ConnectionError, match=message),
    ):
        client.encode(IMAGES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "is no model server: it does not answer in HTTP .*SSH-2.0"),
        (http_reply(METADATA)[:-100], "broke off or cannot be read"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "broke off or cannot be read",
        ),
    ],
    ids=["another protocol", "half an answer", "damaged chunks"],
)
def test_broken_answers_are_the_servers_errors(content, message):
    with (
        server(sends(content)) as port,
        Client(f"http://localhost:{port}", "tiny") as client,
        pytest.raises(ServerError, match=message),
    ):
        client.encode(IMAGES)


def test_a_server_that_answers_drop_by_drop_is_given_up():
    def drips(accepted):
        read_request(accepted)
        for byte in http_reply(METADATA):
            accepted.sendall(bytes([byte]))
            time.sleep(0.05)
            if done.is_set():
                return

    done = threading.Event()
    with (
        server(drips, answers(METADATA, ANSWER)) as port,
        Client(f"http://localhost:{port}", "tiny", timeout=0.4) as client,
    ):
        start = time.monotonic()
        with pytest.raises(TimeoutError, match="did not answer within 0.4 seconds"):
            client.encode(IMAGES)
        assert time.monotonic() - start < 2
        done.set()
        assert client.encode(IMAGES)["loc"].shape == (2, 2)  # over a new connection
