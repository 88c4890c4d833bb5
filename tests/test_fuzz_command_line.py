"""Whatever is typed after `zoo`, and whatever lies where it points: a result, or one line and
nothing half-written."""

import contextlib
import io
import json
import logging
import os
import random
import shutil
import time

import numpy as np
import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from PIL import Image

import zoo
from tests.fuzzing import SECONDS, scratch_in, tried
from zoo import cli
from zoo.engine import execution
from zoo.runs import training
from zoo.store import cards, exports

TINY = {"epochs": 1, "batch_size": 600, "hidden_units": (4,), "latent_dim": 2}
OWN_RECIPE = '''"""A recipe of somebody's own."""

import zoo


def recipe(
    *, data: str = "mine.npz", train: str = "train", epochs: int = 1, learning_rate: float = 0.01
) -> zoo.Recipe:
    def model():
        posterior, likelihood = zoo.layers.DiagonalNormal(2), zoo.layers.Bernoulli((8, 8, 1))
        encoder = zoo.networks.MLP((4,), posterior.num_params)
        decoder = zoo.networks.MLP((4,), likelihood.num_params)
        return zoo.VAE(encoder, decoder, posterior, likelihood)

    def optimizer(num_steps):
        import keras

        return keras.optimizers.Adam(learning_rate)

    dataset = zoo.Dataset(name=data, train=train, validation="test")
    return zoo.Recipe(
        family="VAE",
        model=model,
        optimizer=optimizer,
        dataset=dataset,
        epochs=epochs,
        batch_size=10,
    )
'''


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A directory with a run, an export, a stored model, data and a recipe, each as it should
    be."""
    directory = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        # Compiling takes longer than these few steps.
        patch.setattr(execution, "execution_mode", lambda *arguments: "eager")
        training.train("vae_digits", TINY, out=directory / "run", verbose=0)
        exports.export_model(directory / "run", directory / "served")
        shutil.copytree(cards.model_directory("vae_digits"), directory / "model")
        images = zoo.data.load("digits", "test[:20]")["image"]
        np.savez(directory / "mine.npz", train=images, test=images[:10])
        for split in ("train", "test"):
            (directory / "pictures" / split).mkdir(parents=True)
            for i, image in enumerate(images[:6]):
                Image.fromarray(image[..., 0]).save(directory / "pictures" / split / f"{i}.png")
        (directory / "own.py").write_text(OWN_RECIPE)
        before = contents(directory)
        yield directory
        assert contents(directory) == before


def contents(directory):
    """Relative path -> bytes of a file, None of a directory."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
        for path in directory.rglob("*")
    }


# -- Damage

OTHERS = st.sampled_from(
    [None, [], {}, "", "odd", 3, -1, 10**30, 0.5, float("nan"), True, ["a"], {"a": 1}]
)


def change_json(data, path):
    """Puts something else in one place of a JSON file."""
    content = json.loads(path.read_text())
    place, parent = content, None
    while (
        isinstance(place, dict | list)
        and len(place)
        and (parent is None or data.draw(st.booleans(), "deeper"))
    ):
        key = data.draw(
            st.sampled_from(sorted(place))
            if isinstance(place, dict)
            else st.integers(0, len(place) - 1),
            "key",
        )
        parent, place = (place, key), place[key]
    holder, key = parent
    if data.draw(st.booleans(), "is removed"):
        del holder[key]
    else:
        holder[key] = data.draw(OTHERS, "value")
    path.write_text(json.dumps(content))


