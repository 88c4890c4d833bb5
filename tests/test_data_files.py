"""Files are read as they are meant, or refused by name: archives, pictures, folders, and names of
TFDS."""

import logging
import re

import numpy as np
import pytest
from PIL import Image

from zoo import data
from zoo.data import prepared
from zoo.data.pictures import read_picture

LEVELS = np.random.default_rng(0).integers(0, 256, (6, 5, 4), np.uint8)
LEVELS[0, 0, :2] = 0, 255
LABELS = np.array([0, 1, 1, 0, 1, 0])


def archive(tmp_path, **arrays):
    np.savez(tmp_path / "own.npz", **arrays)
    return tmp_path / "own.npz"


# -- Archives and arrays


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (LEVELS.astype(np.int64), LEVELS),
        (LEVELS > 127, np.where(LEVELS > 127, 255, 0).astype(np.uint8)),
        (LEVELS / 255, (LEVELS / 255).astype(np.float32)),
        (np.zeros_like(LEVELS), np.zeros_like(LEVELS)),
        (np.zeros(LEVELS.shape), np.zeros(LEVELS.shape, np.float32)),
    ],
    ids=["int64", "bool", "float64", "black", "black floats"],
)
def test_every_type_of_images_means_the_same_in_a_file_and_in_an_array(images, expected, tmp_path):
    read, passed = (
        data.load(archive(tmp_path, train=images), "train")["image"],
        data.load(images, "all")["image"],
    )
    np.testing.assert_array_equal(read, expected[..., None])
    np.testing.assert_array_equal(passed, expected)
    assert read.dtype == passed.dtype == expected.dtype


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (LEVELS.astype(np.float64), r"Received: float64 pixels in \[0, 255\]. Divide by 255"),
        (LEVELS.astype(np.int64) * 257, r"Received: int64 pixels in \[0, 65535\]"),
        (
            LEVELS // 128,
            r"integers 0 and 1 would be black.*Received: uint8 pixels in \[0, 1\]. Multiply "
            r"by 255, or pass bools or floats",
        ),
        (np.where(LEVELS > 250, np.nan, 0.5), "images with NaN"),
        (
            LEVELS.reshape(6, 20),
            r"must have the shape \[N, H, W\] or \[N, H, W, C\]. Received: shape \(6, 20\)",
        ),
        (
            np.zeros((6, 3, 8, 8), np.uint8),
            r"channels of images come last.*Received: shape \(6, 3, 8, 8\). Pass `np.moveaxis",
        ),
        (LEVELS[:0], "There are no images"),
        (LEVELS.astype(str), "Received: dtype <U3"),
    ],
    ids=[
        "float levels",
        "16 bits",
        "zeros and ones",
        "NaN",
        "flat",
        "channels first",
        "none",
        "text",
    ],
)
def test_what_are_no_images_is_refused_by_name(images, message, tmp_path):
    with pytest.raises(ValueError, match=f"'train' in '.*own.npz': .*{message}"):
        data.load(archive(tmp_path, train=images), "train")
    with pytest.raises(ValueError, match=f"The arrays: .*{message}"):
        data.load(images, "all")


@pytest.mark.parametrize(
    "labels",
    [LABELS, LABELS[:, None], LABELS.astype(float), LABELS.astype(bool), np.eye(2)[LABELS]],
)
def test_labels_of_every_form_are_class_numbers(labels, tmp_path):
    for loaded in (
        data.load(archive(tmp_path, train=LEVELS, train_label=labels), "train"),
        data.load({"image": LEVELS, "label": labels}, "all"),
    ):
        np.testing.assert_array_equal(loaded["label"], LABELS)
        assert loaded["label"].dtype == np.int32


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.where(LABELS, np.nan, 0), "Received: nan"),
        (LABELS * 2**40, "Received: 1099511627776"),
        (LABELS * -2, "or -1 for an unknown class. Received: -2"),
        (LABELS + 0.5, "Received: 0.5"),
        (LABELS[:4], "a label for each image. Received: 4 for 6 images"),
        (np.int64(3), "Received: a single number for 6 images"),
        (7 * np.eye(2)[LABELS], r"one 1 and zeros. Received: \[7.0, 0.0\]"),
        (np.zeros((6, 3)), r"one 1 and zeros. Received: \[0.0, 0.0, 0.0\]"),
        (
            np.array(list("abcabc")),
            r"Received: dtype <U1. Number the classes: `names, label = np.unique\(label, "
            r"return_inverse=True\)`",
        ),
        (np.zeros((6, 2, 2)), "Received: 4 numbers a row"),
    ],
    ids=["NaN", "2**40", "-2", "half", "fewer", "one", "sevens", "zeros", "text", "rank 3"],
)
def test_what_are_no_labels_is_refused_by_name(labels, message, tmp_path):
    with pytest.raises(ValueError, match=f"'train_label' in '.*own.npz': .*{message}"):
        data.load(archive(tmp_path, train=LEVELS, train_label=labels), "train")
    with pytest.raises(ValueError, match=f"The arrays: .*{message}"):
        data.load({"image": LEVELS, "label": labels}, "all")


