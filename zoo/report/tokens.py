"""Tokens that a page can change: a decoder of codes as data, and what some pictures are as
codes."""

import base64
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from zoo.models.vq_vae import VQVAE
from zoo.observations import Image
from zoo.report.layers import layers_of, run
from zoo.report.means import mean_of, pixels

NUM_PICTURES = 12
MOST_CODES = 4096
TOLERANCE = 2e-3  # less than a level


def program(model: keras.Model, images: Any) -> dict[str, Any]:
    """The decoder of a tokenizer and the tokens of some images, for tokens.js.

    Args:
        model: A trained `zoo.VQVAE` of images, with one code at each place of a grid of two
            dimensions.
        images: [N, *image_shape]; the first twelve are taken.

    Returns:
        Dict that JSON can hold: `layers`, `mean`, `image_shape`, `grid`, `vectors` (base64 of
        float32 [K, D]), `code_dim`, `num_codes` and `pictures`, the tokens of each, row by row.

    Raises:
        ValueError: If the model decodes in a way that the page cannot: the message says which.
    """
    if not isinstance(model, VQVAE) or not isinstance(model.observation, Image):
        raise ValueError(f"The page shows tokens of images. This is a {type(model).__name__}.")
    several = model.quantizer.code_shape != ()
    if several or len(model.codes_shape) != 2 or model.num_codes > MOST_CODES:
        raise ValueError(
            f"The page shows grids of one code of at most {MOST_CODES:,} at each place. The codes "
            f"here are {model.codes_shape}, of {model.num_codes:,}."
        )
    vectors = model.quantizer.vectors(np.arange(model.num_codes, dtype=np.int32))
    codes = model.tokenize(images[:NUM_PICTURES]).numpy()
    written = {
        "layers": layers_of(model.decoder),
        "mean": mean_of(model.likelihood_layer),
        "image_shape": list(model.observation.shape),
        "grid": list(model.codes_shape),
        "vectors": base64.b64encode(np.asarray(vectors, "<f4").tobytes()).decode(),
        "code_dim": model.quantizer.code_dim,
        "num_codes": model.num_codes,
        "pictures": codes.reshape(len(codes), -1).tolist(),
    }
    if not np.allclose(decode(written, codes), model.detokenize(codes), atol=TOLERANCE):
        raise ValueError(f"The decoder of {type(model).__name__} does more than its layers say.")
    return written


def decode(program: Mapping[str, Any], codes: np.ndarray) -> np.ndarray:
    """What tokens.js computes, in NumPy: codes [N, H', W'] -> means of p(x|codes) [N, H, W, C]."""
    vectors = np.frombuffer(base64.b64decode(program["vectors"]), "<f4")
    vectors = vectors.reshape(-1, program["code_dim"])
    x = vectors[np.reshape(codes, (len(codes), -1))]  # [N, places, D]
    params = run(program["layers"], x.reshape(len(codes), -1))
    return pixels(program["mean"], params).reshape(-1, *program["image_shape"])
