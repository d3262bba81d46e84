"""The command line: `python -m deltarule train | predict | evaluate | …`; each command is a module here.

To add one: a module with `HELP`, `add_arguments(parser)` and `run(arguments)`, and its name in COMMANDS. Its docstring
is what --help prints. `run` prints for people, returns the same as a dict for --json, and raises; only `main` catches.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from ..errors import DivergenceError
from ..names import did_you_mean
from .json_output import DoesNotHoldError, as_json

__all__ = ["COMMANDS", "main"]

COMMANDS = ("demo", "train", "predict", "evaluate", "gradcheck", "gradient-flow", "explain", "info", "bench")

_DESCRIPTION = """\
Small neural networks trained by backpropagation.

  python -m deltarule demo                                   watch a network learn
  python -m deltarule train flowers.csv --target kind --out flowers.safetensors
  python -m deltarule predict flowers.safetensors new.csv    put the result to use
  python -m deltarule explain                                one step of it, by hand
"""
_EPILOG = """\
`python -m deltarule COMMAND --help` explains one, with examples.

With --json a command prints one JSON object on stdout and nothing else; progress and notes go to stderr, always.
Exit codes: 0 good; 1 bad data, or what was asked for does not hold (one line on stderr says why; with --json also
{"error": ...} where there is no answer); 2 wrong usage; 130 stopped by Ctrl-C.
"""
_EXPECTED = (DoesNotHoldError, DivergenceError, ImportError, MemoryError, OSError, TypeError, ValueError)
_LONGEST = 1000  # characters of a message, which may quote a file


class _Parser(argparse.ArgumentParser):
    """Errors in one line, with the next step."""

    def error(self, message: str) -> NoReturn:
        one_line = " ".join(message.split())
        self.exit(2, f"{self.prog.removeprefix('python -m ')}: {one_line}; `{self.prog} --help` explains\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m deltarule",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"deltarule {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", parser_class=_Parser)
    for name in COMMANDS:
        module = import_module(f".{name.replace('-', '_')}", __name__)
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog="Exit codes: 0 good, 1 bad data or does not hold, 2 wrong usage, 130 stopped by Ctrl-C.",
        )
        module.add_arguments(command)
        if name != "bench":  # which takes the name of a file, too
            command.add_argument("--json", action="store_true", help="print one JSON object instead, on stdout")
        command.set_defaults(run=module.run, wrong_usage=command.error)
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
        0 good, 1 bad data or what was asked for does not hold, 130 stopped by Ctrl-C.

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
    sys.stdout, sys.stderr = _able_to_write(sys.stdout), _able_to_write(sys.stderr)
    try:
        try:
            parser = _parser()
            if given:
                return _run(_parse(parser, given))
            parser.print_help(sys.stderr)
            return 2
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the flush at exit
        return 0
    except OSError as error:  # as of a full disk, which the output was to go to
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        print(f"deltarule {given[0] if given else ''}: {_one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"deltarule {given[0] if given else ''}: stopped", file=sys.stderr)
        return 130


def _able_to_write(stream: Any) -> Any:
    """A stream that takes all letters: UTF-8 in files and pipes, escapes where another encoding was asked for."""
    if stream is None:  # closed by who started the program
        return open(os.devnull, "w")
    if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
        is_free = not stream.isatty() and not os.environ.get("PYTHONIOENCODING")
        stream.reconfigure(encoding="utf-8" if is_free else None, errors="backslashreplace")
    return stream


def _parse(parser: argparse.ArgumentParser, given: list[str]) -> argparse.Namespace:
    if not given[0].startswith("-") and given[0] not in COMMANDS:
        parser.error(f"there is no command {given[0]!r} ({did_you_mean(given[0], COMMANDS)})")
    return parser.parse_args(given)


def _run(parsed: argparse.Namespace) -> int:
    """Run the command that was parsed, and print what it returns if that is wanted."""
    wants_json = parsed.json is True
    failure: BaseException | None = None
    result: dict[str, Any] = {}
    try:
        with contextlib.ExitStack() as stack:
            if wants_json:  # what is printed for people goes nowhere
                nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
                stack.enter_context(contextlib.redirect_stdout(nowhere))
            result = parsed.run(parsed)
    except BrokenPipeError:
        raise
    except _EXPECTED as error:
        failure = error
        result = error.result if isinstance(error, DoesNotHoldError) else {"error": _one_line(error)}
    if wants_json:
        print(as_json(result, ascii_only=not (sys.stdout.encoding or "utf-8").lower().startswith("utf")))
    if failure is None:
        return 0
    print(f"deltarule {parsed.command}: {_one_line(failure)}", file=sys.stderr)
    return 1


def _version() -> str:
    from .._version import __version__

    return __version__


def _one_line(error: BaseException) -> str:
    if isinstance(error, MemoryError) and not str(error):
        return "there is not enough memory: take fewer rows or columns"
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    line = " ".join(text.split()) or type(error).__name__
    line = line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
    # What a file has put into it must not command a terminal.
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line)