def test_all_arrays_of_a_dict_have_as_many_rows():
    with pytest.raises(
        ValueError, match=r"as many rows as the images, 6. Received: 'factors' of shape \(5, 2\)"
    ):
        data.load({"image": LEVELS, "factors": np.zeros((5, 2))}, "all")


def test_numbers_of_the_data_are_checked():
    for seed in (1.5, -1, [3], float("nan"), "a", True):
        with pytest.raises(
            ValueError,
            match=re.escape(
                f"`seed` must be an integer in 0 ... 2**32 - 1. Received: seed={seed!r}"
            ),
        ):
            data.load(LEVELS, "all", binarization="static", seed=seed)
    for batch_size in (0, -4, 2.5, True, None):
        with pytest.raises(
            ValueError,
            match=f"`batch_size` must be a positive integer. Received: batch_size={batch_size!r}",
        ):
            data.batches(LEVELS, "all", batch_size=batch_size)


def test_names_in_an_archive_are_understood_or_told(tmp_path):
    with pytest.raises(
        ValueError,
        match="has no split 'train'. Its splits are images, labels. Arrays are named <split> "
        "and <split>_label",
    ):
        data.load(archive(tmp_path, images=LEVELS, labels=LABELS), "train")
    with pytest.raises(ValueError, match="an array that nothing reads. Received: 'train_labels'"):
        data.load(archive(tmp_path, train=LEVELS, train_labels=LABELS), "train")
    for name in ("labels", "label", "y", "targets"):
        with pytest.raises(
            ValueError, match=f"an array that nothing reads. Received: '{name}'. Arrays are named"
        ):
            data.load(archive(tmp_path, images=LEVELS, **{name: LABELS}), "images")
    with pytest.raises(
        ValueError, match="name an array in one way. Received: 'train' and 'x_train'"
    ):
        data.load(archive(tmp_path, train=LEVELS, x_train=LEVELS), "train")
    own = archive(tmp_path, my_part=LEVELS, my_part_label=LABELS, my_part_2=LEVELS[:2])
    assert len(data.load(own, "my_part[:4]")["label"]) == 4
    assert len(data.load(own, "my_part_2")["image"]) == 2


