"""The Frey faces: found, read without running what lies in a pickle, checked by their pixels."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pooch
import pytest

from zoo import data
from zoo.data import frey

FRAMES = np.random.default_rng(0).integers(0, 256, frey.SHAPE, np.uint8)


@pytest.fixture(autouse=True)
def _known(monkeypatch):
    monkeypatch.setattr(frey, "SHA256", hashlib.sha256(FRAMES.tobytes()).hexdigest())
    frey.read_frames.cache_clear()
    yield
    frey.read_frames.cache_clear()


@pytest.mark.parametrize("kind", ["npz", "levels", "fractions"])
def test_frames_are_read_from_either_file(kind, tmp_path):
    if kind == "npz":
        np.savez(tmp_path / "frey_faces.npz", all=FRAMES)
    else:
        flat = FRAMES.reshape(1965, 560)
        flat = flat / 255.0 if kind == "fractions" else flat.astype(np.float64)
        (tmp_path / "freyfaces.pkl").write_bytes(pickle.dumps(flat, protocol=2))
    whole = data.load("frey_faces", "all", data_dir=tmp_path)["image"]
    np.testing.assert_array_equal(whole, FRAMES)
    parts = [
        data.load("frey_faces", split, data_dir=tmp_path)["image"]
        for split in ("train", "validation", "test")
    ]
    assert sum(map(len, parts)) == 1965
    assert all(0.05 < len(part) / 1965 < 0.15 for part in parts[1:])


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "freyfaces.pkl"

    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "touched",)

    for content, message in (
        (pickle.dumps(Evil()), "it names "),
        (pickle.dumps(FRAMES[:5]), "cannot reshape"),
        (b"text", "does not hold the Frey faces: "),
        (pickle.dumps(FRAMES // 2, protocol=2), "holds other pixels than the Frey faces"),
    ):
        path.write_bytes(content)
        frey.read_frames.cache_clear()
        with pytest.raises(ValueError, match=message):
            data.load("frey_faces", "train", data_dir=tmp_path)
    assert not (tmp_path / "touched").exists()


def test_what_cannot_be_downloaded_is_told(tmp_path, monkeypatch):
    def retrieve(url, *arguments, **options):
        raise OSError(f"no network for {url}")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(ValueError, match="cannot be downloaded .*Put freyfaces.pkl there by hand"):
        data.load("frey_faces", "train", data_dir=tmp_path)
