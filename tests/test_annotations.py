"""Arguments of recipes: every annotation that an author would write takes what is typed for it, or
refuses it."""

from pathlib import Path
from typing import Any, Literal, Optional

import numpy as np
import pytest

from zoo import registry
from zoo.annotations import as_annotated, check_annotation, shown, takes_commas


@pytest.mark.parametrize(
    ("hint", "typed", "value"),
    [
        (list[float], "0.5,1", [0.5, 1.0]),
        (list[float], [1, 2], [1.0, 2.0]),
        (tuple[int, ...], "16", (16,)),
        (tuple[int, ...], "(200, 200)", (200, 200)),
        (tuple[int, ...] | None, "1,2", (1, 2)),
        (tuple[int, str], "3,x", (3, "x")),
        (tuple[tuple[int, int], ...], "(1,2),(3,4)", ((1, 2), (3, 4))),
        (tuple[tuple[int, int], ...], "((1,2),(3,4))", ((1, 2), (3, 4))),
        (set[str], "a,b,a", {"a", "b"}),
        (dict[str, int], "a:1,b:2", {"a": 1, "b": 2}),
        (dict[str, tuple[int, ...]], "{'a': (1, 2)}", {"a": (1, 2)}),
        (Literal["a", "b"], "b", "b"),
        (Literal[1, 2], "2", 2),
        (float | Literal["shared"], "0.1", 0.1),
        (float | Literal["shared"], "shared", "shared"),
        (Optional[int], "None", None),  # noqa: UP045
        (int | str, "5", 5),
        (str | int, "5", 5),
        (int | str, "five", "five"),
        (float | int, 3, 3),
        (int | bool, True, True),
        (list[int] | dict[str, int] | None, "a:1", {"a": 1}),
        (Path, "a/b.npz", Path("a/b.npz")),
        (bool, "True", True),
        (bool, 0, False),
        (bool, np.True_, True),
        (Literal[1, 2], np.int64(2), 2),
        (Literal[0.5, 1.0], "0.50", 0.5),
        (Literal[0.5, 1.0], np.float32(1), 1.0),
        (Literal[True, False], "true", True),
        (Literal[True, 2], "true", True),
        (Literal[0, True], np.True_, True),
        (int, np.int64(3), 3),
        (float, np.float32(0.5), 0.5),
        (Any, "text", "text"),
    ],
)
def test_a_value_takes_its_annotated_type(hint, typed, value):
    check_annotation(hint)
    received = as_annotated(typed, hint)
    assert received == value and type(received) is type(value)


@pytest.mark.parametrize(
    ("hint", "typed"),
    [
        (list[float], "0.5,x"),
        (tuple[int, str], "3"),
        (tuple[int, ...], "(1, 2"),
        (tuple[int, ...], 3),
        (dict[str, int], "a"),
        (dict[str, int], "a:1,a:2"),
        (Literal[1, 2], True),
        (Literal[True, False], 1),
        (dict[str, int], "[1]"),
        (Literal["a", "b"], "c"),
        (Literal[1, 2], True),
        (int | None, "x"),
        (Path, 3),
        (int, True),
        (int, 2.5),
        (int, np.float32(2.5)),
        (int, [1]),
        (int, float("nan")),
        (float, True),
        (bool, 2),
        (str, 3),
    ],
)
def test_other_values_are_refused(hint, typed):
    check_annotation(hint)
    with pytest.raises(ValueError):
        as_annotated(typed, hint)


def test_commas_belong_to_what_has_parts():
    assert all(map(takes_commas, (list[float], tuple, dict[str, int], tuple[int, ...] | None)))
    assert not any(map(takes_commas, (int, str, Literal["a", "b"], float | None)))


RECIPE = '''"""Mine."""

from __future__ import annotations

from typing import Literal


def recipe(
    *, mode: Literal["a", "b"] = "a", weights: list[float] = (), z: complex = 1j, free=3, none=None
):
    return locals()
'''
LEAVES_A_TRACE = '''"""Mine."""

from pathlib import Path

with Path(__file__).with_name("ran").open("a") as file:
    file.write("x")


def recipe(*, a: int = 1):
    return a
'''


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(RECIPE)
    return registry.find(path)


def test_a_recipe_binds_them_by_its_annotations_and_defaults(file):
    bound = file.bind({"mode": "b", "weights": "1,2", "free": "4", "none": "any"})
    assert bound == {"mode": "b", "weights": [1.0, 2.0], "z": 1j, "free": 4, "none": "any"}
    assert shown(Literal["a", "b"]) == "Literal['a', 'b']"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            {"mode": "c"},
            r"'mode' of recipe 'mine' must be of type Literal\['a', 'b'\]. Received: mode='c'",
        ),
        (
            {"weights": "1,x"},
            r"'weights' of recipe 'mine' must be of type list\[float\]. Received: weights='1,x'",
        ),
        (
            {"z": "1"},
            r"'z' of recipe 'mine' takes no value: The annotation complex .* Received: z='1'. "
            r"Annotate it as bool",
        ),
    ],
)
def test_mistakes_are_told_with_the_annotation(file, typed, message):
    with pytest.raises(ValueError, match=message):
        file.bind(typed)


def test_annotations_that_cannot_be_read_are_told(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from __future__ import annotations\n\ndef recipe(*, a: Unheard = 1):\n    return a\n"
    )
    with pytest.raises(
        ValueError,
        match="annotations of recipe 'mine' cannot be read: name 'Unheard' is not defined",
    ):
        registry.find(path).bind({})


def test_a_recipe_file_is_run_once_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(LEAVES_A_TRACE)
    file = registry.find(path)
    assert file.docstring() == "Mine." and not (tmp_path / "ran").exists()  # read, not run
    file.bind({"a": "2"})
    assert file.build({"a": "2"}) == 2
    assert sorted(child.name for child in tmp_path.iterdir()) == ["mine.py", "ran"]
    assert (tmp_path / "ran").read_text() == "x"