def damage(data, root):
    """Damages one file of a directory, or a file."""
    files = sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else [root]
    path = data.draw(st.sampled_from(files), "file")
    kinds = ["nothing", "empty", "cut", "bytes", "removed", "a directory", "another file"]
    kind = data.draw(
        st.sampled_from(kinds + ["json"] * 6 if path.suffix == ".json" else kinds), "damage"
    )
    content = path.read_bytes()
    if kind == "json":
        change_json(data, path)
    elif kind in ("empty", "cut"):
        path.write_bytes(content[: 0 if kind == "empty" else len(content) // 2])
    elif kind == "bytes":
        chance = random.Random(data.draw(st.integers(0, 1000), "seed"))
        changed = bytearray(content)
        for _ in range(5):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        path.write_bytes(changed)
    elif kind == "another file":
        path.write_bytes(
            data.draw(
                st.sampled_from(
                    [b"{}", b"[]", b"null", b"\x89PNG", b"PK\x03\x04", b"\xff\xfe", b"x" * 1000]
                ),
                "content",
            )
        )
    elif kind != "nothing":
        path.unlink()
        if kind == "a directory":
            path.mkdir()


# -- What is typed

WORDS = st.sampled_from(
    [
        "",
        " ",
        "a",
        "vae_digits",
        "vae_digit",
        "no/where",
        "..",
        "/",
        "x" * 300,
        "é☃",
        "%s",
        "{}",
        "a\nb",
        "nan",
        "-1",
        "--",
        "-x",
    ]
)
NUMBERS = st.sampled_from(
    ["0", "1", "2", "-1", "1.5", "nan", "inf", "", "one", "1e3", "²", "99999999999999999999"]
)
SPLITS = st.sampled_from(
    [
        "test[:5]",
        "validation",
        "train[:5]",
        "test[:0]",
        "nowhere",
        "test[",
        "test[5:2]",
        "",
        "all",
        "test[-3:]",
        "%d",
    ]
)
ASSIGNED = {
    "epochs": ["1", "0", "-1", "1.5", "", "nan", "one", "99999999999999999999"],
    "hidden_units": ["4", "4,", ",", "0", "-3", "4,4", "a", "", "()", "1e2"],
    "latent_dim": ["2", "0", "-1", "2.0", "2,3", "two"],
    "learning_rate": ["0.1", "0", "-1", "nan", "inf", "1e38", "a"],
    "batch_size": ["100", "0", "-1", "5000"],
    "seed": ["0", "-1", "4294967296", "1.5"],
    "epoch": ["1"],
    "data": [
        "mine.npz",
        "pictures",
        "own.py",
        "nowhere",
        "digits",
        "vae_digits",
        "",
        "mnist:9.9.9",
        ".",
    ],
    "train": ["train[:5]", "nowhere", "", "train["],
}
NAMES = ["run", "served", "model", "mine.npz", "pictures", "own.py"]


class Typed:
    """Draws the words of a command, in a directory that holds a copy of what the shop does, perhaps
    damaged."""

    def __init__(self, data, place, is_light):
        self.data, self.place, self.is_light = data, place, is_light

    def some(self, *choices):
        return self.data.draw(st.sampled_from(choices))

    def target(self):
        names = [
            *NAMES,
            "served/vae_digits",
            "served/vae_digits/1",
            "model/1",
            "vae_digits",
            "empty",
            "run/run.json",
            "run/model.json",
        ]
        return self.some(*names) if self.some(True, True, False) else self.data.draw(WORDS)

    def out(self, suffix):
        return self.some(
            f"new{suffix}",
            "empty",
            "run",
            "run/run.json",
            "no/where/new",
            "own.py",
            f"deep/er/new{suffix}",
            "new.txt",
            "",
        )

    def assignments(self, *names):
        chosen = self.data.draw(st.lists(st.sampled_from(names), max_size=2), "arguments")
        return [f"{name}={self.some(*ASSIGNED[name])}" for name in chosen]

    def options(self, **values):
        """Some of the options, each with a value."""
        chosen = self.data.draw(
            st.lists(st.sampled_from(sorted(values)), max_size=2, unique=True), "options"
        )
        words = []
        for name in chosen:
            value = values[name]
            words += [
                f"--{name.replace('_', '-')}",
                *([] if value is None else [self.data.draw(value)]),
            ]
        return words

    def outs(self, suffix):
        return st.deferred(lambda: st.just(self.out(suffix)))

    def words(self):
        commands = [
            "show",
            "copy",
            "train",
            "sweep",
            "evaluate",
            "sample",
            "reconstruct",
            "push",
            "export",
            "report",
            "serve",
            "verify",
        ]
        command = self.some(*commands, *([] if self.is_light else ["check", "list"]))
        return [command, *getattr(self, command)()]

    def show(self):
        return [self.target(), *self.options(x=None)]

    def list(self):
        return self.options(markdown=None, x=None)

    def copy(self):
        return [
            self.some("vae_digits", "own.py", self.target()),
            self.some("new.py", "new.txt", "own.py", "no/where.py", "a b.py", "empty", ""),
        ]

    def train(self):
        fine = ["epochs=1", "hidden_units=4", "batch_size=600"]
        kind = self.some("own", "own", "digits", "resume", "any")
        if kind == "own":
            words = [
                "own.py",
                *self.assignments("data", "data", "train", "epochs", "learning_rate", "seed"),
            ]
        elif kind == "digits":
            words = [
                "vae_digits",
                *fine,
                *self.assignments(
                    "epochs",
                    "hidden_units",
                    "latent_dim",
                    "learning_rate",
                    "batch_size",
                    "seed",
                    "epoch",
                ),
            ]
        elif kind == "resume":
            words = [self.some("run", "vae_digits", "own.py", "empty"), "--resume"]
        else:
            words = [self.target(), *fine]
        out = ["--out", self.some("new", self.out(""))]
        extra = self.options(
            checkpoint_minutes=NUMBERS,
            dry_run=None,
            data_dir=WORDS,
            strategy=st.sampled_from(["odd", ""]),
            **{"import": WORDS},
        )
        return [
            *words,
            *(out if kind != "resume" or self.some(True, False) else ["--out", "run"]),
            *extra,
        ]

    def sweep(self):
        arguments = self.assignments(
            "epochs", "hidden_units", "latent_dim", "learning_rate", "seed"
        )
        return [
            self.some("vae_digits", self.target()),
            "hidden_units=4",
            *arguments,
            "--dry-run",
            *self.options(out=self.outs(""), jobs=NUMBERS),
        ]

    def evaluate(self):
        values = {
            "split": SPLITS,
            "seed": NUMBERS,
            "metrics": WORDS,
            "json": self.outs(".json"),
            "data_dir": WORDS,
            "import": WORDS,
        }
        if not self.is_light:
            values["quality"] = None
        return [
            self.target(),
            "--num-samples",
            self.some("1", "2", self.data.draw(NUMBERS)),
            *self.options(**values),
        ]

    def sample(self):
        return [
            self.target(),
            "--out",
            self.out(".png"),
            *self.options(label=NUMBERS, seed=NUMBERS, **{"import": WORDS}),
        ]

    def reconstruct(self):
        return [self.target(), "--out", self.out(".png"), *self.options(data_dir=WORDS)]

    def report(self):
        targets = [self.target() for _ in range(self.some(1, 1, 2, 3))]
        return [*targets, "--out", self.out(".html"), *self.options(data_dir=WORDS)]

    def export(self):
        formats = st.sampled_from(
            ["saved_model", "odd"] if self.is_light else ["saved_model", "odd", "litert"]
        )
        return [
            self.target(),
            "--out",
            self.some("new", self.out("")),
            *self.options(format=formats),
        ]

    def check(self):
        return [self.target(), *self.options(**{"import": WORDS})]

    def serve(self):
        return [
            self.some("empty", "own.py", "nowhere", "mine.npz"),
            *self.options(rest_port=NUMBERS),
        ]

    def verify(self):
        return [
            self.some("own.py", "nowhere", "empty"),
            *self.options(version=NUMBERS, new_seed=NUMBERS),
        ]

    def push(self):
        targets = [self.target() for _ in range(self.some(1, 1, 2))]
        values = {"version": NUMBERS, "replace": None, "data_dir": WORDS, "import": WORDS}
        return [
            *targets,
            "--root",
            "new",
            "--allow-dirty",
            "--num-samples",
            self.some("1", self.data.draw(NUMBERS)),
            *self.options(**values),
        ]


@contextlib.contextmanager
def within(directory):
    before = os.getcwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


def check_command(shop, data, is_light):
    place = shop.parent / f"{shop.name}_odd"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(shop, place)
    try:
        (place / "empty").mkdir()
        harmed = data.draw(st.sampled_from(NAMES), "harmed")
        damage(data, place / harmed)
        words = Typed(data, place, is_light).words()
        note(f"zoo {words}")
        with within(place):
            before = contents(place)
            status, error = answer(words)
            assert scratch_in(place) == []
            if status:
                assert_nothing_half_written(place, before)
        assert status == 0 or is_one_line(error) or (status == 1 and words[0] == "check"), (
            f"status {status}: {error!r}"
        )
    finally:
        shutil.rmtree(place, ignore_errors=True)


def answer(words):
    """(status, the standard error) of a command."""
    out, error, started = io.StringIO(), io.StringIO(), time.monotonic()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            status = cli.main(words)
        except SystemExit as end:  # argparse's, after its usage
            assert end.code == 2, end
            return 2, f"zoo: {error.getvalue().strip().splitlines()[-1]}"
    assert time.monotonic() - started < SECONDS
    return status, error.getvalue()


def is_one_line(error):
    """Whether it ends in the one line of an error that is meant for users."""
    lines = [line for line in error.strip().splitlines() if line.startswith("zoo: ")]
    return (
        len(lines) == 1
        and error.strip().splitlines()[-1] == lines[0]
        and "ZOO_TRACEBACK" not in error
        and len(error) < 1500
    )


def assert_nothing_half_written(place, before):
    """What stood there stands; what is new are directories of runs that began, or hold nothing."""
    after = contents(place)
    assert {name: after.get(name, "gone") for name in before if not name.startswith("run/")} == {
        name: content for name, content in before.items() if not name.startswith("run/")
    }
    new = [
        name
        for name in after
        if name not in before and after[name] is not None and not name.startswith("run/")
    ]
    assert all((place / name).parent.joinpath("run.json").is_file() for name in new), new


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setattr(execution, "execution_mode", lambda *arguments: "eager")
    yield
    logging.getLogger("zoo").setLevel("NOTSET")


@tried(25)
@given(data=st.data())
def test_commands(shop, data):
    check_command(shop, data, is_light=True)


@pytest.mark.slow
@tried(400)
@given(data=st.data())
def test_many_commands(shop, data):
    check_command(shop, data, is_light=False)
