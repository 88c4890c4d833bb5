"""Values for annotated arguments, from Python or as they are typed on a command line. Standard
library alone.

annotation                       typed
int, float, str, Path            3   0.5   text   data/images.npz
bool                             true, false
Literal["a", "b"]                a
T | None, Optional, Union        None, or a value of the first type that takes it; `str` comes last
tuple[int, ...], list[float]     200,200   or a single value, or (200, 200)
tuple[int, str]                  3,text
dict[str, int]                   a:1,b:2   or {"a": 1, "b": 2}
"""

import ast
import collections.abc
import inspect
import math
import numbers
import types
import typing
from pathlib import Path
from typing import Any

SEQUENCES = {
    tuple: tuple,
    list: list,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: tuple,
    collections.abc.Iterable: tuple,
    collections.abc.Collection: tuple,
}
MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def as_annotated(value: Any, hint: Any) -> Any:
    """A value as the type that an annotation names.

    Args:
        value: A Python value, or a string as it is typed.
        hint: The annotation, as `typing.get_type_hints` gives it.

    Raises:
        ValueError: If the value is not of that type.
        TypeError: If the annotation is none of those that are known here.
    """
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return as_annotated(value, parts[0])
    if origin in (types.UnionType, typing.Union):
        return _as_one_of(value, parts)
    if origin is typing.Literal:
        return _as_literal(value, parts)
    if (origin or hint) in SEQUENCES:
        return _as_sequence(value, origin or hint, parts)
    if (origin or hint) in MAPPINGS:
        return _as_mapping(value, parts)
    if hint in SCALARS:
        return SCALARS[hint](value)
    raise TypeError(f"The annotation {shown(hint)} is none that a typed value can be turned into")


def check_annotation(hint: Any) -> None:
    """Raises TypeError, naming it, where an annotation, or a part of it, is none of those that are
    known here."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return
    if origin is typing.Annotated:
        check_annotation(parts[0])
    elif (
        origin in (types.UnionType, typing.Union)
        or (origin or hint) in SEQUENCES
        or (origin or hint) in MAPPINGS
    ):
        for part in parts:
            if part is not Ellipsis:
                check_annotation(part)
    elif hint not in SCALARS:
        raise TypeError(
            f"The annotation {shown(hint)} is none that a typed value can be turned into"
        )


def takes_commas(hint: Any) -> bool:
    """Whether a comma within a typed value belongs to the value."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if (origin or hint) in SEQUENCES or (origin or hint) in MAPPINGS:
        return True
    return origin is not typing.Literal and any(takes_commas(part) for part in parts)


def shown(hint: Any) -> str:
    """An annotation as it is written: "int", "tuple[int, ...]", "Literal['a', 'b']"."""
    return inspect.formatannotation(hint).replace("typing.", "")


# -- Scalars


def _as_none(value):
    if value is None or (isinstance(value, str) and value == "None"):
        return None
    raise ValueError(value)


def _as_bool(value):
    named = {"true": True, "false": False}
    if isinstance(value, str) and value.lower() in named:
        return named[value.lower()]
    if _is_bool(value) or (isinstance(value, numbers.Real) and value in (0, 1)):
        return bool(value)
    raise ValueError(value)


def _as_int(value):
    if isinstance(value, str):
        return int(value)
    if not _is_number(value) or not math.isfinite(value) or int(value) != value:
        raise ValueError(value)
    return int(value)


def _as_float(value):
    if not isinstance(value, str) and not _is_number(value):
        raise ValueError(value)
    return float(value)


def _is_number(value):
    """NumPy's numbers are numbers; a bool is none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_bool(value):
    """Python's or NumPy's, which is not imported here."""
    return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")


def _as_str(value):
    if not isinstance(value, str):
        raise ValueError(value)
    return value


def _as_path(value):
    if not isinstance(value, (str, Path)) or not str(value):
        raise ValueError(value)
    return Path(value)


SCALARS = {
    None: _as_none,
    type(None): _as_none,
    bool: _as_bool,
    int: _as_int,
    float: _as_float,
    str: _as_str,
    Path: _as_path,
    Any: lambda value: value,
}


# -- Of several parts


def _as_one_of(value, options):
    """The first option that takes the value: a Python value's own type before others, and of what
    was typed, `str` at the end."""
    first, last = [], []
    for option in options:
        is_close = (
            type(value) is option
            or typing.get_origin(option) is typing.Literal
            or option in (None, type(None))
        )
        (first if is_close and not (option is str and len(options) > 1) else last).append(option)
    last.sort(key=lambda option: option is str)
    for option in [*first, *last]:
        try:
            return as_annotated(value, option)
        except ValueError:
            continue
    raise ValueError(value)


def _as_literal(value, choices):
    for choice in choices:
        if type(value) is type(choice) and value == choice:
            return choice
    for choice in choices:
        if isinstance(value, str) and str(choice) == value:
            return choice
    # A number or a bool that is written in another way: NumPy's, "0.50", "true".
    for choice in choices:
        if isinstance(choice, (bool, int, float)) and _is_written(value, choice):
            return choice
    raise ValueError(value)


def _is_written(value, choice):
    if _is_bool(value) != isinstance(choice, bool) and not isinstance(value, str):
        return False  # True is 1 in Python
    try:
        return as_annotated(value, type(choice)) == choice
    except ValueError:
        return False


def _as_sequence(value, kind, parts):
    values = _parts_of(value)
    if kind is tuple and parts and parts[-1] is not Ellipsis:
        if len(values) != len(parts):
            raise ValueError(value)
        return tuple(as_annotated(each, part) for each, part in zip(values, parts, strict=True))
    hint = parts[0] if parts else Any
    return SEQUENCES[kind](as_annotated(each, hint) for each in values)


def _as_mapping(value, parts):
    key_hint, value_hint = parts or (Any, Any)
    if isinstance(value, str):
        value = _literal(value) if value.startswith("{") else _pairs(value)
    if not isinstance(value, collections.abc.Mapping):
        raise ValueError(value)
    return {
        as_annotated(key, key_hint): as_annotated(each, value_hint) for key, each in value.items()
    }


def _pairs(text):
    """ "a:1,b:2" -> {"a": "1", "b": "2"}; each key once."""
    pairs = [_pair(each) for each in text.split(",")] if text else []
    if len(dict(pairs)) < len(pairs):
        raise ValueError(text)
    return dict(pairs)


def _pair(text):
    key, colon, value = text.partition(":")
    if not colon:
        raise ValueError(text)
    return key.strip(), value.strip()


def _parts_of(value):
    """The parts of a sequence; of a string "200,200", or "(200, 200)"."""
    if isinstance(value, str):
        if value[:1] in ("(", "["):
            return _parts_of(_literal(value))
        return [part.strip() for part in value.split(",")] if value else []
    if isinstance(value, collections.abc.Mapping) or not isinstance(
        value, collections.abc.Iterable
    ):
        raise ValueError(value)
    return list(value)


def _literal(text):
    try:
        return ast.literal_eval(text)
    except (SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError(text) from None
