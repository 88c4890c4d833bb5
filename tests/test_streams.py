"""Images that are read when they are looked at: folders, records and files as people have them, and
training on what does not fit into memory."""

import dataclasses
import gzip
import logging
import struct

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import zoo
from zoo import data, machine, plots, shards
from zoo.data import encoded, pictures
from zoo.data.form import Form
from zoo.data.parts import split_of_part
from zoo.engine.streams import RowReader
from zoo.evaluation.latents import LatentReader
from zoo.observations.on_disk import OnDisk
from zoo.runs.points import active_units

GENERATOR = np.random.default_rng(0)


def photograph(height=12, width=9, channels=3):
    return GENERATOR.integers(0, 256, (height, width, channels), np.uint8)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


@pytest.fixture
def photographs(tmp_path):
    """A folder of six pictures as people have them, and a seventh that is damaged."""
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "colour.png", photograph())
    save(tmp_path / "grey.jpg", photograph(20, 30)[..., 0])
    save(tmp_path / "clear.webp", photograph(8, 8, 4), lossless=True)
    save(tmp_path / "old.bmp", photograph(10, 10))
    save(tmp_path / "turned.png", photograph(6, 18), exif=exif)
    save(tmp_path / "palette.gif", Image.fromarray(photograph(9, 9)).convert("P"))
    save(tmp_path / "cut.png", photograph(40, 40))
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:2000])
    return tmp_path


def of_photographs(name, **options):
    return zoo.Dataset(
        name=name, train="all", validation="all", test="all", binarization="grey", **options
    )


# -- Folders


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_folder_of_photographs_becomes_images_of_one_shape(photographs, in_memory, caplog):
    dataset = of_photographs(
        photographs, image_size=(6, 4), channels=3, skip_corrupt=True, in_memory=in_memory
    )
    with caplog.at_level(logging.INFO, "zoo"):
        images = data.load(dataset, "all")["image"]
    assert images.shape == (6, 6, 4, 3)
    assert isinstance(images, np.ndarray if in_memory else OnDisk)
    assert ("read when they are looked at: 6 of them" in caplog.text) is not in_memory
    assert "Left out, as they cannot be read: 1 of 7 pictures. The picture '" in caplog.text
    names = ["clear.webp", "colour.png", "grey.jpg", "old.bmp", "palette.gif", "turned.png"]
    images = dict(zip(names, np.asarray(images), strict=True))
    # Grey stays grey in three channels.
    assert np.ptp(images["grey.jpg"], axis=-1).max() == 0
    # What is turned by its EXIF data is 18 pixels high and 6 wide: scaled to a width of 4, and cut
    # to the middle.
    upright = Image.open(photographs / "turned.png").rotate(-90, expand=True)
    wide = np.asarray(upright.crop((0, 4.5, 6, 13.5)).resize((4, 6), Image.Resampling.BICUBIC))
    assert np.abs(images["turned.png"].astype(int) - wide).mean() < 20
    # What is transparent lies over white.
    clear = np.asarray(Image.open(photographs / "clear.webp")).astype(float)
    over_white = clear[..., :3] * clear[..., 3:] / 255 + 255 - clear[..., 3:]
    assert abs(images["clear.webp"].mean() - over_white.mean()) < 8


def test_a_picture_is_cut_before_it_is_scaled():
    pixels = photograph(20, 30)
    middle = pixels[5:15, 10:20]
    np.testing.assert_array_equal(Form(crop=10)(pixels, "a"), middle)
    scaled = Image.fromarray(middle).resize((5, 5), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(Form(crop=10, image_size=(5, 5))(pixels, "a"), scaled)
    assert Form(crop=10, image_size=(5, 5)).shape_of((20, 30, 3)) == (5, 5, 3)
    grey = Form(channels=1)(pixels, "a")
    np.testing.assert_array_equal(grey[..., 0], Image.fromarray(pixels).convert("L"))
    np.testing.assert_array_equal(Form(channels=3)(grey, "a"), np.repeat(grey, 3, axis=-1))


def test_wrong_pictures_are_told_by_name(photographs, tmp_path):
    def read(**options):
        return np.asarray(data.load(of_photographs(photographs, **options), "all")["image"])

    with pytest.raises(ValueError, match=r"The picture '.*cut.png' cannot be read: .*Restore"):
        read(image_size=8, channels=3)
    with pytest.raises(ValueError, match=r"as the crop, 9 pixels. Received: .*clear.webp of 8 x 8"):
        read(crop=9, channels=3, skip_corrupt=True)
    with pytest.raises(ValueError, match="say how many `channels` there are"):
        read(image_size=8)
    for path in photographs.iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"No picture can be read. The picture '.*clear.webp'"):
        read(image_size=8, channels=3, skip_corrupt=True)


