"""The private names of TensorFlow and Keras that the package leans on: these tests are the first to
fail where a version changes one."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo import compat
from zoo.generators import generators_left_alone

PACKAGE = Path(compat.__file__).parent
PRIVATE = r"tensorflow\.python|keras\.src|\b\w+\._(?:flatten_layers|clip_gradients|rng|seed)\b"


def test_private_names_stand_in_one_file():
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if re.search(PRIVATE, path.read_text(encoding="utf-8"))
    }
    assert found == {"compat.py"}


class Outer(keras.layers.Layer):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x)


class Witness(keras.layers.Layer):
    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def call(self, x):
        self.seen(compat.outermost_layer())
        return x


def test_the_outermost_layer_is_the_one_whose_call_began():
    seen = []
    outer = Outer(Witness(seen.append))
    outer(tf.zeros([1]))  # builds the witness, by a call of its own
    seen.clear()
    outer(tf.zeros([1]))
    assert seen == [outer] and compat.outermost_layer() is None


def test_layers_at_any_depth_are_found():
    witness = Witness(print)
    outer = Outer(keras.Sequential([witness, keras.layers.Dense(1)]))
    assert {witness, outer} < set(compat.layers_inside(outer))


@pytest.mark.parametrize(
    "rule, expected",
    [
        ({"clipvalue": 0.5}, [0.5, -0.5]),
        ({"clipnorm": 1.0}, [0.6, -0.8]),
        ({"global_clipnorm": 10.0}, [3.0, -4.0]),
    ],
)
def test_an_optimizer_clips(rule, expected):
    (clipped,) = compat.clip(keras.optimizers.SGD(**rule), [tf.constant([3.0, -4.0])])
    np.testing.assert_allclose(clipped, expected, rtol=1e-6)


def test_the_default_strategy_is_that_of_one_device_within_another_s_scope():
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        assert compat.default_strategy() is not tf.distribute.get_strategy()
    assert compat.default_strategy() is tf.distribute.get_strategy()


def test_an_optimizer_belongs_to_the_strategy_that_it_was_made_in():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        optimizer = keras.optimizers.SGD()
    assert compat.strategy_of(optimizer) is strategy


def test_op_determinism_is_off_unless_it_was_asked_for():
    assert compat.op_determinism_is_on() is False


def test_gpus_have_memory():
    assert len(compat.gpu_memory()) == len(tf.config.list_physical_devices("GPU"))


def test_global_generators_go_on_where_they_were():
    tf.random.set_seed(1)
    keras.utils.set_random_seed(1)
    keras.random.normal([2])
    with generators_left_alone():
        expected = keras.random.normal([2]), np.random.rand(2)
    with generators_left_alone():
        keras.utils.set_random_seed(2)
        keras.random.normal([2])
    np.testing.assert_array_equal(keras.random.normal([2]), expected[0])
    np.testing.assert_array_equal(np.random.rand(2), expected[1])


def test_ops_are_known_and_say_whether_they_keep_a_state():
    assert compat.op_definition("RandomUniform").is_stateful
    assert not compat.op_definition("MatMul").is_stateful
    assert compat.op_definition("NoSuchOp") is None


def test_a_saved_model_gets_the_fingerprint_of_its_graph(tmp_path):
    module = tf.Module()
    module.f = tf.function(lambda x: x + 1.0, input_signature=[tf.TensorSpec([], tf.float32)])
    tf.saved_model.save(module, tmp_path)
    before = (tmp_path / "fingerprint.pb").read_bytes()
    (tmp_path / "fingerprint.pb").unlink()
    compat.write_fingerprint(str(tmp_path))
    after = tf.saved_model.experimental.read_fingerprint(str(tmp_path))
    assert len(before) > 0 and after.saved_model_checksum != 0
