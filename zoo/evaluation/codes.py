"""What codes keep of x, and what they cost: the numbers of a model whose latents are codes."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.models.code_model import CodeModel
from zoo.observations import Image
from zoo.random import RowNoise

# The window of SSIM: smaller images have none.
SSIM_WINDOW = 11
# Codes used, as a share of all, below which a codebook has collapsed.
COLLAPSED = 0.5


def measure(
    model: CodeModel, batch: Mapping[str, tf.Tensor], noise: RowNoise
) -> dict[str, tf.Tensor]:
    """What is measured of each example of a batch: name -> [B], and the codes as [B, N]."""
    terms = model.loss_terms(batch, noise, training=False)
    measured = {name: terms[name] for name in ("log_likelihood", "kl")}
    x, codes = batch[model.key], model.encode(dict(batch))
    measured["codes"] = tf.reshape(codes, [-1, math.prod(model.codes_shape)])
    companions: dict[str, Any] = model.observation.companions(batch)
    reconstruction = model.decode(codes, **companions).mean()
    others = list(range(1, x.shape.rank))
    measured["squared_error"] = tf.reduce_mean((x - reconstruction) ** 2, axis=others)
    if _has_ssim(model):
        measured["ssim"] = tf.image.ssim(x, reconstruction, max_val=1.0)
    return measured


def numbers(model: CodeModel, values: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """The numbers of what `measure` gave of all examples.

    - `nll` = -`elbo`, a bound: -log p(codes) - log p(x|codes) at the codes of x, with its two parts
      `kl` and `log_likelihood`, in nats
    - `code_bits`: -log2 p(codes), bits an example
    - `mse`, of x in [0, 1], `psnr` of images in dB, -10 log10 of it, and `ssim` of images of at
      least 11 x 11 (Wang et al., IEEE TIP 13, 2004): what the mean of p(x|codes) has lost
    - `codes_used`: how many codes of K occur; `perplexity`: exp of the entropy of their shares, K
      where all are as frequent
    """
    kl, log_likelihood = values["kl"], values["log_likelihood"]
    found = {
        "nll": _mean(kl - log_likelihood) | {"is_bound": True},
        "elbo": _mean(log_likelihood - kl),
        "log_likelihood": _mean(log_likelihood),
        "kl": _mean(kl),
        "code_bits": _mean(kl / math.log(2), "bits"),
        "mse": _mean(values["squared_error"], "score"),
    }
    if isinstance(model.observation, Image):
        psnr = -10.0 * math.log10(max(found["mse"]["value"], 1e-12))
        found["psnr"] = {"value": psnr, "unit": "dB"}
    if "ssim" in values:
        found["ssim"] = _mean(values["ssim"], "score")
    num_codes = model.num_codes
    counts = np.bincount(values["codes"].astype(np.int64).ravel(), minlength=num_codes)
    shares = counts[counts > 0] / counts.sum()
    found["codes_used"] = {"value": len(shares), "of": num_codes, "unit": "codes"}
    entropy = -np.sum(shares * np.log(shares))
    found["perplexity"] = {"value": float(np.exp(entropy)), "of": num_codes, "unit": "codes"}
    return found


def collapse_of(model: CodeModel, examples: Mapping[str, Any]) -> str | None:
    """What says that most codes are never used, with what usually helps; or None.

    Args:
        model: A trained model.
        examples: A dict of data; the first 1,000 are looked at.
    """
    x = examples[model.key][:1000]
    codes = np.concatenate([model.tokenize(x[i : i + 100]).numpy() for i in range(0, len(x), 100)])
    num_codes, num_used = model.num_codes, len(np.unique(codes))
    if num_used >= COLLAPSED * min(num_codes, codes.size):
        return None
    return (
        f"Codebook collapse: {num_used:,} of {num_codes:,} codes occur in {codes.size:,} places. "
        "What usually helps: a codebook that starts where the encoder is "
        "(model.start_codebook(x)), codes that are restarted (VectorQuantizer(..., "
        'restart_below=1.0)), fewer elements of a vector (code_dim), distance="cosine", or '
        "zoo.layers.FSQ, which has no codebook to lose."
    )


def _has_ssim(model):
    shape = model.observation.shape
    return isinstance(model.observation, Image) and min(shape[:2]) >= SSIM_WINDOW


def _mean(values, unit="nats"):
    error = {}
    if len(values) > 1:
        error["stderr_images"] = float(values.std(ddof=1) / math.sqrt(len(values)))
    return {"value": float(values.mean()), **error, "unit": unit}
