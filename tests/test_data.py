import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from zoo import data
from zoo.data import prepared, sprites


def test_digits_are_embedded_and_split_without_overlap():
    train, test = data.load("digits", "train"), data.load("digits", "test")
    assert train["image"].shape == (1500, 8, 8, 1) and test["image"].shape == (297, 8, 8, 1)
    assert train["image"].dtype == np.uint8 and train["image"].max() == 255
    assert train["label"].dtype == np.int32 and set(test["label"]) == set(range(10))
    from sklearn.datasets import load_digits

    both = np.concatenate([train["image"], test["image"]])[..., 0]
    np.testing.assert_array_equal(np.round(both / 255 * 16), load_digits().images)


@pytest.mark.parametrize(
    ("split", "rows"),
    [
        ("train", slice(None)),
        ("train[:100]", slice(100)),
        ("train[1200:]", slice(1200, None)),
        ("train[10%:20%]", slice(150, 300)),
        ("train[-5:]", slice(-5, None)),
    ],
)
def test_slices_are_those_of_tfds(split, rows):
    np.testing.assert_array_equal(
        data.load("digits", split)["image"], data.load("digits", "train")["image"][rows]
    )


def test_static_binarization_is_drawn_once_and_knows_its_split():
    train = data.load("digits", "train", binarization="static")["image"]
    assert set(np.unique(train)) == {0, 255}
    np.testing.assert_array_equal(
        train, data.load("digits", "train", binarization="static")["image"]
    )
    np.testing.assert_array_equal(
        train[200:300], data.load("digits", "train[200:300]", binarization="static")["image"]
    )
    assert np.any(train != data.load("digits", "train", binarization="static", seed=1)["image"])
    grey = data.load("digits", "train")["image"]
    # 96,000 independent pixels: the standard error of the mean is below 0.5 / sqrt(96,000).
    assert abs(train.mean() / 255 - grey.mean() / 255) < 4 * 0.5 / np.sqrt(grey.size)
    assert np.all(train[grey == 0] == 0) and np.all(train[grey == 255] == 255)


def test_batches_are_a_tf_data_set_of_dicts():
    batches = data.batches("digits", "test", batch_size=100)
    assert [len(batch["image"]) for batch in batches] == [100, 100, 97]
    shuffled = [
        data.batches("digits", "test", batch_size=297, shuffle=True, seed=seed)
        for seed in (0, 0, 1)
    ]
    labels = [next(iter(batch))["label"].numpy() for batch in shuffled]
    np.testing.assert_array_equal(labels[0], labels[1])
    assert np.any(labels[0] != labels[2]) and np.all(np.sort(labels[0]) == np.sort(labels[2]))


def test_arrays_npz_files_and_folders(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 5, 4), np.uint8)
    labels = np.array([0, 1, 1, 0, 1, 0])
    np.testing.assert_array_equal(data.load(images, "all[:2]")["image"], images[:2])
    np.testing.assert_array_equal(
        data.load({"image": images, "label": labels}, "all")["label"], labels
    )

    np.savez(tmp_path / "own.npz", train=images, train_label=labels, test=images[:2])
    np.savez(
        tmp_path / "keras.npz", x_train=images, y_train=labels, x_test=images[:2], y_test=labels[:2]
    )
    for name in ("own.npz", "keras.npz"):
        loaded = data.load(tmp_path / name, "train")
        np.testing.assert_array_equal(loaded["image"], images[..., None])
        np.testing.assert_array_equal(loaded["label"], labels)
        assert len(data.load(str(tmp_path / name), "test")["image"]) == 2

    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        directory = tmp_path / "folder" / "train" / "ab"[label]
        directory.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(directory / f"{number}.png")
    loaded = data.load(tmp_path / "folder", "train")
    order = np.argsort(labels, kind="stable")
    np.testing.assert_array_equal(loaded["image"][..., 0], images[order])
    np.testing.assert_array_equal(loaded["label"], labels[order])


