"""Schedules against their formulas in NumPy, eager and compiled."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo import schedules
from zoo.schedules import Constant, Cyclical, Exponential, Linear, as_schedule

STEPS = np.array([0, 1, 4, 5, 9, 10, 19, 20, 23, 39, 40, 1000, 3_000_007])

# Each schedule, and what it is at step t.
FORMULAS = [
    (Constant(4), lambda t: 4.0),
    (Linear(0.0, 25.0, 20), lambda t: 25 * min(t, 20) / 20),
    (Linear(1.0, 0.25, 10), lambda t: 1 - 0.75 * min(t, 10) / 10),
    (Cyclical(20), lambda t: min((t % 20) / 10, 1)),
    (Cyclical(10, ramp=0.8, low=0.5, high=2.0), lambda t: 0.5 + 1.5 * min((t % 10) / 8, 1)),
    (Cyclical(7, ramp=1.0), lambda t: (t % 7) / 7),
    (Exponential(1.0, 0.5, 0.01), lambda t: max(0.5, math.exp(-0.01 * t))),
]


def test_values_are_the_formulas_eager_and_compiled():
    def values(step):
        return [schedule(step) for schedule, _ in FORMULAS]

    compiled = tf.function(values, jit_compile=True)
    for step in STEPS:
        expected = [formula(int(step)) for _, formula in FORMULAS]
        for received in (
            values(int(step)),
            compiled(tf.constant(step, tf.int32)),
            compiled(tf.constant(step, tf.int64)),
        ):
            assert all(value.dtype == tf.float32 and value.shape == () for value in received)
            np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)
    # One of int32, one of int64: not one of each step.
    assert compiled.experimental_get_tracing_count() == 2


def test_ends_are_reached_exactly():
    assert float(Linear(0.1, 0.7, 3)(3)) == np.float32(0.7)
    assert float(Linear(0.1, 0.7, 3)(0)) == np.float32(0.1)
    assert float(Exponential(1.0, 0.3, 0.1)(10_000)) == np.float32(0.3)


@pytest.mark.parametrize(
    "schedule", [schedule for schedule, _ in FORMULAS], ids=lambda schedule: type(schedule).__name__
)
def test_configuration_survives_json_and_keras(schedule):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(schedule)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(schedule) and again.get_config() == schedule.get_config()


def test_every_argument_changes_the_values():
    def curve(schedule):
        return tuple(float(schedule(step)) for step in range(12))

    linear, cyclical, exponential = (
        Linear(0.0, 1.0, 5),
        Cyclical(6, 0.5, 0.0, 1.0),
        Exponential(1.0, 0.5, 0.1),
    )
    for base, changes in (
        (linear, [{"start": 0.5}, {"end": 2.0}, {"num_steps": 6}]),
        (cyclical, [{"period": 7}, {"ramp": 0.9}, {"low": 0.5}, {"high": 2.0}]),
        (exponential, [{"start": 2.0}, {"end": 0.6}, {"rate": 0.2}]),
    ):
        for change in changes:
            assert curve(type(base)(**base.get_config() | change)) != curve(base), change


def test_numbers_become_schedules_and_schedules_stay():
    assert (
        as_schedule(4, "beta").get_config()
        == as_schedule(np.float32(4), "beta").get_config()
        == {"value": 4.0}
    )
    schedule = Linear(0, 1, 2)
    assert as_schedule(schedule, "beta") is schedule
    for wrong in (-1.0, math.inf, math.nan, "4", None, True, lambda step: 1.0):
        with pytest.raises(
            ValueError,
            match=r"`beta` must be a non-negative number or a schedule of `zoo.schedules`. "
            r"Received: beta=",
        ):
            as_schedule(wrong, "beta")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(-0.5), "`value` must be a non-negative number. Received: value=-0.5."),
        (lambda: Constant(math.nan), "`value` must be a non-negative number. Received: value=nan."),
        (lambda: Constant("1"), "`value` must be a non-negative number. Received: value='1'."),
        (lambda: Linear(-1, 1, 10), "`start` must be a non-negative number. Received: start=-1."),
        (
            lambda: Linear(0, math.inf, 10),
            "`end` must be a non-negative number. Received: end=inf.",
        ),
        (lambda: Linear(0, 1, 0), "`num_steps` must be a positive integer. Received: num_steps=0."),
        (
            lambda: Linear(0, 1, 2.5),
            "`num_steps` must be a positive integer. Received: num_steps=2.5.",
        ),
        (lambda: Cyclical(0), "`period` must be a positive integer. Received: period=0."),
        (
            lambda: Cyclical(10, ramp=0.0),
            "`ramp` must be a fraction in (0, 1]. Received: ramp=0.0.",
        ),
        (
            lambda: Cyclical(10, ramp=1.5),
            "`ramp` must be a fraction in (0, 1]. Received: ramp=1.5.",
        ),
        (
            lambda: Cyclical(10, low=-1.0),
            "`low` must be a non-negative number. Received: low=-1.0.",
        ),
        (
            lambda: Cyclical(10, high=True),
            "`high` must be a non-negative number. Received: high=True.",
        ),
        (
            lambda: Exponential(1.0, -0.1, 0.1),
            "`end` must be a non-negative number. Received: end=-0.1.",
        ),
        (
            lambda: Exponential(1.0, 0.5, -0.1),
            "`rate` must be a non-negative number. Received: rate=-0.1.",
        ),
    ],
)
def test_what_is_no_schedule_is_told(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message


def test_a_schedule_of_ones_own_is_a_subclass():
    class Step(schedules.Schedule):
        def __init__(self, at):
            self.at = at

        def __call__(self, step):
            return tf.cast(step >= self.at, tf.float32)

    assert as_schedule(Step(3), "beta").get_config() == {"at": 3}
    assert [float(Step(3)(step)) for step in (2, 3)] == [0.0, 1.0]
