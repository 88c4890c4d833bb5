"""What can be typed after `zoo`: commands, their arguments and their help. Standard library
alone."""

import argparse
from collections.abc import Callable, Mapping, Sequence

from zoo.cli.options import add_data_dir, add_imports, add_target, positive


def parse(
    argv: Sequence[str] | None, functions: Mapping[str, Callable[[argparse.Namespace], int | None]]
) -> argparse.Namespace:
    """The arguments of one command.

    Args:
        argv: Words after `zoo`, or None for those of the process.
        functions: Command -> what runs it.

    Returns:
        `argparse.Namespace` with the command's function as `command`. A mistake ends the process
        with a line that names it.
    """
    parser = _parser(functions)
    arguments, others = parser.parse_known_args(argv)
    # argparse ends a list of positional arguments at the first option; name=value may follow it
    # here.
    if others and (
        "arguments" not in arguments
        or any(other.startswith("-") or "=" not in other for other in others)
    ):
        hint = ""
        if "arguments" in arguments:
            hint = ". Arguments of a recipe are written name=value, such as epochs=3"
        parser.error(f"unrecognized arguments: {' '.join(others)}{hint}")
    if others:
        arguments.arguments += others
    return arguments


def _parser(functions):
    parser = argparse.ArgumentParser(
        prog="zoo",
        description="Variational autoencoders: train, evaluate, export.",
        epilog="ZOO_TRACEBACK=1 shows where an error was raised.",
    )
    parser.set_defaults(on_interrupt="")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name, help, **defaults):
        subparser = commands.add_parser(name, help=help, description=help)
        subparser.set_defaults(command=functions[name], **defaults)
        return subparser

    sub = command("list", "list all recipes with their measured numbers")
    sub.add_argument("--markdown", action="store_true", help="as the README's table")

    sub = command("show", "show a recipe: what it is, its arguments, its card")
    sub.add_argument("recipe", metavar="RECIPE")

    resume = " The last checkpoint is kept: the same command with --resume goes on."
    sub = command("train", "train a recipe into a run directory", on_interrupt=resume)
    sub.add_argument("recipe", metavar="RECIPE", help="name of a recipe, or path of a recipe file")
    sub.add_argument(
        "arguments",
        nargs="*",
        metavar="name=value",
        help="arguments of the recipe (`zoo show RECIPE` lists them)",
    )
    sub.add_argument(
        "--data",
        metavar="DATA",
        help="short for data=DATA, of recipes that take data of your own: a file for table_vae, a "
        "folder of pictures for vae_images",
    )
    sub.add_argument("--out", metavar="DIR", help="run directory (default: runs/RECIPE)")
    add_imports(sub)
    add_data_dir(sub)
    sub.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    sub.add_argument(
        "--checkpoint-minutes",
        type=float,
        default=5.0,
        metavar="N",
        help="checkpoints within an epoch (5); one follows every epoch",
    )
    sub.add_argument(
        "--strategy",
        choices=("mirrored", "multi_worker"),
        help="train on all devices of this machine, or on several machines that TF_CONFIG or "
        "Slurm describes",
    )
    sub.add_argument(
        "--tensorboard", action="store_true", help="write TensorBoard logs into the run directory"
    )
    sub.add_argument(
        "--dry-run", action="store_true", help="say what would be run, and where, and stop"
    )

    sub = command(
        "fit",
        "train a stored model further, on data of your own, into a run directory",
        on_interrupt=resume,
    )
    add_target(sub)
    sub.add_argument(
        "arguments",
        nargs="*",
        metavar="name=value",
        help="arguments of the recipe fine_tuned (`zoo show fine_tuned`), such as epochs=3",
    )
    sub.add_argument(
        "--data",
        metavar="DATA",
        required=True,
        help="a folder of pictures, a file, or the name of a data set",
    )
    sub.add_argument("--out", metavar="DIR", help="run directory (default: runs/RECIPE_fine_tuned)")
    add_data_dir(sub)
    sub.add_argument("--resume", action="store_true", help="go on from the last checkpoint")

    resume = " Finished points and epochs are kept: the same command with --resume goes on."
    sub = command(
        "sweep",
        "train a recipe at several values of its arguments and compare them",
        on_interrupt=resume,
    )
    sub.add_argument("recipe", metavar="RECIPE", help="name of a recipe, or path of a recipe file")
    sub.add_argument(
        "arguments",
        nargs="*",
        metavar="name=value,value",
        help="arguments of the recipe; all combinations are trained",
    )
    sub.add_argument(
        "--out", metavar="DIR", help="directory of the sweep (default: runs/RECIPE_sweep)"
    )
    add_imports(sub)
    add_data_dir(sub)
    sub.add_argument(
        "--resume",
        action="store_true",
        help="go on in the directory: train what is not finished there",
    )
    sub.add_argument(
        "--jobs",
        type=positive,
        metavar="N",
        help="points that train at the same time (default: one for each core; on a GPU one)",
    )
    sub.add_argument(
        "--dry-run",
        action="store_true",
        help="say which points would be trained, and where, and stop",
    )

    sub = command("evaluate", "measure the bound and the importance-sampled -log p(x) on a split")
    add_target(sub)
    sub.add_argument(
        "--split",
        default="test",
        help="train, validation, test, or a split of the data set (default: test)",
    )
    sub.add_argument(
        "--num-samples",
        type=int,
        metavar="S",
        help="importance samples per example (default: the recipe's)",
    )
    sub.add_argument(
        "--seed", type=int, default=0, help="seed of binarization and latents (default: 0)"
    )
    sub.add_argument(
        "--metrics",
        default="",
        metavar="NAME,...",
        help="disentanglement scores, of data with factors: all, or some of "
        "beta_vae,factor_vae,mig,sap,dci,modularity",
    )
    sub.add_argument(
        "--quality",
        action="store_true",
        help="FID, precision and recall of samples, in features of a stored classifier",
    )
    sub.add_argument(
        "--progress-dir",
        metavar="DIR",
        help="keep what was measured so far, and go on from it where an evaluation was interrupted",
    )
    sub.add_argument("--json", metavar="FILE", help="write the numbers to FILE as well")
    add_data_dir(sub)

    sub = command("sample", "draw images from the prior into a PNG, or rows of a table into a CSV")
    add_target(sub)
    sub.add_argument(
        "-n",
        "--num-rows",
        type=positive,
        metavar="N",
        help="rows to draw, of a model of tables (default: 1000)",
    )
    sub.add_argument(
        "--given",
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="draw rows that have this value, of a model of tables; may be given several times",
    )
    sub.add_argument(
        "--label",
        type=int,
        metavar="K",
        help="the class to draw, of a model that is conditional on one (default: a column each)",
    )
    sub.add_argument(
        "--temperature",
        action="append",
        default=[],
        metavar="[LATENT=]T",
        help="what the scale of normal latents is multiplied by, of all or of one (default: 1); "
        "may be given several times",
    )
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument(
        "--out", metavar="FILE", help="default: RECIPE_samples.png, or RECIPE_rows.csv"
    )

    sub = command(
        "detect",
        "score the rows of a file: how odd each is, how many normal rows are as odd, and why",
    )
    add_target(sub)
    sub.add_argument("file", metavar="FILE", help="rows as .csv or .parquet")
    sub.add_argument(
        "--false-alarms",
        type=float,
        default=0.05,
        metavar="RATE",
        help="wanted rate of normal rows that are called anomalies (default: 0.05)",
    )
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--out", metavar="FILE", help="default: RECIPE_scores.csv")
    add_data_dir(sub)

    sub = command("impute", "fill the gaps of the rows of a file")
    add_target(sub)
    sub.add_argument("file", metavar="FILE", help="rows as .csv or .parquet")
    sub.add_argument(
        "--num-samples",
        type=positive,
        default=1000,
        metavar="S",
        help="importance samples per row (default: 1000)",
    )
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--out", metavar="FILE", help="default: RECIPE_imputed.csv")

    sub = command("reconstruct", "encode and decode test images into a PNG")
    add_target(sub)
    sub.add_argument("--out", metavar="PNG", help="default: RECIPE_reconstructions.png")
    add_data_dir(sub)

    sub = command(
        "report",
        "write one HTML page about a model, or two side by side: numbers, pictures, and a "
        "decoder to play with",
    )
    sub.add_argument(
        "targets",
        nargs="+",
        metavar="RUN_OR_RECIPE",
        help="one or two: run directory, or name of a recipe with stored weights",
    )
    add_imports(sub)
    sub.add_argument("--out", metavar="HTML", help="default: report.html")
    add_data_dir(sub)

    sub = command("export", "write a SavedModel that TF Serving takes")
    add_target(sub, nargs="?")
    sub.add_argument("--all", action="store_true", help="every recipe with stored weights")
    sub.add_argument(
        "--out",
        required=True,
        metavar="BASE",
        help="base directory: the model goes to BASE/RECIPE/VERSION",
    )
    sub.add_argument(
        "--format",
        choices=("saved_model", "litert", "onnx"),
        default="saved_model",
        help="litert or onnx: encoder and decoder as files for these runtimes, "
        "BASE/RECIPE/encoder.tflite (default: saved_model)",
    )

    sub = command(
        "check",
        "check exports: their graphs, and every answer in TensorFlow's C++ runtime "
        "against the Python model",
    )
    sub.add_argument(
        "directory", metavar="DIR", help="version directory, model directory or base directory"
    )
    add_imports(sub)

    sub = command(
        "serve",
        "serve exports: with tensorflow_model_server where it is installed, else with Docker",
    )
    sub.add_argument("base", metavar="BASE", help="base directory that `zoo export` wrote")
    sub.add_argument(
        "--rest-port", type=positive, default=8501, metavar="PORT", help="default: 8501"
    )
    sub.add_argument(
        "--grpc-port", type=positive, default=8500, metavar="PORT", help="default: 8500"
    )

    sub = command("copy", "copy a recipe file, to change it")
    sub.add_argument("recipe", metavar="RECIPE")
    sub.add_argument("file", metavar="FILE")

    sub = command("verify", "recompute the published numbers of stored models from their files")
    sub.add_argument(
        "names", nargs="*", metavar="RECIPE", help="names of recipes with stored weights"
    )
    sub.add_argument("--all", action="store_true", help="every recipe with stored weights")
    sub.add_argument(
        "--version", type=int, metavar="N", help="one version (default: every stored one)"
    )
    sub.add_argument(
        "--new-seed",
        type=int,
        nargs="?",
        const=1,
        metavar="SEED",
        help="other noise than the card's (default: 1): numbers have to agree to 4 standard "
        "errors instead of to rounding",
    )
    sub.add_argument(
        "--full",
        action="store_true",
        help="measure all test examples where a card has numbers of the first few for this purpose",
    )
    add_data_dir(sub)

    sub = command("push", "measure a finished run on its test split and store it with a card")
    sub.add_argument(
        "targets",
        nargs="+",
        metavar="RUN_OR_RECIPE",
        help="run directory; of several, such as seeds, the first is stored and all are averaged. "
        "Or the name of a recipe with stored weights: they are measured and written again",
    )
    add_imports(sub)
    sub.add_argument(
        "--version",
        type=int,
        metavar="N",
        help="of a recipe's name: which of its versions (default: the newest)",
    )
    sub.add_argument(
        "--replace", action="store_true", help="remove stored versions with the same arguments"
    )
    sub.add_argument(
        "--num-samples",
        type=int,
        metavar="S",
        help="importance samples per example (default: the recipe's)",
    )
    sub.add_argument(
        "--verified-examples",
        type=positive,
        metavar="N",
        help="measure the first N test examples by themselves as well, which `zoo verify` then "
        "recomputes: for models whose whole evaluation takes long",
    )
    sub.add_argument(
        "--allow-dirty", action="store_true", help="store a run of uncommitted code all the same"
    )
    sub.add_argument(
        "--root",
        metavar="DIR",
        help="directory of stored models (default: saved_models/ of the checkout)",
    )
    add_data_dir(sub)
    return parser
