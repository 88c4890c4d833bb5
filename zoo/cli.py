"""The command `zoo`: parses arguments and prints. Everything it does can be done in Python."""

import argparse
import contextlib
import inspect
import json
import logging
import os
import shutil
import signal
import sys
from pathlib import Path


def main(argv=None):
    """Runs one command; returns its exit status: 0, 1 for checks that failed, or 2 for a mistake in what was asked, told in one line."""
    arguments = _parse(argv)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("zoo").setLevel("INFO")
    try:
        return arguments.command(arguments) or 0
    except KeyboardInterrupt:
        print(f"\nStopped.{arguments.on_interrupt}", file=sys.stderr)
        return 130
    except (ValueError, ImportError, OSError, RuntimeError) as error:
        if os.environ.get("ZOO_TRACEBACK"):
            raise
        print(f"zoo: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


# -- Without TensorFlow


def _list(arguments):
    from zoo import cards, registry

    rows = []
    for name in registry.list_recipes():
        recipe = registry.find(name).build({})
        card = cards.find_card(name)
        number = cards.headline(card, recipe.headline)
        rows.append((name, recipe.family, str(recipe.dataset.name), number, "yes" if card else "no"))
    header = ("recipe", "model", "data", "measured on the test split", "stored weights")
    if arguments.markdown:
        rows = [(f"[`{name}`](recipes/{name}.py)", *rest) for name, *rest in rows]
        for row in (header, ["---"] * len(header), *rows):
            print("| " + " | ".join(row) + " |")
        return
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _show(arguments):
    from zoo import cards, registry

    recipe = registry.find(arguments.recipe)
    print(recipe.docstring(), end="\n\n")
    print("Arguments (zoo train RECIPE name=value ...):")
    for parameter in recipe.parameters().values():
        annotation = "" if parameter.annotation is inspect.Parameter.empty else f": {inspect.formatannotation(parameter.annotation)}"
        print(f"    {parameter.name}{annotation} = {parameter.default!r}")
    card = cards.find_card(recipe.name) if recipe.module else None
    print("\nCard:", json.dumps(card, indent=2) if card else "nothing is stored yet")


def _copy(arguments):
    from zoo import registry

    recipe, file = registry.find(arguments.recipe), Path(arguments.file)
    if file.suffix != ".py" or not file.stem.isidentifier():
        raise ValueError(f"A recipe is a .py file with a Python name, such as my_vae.py. Received: {arguments.file!r}.")
    if file.exists():
        raise ValueError(f"{arguments.file!r} exists.")
    shutil.copyfile(recipe.path, file)
    print(f"Change {file} and run it: zoo train {file}")


# -- With TensorFlow


def _train(arguments):
    strategy = _start_tensorflow(arguments.strategy)
    from zoo import training

    assignments = _assignments(arguments.arguments)
    if arguments.dry_run:
        print("\n".join(training.describe(arguments.recipe, assignments, out=arguments.out, data_dir=arguments.data_dir)))
        return
    path = training.train(
        arguments.recipe,
        assignments,
        out=arguments.out,
        data_dir=arguments.data_dir,
        resume=arguments.resume,
        strategy=strategy,
        tensorboard=arguments.tensorboard,
        checkpoint_minutes=arguments.checkpoint_minutes,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    pictures = ", ".join(sorted(picture.name for picture in path.glob("*.png")))
    print(f"Trained: {path} (weights, history.csv, {pictures})")


def _sweep(arguments):
    _start_tensorflow()
    from zoo import sweep

    path = sweep.sweep(
        arguments.recipe,
        _assignments(arguments.arguments),
        out=arguments.out,
        data_dir=arguments.data_dir,
        resume=arguments.resume,
        jobs=arguments.jobs,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    print(sweep.table(path))
    print(f"Swept: {path} (sweep.json, rate_distortion.png, a run directory for each point)")


def _evaluate(arguments):
    _start_tensorflow()
    from zoo import data, pretrained
    from zoo.evaluation.likelihood import evaluate, table

    model, name, recipe = pretrained.open_model(arguments.target)
    split = {"train": recipe.dataset.train, "validation": recipe.dataset.validation, "test": recipe.dataset.test}.get(
        arguments.split, arguments.split
    )
    examples = data.load(recipe.dataset.name, split, data_dir=arguments.data_dir, binarization=recipe.dataset.binarization)
    numbers = evaluate(
        model,
        examples,
        num_samples=arguments.num_samples or recipe.evaluation_samples,
        seed=arguments.seed,
        split=split,
        nll_name=recipe.nll_name,
        metrics="all" if arguments.metrics == "all" else [word for word in arguments.metrics.split(",") if word],
        verbose=int(sys.stdout.isatty()),
    )
    if arguments.quality:
        from zoo.evaluation.classifier import Reader
        from zoo.evaluation.generation import quality

        numbers |= quality(model, examples, Reader.stored(model.image_shape), seed=arguments.seed)
    print(f"{name} on {len(examples['image']):,} images, {recipe.dataset.name} {split}:")
    print(table(numbers))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"recipe": name, "numbers": numbers}, indent=2) + "\n", encoding="utf-8")


