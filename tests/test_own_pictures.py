"""From a folder of pictures that nobody prepared to a model, and from that to another one."""

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo import cli
from zoo.store import cards

SMALL = ("image_size=8", "filters=4", "latent_dim=2", "epochs=1", "batch_size=8")


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    path = tmp_path / "pictures"
    path.mkdir()
    for number in range(30):
        height, width = generator.integers(9, 20, 2)
        pixels = generator.integers(0, 256, (height, width, 3), np.uint8)
        pixels = pixels[..., 0] if number % 5 == 0 else pixels
        Image.fromarray(pixels).save(path / f"{number}.{'jpg' if number % 2 else 'png'}")
    (path / "cut.png").write_bytes((path / "2.png").read_bytes()[:90])
    return path


@pytest.mark.slow
def test_a_folder_of_pictures_trains_scores_and_is_fitted_again(folder, tmp_path, capsys):
    run, again = tmp_path / "run", tmp_path / "again"
    train = ["train", "vae_images", "--data", str(folder), *SMALL, "--out", str(run)]
    assert cli.main([*train, "--dry-run"]) == 0
    assert "(grey, scaled to 8x8, in colours, mirrored as well)" in capsys.readouterr().out
    assert cli.main(train) == 0
    assert cli.main(["evaluate", str(run), "--num-samples", "2"]) == 0
    assert "bits_per_dim" in capsys.readouterr().out
    samples = tmp_path / "samples.png"
    assert cli.main(["sample", str(run), "--out", str(samples)]) == 0
    with Image.open(samples) as image:
        assert np.ptp(np.asarray(image)[..., :3], axis=-1).max() > 0  # in colours
    before = zoo.load(run).get_weights()
    fit = ["fit", str(run), "--data", str(folder), "epochs=1", "--out", str(again)]
    assert cli.main(fit) == 0
    after = zoo.load(again)
    assert after.likelihood_layer.event_shape == (8, 8, 3)
    # It begins where the other ended: a step of Adam moves a weight by its rate.
    moved = max(np.abs(a - b).max() for a, b in zip(after.get_weights(), before, strict=True))
    assert 0 < moved < 0.01
    # It is stored as any other run is.
    root = tmp_path / "stored"
    push = ["push", str(again), "--num-samples", "2", "--root", str(root), "--allow-dirty"]
    assert cli.main(push) == 0
    card = cards.read_card(root / "fine_tuned")
    assert card["arguments"]["model"] == str(run)
    stored = zoo.load(root / "fine_tuned")
    for a, b in zip(stored.get_weights(), after.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=0.1 * np.abs(b).max() + 1e-6)
    picture = np.zeros((1, 8, 8, 3), np.uint8)
    assert stored.reconstruct(picture).shape == picture.shape


def test_what_no_model_can_take_is_told(folder, tmp_path, capsys):
    def told(*arguments):
        assert cli.main([*arguments, "--out", str(tmp_path / "run")]) == 2
        return capsys.readouterr().err

    text = told("train", "vae_images", "--data", str(folder), *SMALL, "crop=12")
    assert "A picture must be at least as large as the crop, 12 pixels. Received: " in text
    (tmp_path / "empty").mkdir()
    text = told("train", "vae_images", "--data", str(tmp_path / "empty"), *SMALL)
    assert "There are no images (.apng, " in text and "Received: 0 other files." in text
    text = told("fit", "vae_digits", "--data", str(tmp_path / "nowhere"))
    assert "There is no folder or file" in text