def test_images_are_scaled_before_they_are_binarized():
    digits = zoo.Dataset(name="digits", train="train", validation="test", binarization="static")
    images = data.load(dataclasses.replace(digits, image_size=6), "train[:50]")["image"]
    assert images.shape == (50, 6, 6, 1)
    assert set(np.unique(images)) == {0, 255}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "`image_size` must be a positive integer. Received: image_size=0"),
        ({"image_size": (8, 8, 3)}, r"or \(height, width\). Received: image_size=\(8, 8, 3\)"),
        ({"crop": 1.5}, "`crop` must be a positive integer. Received: crop=1.5"),
        ({"channels": 4}, r"must be 1 \(grey\), 3 \(colours\) or None. Received: channels=4"),
        ({"flip": 1}, "`flip` must be True or False. Received: flip=1"),
        ({"in_memory": "no"}, "`in_memory` must be True or False. Received: in_memory='no'"),
    ],
)
def test_what_becomes_of_pictures_is_checked(options, message):
    with pytest.raises(ValueError, match=message):
        of_photographs("digits", **options)


def test_records_of_a_dataset_hold_what_is_not_the_default():
    dataset = zoo.Dataset(
        name="a", train="b", validation="c", image_size=(8, 9), channels=3, flip=True
    )
    record = {**dataset.record(), "image_size": [8, 9], "sha256": {}}  # as JSON gives it back
    assert sorted(dataset.record()) == sorted(
        ("name", "train", "validation", "test", "binarization", "image_size", "channels", "flip")
    )
    assert zoo.Dataset.of_record(record) == dataset
    assert dataset.pictures == "scaled to 8x9, in colours, mirrored as well"


# -- Parts


def test_folders_without_splits_are_divided_by_the_names_of_files(tmp_path):
    for name in ("cats", "dogs"):
        for number in range(60):
            save(tmp_path / name / f"{number}.png", np.full((2, 2), number + 1, np.uint8))
    parts = {part: data.load(tmp_path, part) for part in ("train", "validation", "test", "all")}
    sizes = [len(parts[part]["image"]) for part in parts]
    assert sum(sizes[:3]) == sizes[3] == 120
    assert 84 <= sizes[0] <= 108
    assert set(parts["all"]["label"]) == {0, 1}
    # A picture more leaves the others where they are.
    before = parts["test"]["image"][:, 0, 0, 0].tolist()
    save(tmp_path / "cats" / "more.png", np.full((2, 2), 200, np.uint8))
    after = data.load(tmp_path, "test")["image"][:, 0, 0, 0].tolist()
    assert [level for level in after if level != 200] == before


def test_parts_of_data_with_some_splits():
    assert split_of_part("train", ("train", "val", "test")) == ("train", (0.0, 1.0))
    assert split_of_part("validation", ("train", "val")) == ("val", (0.0, 1.0))
    assert split_of_part("train", ("train", "test")) == ("train", (0.1, 1.0))
    assert split_of_part("validation", ("train", "test")) == ("train", (0.0, 0.1))
    assert split_of_part("test", ("all",)) == ("all", (0.1, 0.2))
    with pytest.raises(ValueError, match="need a split 'train' or 'all' .* Received: left, right"):
        split_of_part("train", ("left", "right"))
    parts = [data.load("digits", f"{part} part") for part in ("train", "validation", "test")]
    assert [len(part["image"]) for part in parts[:2]] != [1500, 1500]
    assert sum(len(part["image"]) for part in parts[:2]) == 1500
    np.testing.assert_array_equal(parts[2]["image"], data.load("digits", "test")["image"])
    assert len(data.load("digits", "train part[:10]")["image"]) == 10


