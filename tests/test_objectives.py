import itertools

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from zoo.objectives import WeightSums, importance_weighted_bound

LOG_WEIGHTS = np.random.default_rng(0).normal(-80, 4, size=(6, 5)).astype(np.float32)


def test_bound_is_the_log_of_the_mean_weight():
    np.testing.assert_allclose(
        importance_weighted_bound(tf.constant(LOG_WEIGHTS)),
        logsumexp(LOG_WEIGHTS, axis=0) - np.log(6),
        rtol=1e-6,
    )


def test_bound_of_one_sample_is_the_elbo():
    np.testing.assert_array_equal(
        importance_weighted_bound(tf.constant(LOG_WEIGHTS[:1])), LOG_WEIGHTS[0]
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=6))
def test_bound_never_falls_in_k_averaged_over_all_subsets(log_weights):
    # Burda et al. 2016, theorem 1: L_k is the average of L_m over the m-subsets' bounds, by
    # Jensen's inequality.
    log_weights = np.float32(log_weights)[:, None]
    averages = [
        np.mean(
            [
                importance_weighted_bound(tf.constant(log_weights[list(subset)]))[0]
                for subset in itertools.combinations(range(len(log_weights)), k)
            ]
        )
        for k in range(1, len(log_weights) + 1)
    ]
    assert np.all(np.diff(averages) >= -1e-4)


def test_sums_in_chunks_are_those_of_numpy():
    sums = WeightSums.empty(5)
    for chunk in np.split(LOG_WEIGHTS, 3):
        sums = sums.add(tf.constant(chunk))
    weights = np.exp(LOG_WEIGHTS.astype(np.float64))
    np.testing.assert_allclose(sums.log_mean(6), np.log(weights.mean(0)), rtol=1e-6)
    np.testing.assert_allclose(
        sums.effective_sample_size(), weights.sum(0) ** 2 / (weights**2).sum(0), rtol=1e-4
    )


def test_effective_sample_size_of_equal_weights_is_their_number():
    sums = WeightSums.empty(2).add(tf.fill([7, 2], -123.0))
    np.testing.assert_allclose(sums.effective_sample_size(), [7, 7], rtol=1e-5)


def test_samples_that_are_left_out_count_for_nothing():
    masked = np.concatenate([LOG_WEIGHTS, np.full((2, 5), -np.inf, np.float32)])
    whole, padded = (
        WeightSums.empty(5).add(tf.constant(LOG_WEIGHTS)),
        WeightSums.empty(5).add(tf.constant(masked)),
    )
    for w, p in zip(whole, padded, strict=True):
        np.testing.assert_array_equal(w, p)
