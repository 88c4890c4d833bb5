"""What each command calls, and what it prints."""

import argparse
import inspect
import json
import shutil
import signal
import sys
from pathlib import Path

from zoo.cli import training
from zoo.cli.asked import check_directory, check_file, start_tensorflow, temperature
from zoo.files import check_file_target, write_atomically

# -- Without TensorFlow


def _list(arguments: argparse.Namespace) -> None:
    from zoo import registry
    from zoo.store import cards

    rows = []
    for name in registry.list_recipes():
        recipe = registry.find(name).build({})
        card = cards.find_card(name)
        number = cards.headline(card, recipe.headline)
        rows.append(
            (name, recipe.family, str(recipe.dataset.name), "yes" if card else "no", number)
        )
    header = ("recipe", "model", "data", "stored weights", "measured on the test split")
    if arguments.markdown:
        rows = [(f"[`{name}`](recipes/{name}.py)", *rest) for name, *rest in rows]
        for row in (header, ["---"] * len(header), *rows):
            print("| " + " | ".join(row) + " |")
        return
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def _show(arguments: argparse.Namespace) -> None:
    from zoo import registry
    from zoo.store import cards

    recipe = registry.find(arguments.recipe)
    print(recipe.docstring(), end="\n\n")
    print("Arguments (zoo train RECIPE name=value ...):")
    for parameter in recipe.parameters().values():
        annotation = ""
        if parameter.annotation is not inspect.Parameter.empty:
            annotation = f": {inspect.formatannotation(parameter.annotation)}"
        print(f"    {parameter.name}{annotation} = {parameter.default!r}")
    card = cards.find_card(recipe.name) if recipe.module else None
    print("\nCard:", json.dumps(card, indent=2) if card else "nothing is stored yet")


def _copy(arguments: argparse.Namespace) -> None:
    from zoo import registry

    recipe, file = registry.find(arguments.recipe), Path(arguments.file)
    if file.suffix != ".py" or not file.stem.isidentifier():
        raise ValueError(
            "A recipe is a .py file with a Python name, such as my_vae.py. Received: "
            f"{arguments.file!r}."
        )
    if file.exists():
        raise ValueError(f"{arguments.file!r} exists.")
    check_file_target("FILE", file)
    shutil.copyfile(recipe.path, file)
    print(f"Change {file} and run it: zoo train {file}")


# -- With TensorFlow


def _evaluate(arguments: argparse.Namespace) -> None:
    check_file("--json", arguments.json)
    start_tensorflow(arguments)
    from zoo import data
    from zoo.evaluation.likelihood import evaluate, table
    from zoo.store import pretrained

    model, name, recipe = pretrained.open_model(arguments.target)
    split = arguments.split
    if split in ("train", "validation", "test"):
        split = getattr(recipe.dataset, split)
    examples = data.load(recipe.dataset, split, data_dir=arguments.data_dir)
    num_samples, metrics = arguments.num_samples, arguments.metrics
    numbers = evaluate(
        model,
        examples,
        num_samples=recipe.evaluation_samples if num_samples is None else num_samples,
        seed=arguments.seed,
        split=split,
        nll_name=recipe.nll_name,
        metrics="all" if metrics == "all" else [word for word in metrics.split(",") if word],
        progress_dir=arguments.progress_dir,
        verbose=int(sys.stdout.isatty()),
    )
    if arguments.quality:
        from zoo.evaluation.classifier import Reader
        from zoo.evaluation.generation import quality

        numbers |= quality(
            model, examples, Reader.stored(model.observation.shape), seed=arguments.seed
        )
    noun = model.observation.noun
    print(f"{name} on {len(examples[model.key]):,} {noun}s, {recipe.dataset.name} {split}:")
    print(table(numbers))
    if arguments.json:
        content = json.dumps({"recipe": name, "numbers": numbers}, indent=2) + "\n"
        write_atomically(Path(arguments.json), content.encode())


def _sample(arguments: argparse.Namespace) -> None:
    check_file("--out", arguments.out)
    start_tensorflow(arguments)
    from zoo import plots
    from zoo.cli import tables
    from zoo.store import pretrained

    if not tables.is_table(arguments.out):
        plots.check_suffix(arguments.out or "samples.png")
    model, name, _ = pretrained.open_model(arguments.target)
    if tables.draws_rows(model, arguments):
        print(f"Rows: {tables.sample(model, name, arguments)}")
        return
    path = arguments.out or f"{name}_samples.png"
    plots.samples(
        model,
        seed=arguments.seed,
        label=arguments.label,
        path=path,
        temperature=temperature(arguments.temperature),
    )
    print(f"Samples: {path}")


def _detect(arguments: argparse.Namespace) -> None:
    check_file("--out", arguments.out)
    start_tensorflow(arguments)
    from zoo.cli import tables

    print("\n".join(tables.detect(arguments)))


def _impute(arguments: argparse.Namespace) -> None:
    check_file("--out", arguments.out)
    start_tensorflow(arguments)
    from zoo.cli import tables

    print("\n".join(tables.impute(arguments)))


