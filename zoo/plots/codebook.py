"""What each code of a codebook stands for."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from zoo.models.vq_vae import VQVAE
from zoo.plots.figures import finished
from zoo.plots.sheets import sheet_of

MOST_CODES = 512
CHUNK = 64


def codebook(model: VQVAE, path: str | Path | None = None) -> Figure:
    """The image that the decoder makes of a grid full of one code, for each code, in their order;
    the first 512 where there are more."""
    num_codes = min(model.num_codes, MOST_CODES)
    codes = np.broadcast_to(
        np.arange(num_codes, dtype=np.int32).reshape(-1, *[1] * len(model.codes_shape)),
        (num_codes, *model.codes_shape),
    )
    images = np.concatenate(
        [model.detokenize(codes[i : i + CHUNK]).numpy() for i in range(0, num_codes, CHUNK)]
    )
    num_columns = 2 ** int(np.ceil(np.log2(num_codes) / 2 + 0.5))
    num_rows = -(-num_codes // num_columns)
    blank = np.ones((num_rows * num_columns - num_codes, *images.shape[1:]), images.dtype)
    figure = sheet_of(np.concatenate([images, blank]), num_rows, num_columns)
    of_all = f"the first {num_codes} of {model.num_codes:,}" if num_codes < model.num_codes else ""
    figure.suptitle(f"Codes, each at all places of the grid {of_all}".strip(), fontsize=9)
    return finished(figure, path, dpi=60)
