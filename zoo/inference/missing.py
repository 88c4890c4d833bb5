"""The bound of x with gaps."""

from typing import Any

import keras

from zoo.inference.reparameterized import ImportanceWeighted


@keras.saving.register_keras_serializable(package="zoo")
class MIWAE(ImportanceWeighted):
    """`ImportanceWeighted` of x with gaps: the encoder sees zeros and the mask, and the bound
    counts what was seen,

        log 1/S sum_s p(x_observed|z_s) p(z_s) / q(z_s|x_observed)  <=  log p(x_observed),

    which is all that there is to be explained where values are missing at random.

    Args:
        num_samples: S.

    Reference:
        Mattei & Frellsen, "MIWAE: deep generative modelling and imputation of incomplete data
        sets", ICML 2019. https://arxiv.org/abs/1812.02633
    """

    def __init__(self, num_samples: int = 20, **kwargs: Any) -> None:
        super().__init__(num_samples, **kwargs)

    def check(self, model: keras.Model) -> None:
        super().check(model)
        model.assert_gaps()