def _reconstruct(arguments: argparse.Namespace) -> None:
    check_file("--out", arguments.out)
    start_tensorflow(arguments)
    from zoo import data, plots
    from zoo.store import pretrained

    plots.check_suffix(arguments.out or "reconstructions.png")
    model, name, recipe = pretrained.open_model(arguments.target)
    examples = data.load(recipe.dataset, recipe.dataset.test, data_dir=arguments.data_dir)
    path = arguments.out or f"{name}_reconstructions.png"
    draw = plots.reconstructions if model.visible is None else plots.completions
    draw(model, examples, path=path)
    print(f"Reconstructions: {path}")


def _report(arguments: argparse.Namespace) -> None:
    out = arguments.out or "report.html"
    check_file_target("--out", out, makes_parent=True)
    start_tensorflow(arguments)
    from zoo.report import report

    print(f"Report: {report(*arguments.targets, path=out, data_dir=arguments.data_dir)}")


def _export(arguments: argparse.Namespace) -> None:
    if bool(arguments.target) == arguments.all:
        raise ValueError(
            "Name a run or a recipe, or pass --all for every recipe with stored weights."
        )
    check_directory("--out", arguments.out)
    start_tensorflow(arguments)
    from zoo import serving
    from zoo.store import cards, exports, pretrained

    targets = cards.stored() if arguments.all else [arguments.target]
    if arguments.format != "saved_model":
        write = {"litert": serving.export_litert, "onnx": serving.export_onnx}[arguments.format]
        for target in targets:
            model, name, _ = pretrained.open_model(target)
            print(f"Exported: {' and '.join(map(str, write(model, Path(arguments.out) / name)))}")
        return
    for target in targets:
        directory = exports.export_model(target, arguments.out)
        print(f"Exported: {directory}")
    print(f"Check it: zoo check {arguments.out if arguments.all else directory}")
    print(f"Serve it: zoo serve {arguments.out}")


def _check(arguments: argparse.Namespace) -> int:
    start_tensorflow(arguments)
    from zoo import serving

    passed = failed = 0
    for where, check, problem in serving.check(arguments.directory):
        if problem is None:
            print(f"ok    {where}  {check}", flush=True)
        else:
            print(f"FAIL  {where}  {check}: {' '.join(problem.split())}", flush=True)
        passed, failed = passed + (problem is None), failed + (problem is not None)
    print(
        f"{failed} of {passed + failed} checks failed."
        if failed
        else f"All {passed} checks passed."
    )
    return 1 if failed else 0


def _serve(arguments: argparse.Namespace) -> None:
    start_tensorflow(arguments)
    from zoo.serving import server

    def tell():
        print("Every model is ready. REST:", flush=True)
        for line in server.examples(arguments.base, arguments.rest_port):
            print(f"    {line}", flush=True)
        print(
            f"gRPC: zoo.serving.Client('grpc://localhost:{arguments.grpc_port}', MODEL). "
            "Ctrl-C stops the server.",
            flush=True,
        )

    # As Ctrl-C: the server ends with this process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server.serve(
        arguments.base, rest_port=arguments.rest_port, grpc_port=arguments.grpc_port, on_ready=tell
    )


def _verify(arguments: argparse.Namespace) -> int:
    if bool(arguments.names) == arguments.all:
        raise ValueError("Name recipes with stored weights, or pass --all.")
    start_tensorflow(arguments)
    from zoo.store import cards, verify

    names = cards.stored() if arguments.all else arguments.names
    for name in names:  # the last one's mistake is told before the first one's minutes
        verify.assert_stored(name, arguments.version)
    failed = total = 0
    for name in names:
        for row in verify.verify(
            name,
            arguments.version,
            new_seed=arguments.new_seed,
            full=arguments.full,
            data_dir=arguments.data_dir,
        ):
            print(verify.line(row), flush=True)
            total, failed = total + 1, failed + (row.agrees is False)
    print(
        f"{failed} of {total} numbers are not the published ones."
        if failed
        else f"All {total} numbers are those that were published."
    )
    return 1 if failed else 0


def _push(arguments: argparse.Namespace) -> None:
    check_directory("--root", arguments.root)
    start_tensorflow(arguments)
    from zoo.evaluation.likelihood import table
    from zoo.store import push

    card = push.push(
        *arguments.targets,
        data_dir=arguments.data_dir,
        num_samples=arguments.num_samples,
        verified_examples=arguments.verified_examples,
        root=arguments.root,
        version=arguments.version,
        replace=arguments.replace,
        allow_dirty=arguments.allow_dirty,
        verbose=int(sys.stdout.isatty()),
    )
    print(table(card["numbers"]))
    print(f"Stored: version {card['version']} of {card['recipe']}")


# What runs each command of `zoo.cli.arguments`.
COMMANDS = {
    "list": _list,
    "show": _show,
    "train": training.train,
    "fit": training.fit,
    "sweep": training.sweep,
    "evaluate": _evaluate,
    "sample": _sample,
    "detect": _detect,
    "impute": _impute,
    "reconstruct": _reconstruct,
    "report": _report,
    "export": _export,
    "check": _check,
    "serve": _serve,
    "copy": _copy,
    "verify": _verify,
    "push": _push,
}
