"""What every model with latents shares: a program that names them, a bound on log p(x), and what
follows from the two.

generative program   p(x, z) = p(z) p(x | z)
inference program    q(z | x)
objective            ELBO = E_q[log p(x | z)] - KL(q(z | x) || p(z))  <=  log p(x)
"""

import functools
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from zoo import validation
from zoo.inference import ELBO, Context, Objective, Regularizer
from zoo.inference.handlers import EveryClass, FromPosterior, FromPrior, Given, Handler, Typical
from zoo.inference.joint import Joint
from zoo.inference.trace import Trace
from zoo.models.answers import SCORE_SAMPLES, SEED, Answer, row_noise
from zoo.models.base import Data
from zoo.models.conditional_sampling import ConditionalSampling
from zoo.networks import reason_of
from zoo.random import RowNoise, Stream, draw
from zoo.tensors import as_numbers, named_latents
from zoo.typing import Distribution
from zoo.validation import shown


class LatentVariableModel(ConditionalSampling):
    """A model that is given by its program. All quantities are in nats per example.

    A subclass defines

    - `program(latent, data, training)`: names every latent once,
      `latent(name, prior=..., posterior=...)`, in the order of p, and returns p(x|z): its first
      axes are those of the draws;
    - `guide(latent, data, training)`, where q factorizes in another order than p: names every
      latent with its posterior. The program then names them with their priors;
    - `decode(z)`: p(x|z) of latents that a user hands in; `latent_shapes` and `latent_parameters`
      tell which.

    Who draws is up to `latent` (`zoo.inference.handlers`): the posterior, the prior, or a user's
    own values.

    Args:
        likelihood, observation, pixels, seed: As in `zoo.models.base.Model`.
        objective: What training minimizes and how its gradient is estimated;
            `zoo.objectives.ELBO()` if left out.

    Metrics: `loss`, `elbo`, `log_likelihood` (log p(x|z)) and `kl` (KL(q || p), analytic), or
    `kl_monte_carlo` where there is no closed form for one of the latents, and what the regularizer
    reports.
    """

    guide = None
    # Whether the KL is taken by its formula where there is one.
    analytic_kl = True
    # Whether class k means label k, because training saw labels.
    classes_are_labels = False

    def __init__(
        self, likelihood: Any, *, objective: Objective | None = None, **kwargs: Any
    ) -> None:
        super().__init__(likelihood, **kwargs)
        if not isinstance(objective, Objective | None):
            raise ValueError(
                "`objective` must be one of `zoo.objectives`, such as ELBO(). Received: "
                f"objective={shown(objective)}."
            )
        self.objective = ELBO() if objective is None else objective
        self.regularizer = self.objective.regularizer

    def regularize_by(self, regularizer: Regularizer) -> None:
        """Makes `regularizer` what the objective subtracts from E_q[log p(x|z)], in a model that is
        named for it."""
        if not self.objective.regularizer.is_kl:
            raise ValueError(
                f"{type(self).__name__} brings its own regularizer. "
                f"Received: an objective with {type(self.objective.regularizer).__name__}."
            )
        self.regularizer = regularizer

    # -- The programs

    def program(
        self, latent: Handler, data: Mapping[str, Any], training: bool | None = None
    ) -> Distribution:
        raise NotImplementedError

    def run(self, latent: Handler, data: Mapping[str, Any], training: bool | None = None) -> Trace:
        """One pass, in which `latent` draws.

        Args:
            latent: A new `Handler`.
            data: Dict as `prepare` or `as_data` gives it; for a pass from the prior the condition
                is enough.
            training: Whether networks do what they do in training alone.
        """
        try:
            # Keras takes plain dicts alone.
            return self(dict(data), latent=latent, training=training)
        except (ValueError, TypeError) as error:
            reason = reason_of(error)
            if reason is None:
                raise
            raise type(error)(reason) from error

    def call(
        self,
        data: Any,
        noise: RowNoise | None = None,
        num_samples: int = 1,
        latent: Handler | None = None,
        training: bool | None = None,
    ) -> Trace:
        """One pass: draws each latent from q, S samples of it, and explains x by them.

        Args:
            data: x, or a dict of data; with `latent` as in `run`.
            noise: `RowNoise` of B rows; by default the draws of the model's seed.
            num_samples: S.
            latent: Who draws, where it is not q.
            training: As in Keras.
        """
        if latent is None:
            data = self.as_data(data)
            noise = noise or RowNoise(self.seed, 0, tf.range(tf.shape(data[self.key])[0]))
            latent = FromPosterior(noise, num_samples)
        data = Data(data)
        trace = latent.trace
        trace.data, trace.training = data, training
        if self.guide is not None and latent.infers:
            self.guide(latent, data, training)
            latent.now_explain()
        trace.likelihood = self.program(latent, data, training)
        latent.assert_all_explained()
        if self.key in data:
            trace.observe(data[self.key], data.get("observed"))
        return trace

    def build_parts(self) -> None:
        """Creates all weights, and checks that the parts fit together, by sending one blank row
        through them."""
        data = self.observation.blank() | self.condition.blank()
        trace = self.run(FromPosterior(RowNoise.of_seed(0, 1)), data)
        trace.log_weights  # noqa: B018 - a prior that does not fit is told by its density
        self.latents = {name: site.facts() for name, site in trace.items()}
        self.objective.check(self)
        self.regularizer.check(self)

    @property
    def class_latent(self) -> str | None:
        """Name of the only latent that is a class, which can be summed over; None where there is
        none."""
        classes = [name for name, facts in self.latents.items() if facts.is_class]
        return classes[0] if len(classes) == 1 else None

    @property
    def has_analytic_kl(self) -> bool:
        return self.analytic_kl and all(facts.has_analytic_kl for facts in self.latents.values())

    @property
    def has_kl_per_dim(self) -> bool:
        return self.analytic_kl and all(facts.has_kl_per_dim for facts in self.latents.values())

    def encode(
        self, x: Any, condition: Any = None, *, training: bool | None = None
    ) -> Joint | Distribution:
        """q of all latents given x; outcomes are dicts from name to tensor [B, ...]."""
        data = self.as_data(x, condition)
        return Joint(functools.partial(self.run, data=data, training=training), infers=True)

    def prior(self, condition: Any = None, *, training: bool | None = None) -> Joint | Distribution:
        """p of all latents; outcomes are dicts from name to tensor."""
        data = self._condition(condition)
        return Joint(functools.partial(self.run, data=data, training=training), infers=False)

    def decode(
        self, z: Any, condition: Any = None, *, training: bool | None = None, **companions: Any
    ) -> Distribution:
        """p(x|z), where `z` is a dict of all latents; `companions` are what the likelihood takes
        beside its parameters."""
        data = self._condition(condition) | companions
        values = {
            name: as_numbers(name, value)
            for name, value in zip(self.latents, named_latents(z, self.latents), strict=True)
        }
        return self.run(Given(values, infers=False, explains=False), data, training).likelihood

    @property
    def latent_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of the latents that `decode` takes: all, unless a model says otherwise."""
        return {name: facts.event_shape for name, facts in self.latents.items()}

    def _condition(self, condition):
        condition = self.condition.check(condition)
        return {} if condition is None else {"condition": condition}

    # -- The bound

    def kl_by_latent(self, trace: Trace) -> dict[str, tf.Tensor]:
        """KL(q || p) of each latent in nats [B]: the formula where there is one, otherwise the mean
        of log q - log p over the draws."""
        return {name: trace.expect(site.kl(self.analytic_kl)) for name, site in trace.items()}

    def kl(self, trace: Trace) -> tf.Tensor:
        """KL(q || p) of all latents: nats [B]."""
        return tf.add_n(list(self.kl_by_latent(trace).values()))

    def regularization(self, trace: Trace) -> tf.Tensor:
        """What the regularizer subtracts from E_q[log p(x|z)]: nats [B], or a scalar where it is
        the batch's."""
        context = Context(
            kl_by_latent=self.kl_by_latent,
            noise=trace.noise,
            step=self.training_step,
            num_examples=self.dataset_size(trace.training),
            terms=trace.terms,
        )
        return self.regularizer.nats(trace, context)

    def loss_terms(
        self, batch: Mapping[str, Any], noise: RowNoise, training: bool
    ) -> dict[str, Any]:
        loss, trace = self.objective.loss(self, batch, noise, training)
        return {"loss": loss, **self.bound_terms(self.summed(trace, noise)), **trace.terms}

    def summed(self, trace: Trace, noise: RowNoise) -> Trace:
        """A pass that has summed over the class: the trace itself where that has, or where there is
        no class."""
        if self.class_latent is None or trace.enumerated is not None:
            return trace
        # What moves in training has moved.
        return self.run(EveryClass(noise, self.class_latent), trace.data, training=False)

    def bound_terms(self, trace: Trace) -> dict[str, tf.Tensor]:
        """The bound and its parts: dict of nats [B]."""
        log_likelihood = trace.expect(trace.log_likelihood)  # E_q[log p(x|z)]
        kl = self.kl(trace)
        return {"elbo": log_likelihood - kl, "log_likelihood": log_likelihood, self.kl_name: kl}

    @property
    def kl_name(self) -> str:
        return "kl" if self.has_analytic_kl else "kl_monte_carlo"

    @property
    def batch_statistics(self) -> bool:
        return self.objective.batch_statistics or self.regularizer.batch_statistics

    @property
    def needs_num_examples(self) -> bool:
        return self.regularizer.needs_num_examples

    @property
    def term_names(self) -> tuple[str, ...]:
        return ("loss", "elbo", "log_likelihood", self.kl_name, *self.regularizer.reports)

    # -- What users ask of a trained model

    def reconstruction(self, data: Mapping[str, Any]) -> tf.Tensor:
        """Mean of p(x|z) at the posterior's mean, a class at its most probable value:
        [B, *shape of x]."""
        return self.run(Typical(), data).likelihood.mean()

    def sample(
        self,
        num_rows: int,
        seed: int = 0,
        condition: Any = None,
        *,
        temperature: float | Mapping[str, float] = 1.0,
    ) -> Any:
        """`num_rows` draws of p(x|c), in the form in which users hand in x.

        Args:
            num_rows: B. Row i is a function of (seed, i).
            seed: Of all draws.
            condition: [B, ...], of a conditional model.
            temperature: What the scale of normal latents is multiplied by: a number for all but
                classes, or name -> number for some. x is drawn as the likelihood says.

        Raises:
            ValueError: If an argument is out of range, or a latent with a temperature not normal.
        """
        num_rows = validation.integer("num_rows", num_rows)
        noise = RowNoise.of_seed(validation.seed(seed), num_rows)
        draws = self.generate(noise, condition, temperature)
        return self.observation.to_user(draws["sample"])

    def generate(
        self,
        noise: RowNoise,
        condition: Any = None,
        temperature: float | Mapping[str, float] = 1.0,
    ) -> dict[str, tf.Tensor]:
        """Draws from the generative program.

        Args:
            noise: `RowNoise` of B rows.
            condition: [B, ...], of a conditional model.
            temperature: As in `sample`.

        Returns:
            Dict of the latents by name, [B, ...] each, `reconstruction` (mean of p(x|z),
            [B, *shape of x]) and `sample` (a draw of it).
        """
        handler = FromPrior(noise, temperatures=self._temperatures(temperature))
        trace = self.run(handler, self._condition(condition))
        draws = {name: site.z for name, site in trace.items()}
        sample = draw(trace.likelihood, noise, Stream.PIXEL)
        return {**draws, "reconstruction": trace.likelihood.mean(), "sample": sample}

    def _temperatures(self, temperature):
        """Name -> temperature of the latents, as `sample` takes them."""
        if not isinstance(temperature, Mapping):
            numbers = [name for name, facts in self.latents.items() if not facts.is_class]
            temperature = dict.fromkeys(numbers, temperature)
        unknown = [name for name in temperature if name not in self.latents]
        if unknown:
            raise ValueError(
                f"`temperature` must name latents, {', '.join(self.latents)}. Received: "
                f"{unknown[0]!r}."
            )
        return {
            name: validation.non_negative(f"temperature of {name}", value)
            for name, value in temperature.items()
        }

    def score(self, x: Any, noise: RowNoise, condition: Any = None) -> dict[str, tf.Tensor]:
        """The single-sample bound of x as given: dict of `elbo`, `kl`, `log_likelihood`, nats
        [B]."""
        trace = self.run(FromPosterior(noise), self.as_data(x, condition))
        log_likelihood, kl = trace.expect(trace.log_likelihood), self.kl(trace)
        return {"elbo": log_likelihood - kl, "kl": kl, "log_likelihood": log_likelihood}

    # -- Latents by name, for evaluation and serving

    def latent_parameters(self, x: Any, condition: Any = None) -> dict[str, tf.Tensor]:
        """The parameters of q by name, [B, ...] each; of several latents each is given those before
        it at their typical values."""
        raise NotImplementedError

    def latent_means(self, data: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Name -> mean of each continuous latent under q, [B, ...], given those before it at their
        typical values."""
        trace = self.run(Typical(), data)
        return {
            name: site.posterior.mean()
            for name, site in trace.items()
            if not self.latents[name].is_class
        }

    def answers(self) -> dict[str, Answer]:
        x, condition = self.observation.spec(), self.condition.spec()
        latents = {
            name: tf.TensorSpec([None, *shape], tf.float32, name=name)
            for name, shape in self.latent_shapes.items()
        }

        observation = self.observation

        def encode(condition=None, **x):
            return self.latent_parameters(observation.of_served(x), condition)

        def decode(condition=None, **inputs):
            values = {name: inputs.pop(name) for name in latents}
            z = values["z"] if set(values) == {"z"} else values
            conditions = () if condition is None else (condition,)
            likelihood = self.decode(z, *conditions, **inputs)
            return observation.to_served("reconstruction", likelihood.mean())

        def sample(seed, condition=None):
            draws = self.generate(row_noise(seed), condition)
            x = {name: draws.pop(name) for name in ("reconstruction", "sample")}
            for name, values in x.items():
                draws |= observation.to_served(name, values)
            return draws

        def score(seed, condition=None, **x):
            return self.score(observation.of_served(x), row_noise(seed), condition)

        def score_k64(seed, condition=None, **x):
            log_prob = self.importance_weighted_log_prob(
                observation.of_served(x), row_noise(seed), SCORE_SAMPLES, condition
            )
            return {"log_prob": log_prob}

        return {
            **super().answers(),
            "encode": Answer(encode, x | condition),
            "decode": Answer(decode, latents | condition | observation.companion_spec()),
            "sample": Answer(sample, SEED | condition),
            "score": Answer(score, x | SEED | condition),
            f"score_k{SCORE_SAMPLES}": Answer(score_k64, x | SEED | condition),
        }