def test_archives_that_cannot_be_read_are_told(tmp_path):
    with pytest.raises(
        ValueError,
        match="own.npz' is not an .npz file of plain arrays: Object arrays cannot be loaded",
    ):
        data.load(archive(tmp_path, train=np.array([None, 1], object)), "train")
    whole = archive(tmp_path, train=LEVELS, other=LEVELS).read_bytes()
    damaged = bytearray(whole)
    damaged[200] ^= 255  # a pixel
    for content, reason in (
        (whole[: len(whole) // 2], "BadZipFile"),
        (bytes(damaged), "BadZipFile"),
        (b"", "EOFError"),
    ):
        (tmp_path / "damaged.npz").write_bytes(content)
        with pytest.raises(
            ValueError, match=rf"damaged.npz' is not an .npz file of plain arrays: .*\({reason}\)"
        ):
            data.load(tmp_path / "damaged.npz", "train")
    (tmp_path / "notes.txt").write_text("images")
    with pytest.raises(
        ValueError, match=r"or a table as .csv or .parquet. Received: the file '.*notes.txt'"
    ):
        data.load(tmp_path / "notes.txt", "train")
    np.save(tmp_path / "single.npy", LEVELS)
    (tmp_path / "single.npy").rename(tmp_path / "single.npz")
    with pytest.raises(ValueError, match="single.npz' is no .npz file but a single array"):
        data.load(tmp_path / "single.npz", "train")


# -- Pictures


def picture(tmp_path, name, image, **options):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(path, **options)
    return path


GREY = Image.fromarray(LEVELS[0])
COLOUR = Image.fromarray(np.stack([LEVELS[0], LEVELS[1], LEVELS[2]], axis=-1))
OPAQUE = Image.new("L", GREY.size, 255)


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("grey.png", GREY, LEVELS[0]),
        ("grey.TIFF", GREY, LEVELS[0]),
        ("grey.pgm", GREY, LEVELS[0]),
        ("colour.webp", COLOUR, COLOUR),
        ("colour.BMP", COLOUR, COLOUR),
        ("bits.png", GREY.convert("1", dither=0), np.where(LEVELS[0] > 127, 255, 0)),
        ("palette.png", COLOUR.convert("P"), COLOUR.convert("P").convert("RGB")),
        ("palette.gif", COLOUR.convert("P"), COLOUR.convert("P").convert("RGB")),
        ("opaque_grey.png", Image.merge("LA", (GREY, OPAQUE)), LEVELS[0]),
        ("opaque_colour.png", Image.merge("RGBA", (*COLOUR.split(), OPAQUE)), COLOUR),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_pictures_are_read_as_they_are_meant(name, image, expected, tmp_path):
    options = {"lossless": True} if name.endswith("webp") else {}
    pixels = read_picture(picture(tmp_path, name, image, **options))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.asarray(expected))


def test_a_palette_of_greys_goes_with_the_other_pictures(tmp_path):
    for name, image in (("grey/train/0.png", GREY), ("colour/train/0.png", COLOUR)):
        picture(tmp_path, name, image)
        picture(tmp_path, name.replace("0.png", "1.gif"), GREY)
    assert data.load(tmp_path / "grey", "train")["image"].shape == (2, 5, 4, 1)
    images = data.load(tmp_path / "colour", "train")["image"]
    np.testing.assert_array_equal(images[1], np.stack([LEVELS[0]] * 3, axis=-1))


def test_pictures_stand_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: the camera was turned by a quarter
    turned = picture(tmp_path, "turned.png", GREY, exif=exif)
    np.testing.assert_array_equal(read_picture(turned), np.rot90(LEVELS[0], -1))


def with_16_bits_in_colour(path):
    """A PNG of one pixel, written by hand: Pillow writes none."""
    import struct
    import zlib

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" + struct.pack(">HHH", 1000, 2000, 65535))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize(
    ("name", "image", "options", "message"),
    [
        (
            "deep.png",
            Image.fromarray(LEVELS[0].astype(np.uint16) * 257),
            {},
            r"more than 8 bits \(mode 'I;16'\)",
        ),
        (
            "deep.tif",
            Image.fromarray(LEVELS[0].astype(np.int32)),
            {},
            r"more than 8 bits \(mode 'I'\)",
        ),
        (
            "float.tif",
            Image.fromarray(LEVELS[0].astype(np.float32)),
            {},
            r"more than 8 bits \(mode 'F'\)",
        ),
        ("deep.sgi", COLOUR, {"bpc": 2}, r"more than 8 bits \(mode 'RGB'\)"),
        (
            "glass.png",
            Image.merge("RGBA", (*COLOUR.split(), GREY)),
            {},
            "with transparent pixels. Lay it over a background",
        ),
        ("glass_grey.png", Image.merge("LA", (GREY, GREY)), {}, "with transparent pixels"),
        (
            "glass.gif",
            COLOUR.convert("P"),
            {"transparency": COLOUR.convert("P").getpixel((0, 0))},
            "with transparent pixels",
        ),
        ("key.png", COLOUR, {"transparency": COLOUR.getpixel((0, 0))}, "with transparent pixels"),
        ("print.jpg", COLOUR.convert("CMYK"), {}, "in colours of mode 'CMYK'. Convert it to RGB"),
        (
            "moves.gif",
            GREY,
            {"save_all": True, "append_images": [Image.fromarray(LEVELS[1])]},
            "with 2 frames. Save each in a file",
        ),
        ("pages.tif", GREY, {"save_all": True, "append_images": [GREY, GREY]}, "with 3 frames"),
        (
            "moves.webp",
            COLOUR,
            {"save_all": True, "append_images": [COLOUR.rotate(180)]},
            "with 2 frames",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value[-5:] else "",
)
def test_pictures_of_another_kind_are_refused_by_name(name, image, options, message, tmp_path):
    with pytest.raises(
        ValueError,
        match=f"grey or RGB, with 8 bits, opaque, and of one frame. Received: '.*{name}', "
        f".*{message}",
    ):
        read_picture(picture(tmp_path, name, image, **options))


def test_colours_of_16_bits_and_damaged_pictures_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"deep.png', with more than 8 bits \(mode 'RGB'\)"):
        read_picture(with_16_bits_in_colour(tmp_path / "deep.png"))
    for text in (b"P6 1 1 1023\n" + 6 * b"\1", b"P3 1 1 65535\n9 8 7\n"):
        (tmp_path / "deep.ppm").write_bytes(text)
        with pytest.raises(ValueError, match=r"deep.ppm', with more than 8 bits \(mode 'RGB'\)"):
            read_picture(tmp_path / "deep.ppm")
    (tmp_path / "few.ppm").write_bytes(b"P6 1 1 15\n\0\5\17")
    assert read_picture(tmp_path / "few.ppm").tolist() == [[[0, 85, 255]]]
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    for name, kept in (("cut.png", 600), ("cut.jpg", 600), ("empty.png", 0)):
        whole = picture(tmp_path, name, noise).read_bytes()
        (tmp_path / name).write_bytes(whole[:kept])
        with pytest.raises(
            ValueError,
            match=rf"The picture '.*{name}' cannot be read: .*\(\w+\). Restore or remove it.",
        ):
            read_picture(tmp_path / name)


# -- Folders


def test_a_class_has_one_number_in_all_splits(tmp_path):
    for where in ("train/a", "train/b", "train/c", "test/a", "test/c"):
        picture(tmp_path, f"{where}/0.png", GREY)
    (tmp_path / "test" / "Empty").mkdir()
    assert data.load(tmp_path, "train")["label"].tolist() == [0, 1, 2]
    assert data.load(tmp_path, "test")["label"].tolist() == [0, 2]


def test_classes_named_by_numbers_are_in_their_order(tmp_path):
    for number in (10, 9, 1):
        picture(tmp_path, f"train/{number}/0.png", np.full((3, 3), 20 * number, np.uint8))
    loaded = data.load(tmp_path, "train")
    assert dict(
        zip(loaded["image"][:, 0, 0, 0].tolist(), loaded["label"].tolist(), strict=True)
    ) == {20: 0, 180: 1, 200: 2}


def test_every_suffix_is_read_and_what_is_left_out_is_told(tmp_path, caplog):
    for suffix in ("png", "JPG", "gif", "tif"):
        picture(tmp_path, f"train/0.{suffix}", GREY)
    for name in ("labels.csv", "notes.csv", ".DS_Store", "README"):
        (tmp_path / "train" / name).write_text("")
    with caplog.at_level(logging.WARNING, "zoo"):
        assert data.load(tmp_path, "train")["image"].shape == (4, 5, 4, 1)
    assert "as no pictures: 1 without a suffix, 2 .csv, such as 'README'" in caplog.text


def test_folders_of_another_layout_are_refused(tmp_path):
    picture(tmp_path, "loose/0.png", GREY)
    with pytest.raises(
        ValueError,
        match=r"loose' has no split 'left'. Its splits are all, test, train, validation. A folder "
        r"of images holds <split>/\*.png",
    ):
        data.load(tmp_path / "loose", "left")
    picture(tmp_path, "deep/train/a/b/0.png", GREY)
    with pytest.raises(
        ValueError,
        match=r"Classes hold pictures and no folders. Received: '.*deep/train/a/b/0.png'",
    ):
        data.load(tmp_path / "deep", "train")
    for name in ("mixed/train/0.png", "mixed/train/a/0.png"):
        picture(tmp_path, name, GREY)
    with pytest.raises(
        ValueError, match=r"or none. Received: '.*train/0.png' and '.*train/a/0.png'"
    ):
        data.load(tmp_path / "mixed", "train")
    picture(tmp_path, "kinds/train/0.png", GREY)
    picture(tmp_path, "kinds/train/1.png", COLOUR)
    with pytest.raises(
        ValueError, match=r"or all in colour. Received: grey \(.*0.png\) and colour \(.*1.png\)"
    ):
        data.load(tmp_path / "kinds", "train")
    picture(tmp_path, "masks/train/0.png", LEVELS[0] // 128)
    with pytest.raises(
        ValueError, match=r"The pictures of '.*masks': Images of the integers 0 and 1"
    ):
        data.load(tmp_path / "masks", "train")


# -- Names of TFDS


def test_names_of_tfds_hold_configurations_and_versions(tmp_path, monkeypatch):
    monkeypatch.setattr(prepared, "_is_reachable", lambda host: False)
    for name, where in (
        ("emnist/letters", "emnist"),
        ("emnist/letters:3.1.0", "emnist"),
        ("mnist:3.0.1", "mnist"),
    ):
        with pytest.raises(
            ValueError,
            match=f"Data set '{name}' is not in {tmp_path} and .* into "
            f"{tmp_path}/downloads/manual/{where}",
        ):
            data.load(name, "train", data_dir=str(tmp_path))
    for name, message in (
        ("no/folder", "No data set is named 'no/folder': it is not 'digits', not a file or folder"),
        (
            "emnist/runes",
            "TFDS knows 'emnist', but not 'emnist/runes': .*BuilderConfig runes not found",
        ),
        (
            "mnist:9.9.9",
            "TFDS knows 'mnist', but not 'mnist:9.9.9': .*cannot be loaded at version 9.9.9",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            data.load(name, "train", data_dir=str(tmp_path))


def test_a_folder_that_tfds_prepared_is_not_taken_for_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(prepared, "_is_reachable", lambda host: False)
    version = tmp_path / "mnist" / "3.0.1"
    version.mkdir(parents=True)
    (version / "dataset_info.json").write_text("{}")
    with pytest.raises(ValueError, match="mnist' was prepared by TFDS. Pass the data set's name"):
        data.load(tmp_path / "mnist", "train")
    monkeypatch.chdir(tmp_path)
    # Not the folder of that name.
    with pytest.raises(ValueError, match=f"Data set 'mnist' is not in {tmp_path / 'other'}"):
        data.load("mnist", "train", data_dir=str(tmp_path / "other"))


def test_binarized_images_of_tfds_are_black_and_white(mnist_dir):
    if not (prepared.Path(mnist_dir) / "binarized_mnist").is_dir():
        pytest.skip("needs binarized_mnist beside MNIST in ZOO_DATA_DIR")
    images = data.load("binarized_mnist:1.0.0", "test[:100]", data_dir=mnist_dir)["image"]
    assert np.unique(images).tolist() == [0, 255]


def test_hiding_labels_takes_numbers_of_numpy_and_leaves_hidden_ones_alone():
    examples = {"image": np.zeros((6, 1)), "label": np.array([0, -1, 0, -1, 1, 1])}
    few = data.hide_labels(examples, np.int64(1))
    assert sorted(few["label"].tolist()) == [-1, -1, -1, -1, 0, 1]
    with pytest.raises(
        ValueError, match="The examples: labels must be class numbers. Received: dtype <U1"
    ):
        data.hide_labels({**examples, "label": np.array(list("aabbcc"))}, 1)
    with pytest.raises(ValueError, match="all are -1. Received: 6 images"):
        data.hide_labels({**examples, "label": np.full(6, -1)}, 1)
    with pytest.raises(
        ValueError, match="`per_class` must be a positive integer. Received: per_class=True"
    ):
        data.hide_labels(examples, True)