# -- Files


def idx(array):
    array = np.asarray(array, np.uint8)
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def test_idx_files_are_read(tmp_path):
    images, labels = photograph(5, 7, 4), [0, 2, 1, 2, 0]
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    (tmp_path / "t10k-images.idx3-ubyte").write_bytes(idx(images[:2]))
    loaded = data.load(tmp_path, "train")
    np.testing.assert_array_equal(loaded["image"], images[..., None])
    assert loaded["label"].tolist() == labels
    assert data.load(tmp_path, "test").keys() == {"image"}
    with pytest.raises(ValueError, match="no split 'valid'. Its splits are test, train"):
        data.load(tmp_path, "valid")
    (tmp_path / "t10k-images.idx3-ubyte").write_bytes(idx(images)[:-1])
    with pytest.raises(ValueError, match=r"as many as its sizes say. .*\(5, 7, 4\) and 139 bytes"):
        data.load(tmp_path, "test")
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"text")
    with pytest.raises(ValueError, match=r"is not an IDX file: .*\(BadGzipFile\)"):
        data.load(tmp_path, "train")


def test_arrays_in_files_stay_there(tmp_path):
    images = photograph(6, 8, 8)
    np.save(tmp_path / "images.npy", images)
    loaded = data.load(tmp_path / "images.npy", "all")["image"]
    np.testing.assert_array_equal(loaded, images)
    assert not loaded.flags.owndata  # but a map of the file
    (tmp_path / "images.npy").write_bytes(b"no array")
    with pytest.raises(ValueError, match=r"images.npy' is not an .npy file of numbers"):
        data.load(tmp_path / "images.npy", "all")


# -- Records


def write_records(path, images, labels=None, name="image", encode=tf.io.encode_png):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number, image in enumerate(images):
            content = tf.train.BytesList(value=[encode(image).numpy()])
            features = {name: tf.train.Feature(bytes_list=content)}
            if labels is not None:
                label = tf.train.Int64List(value=[labels[number]])
                features["label"] = tf.train.Feature(int64_list=label)
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())


def test_records_are_read_in_the_order_of_their_files(tmp_path):
    images, labels = GENERATOR.integers(0, 256, (7, 5, 4, 3), np.uint8), [3, 1, 0, 2, 2, 1, 0]
    for shard, rows in enumerate((slice(0, 3), slice(3, 7))):
        path = tmp_path / f"train.tfrecord-0000{shard}-of-00002"
        write_records(path, images[rows], labels[rows])
    write_records(tmp_path / "test.tfrecords", images[:2], name="image/encoded")
    loaded = data.load(of_photographs(tmp_path, in_memory=False), "train")
    assert isinstance(loaded["image"], OnDisk)
    np.testing.assert_array_equal(loaded["image"], images)
    assert loaded["label"].tolist() == labels
    np.testing.assert_array_equal(loaded["image"][[5, 1]], images[[5, 1]])
    test = data.load(tmp_path, "test")
    assert test.keys() == {"image"}
    np.testing.assert_array_equal(test["image"], images[:2])


def test_damaged_records_are_told(tmp_path):
    path = tmp_path / "train.tfrecord"
    write_records(path, GENERATOR.integers(0, 256, (3, 5, 4, 3), np.uint8))
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(ValueError, match=r"train.tfrecord' is damaged: truncated record"):
        data.load(tmp_path, "train")
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255
    path.write_bytes(bytes(damaged))
    with pytest.raises(ValueError, match=r"train.tfrecord' is damaged: corrupted record"):
        data.load(tmp_path, "train")
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="There are no records. Received: 1 files"):
        data.load(tmp_path, "train")
    write_records(path, [np.zeros((2, 2, 1), np.uint8)], name="pixels")
    with pytest.raises(ValueError, match=r"'image/encoded'. Received: \['pixels'\] in record 0 of"):
        data.load(tmp_path, "train")
    write_records(path, [b"text"], encode=lambda text: tf.constant(text))
    with pytest.raises(ValueError, match=r"'record 0 of .*' cannot be read: .*'record 0 of .*'"):
        data.load(tmp_path, "train")


