"""The command `zoo`: parses arguments and prints. Everything it does can be done in Python."""

import argparse
import logging
import os
import sys

# Before TensorFlow starts: its start-up notices are not the user's.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def main(argv=None):
    """Runs one command; returns its exit status: 0, or 2 for a mistake in what was asked, told in one line."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("zoo").setLevel("INFO")
    try:
        arguments.command(arguments)
    except KeyboardInterrupt:
        print(f"\nStopped.{arguments.on_interrupt}", file=sys.stderr)
        return 130
    except (ValueError, ImportError, OSError, RuntimeError) as error:
        if os.environ.get("ZOO_TRACEBACK"):
            raise
        print(f"zoo: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _train(arguments):
    from zoo.training import train

    path = train(
        arguments.recipe,
        _assignments(arguments.arguments),
        out=arguments.out,
        data_dir=arguments.data_dir,
        resume=arguments.resume,
        tensorboard=arguments.tensorboard,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    print(f"The run is in {path}.")


def _assignments(words):
    """["beta=8"] -> {"beta": "8"}."""
    pairs = [word.partition("=") for word in words]
    for word, (name, equals, _) in zip(words, pairs, strict=True):
        if not (name and equals):
            raise ValueError(f"Arguments of a recipe are written name=value. Received: {word!r}.")
    return {name: value for name, _, value in pairs}


def _parser():
    parser = argparse.ArgumentParser(prog="zoo", description="Variational autoencoders: train, evaluate, export.")
    parser.set_defaults(on_interrupt="")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a recipe into a run directory")
    train.add_argument("recipe", help="name of a recipe, or path of a recipe file")
    train.add_argument("arguments", nargs="*", metavar="name=value", help="arguments of the recipe (`zoo show RECIPE` lists them)")
    train.add_argument("--out", metavar="DIR", help="run directory (default: runs/RECIPE)")
    train.add_argument("--data-dir", metavar="DIR", help="TFDS data directory (default: $ZOO_DATA_DIR, else TFDS's own)")
    train.add_argument("--resume", action="store_true", help="go on after the last finished epoch")
    train.add_argument("--tensorboard", action="store_true", help="write TensorBoard logs into the run directory")
    train.set_defaults(command=_train, on_interrupt=" The last finished epoch is kept: the same command with --resume goes on.")
    return parser


if __name__ == "__main__":
    sys.exit(main())