@pytest.mark.parametrize(
    ("name", "shape"), [("fashion_mnist", (28, 28, 1)), ("cifar10", (32, 32, 3))]
)
def test_tfds_image_data_sets_load_by_name(name, shape, tmp_path, monkeypatch):
    monkeypatch.setattr(tfds.core.DatasetBuilder, "is_prepared", lambda self: True)
    # Made-up data have no list of splits.
    monkeypatch.setattr(prepared, "known_split", lambda name, split, splits: split)
    monkeypatch.setattr(prepared, "_num_bytes", lambda builder, split: 0)
    with tfds.testing.mock_data(num_examples=7):
        loaded = data.load(name, "train", data_dir=str(tmp_path))
    assert set(loaded) == {"image", "label"}
    assert loaded["image"].shape == (7, *shape)
    assert loaded["image"].dtype == np.uint8
    assert loaded["label"].dtype == np.int32


def test_mnist_is_the_real_one(mnist_dir):
    train, validation, test = (
        data.load("mnist", split, data_dir=mnist_dir)
        for split in ("train[:50000]", "train[50000:]", "test")
    )
    assert [len(part["image"]) for part in (train, validation, test)] == [50_000, 10_000, 10_000]
    assert np.bincount(test["label"]).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    assert test["image"].dtype == np.uint8 and not train["image"].flags.writeable


def test_absent_data_fail_within_seconds_and_name_the_cure(tmp_path, monkeypatch):
    monkeypatch.setattr(prepared, "_is_reachable", lambda host: False)
    with pytest.raises(ValueError) as error:
        data.load("mnist", "train", data_dir=str(tmp_path))
    for part in (
        str(tmp_path),
        "--data-dir",
        "ZOO_DATA_DIR",
        "vae_digits",
        "t10k-images-idx3-ubyte.gz",
        str(tmp_path / "downloads" / "manual" / "mnist"),
    ):
        assert part in str(error.value)


def test_data_dir_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setattr(prepared, "_is_reachable", lambda host: False)
    monkeypatch.setenv("ZOO_DATA_DIR", str(tmp_path / "here"))
    with pytest.raises(ValueError, match=f"is not in {tmp_path / 'here'}"):
        data.load("mnist", "train")


def test_raw_files_put_there_by_hand_are_prepared_without_a_network(tmp_path, monkeypatch):
    """The files are found and TFDS is asked to prepare from them; their checksums are TFDS's own
    business."""
    monkeypatch.setattr(
        prepared, "_is_reachable", lambda host: pytest.fail("the network was asked")
    )
    builder = tfds.builder("mnist", data_dir=str(tmp_path))
    manual = tmp_path / "downloads" / "manual" / "mnist"
    manual.mkdir(parents=True)
    for info in builder.url_infos.values():
        (manual / info.filename).write_bytes(b"")
    asked = {}
    monkeypatch.setattr(
        builder,
        "download_and_prepare",
        lambda download_config: asked.update(manual_dir=download_config.manual_dir),
    )
    prepared._prepare(builder, "mnist")
    assert str(asked["manual_dir"]) == str(manual)


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("digits", "validation", "'digits' has no split 'validation'. Its splits are test, train"),
        (
            "digits",
            "train[9000:]",
            r"Split 'train\[9000:\]' of 'digits' is empty: it has 1500 examples",
        ),
        ("digits", "train[", r"A split is a name with an optional slice.*Received: 'train\['"),
        ("no_such_data", "train", "No data set is named 'no_such_data'"),
        ("no/such/folder", "train", "There is no folder or file 'no/such/folder'"),
        ("no_such.npz", "train", "There is no file 'no_such.npz'"),
        ({"picture": [1]}, "all", r"must hold 'image'. Received: keys \['picture'\]"),
        (np.zeros((2, 2)), "train", "'arrays' has no split 'train'. Its splits are all"),
    ],
)
def test_wrong_names_and_splits_are_told(name, split, message):
    with pytest.raises(ValueError, match=message):
        data.load(name, split)


