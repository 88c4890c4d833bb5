"""The commands that train."""

import argparse
import sys
from pathlib import Path

from zoo.cli.asked import assignments, check_directory, start_tensorflow


def train(arguments: argparse.Namespace) -> None:
    check_directory("--out", arguments.out)
    strategy = start_tensorflow(arguments)
    from zoo.runs import training

    assigned = assignments(arguments.arguments)
    if arguments.data is not None:
        assigned["data"] = arguments.data
    if arguments.dry_run:
        lines = training.describe(
            arguments.recipe, assigned, out=arguments.out, data_dir=arguments.data_dir
        )
        print("\n".join(lines))
        return
    path = training.train(
        arguments.recipe,
        assigned,
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


def fit(arguments: argparse.Namespace) -> None:
    check_directory("--out", arguments.out)
    assigned = assignments(arguments.arguments)
    start_tensorflow(arguments)
    from zoo.runs import training
    from zoo.store import pretrained

    model, name, task = pretrained.open_model(arguments.target)
    target = arguments.target
    if Path(target).is_dir():
        target = str(Path(target).absolute())
    told = {"model": target, "data": arguments.data, "binarization": task.dataset.binarization}
    if model.key == "image":
        height, width, channels = model.observation.shape
        told |= {"image_size": (height, width), "channels": channels}
    path = training.train(
        "fine_tuned",
        {**told, **assigned},
        out=arguments.out or f"runs/{name}_fine_tuned",
        data_dir=arguments.data_dir,
        resume=arguments.resume,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    print(f"Trained: {path} (weights, history.csv)")


def sweep(arguments: argparse.Namespace) -> None:
    check_directory("--out", arguments.out)
    assigned = assignments(arguments.arguments)
    start_tensorflow(arguments)
    from zoo.runs import sweep as sweeps

    if arguments.dry_run:
        options = {
            "out": arguments.out,
            "data_dir": arguments.data_dir,
            "resume": arguments.resume,
            "jobs": arguments.jobs,
        }
        print("\n".join(sweeps.describe(arguments.recipe, assigned, **options)))
        return
    path = sweeps.sweep(
        arguments.recipe,
        assigned,
        out=arguments.out,
        data_dir=arguments.data_dir,
        resume=arguments.resume,
        jobs=arguments.jobs,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    print(sweeps.table(path))
    print(f"Swept: {path} (sweep.json, rate_distortion.png, a run directory for each point)")
