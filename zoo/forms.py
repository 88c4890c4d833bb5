"""Whether a value that was read from JSON has the form that its reader counts on. Standard library
alone."""

import json
from typing import Any

NUMBER = (int, float)


def check_form(value: Any, form: Any, name: str = "the content") -> None:
    """Raises unless a value has a form.

    Args:
        value: What `json.loads` gave.
        form: A type or a tuple of types (`None` among them for null, `object` for anything);
            `[form]` for a list of any length; `{str: form}` for a dict with any keys; `{"key":
            form, ...}` for a dict that has at least these keys.
        name: What the value is called in the message.

    Raises:
        KeyError: If a key is missing.
        TypeError: If a value is of another type.
    """
    if isinstance(form, list):
        _check_type(value, list, name)
        for index, each in enumerate(value):
            check_form(each, form[0], f"{name}[{index}]")
    elif isinstance(form, dict):
        _check_type(value, dict, name)
        for key, each in form.items():
            if key is str:
                for received, content in value.items():
                    check_form(content, each, f"{name}[{received!r}]")
            else:
                check_form(value[key], each, key if name == "the content" else f"{name}[{key!r}]")
    else:
        _check_type(value, form, name)


def is_one_name(value: Any) -> bool:
    """Whether a text names one thing in a directory, and leads nowhere else, on Windows as well."""
    return (
        isinstance(value, str) and value not in ("", ".", "..") and not set(value) & set("/\\:\0")
    )


def check_name(value: str, name: str) -> None:
    """Raises ValueError unless a text that directories are named by is one name."""
    if not is_one_name(value):
        raise ValueError(
            f"`{name}` must be a name without a path. Received: {json.dumps(value)[:60]}"
        )


def _check_type(value, types, name):
    types = types if isinstance(types, tuple) else (types,)
    if object in types or (value is None and None in types):
        return
    of_types = tuple(each for each in types if each is not None)
    # JSON's true is no number, though Python's is.
    if not isinstance(value, of_types) or (isinstance(value, bool) and bool not in of_types):
        expected = " or ".join("null" if each is None else each.__name__ for each in types)
        raise TypeError(f"`{name}` must be of type {expected}. Received: {json.dumps(value)[:60]}")
