"""What models whose latents are codes share: a prior over the codes, the bound, draws.

    log p(x) >= log p(codes) + log p(x|codes)   at the codes of x,

as q(codes|x) is certain of one code a place.

van den Oord, Vinyals & Kavukcuoglu, "Neural discrete representation learning", NeurIPS 2017,
sections 3.1 and 3.3. https://arxiv.org/abs/1711.00937
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from zoo import validation
from zoo.engine.updates import Update
from zoo.layers.code_priors import CodePrior, UniformCodes
from zoo.layers.quantizers import Quantized, Quantizer
from zoo.models.answers import SEED, Answer, row_noise
from zoo.models.base import Data, Model
from zoo.models.code_use import CodesUsed, Perplexity
from zoo.models.condition import Label
from zoo.observations.base import is_symbolic
from zoo.random import RowNoise, Stream, draw
from zoo.tensors import static_sizes
from zoo.typing import Distribution
from zoo.validation import shown

# What an epoch tells of the use of codes.
CODE_METRICS = {"codes_used": CodesUsed, "perplexity": Perplexity}


class CodeModel(Model):
    """A model of x by integer codes. All quantities but the quantizer's are in nats per example.

    A subclass defines

    - `quantizers`: its quantizers, of one number of codes K;
    - `quantize_data(data, training)`: the codes of x, and what the decoder takes of them;
    - `of_codes(codes)`: what the decoder takes of codes that are in range;
    - `explain(quantized, data, training)`: p(x|codes) of what the decoder takes.

    No gradient passes the codes: a prior that is learned learns the codes as they are, and they do
    not learn to please it. Both are learned at once, or the prior alone, of an autoencoder that was
    trained before:

        base = zoo.load("vqvae_fashion_mnist")
        parts = base.encoder, base.decoder, base.quantizer, base.likelihood_layer
        model = zoo.VQVAE(*parts, prior=zoo.layers.AutoregressiveCodes(...), trains="prior")

    Args:
        likelihood: Layer from parameters to p(x|codes).
        prior: Layer p(codes), such as `zoo.layers.AutoregressiveCodes`; by default all codes are as
            probable as others, and cost log K nats each.
        num_classes: Number of classes, where the prior is given that of x: data then hold
            "condition", labels or one-hot rows.
        trains: "all", or "prior": nothing else moves.
        observation, pixels, seed: As in `zoo.models.base.Model`.

    Metrics: `loss`; `elbo` = log_likelihood - kl; `log_likelihood`; `kl`, -log p(codes), the length
    of the codes; the terms of the quantizers, added up; `codes_used` and `perplexity` of an epoch
    (`zoo.models.code_use`). With a prior that only bounds log p(codes), `kl` is one draw of the
    bound.
    """

    def __init__(
        self,
        likelihood: keras.layers.Layer,
        *,
        prior: CodePrior | None = None,
        num_classes: int | None = None,
        trains: Literal["all", "prior"] = "all",
        **kwargs: Any,
    ) -> None:
        super().__init__(likelihood, **kwargs)
        if not isinstance(prior, CodePrior | None):
            raise ValueError(
                "`prior` must be a layer p(codes), such as "
                "`zoo.layers.AutoregressiveCodes(network)`. Received: "
                f"prior={shown(prior)}."
            )
        self.prior_layer: Any = prior
        self.num_classes = None
        if num_classes is not None:
            self.num_classes = validation.integer("num_classes", num_classes, least=2)
            self.condition = Label(self.num_classes)
        self.trains = validation.one_of("trains", trains, ("all", "prior"))

    # -- What a subclass defines

    @property
    def quantizers(self) -> Sequence[Quantizer]:
        raise NotImplementedError

    def quantize_data(self, data: Mapping[str, Any], training: bool | None) -> Quantized:
        """What the decoder takes, codes int32 [B, *codes_shape], and terms, of data as `prepare` or
        `as_data` gives them."""
        raise NotImplementedError

    def of_codes(self, codes: tf.Tensor) -> tf.Tensor:
        """What the decoder takes of codes int32 [B, *codes_shape]."""
        raise NotImplementedError

    def explain(
        self, quantized: tf.Tensor, data: Mapping[str, Any], training: bool | None
    ) -> Distribution:
        """p(x|codes) of what `quantize_data` and `of_codes` give."""
        raise NotImplementedError

    # -- Parts

    def build_parts(self) -> None:
        sizes = {quantizer.num_codes for quantizer in self.quantizers}
        if len(sizes) > 1:
            raise ValueError(
                "Quantizers must have one number of codes. Received: "
                f"{', '.join(map(str, sorted(sizes)))}."
            )
        (self.num_codes,) = sizes
        self.lowest_code = min(quantizer.lowest_code for quantizer in self.quantizers)
        if self.prior_layer is None:
            self.prior_layer = UniformCodes(self.num_codes)
        if self.prior_layer.num_codes != self.num_codes:
            raise ValueError(
                f"`prior` must be one of the quantizer's {self.num_codes} codes. Received: a prior "
                f"of {self.prior_layer.num_codes} codes."
            )
        codes = self.quantize_data(self.observation.blank(), None).codes
        self.codes_shape = static_sizes(codes.shape[1:])
        self.decode(codes)
        condition_shape = None if self.num_classes is None else (None, self.num_classes)
        self.prior_layer.build((None, *self.codes_shape), condition_shape)

    @property
    def batch_statistics(self) -> bool:  # type: ignore[override]
        return any(quantizer.batch_statistics for quantizer in self.quantizers)

    @property
    def updates(self) -> tuple[Update, ...]:
        if self.trains == "all":
            return super().updates
        return (Update("model", "loss", self.prior_layer.trainable_weights),)

    @property
    def term_names(self) -> tuple[str, ...]:  # type: ignore[override]
        _, *of_quantizer = self.quantizers[0].term_names
        return ("loss", "elbo", "log_likelihood", "kl", *of_quantizer, *CODE_METRICS)

    def make_metric(self, name: str) -> keras.metrics.Metric:
        if name in CODE_METRICS:
            return CODE_METRICS[name](self.num_codes, name)
        return super().make_metric(name)

    def as_data(self, x: Any, condition: Any = None) -> dict[str, Any]:
        """As of every model. The class may be left out: the prior alone asks for it."""
        data = x if self._is_data(x) else {self.key: x}
        if condition is None and self.condition.of(data) is None:
            return x if isinstance(x, Data) else self.observation.as_tensors(self._x_of(data))
        return super().as_data(x, condition)

    def encode(self, x: Any, *, training: bool | None = None) -> tf.Tensor:
        """The codes of x: int32 [B, *codes_shape]."""
        return self.quantize_data(self.as_data(x), training).codes

    def decode(
        self, codes: Any, *, training: bool | None = None, **companions: Any
    ) -> Distribution:
        """p(x|codes): batch [B] as codes, int [B, *codes_shape].

        Raises:
            ValueError: If the codes are of another grid; or out of range, outside of graphs. In a
                graph a row with a code out of range is NaN.
        """
        codes = self._as_codes(codes)
        known = (codes >= self.lowest_code) & (codes < self.num_codes)
        known = tf.reduce_all(known, axis=list(range(1, codes.shape.rank)))  # [B]
        codes = tf.clip_by_value(codes, self.lowest_code, self.num_codes - 1)
        vectors = self.of_codes(codes)
        known = tf.reshape(known, [-1] + [1] * (vectors.shape.rank - 1))
        return self.explain(tf.where(known, vectors, math.nan), companions, training)

    def _as_codes(self, codes):
        """Codes as a tensor int32 [B, *codes_shape], in range where their values are at hand."""
        codes = tf.convert_to_tensor(codes)
        if not codes.dtype.is_integer or tuple(codes.shape[1:]) != self.codes_shape:
            raise ValueError(
                f"`codes` must be integers of shape [B, {', '.join(map(str, self.codes_shape))}]. "
                f"Received: {shown(codes)}."
            )
        codes = tf.cast(codes, tf.int32)
        if tf.executing_eagerly() and tf.size(codes):
            least, most = int(tf.reduce_min(codes)), int(tf.reduce_max(codes))
            lowest, highest = self.lowest_code, self.num_codes - 1
            if least < lowest or most > highest:
                raise ValueError(
                    f"Codes must lie in {lowest} ... {highest}. Received: codes from {least} to "
                    f"{most}."
                )
        return codes

    def log_prior(
        self,
        codes: tf.Tensor,
        condition: Any = None,
        *,
        noise: RowNoise | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        """log p(codes|c) of codes int32 [B, *codes_shape]: float32 [B], in nats. `noise` is for a
        prior that bounds it by a draw."""
        condition = self.condition.check(condition)
        return self.prior_layer(codes, condition=condition, noise=noise, training=training)

    def call(self, data: Any, training: bool | None = None) -> Distribution:
        """p(x|codes) at the codes of x."""
        data = self.as_data(data)
        return self.explain(self.quantize_data(data, training).quantized, data, training)

    def loss_terms(
        self, batch: Mapping[str, Any], noise: RowNoise, training: bool
    ) -> dict[str, tf.Tensor]:
        learns_codes = training and self.trains == "all"
        quantized, codes, terms = self.quantize_data(batch, learns_codes)
        log_likelihood = self.explain(quantized, batch, learns_codes).log_prob(batch[self.key])
        condition = batch.get("condition")
        log_prior = self.log_prior(codes, condition, noise=noise, training=training)
        elbo = log_likelihood + log_prior
        return {
            **terms,
            "loss": terms["loss"] - elbo,
            "elbo": elbo,
            "log_likelihood": log_likelihood,
            "kl": -log_prior,
            **dict.fromkeys(CODE_METRICS, codes),
        }

    # -- What users ask

    def tokenize(self, x: Any) -> tf.Tensor:
        """The codes of x, int32 [B, *codes_shape], as `detokenize` takes them."""
        return self.encode(x)

    def detokenize(self, codes: Any) -> tf.Tensor:
        """x of codes, int [B, *codes_shape]: the mean of p(x|codes), [B, *shape of x].

        Raises:
            ValueError: If the codes are of another grid, or out of range.
        """
        return self.decode(codes).mean()

    def reconstruction(self, data: Mapping[str, Any]) -> tf.Tensor:
        """Mean of p(x|codes) at the codes of x: [B, *shape of x]."""
        return self(dict(data)).mean()

    def sample(
        self,
        num_rows: int,
        seed: int = 0,
        condition: Any = None,
        *,
        temperature: float | Sequence[float] = 1.0,
    ) -> Any:
        """`num_rows` draws of p(x), in the form in which users hand in x.

        Args:
            num_rows: B. Row i is a function of (seed, i).
            seed: Of all draws.
            condition: Labels [B], of a model with classes.
            temperature: What the prior's logits are divided by, non-negative: a number, or one for
                each row. At 0 each code is the most probable one. x is drawn as the likelihood
                says.

        Raises:
            ValueError: If an argument is out of range.
        """
        num_rows = validation.integer("num_rows", num_rows)
        noise = RowNoise.of_seed(validation.seed(seed), num_rows)
        return self.observation.to_user(self.generate(noise, condition, temperature)["sample"])

    def generate(
        self, noise: RowNoise, condition: Any = None, temperature: Any = 1.0
    ) -> dict[str, tf.Tensor]:
        """Draws from the prior and the likelihood.

        Args:
            noise: `RowNoise` of B rows.
            condition: Labels [B], of a model with classes.
            temperature: As in `sample`; a number, or float [B].

        Returns:
            `codes` int32 [B, *codes_shape]; `reconstruction` (mean of p(x|codes), [B, *shape of
            x]); and `sample` (a draw of it).
        """
        num_rows = tf.shape(noise.rows)[0]
        condition = self.condition.check(condition)
        temperature = _as_temperature(temperature, num_rows)
        codes = self.prior_layer.draw(noise, num_rows, condition, temperature)
        likelihood = self.decode(codes)
        sample = draw(likelihood, noise, Stream.PIXEL)
        return {"codes": codes, "reconstruction": likelihood.mean(), "sample": sample}

    def score(self, x: Any, noise: RowNoise, condition: Any = None) -> dict[str, tf.Tensor]:
        """The bound of x as given: dict of `elbo`, `kl`, `log_likelihood`, nats [B]. `noise` is for
        a prior that bounds log p(codes) by a draw."""
        data = self.as_data(x, condition)
        terms = self.loss_terms(data, noise, training=False)
        return {name: terms[name] for name in ("elbo", "kl", "log_likelihood")}

    def answers(self) -> dict[str, Answer]:
        observation, condition = self.observation, self.condition.spec()
        codes = {"codes": tf.TensorSpec([None, *self.codes_shape], tf.int32, name="codes")}
        temperature = {"temperature": tf.TensorSpec([None], tf.float32, name="temperature")}

        def reconstruct(**x):
            values = self.reconstruct(observation.of_served(x))
            return observation.to_served("reconstruction", values)

        def encode(**x):
            return {"codes": self.encode(observation.of_served(x))}

        def decode(codes, **companions):
            mean = self.decode(codes, **companions).mean()
            return observation.to_served("reconstruction", mean)

        def sample(seed, temperature, condition=None):
            draws = self.generate(row_noise(seed), condition, temperature)
            answer = {"codes": draws["codes"]}
            for name in ("reconstruction", "sample"):
                answer |= observation.to_served(name, draws[name])
            return answer

        def score(seed, condition=None, **x):
            return self.score(observation.of_served(x), row_noise(seed), condition)

        return {
            "reconstruct": Answer(reconstruct, observation.spec()),
            "encode": Answer(encode, observation.spec()),
            "decode": Answer(decode, codes | observation.companion_spec()),
            "sample": Answer(sample, SEED | temperature | condition, self.prior_layer.loops),
            "score": Answer(score, observation.spec() | SEED | condition),
        }


def _as_temperature(temperature, num_rows):
    """A temperature as `sample` takes it, as float32 [] or [B]."""
    if not is_symbolic(temperature):
        # A dict, which asks for latents by name, becomes one object.
        values = np.atleast_1d(np.asarray(temperature)).tolist()
        if isinstance(temperature, Mapping) or len(values) not in (1, int(num_rows)):
            raise ValueError(
                "`temperature` must be a number, or one for each row. Received: "
                f"temperature={shown(temperature)} for {int(num_rows)} rows."
            )
        for value in values:
            validation.non_negative("temperature", value)
    return tf.convert_to_tensor(temperature, tf.float32)
