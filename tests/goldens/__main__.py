"""Writes the goldens anew: all of them, or the kinds that are named; or what is new alone."""

import json
import sys
from collections.abc import Callable

from tests import goldens
from zoo import registry

# Kind -> what has goldens of it.
THINGS: dict[str, Callable] = {
    "numbers": goldens.stored,
    "draws": goldens.stored,
    "fits": lambda: [(name,) for name in registry.list_recipes()],
    "answers": goldens.stored,
}
MAKE: dict[str, Callable] = {
    "numbers": goldens.numbers,
    "draws": goldens.draws,
    "fits": lambda name: {mode: goldens.fit(name, mode) for mode in goldens.MODES},
    "answers": lambda n, v: goldens.answers(n, v, goldens.served(n, v)),
}


def main(kinds):
    only_new = kinds == ["new"]
    for kind in THINGS if only_new or not kinds else kinds:
        kept = goldens.read(kind) if only_new else {}
        content = {}
        for thing in THINGS[kind]():
            name = "/".join(map(str, thing))
            content[name] = kept[name] if name in kept else MAKE[kind](*thing)
        (goldens.DIRECTORY / f"{kind}.json").write_text(
            json.dumps(content, indent=1) + "\n", encoding="utf-8"
        )
        print(f"Written: {kind}.json")


main(sys.argv[1:])
