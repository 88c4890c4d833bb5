"""Writes the goldens anew: all of them, or the kinds that are named."""

import json
import sys

from tests import goldens
from zoo import registry


def main(kinds):
    make = {
        "numbers": lambda: {f"{n}/{v}": goldens.numbers(n, v) for n, v in goldens.stored()},
        "draws": lambda: {f"{n}/{v}": goldens.draws(n, v) for n, v in goldens.stored()},
        "fits": lambda: {
            n: {mode: goldens.fit(n, mode) for mode in goldens.MODES}
            for n in registry.list_recipes()
        },
        "answers": lambda: {
            f"{n}/{v}": goldens.answers(n, v, goldens.served(n, v)) for n, v in goldens.stored()
        },
    }
    for kind in kinds or make:
        (goldens.DIRECTORY / f"{kind}.json").write_text(
            json.dumps(make[kind](), indent=1) + "\n", encoding="utf-8"
        )
        print(f"Written: {kind}.json")


main(sys.argv[1:])