def test_damaged_files_are_told(tmp_path):
    (tmp_path / "broken.npz").write_bytes(b"not a zip")
    with pytest.raises(ValueError, match=r"broken.npz' is not an .npz file of plain arrays"):
        data.load(tmp_path / "broken.npz", "train")
    (tmp_path / "folder" / "train").mkdir(parents=True)
    with pytest.raises(ValueError, match="There are no images"):
        data.load(tmp_path / "folder", "train")
    for size in (3, 4):
        Image.fromarray(np.zeros((size, size), np.uint8)).save(
            tmp_path / "folder" / "train" / f"{size}.png"
        )
    with pytest.raises(
        ValueError, match=r"one size. Received: \(3, 3\) \(.*3.png\) and \(4, 4\) \(.*4.png\)"
    ):
        data.load(tmp_path / "folder", "train")
    with pytest.raises(ValueError, match="Received: binarization='random'"):
        data.load("digits", "train", binarization="random")


def test_hiding_labels_keeps_some_of_each_class():
    examples = {"image": np.arange(60)[:, None], "label": np.arange(60) % 3}
    few = data.hide_labels(examples, per_class=2, seed=1, repeat=4)
    labelled = few["label"] >= 0
    assert labelled.sum() == 2 * 3 * 4 and len(few["label"]) == 60 - 6 + 24
    np.testing.assert_array_equal(few["image"][labelled, 0] % 3, few["label"][labelled])
    np.testing.assert_array_equal(
        np.unique(few["image"][labelled, 0], return_counts=True)[1], np.full(6, 4)
    )
    assert set(few["image"][~labelled, 0]) == set(range(60)) - set(few["image"][labelled, 0])
    np.testing.assert_array_equal(data.hide_labels(examples, 2, 1, 4)["image"], few["image"])
    assert np.any(data.hide_labels(examples, 2, 2, 4)["image"] != few["image"])


def test_hiding_labels_refuses_what_cannot_be():
    examples = {"image": np.zeros((6, 1)), "label": np.array([0, 0, 0, 0, 0, 1])}
    with pytest.raises(
        ValueError, match="Class 1 has 1 images, fewer than `per_class`. Received: per_class=2"
    ):
        data.hide_labels(examples, 2)
    with pytest.raises(ValueError, match="`repeat` must be a positive integer. Received: repeat=0"):
        data.hide_labels(examples, 1, repeat=0)
    with pytest.raises(
        ValueError, match="`seed` must be a non-negative integer. Received: seed=-1"
    ):
        data.hide_labels(examples, 1, seed=-1)
    with pytest.raises(
        ValueError, match=r"There are no labels to keep. Received: keys \['image'\]"
    ):
        data.hide_labels({"image": examples["image"]}, 1)


# -- Sprites


def drawn_by_numpy(shape, scale, orientation, x, y):
    """One sprite in float64, from the words of `zoo.data.sprites`: the shape's outline, turned,
    scaled and moved."""
    size, angle = 0.5 + 0.1 * scale, 2 * np.pi * orientation / 39
    centre = 15 + 34 * np.array([x, y]) / 31
    image = np.zeros((64, 64), np.uint8)
    for row in range(64):
        for column in range(64):
            right, down = (np.array([column, row]) + 0.5 - centre) / size
            u, v = (
                np.cos(angle) * right + np.sin(angle) * down,
                np.cos(angle) * down - np.sin(angle) * right,
            )
            if shape == 0:
                image[row, column] = abs(u) < 10 and abs(v) < 10
            elif shape == 1:
                image[row, column] = (u / 14) ** 2 + (v / 7) ** 2 < 1
            else:
                image[row, column] = ((u / 10) ** 2 + (v / 10) ** 2 - 1) ** 3 < (u / 10) ** 2 * (
                    -v / 10
                ) ** 3
    return image


def test_sprites_are_those_of_a_plain_reference():
    generator = np.random.default_rng(0)
    factors = sprites.factors_of(generator.integers(sprites.NUM_IMAGES, size=60))
    expected = np.stack([drawn_by_numpy(*row) for row in factors])[..., None]
    assert {0, 1, 2} == set(factors[:, 0])
    for jit_compile in (None, False, True):
        render = (
            sprites.render
            if jit_compile is None
            else tf.function(sprites.render, jit_compile=jit_compile)
        )
        received = render(tf.constant(factors)).numpy()
        assert received.dtype == np.float32 and set(np.unique(received)) == {0.0, 1.0}
        # Of 245,760 pixels: an outline that meets a pixel's centre.
        assert np.sum(received != expected) <= 5
    np.testing.assert_array_equal(
        np.asarray(sprites.Sprites(factors)), 255 * sprites.render(factors).numpy().astype(np.uint8)
    )