# -- Training


def model_of(image_shape, seed=0):
    keras.utils.set_random_seed(seed)
    posterior = zoo.layers.DiagonalNormal(3)
    likelihood = zoo.layers.DiscretizedLogistic(image_shape)
    model = zoo.VAE(
        encoder=zoo.networks.MLP((8,), posterior.num_params),
        decoder=zoo.networks.MLP((8,), likelihood.num_params),
        posterior=posterior,
        likelihood=likelihood,
        seed=seed,
    )
    model.compile("adam", jit_compile=False, steps_per_execution=2)
    return model


def weights_after(examples, epochs=2, **options):
    model = model_of(examples["image"].shape[1:])
    model.start_at_data(examples["image"])
    history = model.fit(
        examples, batch_size=4, epochs=epochs, validation_data=examples, verbose=0, **options
    )
    return history.history, model.get_weights()


def test_what_is_read_from_disk_trains_to_the_bit_as_in_memory(tmp_path):
    for number in range(14):
        save(tmp_path / f"{number}.png", photograph(6 + number % 3, 7))
    stored = {
        in_memory: data.load(
            of_photographs(tmp_path, image_size=4, channels=3, in_memory=in_memory), "all"
        )
        for in_memory in (True, False)
    }
    histories, weights = zip(
        *(weights_after(examples) for examples in stored.values()), strict=True
    )
    assert histories[0] == histories[1]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_cached_is_decoded_once(tmp_path, monkeypatch):
    for number in range(9):
        save(tmp_path / f"{number}.png", photograph(6, 7))
    examples = {
        cache: data.load(of_photographs(tmp_path, in_memory=False, cache=cache), "all[1:]")
        for cache in (True, False)
    }
    decoded = []

    def read_picture(path, name, **options):
        decoded.append(path.name)
        return pictures.read_picture(path, name, **options)

    monkeypatch.setattr(encoded, "read_picture", read_picture)
    trained = {}
    for cache in (True, False):
        decoded.clear()
        trained[cache] = weights_after(data.with_mirror_images(examples[cache]))
        if cache:
            assert sorted(decoded) == [f"{number}.png" for number in range(1, 9)]
    assert trained[True][0] == trained[False][0]
    np.testing.assert_array_equal(examples[True]["image"][[3, 0]], examples[False]["image"][[3, 0]])


