"""Private names of Keras that the layers need, because no public one says the same."""

import keras


def outermost_layer() -> keras.layers.Layer | None:
    """The layer or model whose call is running, the outermost one where calls are nested; None
    outside of all calls."""
    context = keras.src.backend.common.global_state.get_global_attribute("current_call_ctx")
    return None if context is None else context.entry_layer


def layers_inside(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layer itself and all layers in it at any depth, in an order that saving and loading
    keep."""
    return list(layer._flatten_layers())