def _sample(arguments):
    _start_tensorflow()
    from zoo import plots, pretrained

    model, name, _ = pretrained.open_model(arguments.target)
    path = arguments.out or f"{name}_samples.png"
    plots.samples(model, seed=arguments.seed, label=arguments.label, path=path)
    print(f"Samples: {path}")


def _reconstruct(arguments):
    _start_tensorflow()
    from zoo import data, plots, pretrained

    model, name, recipe = pretrained.open_model(arguments.target)
    examples = data.load(recipe.dataset.name, recipe.dataset.test, data_dir=arguments.data_dir)
    path = arguments.out or f"{name}_reconstructions.png"
    plots.reconstructions(model, examples, path=path)
    print(f"Reconstructions: {path}")


def _report(arguments):
    _start_tensorflow()
    from zoo.report import report

    out = arguments.out or "report.html"
    print(f"Report: {report(*arguments.targets, path=out, data_dir=arguments.data_dir)}")


def _export(arguments):
    if bool(arguments.target) == arguments.all:
        raise ValueError("Name a run or a recipe, or pass --all for every recipe with stored weights.")
    _start_tensorflow()
    from zoo import cards, pretrained, registry, serving

    targets = [name for name in registry.list_recipes() if cards.find_card(name)] if arguments.all else [arguments.target]
    if arguments.format != "saved_model":
        write = {"litert": serving.export_litert, "onnx": serving.export_onnx}[arguments.format]
        for target in targets:
            model, name, _ = pretrained.open_model(target)
            print(f"Exported: {' and '.join(map(str, write(model, Path(arguments.out) / name)))}")
        return
    for target in targets:
        directory = pretrained.export_model(target, arguments.out)
        print(f"Exported: {directory}")
    print(f"Check it: zoo check {arguments.out if arguments.all else directory}")
    print(f"Serve it: zoo serve {arguments.out}")


def _check(arguments):
    _start_tensorflow()
    from zoo import serving

    passed = failed = 0
    for where, check, problem in serving.check(arguments.directory):
        print(f"ok    {where}  {check}" if problem is None else f"FAIL  {where}  {check}: {' '.join(problem.split())}", flush=True)
        passed, failed = passed + (problem is None), failed + (problem is not None)
    print(f"{failed} of {passed + failed} checks failed." if failed else f"All {passed} checks passed.")
    return 1 if failed else 0


def _serve(arguments):
    _start_tensorflow()
    from zoo.serving import server

    def tell():
        print("Every model is ready. REST:", flush=True)
        for line in server.examples(arguments.base, arguments.rest_port):
            print(f"    {line}", flush=True)
        print(f"gRPC: zoo.serving.Client('grpc://localhost:{arguments.grpc_port}', MODEL). Ctrl-C stops the server.", flush=True)

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the server ends with this process
    server.serve(arguments.base, rest_port=arguments.rest_port, grpc_port=arguments.grpc_port, on_ready=tell)


def _verify(arguments):
    if bool(arguments.names) == arguments.all:
        raise ValueError("Name recipes with stored weights, or pass --all.")
    _start_tensorflow()
    from zoo import cards, registry, verify

    names = [name for name in registry.list_recipes() if cards.find_card(name)] if arguments.all else arguments.names
    failed = total = 0
    for name in names:
        for row in verify.verify(name, arguments.version, new_seed=arguments.new_seed, data_dir=arguments.data_dir):
            print(verify.line(row), flush=True)
            total, failed = total + 1, failed + (row.agrees is False)
    print(f"{failed} of {total} numbers are not the published ones." if failed else f"All {total} numbers are those that were published.")
    return 1 if failed else 0


def _push(arguments):
    _start_tensorflow()
    from zoo import push
    from zoo.evaluation.likelihood import table

    card = push.push(
        *arguments.targets,
        data_dir=arguments.data_dir,
        num_samples=arguments.num_samples,
        root=arguments.root,
        version=arguments.version,
        replace=arguments.replace,
        allow_dirty=arguments.allow_dirty,
        verbose=int(sys.stdout.isatty()),
    )
    print(table(card["numbers"]))
    print(f"Stored: version {card['version']} of {card['recipe']}")


