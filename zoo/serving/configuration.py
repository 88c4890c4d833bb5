"""What a server is told about a base directory: which models and versions it serves, under which
labels, and how it batches.

    <base>/
        <model>/<version>/      exports
        models.config           ModelServerConfig (text): versions and labels
        batching.config         BatchingParameters (text)
        compose.yaml            for `docker compose up`

Paths in `models.config` are those of TensorFlow Serving's image, where the base directory is
mounted as /models: a server wants them absolute, and a base directory is moved.
https://www.tensorflow.org/tfx/serving/serving_config
"""

from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from zoo.extras import need

need("serving", "Exports")

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from zoo.files import write_atomically
from zoo.versions import versions

# Protobuf makes its classes while it is imported: to a type checker it is empty.
messages: Any = model_server_config_pb2

MODELS, BATCHING, COMPOSE = "models.config", "batching.config", "compose.yaml"
MOUNT = PurePosixPath("/models")
IMAGE = "tensorflow/serving"
GRPC_PORT, REST_PORT = 8500, 8501
MAX_BATCH_SIZE = 256

BATCHING_TEXT = f"""\
# Requests that wait while a batch is computed are answered together in the next one; nobody waits
# for a batch to fill.
# A request of more than {MAX_BATCH_SIZE} rows is refused.
max_batch_size {{ value: {MAX_BATCH_SIZE} }}
batch_timeout_micros {{ value: 0 }}
max_enqueued_batches {{ value: 100 }}
"""


def models(base: str | Path) -> list[Path]:
    """The model directories in a base directory, by name."""
    base = Path(base)
    if not base.is_dir():
        return []
    return sorted(
        child for child in base.iterdir() if versions(child) and not child.name.startswith(".")
    )


def server_flags(directory: PurePath, models_config: PurePath | None = None) -> list[str]:
    """Flags of `tensorflow_model_server`, for a base directory that lies at `directory` where the
    server runs."""
    return [
        f"--model_config_file={models_config or directory / MODELS}",
        "--model_config_file_poll_wait_seconds=60",
        # Otherwise a server that starts with labels refuses them, as nothing is loaded yet.
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_batching=true",
        f"--batching_parameters_file={directory / BATCHING}",
    ]


def write(base: str | Path) -> None:
    """Brings `models.config` up to date with what lies in the base directory; writes the other
    files where they are missing.

    Labels that it holds are kept. A model without any gets `stable` at its newest version; a newer
    one than `stable` gets `canary`, so that clients of `stable` stay where they are until someone
    moves the label. Labelled versions are served.
    """
    base = Path(base)
    config = _updated(base, _read(base) if (base / MODELS).is_file() else None)
    write_atomically(base / MODELS, text_format.MessageToString(config).encode())
    for name, text in ((BATCHING, BATCHING_TEXT), (COMPOSE, _compose_text())):
        if not (base / name).exists():
            write_atomically(base / name, text.encode())


def relocated(base: str | Path) -> str:
    """The text of `models.config` with the paths of this machine, for a server outside of a
    container."""
    config = _read(base)
    for model in config.model_config_list.config:
        model.base_path = str(Path(base).resolve() / model.name)
    return text_format.MessageToString(config)


def labels(base: str | Path) -> dict[str, dict[str, int]]:
    """Model -> dict of label -> version, as `models.config` says.

    Raises:
        ValueError: If it cannot be read.
    """
    return {
        model.name: dict(model.version_labels) for model in _read(base).model_config_list.config
    }


def problem(base: str | Path) -> str | None:
    """What `models.config` says that is not so, in words, or None."""
    try:
        config = _read(base)
    except ValueError as error:
        return str(error)
    there = {model.name: versions(model) for model in models(base)}
    served = {
        model.name: set(model.model_version_policy.specific.versions)
        for model in config.model_config_list.config
    }
    for model in config.model_config_list.config:
        if model.name not in there:
            return f"there is no model {model.name!r}"
        absent = sorted(
            (served[model.name] | set(model.version_labels.values())) - set(there[model.name])
        )
        if absent:
            return f"{model.name!r} has no version {absent[0]}"
        unserved = sorted(
            label
            for label, version in model.version_labels.items()
            if version not in served[model.name]
        )
        if unserved:
            label = unserved[0]
            return f"the label {label!r} of {model.name!r} stands at a version that is not served"
    missing = sorted(there.keys() - served.keys())
    return f"it does not name {missing[0]!r}" if missing else None


def _read(base):
    path = Path(base) / MODELS
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), messages.ModelServerConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise ValueError(f"{str(path)!r} cannot be read: {error}") from None


def _updated(base, old):
    kept = {}
    if old is not None:
        kept = {model.name: dict(model.version_labels) for model in old.model_config_list.config}
    config = messages.ModelServerConfig()
    for directory in models(base):
        there = versions(directory)
        labels = kept.get(directory.name, {})
        labels = {label: version for label, version in labels.items() if version in there}
        if "stable" not in labels:
            labels["stable"] = there[-1]
        if there[-1] > max(labels.values()):
            labels["canary"] = there[-1]
        model = config.model_config_list.config.add()
        model.name, model.base_path = directory.name, str(MOUNT / directory.name)
        model.model_platform = "tensorflow"
        model.model_version_policy.specific.versions.extend(sorted(set(labels.values())))
        model.version_labels.update(labels)
    return config


def _compose_text():
    flags = "\n".join(f"      - {flag}" for flag in server_flags(MOUNT))
    return f"""\
# docker compose up: serves this directory; REST on port {REST_PORT}, gRPC on port {GRPC_PORT}.
services:
  models:
    image: {IMAGE}
    command:
{flags}
    ports:
      - "{REST_PORT}:{REST_PORT}"
      - "{GRPC_PORT}:{GRPC_PORT}"
    volumes:
      - .:{MOUNT}:ro
    restart: unless-stopped
"""
