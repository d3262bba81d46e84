"""Many tiny networks at once: ours on one thread and on two, beside JAX and torch.func, which train them as one.

`python benchmarks/bench_many.py [--networks 1000] [--rounds 7]` prints a table in Markdown and everything as JSON;
`pytest` on this file measures the same. To add a peer, see many_peers.py.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from many_peers import BATCH, PEERS, RATES, REST, WIDTHS, Ours, Peer, Problem

from deltarule.bench.machine import Bystanders, describe_machine

ROUNDS = 7
AIMS = {
    "2 threads to 1": 1.8,
    "ours to the best peer": 6.0,
    "ours to the best peer with the same work, a batch of its own for each network": 6.0,
}


def ours(problem: Problem) -> dict[str, Ours]:
    """With as many threads as it takes, and with one and with two."""
    return {"ours": Ours(problem), "ours, 1 thread": Ours(problem, 1), "ours, 2 threads": Ours(problem, 2)}


def measured(problem: Problem, names: Sequence[str], rounds: int, report: Callable[[str], None]) -> dict[str, Any]:
    """All in turn, before each peer ours, so that a busy moment hits everybody alike."""
    own: dict[str, Ours] = ours(problem)
    others, failures = dict[str, Peer](), dict[str, str]()
    for name in names:
        needed, make = PEERS[name]
        if find_spec(needed) is None:
            failures[name] = f"pip install {needed}"
            continue
        try:
            others[name] = make(problem)
            others[name].reset()
            others[name].train()  # compiles
        except Exception as error:  # whatever another library raises, the table goes on without it
            others.pop(name, None)
            failures[name] = f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0]}"
        report(f"{name}: {failures.get(name, 'ready')}")
    for one in own.values():
        one.reset()
        one.train()
        one.seconds_to_make.clear()
    for number in range(rounds):
        for name in ("ours, 1 thread", "ours, 2 threads"):
            own[name].run()
        for peer in others.values():
            own["ours"].run()
            peer.run()
        if not others:
            own["ours"].run()
        report(f"round {number + 1} of {rounds}")
    everybody = {**own, **others}
    losses = {name: problem.losses(one.weights()) for name, one in everybody.items()}
    return {
        "seconds": {name: one.seconds for name, one in everybody.items()},
        "seconds to make the networks": [s for one in own.values() for s in one.seconds_to_make],
        "losses": {name: [float(np.quantile(found, q)) for q in (0, 0.5, 1)] for name, found in losses.items()},
        "loss before": float(np.median(problem.losses(problem.initial))),
        "failures": failures,
        "ratios": ratios({name: one.seconds for name, one in everybody.items()}),
    }


def ratios(seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Of medians and of minima: two threads beside one, and ours beside the best peer."""
    found: dict[str, dict[str, float]] = {}
    for kind, of in (("medians", median), ("minima", min)):
        times = {name: of(runs) for name, runs in seconds.items()}
        of_peers = {name: value for name, value in times.items() if name in PEERS}
        own_orders = [value for name, value in of_peers.items() if not name.endswith("one order")]
        for aim, peers in zip(list(AIMS)[1:], (list(of_peers.values()), own_orders), strict=True):
            if peers:
                found.setdefault(kind, {})[aim] = min(peers) / times["ours"]
        found.setdefault(kind, {})["2 threads to 1"] = times["ours, 1 thread"] / times["ours, 2 threads"]
    return found


