"""The command line: `python -m deltarule demo | train | predict | info | bench`.

To add a command: a module with `HELP`, `add_arguments(parser)` and `run(arguments)`, and its name in COMMANDS.
Exit codes: 0 good, 1 bad data, 2 wrong usage. Errors are one line on stderr; `run` raises, only `main` catches.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from ..errors import DivergenceError
from ..names import did_you_mean

__all__ = ["COMMANDS", "main"]

COMMANDS = ("demo", "train", "predict", "info", "bench")

_DESCRIPTION = """\
Small neural networks trained by backpropagation.

  python -m deltarule demo                                   watch a network learn
  python -m deltarule train flowers.csv --target kind --out flowers.safetensors
  python -m deltarule predict flowers.safetensors new.csv    put the result to use
"""


class _Parser(argparse.ArgumentParser):
    """Errors in one line, with the next step."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog.removeprefix('python -m ')}: {message}; `{self.prog} --help` explains\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m deltarule",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="`python -m deltarule COMMAND --help` explains one. Exit codes: 0 good, 1 bad data, 2 wrong usage.",
    )
    parser.add_argument("--version", action="version", version=f"deltarule {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", parser_class=_Parser)
    for name in COMMANDS:
        module = import_module(f".{name}", __name__)
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.

    Returns
    -------
    int
        0 good, 1 bad data, 130 stopped by Ctrl-C.

    Raises
    ------
    SystemExit
        With code 2 for wrong usage, and with 0 after --help and --version.

    Examples
    --------
    >>> main(["train", "no-such-file.csv", "--target", "y", "--out", "model.safetensors"])
    1
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    if not given:
        parser.print_help(sys.stderr)
        return 2
    if not given[0].startswith("-") and given[0] not in COMMANDS:
        parser.error(f"there is no command {given[0]!r} ({did_you_mean(given[0], COMMANDS)})")
    parsed = parser.parse_args(given)
    try:
        parsed.run(parsed)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the flush at exit
        return 0
    except (ValueError, TypeError, OSError, MemoryError, DivergenceError) as error:
        print(f"deltarule {parsed.command}: {_one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"deltarule {parsed.command}: stopped", file=sys.stderr)
        return 130
    return 0


def _version() -> str:
    from .._version import __version__

    return __version__


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__
