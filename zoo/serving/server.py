"""Starts TensorFlow Serving on a base directory: the program where it is installed, its Docker
image where Docker runs."""

import contextlib
import http.client
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from zoo.files import write_atomically
from zoo.serving import configuration

PROGRAM = "tensorflow_model_server"
READY_SECONDS = 300
POLL_SECONDS = 5


class ServerMissing(RuntimeError):
    """This machine has neither the program nor a running Docker."""


def serve(
    base: str | Path,
    *,
    rest_port: int = configuration.REST_PORT,
    grpc_port: int = configuration.GRPC_PORT,
    on_ready: Callable[[], Any] = lambda: None,
) -> NoReturn:
    """Runs a server in the foreground until it ends or is interrupted.

    Args:
        base: A base directory, `<base>/<model>/<version>/`; its configuration is written where it
            is missing.
        rest_port: Port for REST.
        grpc_port: Port for gRPC.
        on_ready: Called once every model answers.

    Raises:
        ValueError: If `models.config` does not describe the directory.
        ServerMissing: If there is nothing to start; the message holds the command for a machine
            that has Docker.
        RuntimeError: If the server ends by itself, or the models are not ready within five minutes.
    """
    base = Path(base).resolve()
    if not configuration.models(base):
        raise ValueError(
            f"{str(base)!r} holds no <model>/<version>/. "
            f"`zoo export RECIPE --out {base}` writes one."
        )
    if not (base / configuration.MODELS).exists():
        configuration.write(base)
    problem = configuration.problem(base)
    if problem:
        raise ValueError(
            f"{str(base / configuration.MODELS)!r} does not describe what is there: "
            f"{problem}. `zoo export` writes it anew."
        )
    with tempfile.TemporaryDirectory() as scratch:
        # A server wants absolute paths, and those in the file are the image's.
        relocated = Path(scratch) / configuration.MODELS
        write_atomically(relocated, configuration.relocated(base).encode())
        process = subprocess.Popen(command(base, relocated, rest_port, grpc_port))
        try:
            _wait_until_ready(process, base, rest_port)
            on_ready()
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_SECONDS)
                # Half a file, which someone edits: it stays as it was.
                with contextlib.suppress(ValueError):
                    # A new version, a moved label.
                    write_atomically(relocated, configuration.relocated(base).encode())
        finally:
            process.terminate()
            process.wait()
    raise RuntimeError(f"The server ended with status {process.returncode}.")


def command(base: Path, models_config: Path, rest_port: int, grpc_port: int) -> list[str]:
    """The command that starts a server here.

    Raises:
        ServerMissing: If there is none.
    """
    if shutil.which(PROGRAM):
        flags = configuration.server_flags(base, models_config)
        return [PROGRAM, f"--port={grpc_port}", f"--rest_api_port={rest_port}", *flags]
    in_docker = docker_command(base, rest_port, grpc_port)
    if (
        shutil.which("docker")
        and subprocess.run(["docker", "info"], capture_output=True).returncode == 0
    ):
        return in_docker
    lacking = "no Docker" if shutil.which("docker") is None else "no running Docker"
    raise ServerMissing(
        f"There is no {PROGRAM} on the path, and {lacking}. On a machine that has Docker: "
        f"{' '.join(in_docker)}"
    )


def docker_command(
    base: str | Path,
    rest_port: int = configuration.REST_PORT,
    grpc_port: int = configuration.GRPC_PORT,
) -> list[str]:
    """The command that serves a base directory with TensorFlow Serving's image."""
    rest = ["-p", f"{rest_port}:{configuration.REST_PORT}"]
    grpc = ["-p", f"{grpc_port}:{configuration.GRPC_PORT}"]
    mount = ["-v", f"{Path(base).resolve()}:{configuration.MOUNT}:ro"]
    flags = configuration.server_flags(configuration.MOUNT)
    return ["docker", "run", "--rm", *rest, *grpc, *mount, configuration.IMAGE, *flags]


def examples(base: str | Path, rest_port: int = configuration.REST_PORT) -> list[str]:
    """`curl` lines that the models of a base directory answer."""
    from zoo.serving import graph

    lines = []
    for name, labels in configuration.labels(base).items():
        url = f"http://localhost:{rest_port}/v1/models/{name}"
        inputs = graph.signature_inputs(graph.read(Path(base) / name / str(labels["stable"])))
        if inputs.get("sample", {}).keys() == {"seed"}:
            question = '{"signature_name": "sample", "instances": [[0, 0], [0, 1]]}'
            lines.append(f"curl -d '{question}' {url}/labels/stable:predict")
        else:
            lines.append(f"curl {url}/labels/stable/metadata")
    return lines


def _wait_until_ready(process, base, rest_port):
    end = time.monotonic() + READY_SECONDS
    for name, labels in configuration.labels(base).items():
        for version in sorted(set(labels.values())):
            url = f"http://localhost:{rest_port}/v1/models/{name}/versions/{version}"
            while not _is_available(url):
                if process.poll() is not None:
                    raise RuntimeError(
                        f"The server ended with status {process.returncode} before version "
                        f"{version} of {name!r} was ready."
                    )
                if time.monotonic() > end:
                    raise RuntimeError(
                        f"Version {version} of {name!r} was not ready after {READY_SECONDS} "
                        f"seconds: {url}."
                    )
                time.sleep(0.2)


def _is_available(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            states = json.load(reply)["model_version_status"]
        return any(state["state"] == "AVAILABLE" for state in states)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return False  # no server yet, or another program's answer