def test_every_factor_moves_the_image_and_no_sprite_reaches_the_edge():
    base = np.array([2, 3, 7, 10, 20])
    for position, size in enumerate(sprites.FACTORS.values()):
        rows = np.stack([np.where(np.arange(5) == position, value, base) for value in range(size)])
        images = sprites.render(rows).numpy().reshape(size, -1)
        different = size - (position == 2)  # a full turn is the first orientation again
        assert len(np.unique(images, axis=0)) == different
    corners = np.array(
        [(s, 5, o, x, y) for s in range(3) for o in range(40) for x in (0, 31) for y in (0, 31)]
    )
    images = sprites.render(corners).numpy()
    assert not images[:, [0, -1]].any() and not images[:, :, [0, -1]].any()


def test_splits_hold_every_sprite_once():
    train, test = (data.load("sprites", part) for part in ("train", "test"))
    assert len(train["image"]) == 727_280 and len(test["image"]) == 10_000
    index = np.ravel_multi_index(
        np.concatenate([train["factors"], test["factors"]]).T, tuple(sprites.FACTORS.values())
    )
    assert len(np.unique(index)) == sprites.NUM_IMAGES == 737_280
    part = data.load("sprites", "train[10:13]")
    assert part["image"].shape == (3, 64, 64, 1)
    assert part["image"].dtype == np.uint8
    assert len(part["image"][1]) == 1
    np.testing.assert_array_equal(part["factors"], train["factors"][10:13])
    np.testing.assert_array_equal(np.asarray(part["image"]), np.asarray(train["image"][10:13]))
    batch = next(iter(data.batches("sprites", "train[10:13]", batch_size=3)))
    np.testing.assert_array_equal(batch["image"], part["image"])
    with pytest.raises(
        ValueError, match="'sprites' has no split 'validation'. Its splits are test, train"
    ):
        data.load("sprites", "validation")


@pytest.mark.slow
def test_models_draw_sprites_inside_their_step():
    import keras

    import zoo

    examples = data.load("sprites", "train[:64]")
    posterior, likelihood = zoo.layers.DiagonalNormal(2), zoo.layers.Bernoulli((64, 64, 1))
    drawn, stored = {}, {}
    for history, images in ((drawn, examples), (stored, {"image": np.asarray(examples["image"])})):
        keras.utils.set_random_seed(0)
        encoder, decoder = (
            zoo.networks.MLP((8,), posterior.num_params),
            zoo.networks.MLP((8,), likelihood.num_params),
        )
        model = zoo.VAE(encoder, decoder, posterior, likelihood, pixels="as_given")
        model.compile()
        history |= model.fit(
            images, batch_size=32, epochs=2, validation_data=images, verbose=0
        ).history
        history |= {
            f"test {k}": v["value"]
            for k, v in zoo.evaluate(model, images, num_samples=3, verbose=0).items()
        }
    # What stays on the device is 20 bytes an image.
    assert model.standardize(examples).keys() == {"sprites"}
    for name, value in stored.items():
        np.testing.assert_allclose(drawn[name], value, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("name", "channels", "num_factors"), [("dsprites", 1, 5), ("shapes3d", 3, 6)]
)
def test_tfds_data_with_factors_load_by_name(name, channels, num_factors, tmp_path, monkeypatch):
    monkeypatch.setattr(tfds.core.DatasetBuilder, "is_prepared", lambda self: True)
    monkeypatch.setattr(prepared, "known_split", lambda name, split, splits: split)
    monkeypatch.setattr(prepared, "_num_bytes", lambda builder, split: 0)
    with tfds.testing.mock_data(num_examples=7):
        loaded = data.load(name, "train", data_dir=str(tmp_path))
    assert loaded.keys() == {"image", "factors"}
    assert loaded["image"].shape == (7, 64, 64, channels)
    assert loaded["factors"].shape == (
        7,
        num_factors,
    )
    assert loaded["factors"].dtype == np.int32
