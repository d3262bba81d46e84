"""How it is told: tables of ratios for the terminal, for a Markdown page, and everything there is for a JSON file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from .measure import EPOCHS_COMPARED, CellResult, Timing

__all__ = ["aligned", "as_json", "as_markdown", "as_text"]

Row = Sequence[str]

_MEANING = (
    "Microseconds are medians for one training step, shuffled minibatches drawn inside the measured loop, float32. The "
    "ratio is the peer's time over deltarule's with its default number of threads: above 1, deltarule is faster. "
    "`of peak` is the share of one core's multiply-add peak, read in the same rounds, that the matrix products alone "
    "reach on one thread; `2 threads` is the speedup over one. Losses are those of deltarule and of that peer on all "
    f"data after {EPOCHS_COMPARED} epochs from the same weights: the same work, up to the order of the samples."
)


def aligned(rows: Sequence[Row]) -> list[str]:
    """Lines of a table, the first column to the left, the others to the right.

    Examples
    --------
    >>> aligned([("cell", "µs"), ("xor", "0.16")])
    ['cell    µs', 'xor   0.16']
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(text.ljust(width) if column == 0 else text.rjust(width) for column, (text, width) in cells)
        for cells in (enumerate(zip(row, widths, strict=True)) for row in rows)
    )
    return [line.rstrip() for line in lines]


def _markdown(rows: Sequence[Row]) -> list[str]:
    head, *body = rows
    return [
        f"| {' | '.join(head)} |",
        f"|---|{'---:|' * (len(head) - 1)}",
        *(f"| {' | '.join(row)} |" for row in body),
    ]


def _number(value: float) -> str:
    """Three digits that count.

    Examples
    --------
    >>> [_number(value) for value in (0.12345, 3.14159, 45.6789, 64000.4)]
    ['0.123', '3.14', '45.7', '64,000']
    """
    decimals = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{decimals}f}"


def _summary(results: Sequence[CellResult]) -> list[Row]:
    rows: list[Row] = [("cell", "µs", "best peer", "its µs", "ratio", "of peak", "2 threads", "loss", "its loss")]
    for result in results:
        best, share, speedup = result.best, result.share_of_peak, result.speedup
        rows.append(
            (
                result.cell.name,
                _number(result.ours.median),
                best.name if best else "-",
                _number(best.median) if best else "-",
                f"{_number(result.ratio(best))}×" if best else "-",
                f"{share:.0%}" if share is not None else "-",
                f"{speedup:.2f}×" if speedup is not None else "-",
                f"{result.ours.loss:.4f}",
                f"{best.loss:.4f}" if best else "-",
            )
        )
    return rows


def _ratios(results: Sequence[CellResult]) -> list[Row]:
    """Peers down, cells across."""
    names = list(dict.fromkeys(peer.name for result in results for peer in result.peers))
    rows: list[Row] = [("ratio", *(result.cell.name for result in results))]
    for name in names:
        entries = []
        for result in results:
            found = next((peer for peer in result.peers if peer.name == name), None)
            entries.append(f"{_number(result.ratio(found))}×" if found else "-")
        rows.append((name, *entries))
    return rows if names else []


def _details(result: CellResult) -> list[Row]:
    rows: list[Row] = [("", "median µs", "fastest µs", "ratio", "ratio of fastest", "loss")]
    for timing in (result.ours, *result.fixed.values(), *sorted(result.peers, key=lambda peer: peer.median)):
        rows.append(
            (
                timing.name,
                _number(timing.median),
                _number(timing.fastest),
                f"{_number(result.ratio(timing))}×",
                f"{_number(timing.fastest / result.ours.fastest)}×",
                f"{timing.loss:.4f}",
            )
        )
    return rows


def _peak_line(results: Sequence[CellResult]) -> str:
    peaks = [result.peak for result in results if result.peak is not None]
    if not peaks:
        return "peak of one core: -, this build of the core has no probe for it"
    return f"peak of one core: {median(peaks) / 1e9:.0f} GFLOP/s, float32 multiply-adds, median over the cells"


def _remarks(results: Sequence[CellResult], missing: Mapping[str, Sequence[str]]) -> list[str]:
    failed = [
        f"{result.cell.name}: {name} could not take part: {why}"
        for result in results
        for name, why in result.failures.items()
    ]
    absent = [f"{name} is not installed: pip install {' '.join(needs)}" for name, needs in missing.items()]
    return [*failed, *absent]


def as_text(
    results: Sequence[CellResult], machine: Mapping[str, str], missing: Mapping[str, Sequence[str]], rounds: int
) -> str:
    """The tables as a terminal shows them.

    Parameters
    ----------
    results : sequence of CellResult
    machine : mapping of str to str
        As `describe_machine` says it.
    missing : mapping of str to sequence of str
        Peers that are not installed, and the libraries they need.
    rounds : int
        That were measured.

    Returns
    -------
    str
    """
    lines = [f"{name}: {value}" for name, value in machine.items()]
    lines += [_peak_line(results), f"rounds: {rounds}", "", *aligned(_summary(results))]
    if ratios := _ratios(results):
        lines += ["", *aligned(ratios)]
    if remarks := _remarks(results, missing):
        lines += ["", *remarks]
    return "\n".join(lines)


def as_markdown(
    results: Sequence[CellResult], machine: Mapping[str, str], missing: Mapping[str, Sequence[str]], rounds: int
) -> str:
    """The tables as a page, with the details of each cell; the parameters are those of `as_text`."""
    lines = ["# Results of the benchmarks", "", "Written by `python -m deltarule bench --markdown FILE`.", ""]
    lines += [f"- {name}: {value}" for name, value in machine.items()]
    lines += [f"- {_peak_line(results)}", f"- rounds: {rounds}, ours and a peer in turn", "", _MEANING, ""]
    lines += [*_markdown(_summary(results)), ""]
    if ratios := _ratios(results):
        lines += ["## Every peer", "", *_markdown(ratios), ""]
    lines += ["## Cell by cell", ""]
    for result in results:
        cell = result.cell
        about = f"{cell.describe()}; {cell.parameters:,} parameters, {cell.samples:,} samples"
        lines += [f"### {cell.name}", "", f"{about}.", "", *_markdown(_details(result)), ""]
    if remarks := _remarks(results, missing):
        lines += ["## Who could not take part", "", *(f"- {remark}" for remark in remarks), ""]
    return "\n".join(lines)


def _timing(timing: Timing) -> dict[str, Any]:
    return {
        "name": timing.name,
        "median_us": timing.median,
        "fastest_us": timing.fastest,
        "loss": timing.loss,
        "steps_in_a_run": timing.steps,
        "seconds_of_runs": timing.seconds,
    }


def as_json(
    results: Sequence[CellResult], machine: Mapping[str, str], missing: Mapping[str, Sequence[str]], rounds: int
) -> dict[str, Any]:
    """Everything that was measured, for programs; the parameters are those of `as_text`."""
    return {
        "machine": dict(machine),
        "rounds": rounds,
        "missing": {name: list(needs) for name, needs in missing.items()},
        "cells": {
            result.cell.name: {
                "what": result.cell.describe(),
                "flops": result.cell.flops,
                "peak_flops": result.peak,
                "share_of_peak": result.share_of_peak,
                "speedup_of_two_threads": result.speedup,
                "ratio_to_best": result.ratio(result.best) if result.best else None,
                "ours": _timing(result.ours),
                "ours_by_threads": {str(count): _timing(timing) for count, timing in result.fixed.items()},
                "peers": [_timing(peer) for peer in result.peers],
                "failures": result.failures,
            }
            for result in results
        },
    }
