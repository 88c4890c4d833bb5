"""The command `zoo`: calls and prints. Everything it does can be done in Python."""

import contextlib
import logging
import os
import re
import sys

from zoo.cli.arguments import parse
from zoo.cli.commands import COMMANDS


def main(argv: list[str] | None = None) -> int:
    """Runs one command.

    Returns:
        The exit status: 0; 1 for checks that failed, or when nobody reads on (`zoo show X | head`);
        2 for a mistake in what was asked or a fault on the way, told in one line; 130 when it was
        interrupted.
    """
    arguments = parse(argv, COMMANDS)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("zoo").setLevel("INFO")
    try:
        status = arguments.command(arguments) or 0
        sys.stdout.flush()  # a reader that is gone is noticed here, not at the interpreter's end
        return status
    except KeyboardInterrupt:
        print(f"\nStopped.{arguments.on_interrupt}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _forget_output()
        return 1
    except Exception as error:
        if os.environ.get("ZOO_TRACEBACK"):
            raise
        print(f"zoo: {_in_one_line(error)}", file=sys.stderr)
        return 2


def _forget_output():
    """What is still to be written goes nowhere, so that the interpreter does not fail at it. From
    Python's notes on SIGPIPE."""
    with contextlib.suppress(OSError, ValueError):  # a stream that is no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


# Errors whose text is a sentence for the user; of others their class has to be told.
SENTENCES = (ValueError, ImportError, OSError, RuntimeError)
LONGEST_LINE = 1000  # characters; TensorFlow quotes whole graphs
# Where in a graph an error arose: "{{node x}} ... [Op:SaveV2] name: ".
TENSORFLOW_MARKS = re.compile(r"\{\{[^}]*\}\}|\[Op:\w+\](?: name:)?")


def _in_one_line(error):
    """An error's message, with the advice that a fault of the machine or of this package asks
    for."""
    message = TENSORFLOW_MARKS.sub("", str(error))
    message = " ".join(message.split())
    if len(message) > LONGEST_LINE:
        message = message[:LONGEST_LINE] + " ..."
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return (
            "There is not enough memory or disk space for this: "
            f"{message or 'no more is known'}. Ask for less, or free some."
        )
    if isinstance(error, SENTENCES) and message:
        return message
    return (
        f"{type(error).__name__}: {message or 'no more is known'}. ZOO_TRACEBACK=1 shows "
        "where it was raised."
    )
