"""Measure training steps on this machine, beside the other libraries that are installed.

  python -m deltarule bench                                  all of it: about twenty minutes
  python -m deltarule bench --cells xor,tiny --peers numpy   seconds
  python -m deltarule bench --markdown RESULTS.md --json results.json

Ours and a peer run in turn, so that a busy moment of the machine hits both; read the ratios, not the microseconds, and
leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .options import require_folder

HELP = "measure training steps beside other libraries"

__all__ = ["HELP", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, how long, and where to write it."""
    parser.add_argument(
        "--cells", type=_cells, metavar="NAME,…", help="networks, from xor to big and rnn_s to gru_m (default: all)"
    )
    parser.add_argument(
        "--peers", type=_peers, metavar="NAME,…", help="of numpy, sklearn and so on, or none (default: all installed)"
    )
    parser.add_argument("--rounds", type=_rounds, default=7, help="of each pair (default: 7)")
    parser.add_argument(
        "--threads", type=_threads, default=(1, 2), metavar="N,…", help="ours also on so many, or none (default: 1,2)"
    )
    parser.add_argument(
        "--seconds", type=_seconds, default=0.04, help="the least length of a run of several steps (default: 0.04)"
    )
    parser.add_argument(
        "--json",
        nargs="?",
        type=Path,
        const=True,
        metavar="FILE",
        help="write everything that was measured; without FILE to stdout, in place of the tables",
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as a page")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure cell by cell and print the tables."""
    from tqdm import tqdm

    from ..bench import CELLS, FAMILIES, measure
    from ..bench.machine import Bystanders, describe_machine
    from ..bench.measure import runs_in
    from ..bench.table import as_json, as_markdown, as_text
    from ..threads import available_threads

    for path in (arguments.json, arguments.markdown):
        if isinstance(path, Path):  # better now than after ten minutes
            require_folder(str(path))
    cells = [CELLS[name] for name in arguments.cells or CELLS]
    wanted = [FAMILIES[name] for name in (FAMILIES if arguments.peers is None else arguments.peers)]
    families = [family for family in wanted if family.available()]
    missing = {family.name: family.missing() for family in wanted if not family.available()}
    threads = [count for count in arguments.threads if count <= available_threads()]
    total = runs_in(cells, families, threads, arguments.rounds)
    results, bystanders = [], Bystanders()
    with tqdm(total=total, unit="run", dynamic_ncols=True) as bar:  # on stderr

        def report(what: str) -> None:
            bar.set_description_str(what, refresh=False)
            bar.update()

        for cell in cells:
            bar.set_description_str(cell.name)
            results.append(
                measure(
                    cell, families, rounds=arguments.rounds, threads=threads, seconds=arguments.seconds, report=report
                )
            )
    machine = describe_machine(need for family in families for need in (*family.needs, "threadpoolctl", "jaxlib"))
    share = bystanders.share()
    machine["other processes"] = "unknown" if share is None else f"took {share:.0%} of all cores meanwhile"
    told = (results, machine, missing, arguments.rounds)
    print(as_text(*told))
    everything = as_json(*told)
    if isinstance(arguments.json, Path):
        arguments.json.write_text(json.dumps(everything, indent=2) + "\n")
    if arguments.markdown is not None:
        arguments.markdown.write_text(as_markdown(*told), encoding="utf-8")
    return everything


def _names(text: str, kind: str, known: Any) -> tuple[str, ...]:
    from ..names import did_you_mean

    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"there is no {kind} {name!r} ({did_you_mean(name, known)})")
    return names


def _cells(text: str) -> tuple[str, ...]:
    from ..bench import CELLS

    return _names(text, "cell", CELLS)


def _peers(text: str) -> tuple[str, ...]:
    from ..bench import FAMILIES

    return () if text == "none" else _names(text, "peer", FAMILIES)


def _whole(text: str, what: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r}: expected {what} from 1 to 1024")
    return int(text)


def _rounds(text: str) -> int:
    return _whole(text, "a number of rounds")


def _threads(text: str) -> tuple[int, ...]:
    return () if text == "none" else tuple(sorted({_whole(part, "numbers of threads") for part in text.split(",")}))


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 60:
        raise argparse.ArgumentTypeError(f"{text!r}: expected seconds above 0 and at most 60")
    return value