def _start_tensorflow(strategy=None):
    """Imports TensorFlow without its start-up notices, which its C++ side writes whatever the log level; returns the strategy of a name."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("absl").setLevel("ERROR")
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        # TensorFlow Probability first: it then loads less of itself, and starting takes 0.6 s less.
        import tensorflow_probability  # noqa: F401, I001
        import tensorflow as tf

        if strategy is not None:
            from zoo.replicas import make_strategy

            strategy = make_strategy(strategy)  # workers connect before TensorFlow does anything else
        with contextlib.suppress(RuntimeError):
            tf.config.list_physical_devices("GPU")
            tf.zeros([])
        return strategy
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _assignments(words):
    """["beta=8"] -> {"beta": "8"}."""
    pairs = [word.partition("=") for word in words]
    for word, (name, equals, _) in zip(words, pairs, strict=True):
        if not (name and equals):
            raise ValueError(f"Arguments of a recipe are written name=value. Received: {word!r}.")
    return {name: value for name, _, value in pairs}


def _parse(argv):
    parser = _parser()
    arguments, others = parser.parse_known_args(argv)
    # argparse ends a list of positional arguments at the first option; name=value may follow it here.
    if others and (not hasattr(arguments, "arguments") or any(other.startswith("-") or "=" not in other for other in others)):
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    if others:
        arguments.arguments += others
    return arguments


def _positive(text):
    if (number := int(text)) < 1:
        raise ValueError
    return number


def _parser():
    parser = argparse.ArgumentParser(
        prog="zoo",
        description="Variational autoencoders: train, evaluate, export.",
        epilog="ZOO_TRACEBACK=1 shows where an error was raised.",
    )
    parser.set_defaults(on_interrupt="")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name, function, help, **defaults):
        subparser = commands.add_parser(name, help=help, description=help)
        subparser.set_defaults(command=function, **defaults)
        return subparser

    def add_data_dir(subparser):
        subparser.add_argument("--data-dir", metavar="DIR", help="TFDS data directory (default: $ZOO_DATA_DIR, else TFDS's own)")

    def add_target(subparser, **options):
        help = "run directory, or name of a recipe with stored weights"
        subparser.add_argument("target", metavar="RUN_OR_RECIPE", help=help, **options)

    sub = command("list", _list, "list all recipes with their measured numbers")
    sub.add_argument("--markdown", action="store_true", help="as the README's table")

    sub = command("show", _show, "show a recipe: what it is, its arguments, its card")
    sub.add_argument("recipe", metavar="RECIPE")

    resume = " The last checkpoint is kept: the same command with --resume goes on."
    sub = command("train", _train, "train a recipe into a run directory", on_interrupt=resume)
    sub.add_argument("recipe", metavar="RECIPE", help="name of a recipe, or path of a recipe file")
    sub.add_argument("arguments", nargs="*", metavar="name=value", help="arguments of the recipe (`zoo show RECIPE` lists them)")
    sub.add_argument("--out", metavar="DIR", help="run directory (default: runs/RECIPE)")
    add_data_dir(sub)
    sub.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    sub.add_argument(
        "--checkpoint-minutes", type=float, default=5.0, metavar="N", help="checkpoints within an epoch (5); one follows every epoch"
    )
    sub.add_argument(
        "--strategy",
        choices=("mirrored", "multi_worker"),
        help="train on all devices of this machine, or on several machines that TF_CONFIG or Slurm describes",
    )
    sub.add_argument("--tensorboard", action="store_true", help="write TensorBoard logs into the run directory")
    sub.add_argument("--dry-run", action="store_true", help="say what would be run, and where, and stop")

    resume = " Finished points and epochs are kept: the same command with --resume goes on."
    sub = command("sweep", _sweep, "train a recipe at several values of its arguments and compare them", on_interrupt=resume)
    sub.add_argument("recipe", metavar="RECIPE", help="name of a recipe, or path of a recipe file")
    sub.add_argument("arguments", nargs="*", metavar="name=value,value", help="arguments of the recipe; all combinations are trained")
    sub.add_argument("--out", metavar="DIR", help="directory of the sweep (default: runs/RECIPE_sweep)")
    add_data_dir(sub)
    sub.add_argument("--resume", action="store_true", help="go on in the directory: train what is not finished there")
    sub.add_argument(
        "--jobs", type=_positive, metavar="N", help="points that train at the same time (default: one for each core; on a GPU one)"
    )

    sub = command("evaluate", _evaluate, "measure the bound and the importance-sampled -log p(x) on a split")
    add_target(sub)
    sub.add_argument("--split", default="test", help="train, validation, test, or a split of the data set (default: test)")
    sub.add_argument("--num-samples", type=int, metavar="S", help="importance samples per image (default: the recipe's)")
    sub.add_argument("--seed", type=int, default=0, help="seed of binarization and latents (default: 0)")
    sub.add_argument(
        "--metrics",
        default="",
        metavar="NAME,...",
        help="disentanglement scores, of data with factors: all, or some of beta_vae,factor_vae,mig,sap,dci,modularity",
    )
    sub.add_argument("--quality", action="store_true", help="FID, precision and recall of samples, in features of a stored classifier")
    sub.add_argument("--json", metavar="FILE", help="write the numbers to FILE as well")
    add_data_dir(sub)

    sub = command("sample", _sample, "draw images from the prior into a PNG")
    add_target(sub)
    sub.add_argument(
        "--label", type=int, metavar="K", help="the class to draw, of a model that is conditional on one (default: a column each)"
    )
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--out", metavar="PNG", help="default: RECIPE_samples.png")

    sub = command("reconstruct", _reconstruct, "encode and decode test images into a PNG")
    add_target(sub)
    sub.add_argument("--out", metavar="PNG", help="default: RECIPE_reconstructions.png")
    add_data_dir(sub)

    sub = command(
        "report", _report, "write one HTML page about a model, or two side by side: numbers, pictures, and a decoder to play with"
    )
    sub.add_argument(
        "targets", nargs="+", metavar="RUN_OR_RECIPE", help="one or two: run directory, or name of a recipe with stored weights"
    )
    sub.add_argument("--out", metavar="HTML", help="default: report.html")
    add_data_dir(sub)

    sub = command("export", _export, "write a SavedModel that TF Serving takes")
    add_target(sub, nargs="?")
    sub.add_argument("--all", action="store_true", help="every recipe with stored weights")
    sub.add_argument("--out", required=True, metavar="BASE", help="base directory: the model goes to BASE/RECIPE/VERSION")
    sub.add_argument(
        "--format",
        choices=("saved_model", "litert", "onnx"),
        default="saved_model",
        help="litert or onnx: encoder and decoder as files for these runtimes, BASE/RECIPE/encoder.tflite (default: saved_model)",
    )

    sub = command("check", _check, "check exports: their graphs, and every answer in TensorFlow's C++ runtime against the Python model")
    sub.add_argument("directory", metavar="DIR", help="version directory, model directory or base directory")

    sub = command("serve", _serve, "serve exports: with tensorflow_model_server where it is installed, else with Docker")
    sub.add_argument("base", metavar="BASE", help="base directory that `zoo export` wrote")
    sub.add_argument("--rest-port", type=_positive, default=8501, metavar="PORT", help="default: 8501")
    sub.add_argument("--grpc-port", type=_positive, default=8500, metavar="PORT", help="default: 8500")

    sub = command("copy", _copy, "copy a recipe file, to change it")
    sub.add_argument("recipe", metavar="RECIPE")
    sub.add_argument("file", metavar="FILE")

    sub = command("verify", _verify, "recompute the published numbers of stored models from their files")
    sub.add_argument("names", nargs="*", metavar="RECIPE", help="names of recipes with stored weights")
    sub.add_argument("--all", action="store_true", help="every recipe with stored weights")
    sub.add_argument("--version", type=int, metavar="N", help="one version (default: every stored one)")
    sub.add_argument(
        "--new-seed",
        type=int,
        nargs="?",
        const=1,
        metavar="SEED",
        help="other noise than the card's (default: 1): numbers have to agree to 4 standard errors instead of to rounding",
    )
    add_data_dir(sub)

    sub = command("push", _push, "measure a finished run on its test split and store it with a card")
    sub.add_argument(
        "targets",
        nargs="+",
        metavar="RUN_OR_RECIPE",
        help="run directory; of several, such as seeds, the first is stored and all are averaged. "
        "Or the name of a recipe with stored weights: they are measured and written again",
    )
    sub.add_argument("--version", type=int, metavar="N", help="of a recipe's name: which of its versions (default: the newest)")
    sub.add_argument("--replace", action="store_true", help="remove stored versions with the same arguments")
    sub.add_argument("--num-samples", type=int, metavar="S", help="importance samples per image (default: the recipe's)")
    sub.add_argument("--allow-dirty", action="store_true", help="store a run of uncommitted code all the same")
    sub.add_argument("--root", metavar="DIR", help="directory of stored models (default: saved_models/ of the checkout)")
    add_data_dir(sub)
    return parser


if __name__ == "__main__":
    sys.exit(main())