def test_a_picture_that_breaks_while_training_is_told_by_name(tmp_path):
    for number in range(8):
        save(tmp_path / f"{number}.png", photograph(4, 4))
    examples = data.load(of_photographs(tmp_path, in_memory=False), "all")
    (tmp_path / "5.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"^The picture '.*5.png' cannot be read: .*Restore"):
        model_of((4, 4, 3)).fit(examples, batch_size=4, verbose=0)


def test_a_stream_goes_on_within_an_epoch(tmp_path):
    np.save(tmp_path / "images.npy", photograph(14, 4, 4))
    examples = data.load(of_photographs(tmp_path / "images.npy", in_memory=False), "all")
    examples["image"] = OnDisk(
        lambda rows: np.load(tmp_path / "images.npy")[rows][..., None], (4, 4, 1), np.arange(14)
    )
    whole = model_of((4, 4, 1))
    whole.fit(examples, batch_size=4, epochs=2, verbose=0)
    model = model_of((4, 4, 1))
    model.fit(examples, batch_size=4, epochs=1, verbose=0)
    with pytest.raises(Killed):
        model.fit(
            examples, batch_size=4, initial_epoch=1, epochs=2, verbose=0, callbacks=[StopAfter(2)]
        )
    model.fit(examples, batch_size=4, initial_epoch=1, initial_step=2, epochs=2, verbose=0)
    for a, b in zip(whole.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_on_disk_is_measured_and_shown_as_from_memory(tmp_path):
    images = GENERATOR.integers(0, 256, (130, 4, 4, 3), np.uint8)
    on_disk = OnDisk(images.__getitem__, images.shape[1:], np.arange(130))
    model = model_of((4, 4, 3))
    numbers, codes = [], []
    for kind in (images, on_disk):
        examples = {"image": kind}
        numbers.append(zoo.evaluate(model, examples, num_samples=4, verbose=0))
        codes.append(LatentReader(model, examples, num_examples=50)())
        codes[-1]["all active"] = active_units(model, examples)
    assert numbers[0] == numbers[1]
    np.testing.assert_equal(codes[0], codes[1])
    plots.pictures(model, {"image": on_disk}, tmp_path)
    assert (tmp_path / "reconstructions.png").is_file()
    assert data.sha256(on_disk) == data.sha256(images)


class Killed(Exception):
    """What a run meets when it is stopped."""


class StopAfter(keras.callbacks.Callback):
    """Stops within an epoch, as a killed run does."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 >= self.steps:
            raise Killed


@pytest.mark.parametrize(("length", "width"), [(8, None), (7, None), (5, 8), (1, 8)])
def test_a_worker_reads_the_rows_of_its_replicas_alone(length, width):
    images = GENERATOR.integers(1, 256, (20, 2, 2, 1), np.uint8)
    numbers = GENERATOR.permutation(20)[:length]
    read = []

    def counted(rows):
        read.extend(rows.tolist())
        return images[rows]

    for worker in range(2):
        arrays = {"image": OnDisk(counted, (2, 2, 1), np.arange(20))}
        reader = RowReader(arrays, (2 * worker, 2 * worker + 2, 4), width)
        (batch,) = tf.data.Dataset.from_tensors(numbers).map(reader)
        whole = {"image": tf.constant(images[numbers])}
        for replica in range(2 * worker, 2 * worker + 2):
            options = [(length, None), (width, tf.constant(length))] if width else [(length, None)]
            for size, count in options:
                if count is not None:  # rows that fill the shape are the last again
                    fill = tf.minimum(tf.range(size), length - 1)
                    batch_of_size, whole_of_size = (
                        {"image": tf.gather(part["image"], fill)} for part in (batch, whole)
                    )
                else:
                    batch_of_size, whole_of_size = batch, whole
                arguments = (size, count, tf.constant(replica), 4)
                taken, _ = shards.take(batch_of_size, *arguments)
                expected, _ = shards.take(whole_of_size, *arguments)
                np.testing.assert_array_equal(taken["image"], expected["image"])
    if length == 8:
        assert sorted(read) == sorted(numbers.tolist())  # each once


def test_mirror_images_follow_the_images(tmp_path):
    images = photograph(3, 4, 5)[..., None]
    expected = np.concatenate([images, images[:, :, ::-1]])
    on_disk = OnDisk(images.__getitem__, images.shape[1:], np.arange(3))
    for kind in (images, on_disk):
        both = data.with_mirror_images({"image": kind, "label": np.arange(3)})
        assert isinstance(both["image"], type(kind))
        np.testing.assert_array_equal(both["image"], expected)
        np.testing.assert_array_equal(both["image"][[4, 0]], expected[[4, 0]])
        assert both["label"].tolist() == [0, 1, 2, 0, 1, 2]


def test_images_on_disk_are_a_tf_data_stream(tmp_path):
    np.save(tmp_path / "images.npy", photograph(10, 4, 4))
    dataset = of_photographs(tmp_path / "images.npy", in_memory=False)
    images = np.load(tmp_path / "images.npy")
    batches = list(data.batches(dataset, "all", batch_size=4).as_numpy_iterator())
    np.testing.assert_array_equal(np.concatenate([batch["image"] for batch in batches]), images)
    shuffled = data.batches(dataset, "all", batch_size=4, shuffle=True)
    first, second = (
        np.concatenate([batch["image"] for batch in shuffled.as_numpy_iterator()]) for _ in range(2)
    )
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(np.sort(first, axis=0), np.sort(images, axis=0))


def test_what_does_not_fit_into_memory_stays_on_disk(tmp_path, monkeypatch):
    for number in range(4):
        save(tmp_path / f"{number}.png", photograph(4, 4))
    assert isinstance(data.load(tmp_path, "all")["image"], np.ndarray)
    monkeypatch.setattr(machine, "memory", lambda: 4 * 48 * 4 - 1)
    assert isinstance(data.load(tmp_path, "all")["image"], OnDisk)
