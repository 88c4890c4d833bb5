"""The core works without the extras, and what needs one says which."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.extras import EXTRAS, MissingExtra, need

ROOT = Path(__file__).parents[1]
# The name by which a package is installed, where its modules are called otherwise.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "google": "protobuf",
    "grpc": "grpcio",
    "sklearn": "scikit-learn",
    "tensorflow_serving": "tensorflow-serving-api",
}
WITHOUT = "import sys\nfor name in {names}:\n    sys.modules[name] = None\n"


def run(code, extras=EXTRAS):
    names = sorted({name for extra in extras for name in EXTRAS[extra]})
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(names=names) + code],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def test_the_core_trains_saves_loads_and_samples_without_extras(tmp_path):
    code = f"""
import numpy as np, zoo
posterior, likelihood = zoo.layers.DiagonalNormal(2), zoo.layers.Bernoulli((4, 4, 1))
encoder = zoo.networks.MLP((4,), posterior.num_params)
decoder = zoo.networks.MLP((4,), likelihood.num_params)
model = zoo.VAE(encoder, decoder, posterior, likelihood)
model.compile("adam", jit_compile=False)
images = np.zeros((20, 4, 4, 1), "uint8")
model.fit(images, batch_size=10, verbose=0)
model.save({str(tmp_path / "model.keras")!r})
zoo.evaluate(model, images, num_samples=4, verbose=0)
assert zoo.load("vae_digits").sample(2).shape == (2, 8, 8, 1)
assert not [name for name in sys.modules if name.startswith("zoo.serving")]
"""
    done = run(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "extra, code, what",
    [
        ("data", "zoo.data.load('digits', 'train')", "The digits of scikit-learn"),
        ("data", "zoo.data.load('mnist', 'train')", "Data sets of TFDS"),
        ("data", "zoo.data.load('recipes', 'train')", "Pictures"),
        ("plots", "zoo.plots", "Pictures"),
        (
            "metrics",
            "from zoo.evaluation import generation as g; g.precision([[0.0]], [[0.0]])",
            "Precision and recall",
        ),
        ("metrics", "import zoo.evaluation.disentanglement", "Scores beside known factors"),
        ("cells", "zoo.data.load('worm_neurons', 'train')", "Cells"),
        ("serving", "zoo.export", "Exports"),
        ("serving", "zoo.serving.Client('grpc://localhost:1', 'vae')", "Clients by gRPC"),
    ],
)
def test_what_needs_an_extra_says_which(extra, code, what):
    done = run(f"import zoo\n{code}", [extra])
    last = done.stderr.strip().splitlines()[-1]
    assert re.search(rf"MissingExtra: {what} need .* pip install 'vae-zoo\[{extra}\]'$", last), last


def test_the_command_line_says_it_in_one_line():
    code = "from zoo import cli\nsys.exit(cli.main(['sample', 'vae_digits', '--out', 'x.png']))"
    done = run(code, ["plots"])
    lines = [line for line in done.stderr.splitlines() if line.startswith("zoo: ")]
    assert done.returncode == 2 and len(lines) == 1 and "pip install 'vae-zoo[plots]'" in lines[0]


def test_an_extra_that_is_there_is_not_missed(monkeypatch):
    need("plots", "Pictures")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match="not installed: matplotlib"):
        need("plots", "Pictures")


def declared():
    """Extra, or "" for the core -> the packages that setup.py declares for it."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    module = ast.Module([node for node in tree.body if not isinstance(node, ast.Expr)], [])
    values = {"__file__": str(ROOT / "setup.py")}
    exec(compile(module, "setup.py", "exec"), values)
    (call,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ]
    arguments = {keyword.arg: keyword.value for keyword in call.keywords}
    core = eval(compile(ast.Expression(arguments["install_requires"]), "setup.py", "eval"), values)
    return {
        extra: {re.split(r"[<>=;\[ ]", requirement)[0] for requirement in requirements}
        for extra, requirements in {"": core, **values["EXTRAS"]}.items()
    }


def test_what_is_imported_is_declared():
    requirements = declared()
    for extra, modules in EXTRAS.items():
        names = {DISTRIBUTIONS.get(name.split(".")[0], name.split(".")[0]) for name in modules}
        assert {name.replace("_", "-") for name in names} <= requirements[extra], extra
    everything = set().union(*requirements.values())
    optional = {"onnx", "onnxruntime", "tf2onnx", "ai_edge_litert", "tensorboard"}
    imported = set()
    for path in (ROOT / "zoo").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add(node.module.split(".")[0])
    others = imported - sys.stdlib_module_names - {"zoo"} - optional
    names = {DISTRIBUTIONS.get(name, name).replace("_", "-") for name in others}
    assert names <= {name.replace("_", "-") for name in everything}, names