def page(problem: Problem, results: dict[str, Any], about: dict[str, str]) -> str:
    """What was measured, where and how, as Markdown."""
    work = problem.networks * problem.steps
    lines = ["# Many networks at once", "", "Written by `python benchmarks/bench_many.py --markdown FILE`.", ""]
    lines += [f"- {name}: {value}" for name, value in about.items()]
    lines += [
        "",
        "| who | median, s | fastest, s | ns a step | ratio | ratio of fastest | losses: best, median, worst |",
    ]
    lines += ["|---|---:|---:|---:|---:|---:|---:|"]
    own = results["seconds"]["ours"]
    for name, runs in results["seconds"].items():
        losses = ", ".join(f"{loss:.4f}" for loss in results["losses"][name])
        lines.append(
            f"| {name} | {median(runs):.3f} | {min(runs):.3f} | {median(runs) / work * 1e9:.0f} | "
            f"{median(runs) / median(own):.2f}× | {min(runs) / min(own):.2f}× | {losses} |"
        )
    made = median(results["seconds to make the networks"])
    lines += ["", f"Making the networks took {made:.3f} s, which is in none of these times; with it, and all that "]
    lines[-1] += f"`train_many` does in Python, ours takes {made + median(own):.3f} s."
    lines += [f"The median loss was {results['loss before']:.4f} before.", ""]
    for name, aim in AIMS.items():
        found = [f"{of[name]:.2f} ({kind})" for kind, of in results["ratios"].items() if name in of]
        if found:
            lines.append(f"- {name}: {', '.join(found)}; wanted: at least {aim:g}")
    lines += [f"- {name} could not take part: {why}" for name, why in results["failures"].items()]
    return "\n".join([*lines, ""])


@pytest.mark.parametrize("name", ["ours, 1 thread", "ours, 2 threads", *PEERS])
def bench_many(benchmark: Any, name: str) -> None:
    """Before each run of a peer one of ours."""
    problem = Problem()
    if name in PEERS and find_spec(PEERS[name][0]) is None:
        pytest.skip(f"pip install {PEERS[name][0]}")
    own, one = Ours(problem), PEERS[name][1](problem) if name in PEERS else ours(problem)[name]

    def ours_first() -> None:
        own.run()
        one.reset()
        time.sleep(REST)

    benchmark.group = f"{problem.networks} networks, {'-'.join(map(str, WIDTHS))}"
    benchmark.pedantic(one.train, setup=ours_first, rounds=ROUNDS, warmup_rounds=1)
    others, mine = benchmark.stats.stats.median, median(own.seconds)
    loss, our_loss = (float(np.median(problem.losses(of.weights()))) for of in (one, own))
    benchmark.extra_info.update({"s": others, "ours": mine, "ratio": others / mine, "loss": loss, "our loss": our_loss})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=Problem.networks, help="(default: 1000)")
    parser.add_argument("--rows", type=int, default=Problem.rows, help="of the data (default: 1024)")
    parser.add_argument("--epochs", type=int, default=Problem.epochs, help="of each network (default: 10)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="(default: 7)")
    parser.add_argument("--peers", default=";".join(PEERS), help=f"of {'; '.join(PEERS)}, or none (default: all)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table as a page")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON, in place of printing it")
    arguments = parser.parse_args()
    names = [name.strip() for name in arguments.peers.split(";") if name.strip() not in ("", "none")]
    if unknown := set(names) - set(PEERS):
        parser.error(f"there is no peer {', '.join(unknown)}: choose of {'; '.join(PEERS)}")
    problem, bystanders = Problem(arguments.networks, arguments.rows, arguments.epochs), Bystanders()
    results = measured(problem, names, max(1, arguments.rounds), lambda what: print(what, flush=True))
    about, share = describe_machine(["jax", "torch"]), bystanders.share()
    about["other processes"] = "unknown" if share is None else f"took {share:.0%} of all cores meanwhile"
    about["networks"] = f"{problem.networks:,} of {'-'.join(map(str, WIDTHS))}, relu, float32, each with its own seed"
    about["training"] = (
        f"{problem.epochs} epochs over {problem.rows:,} rows in batches of {BATCH}, shuffled, mean squared error, "
        f"Adam with learning rates from {RATES[0]:g} to {RATES[1]:g}"
    )
    about["rounds"] = f"{max(1, arguments.rounds)}, all in turn"
    text = page(problem, results, about)
    everything = json.dumps({"about": about, "widths": WIDTHS, "batch": BATCH, **results}, indent=1)
    print("\n" + text)
    if arguments.markdown is not None:
        arguments.markdown.write_text(text, encoding="utf-8")
    if arguments.json is None:
        print(everything)
    else:
        arguments.json.write_text(everything + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
