"""Asks an exported model for samples, with TensorFlow alone: `python probe.py VERSION_DIRECTORY
PNG_FILE`.

Run as a file, in a process of its own: that is how an export proves to need neither this package
nor TensorFlow Probability.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
modules: dict = sys.modules  # whose annotation allows no None
for package in ("zoo", "tensorflow_probability", "tf_keras"):
    modules[package] = None  # importing it is now an error

# TensorFlow's C++ side prints notices at its start whatever the log level: they go nowhere, and
# errors of Python do not.
kept = os.dup(2)
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
try:
    import tensorflow as tf

    tf.config.list_physical_devices("GPU")
finally:
    os.dup2(kept, 2)


GAP = 2  # white pixels between images


def main(directory: str, png: str, *, num_rows: int = 4, num_columns: int = 12) -> None:
    model = tf.saved_model.load(directory)
    for name, function in sorted(model.signatures.items()):
        inputs = ", ".join(
            f"{key}{spec.shape}" for key, spec in function.structured_input_signature[1].items()
        )
        outputs = ", ".join(
            f"{key}{spec.shape}" for key, spec in function.structured_outputs.items()
        )
        print(f"  {name}: {inputs} -> {outputs}")
    rows = tf.range(num_rows * num_columns)
    seed = tf.stack([tf.zeros_like(rows), rows], axis=-1)
    images = model.signatures["sample"](seed=seed)["reconstruction"]
    _, height, width, channels = images.shape
    zoom = max(1, 48 // height)
    images = tf.image.resize(images, [height * zoom, width * zoom], "nearest")
    images = tf.pad(images, [[0, 0], [GAP, 0], [GAP, 0], [0, 0]], constant_values=1.0)
    height, width = height * zoom + GAP, width * zoom + GAP
    sheet = tf.reshape(images, [num_rows, num_columns, height, width, channels])
    sheet = tf.reshape(
        tf.transpose(sheet, [0, 2, 1, 3, 4]), [num_rows * height, num_columns * width, channels]
    )
    sheet = tf.pad(sheet, [[0, GAP], [0, GAP], [0, 0]], constant_values=1.0)
    tf.io.write_file(
        png, tf.io.encode_png(tf.cast(tf.clip_by_value(sheet, 0.0, 1.0) * 255.0, tf.uint8))
    )
    print(f"  {len(rows)} samples answered by the SavedModel: {png}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
