"""A process that trains nothing itself: it forks children that do, and kills them, by signal 9 at moments drawn at
random and in the midst of writing a checkpoint. For test_resume_killed.py; a fit is a function of `FITS`.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import stat
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import safetensors.numpy  # noqa: F401 - here, so that no child has to read it

import deltarule as dr
from deltarule.callbacks import EarlyStopping
from deltarule.network.saved_fit import SavedFit
from deltarule.network.stream_data import StreamData  # noqa: F401

Keep = dict[str, Any]  # checkpoint, checkpoint_every, resume, n_threads
Result = tuple[dr.Network, dr.History, list[EarlyStopping]]
Fit = Callable[[Keep], Result]

_RANDOM = np.random.default_rng(7)
X = _RANDOM.normal(size=(203, 5))
CLASSES = (np.sin(2 * X[:, 0]) + X[:, 1] + _RANDOM.normal(size=203) > 0).astype(int)
SEQUENCES, LENGTHS = _RANDOM.normal(size=(60, 9, 3)), _RANDOM.integers(1, 10, size=60)
SUMS = np.array([sequence[:length].sum() for sequence, length in zip(SEQUENCES, LENGTHS, strict=True)])


def one_cycle(keep: Keep) -> Result:
    """The rate changes with each step; the weights that count are an average, of the best epoch."""
    network = dr.Network([dr.Dense(17, "relu"), dr.Dropout(0.2), dr.LayerNorm(), dr.Dense(2)], seed=5)
    stopping = EarlyStopping(patience=1000)
    rate = dr.OneCycleLR(0.05, total_steps=13 * 60)
    history = network.fit(
        X, CLASSES, loss="cross_entropy", optimizer=dr.Adam(rate), epochs=60, batch_size=16,
        validation_data=(X[:50] + 0.1, CLASSES[:50]), callbacks=[dr.EMA(0.98), stopping], clip_norm=0.5,
        metrics=["accuracy", "auc"], **keep,
    )  # fmt: skip
    return network, history, [stopping]


def plateau(keep: Keep) -> Result:
    """It is the callback that ends the fit."""
    network = dr.Network([dr.Dense(9, "tanh", l2=1e-3), dr.Dense(1)], dtype="float64", seed=2)
    stopping = EarlyStopping("loss", patience=12, min_delta=1e-4)
    rate = dr.ReduceLROnPlateau(0.3, factor=0.5, patience=2)
    history = network.fit(
        X, CLASSES, loss="binary_cross_entropy", optimizer=dr.SGD(rate, momentum=0.9, nesterov=True), epochs=400,
        batch_size=50, validation_split=0.3, callbacks=[stopping], class_weight="balanced", metrics=["f1"], **keep,
    )  # fmt: skip
    assert stopping.stopped_epoch is not None
    return network, history, [stopping]


def _batches() -> Iterator[tuple[Any, Any]]:
    for start in range(0, len(X), 23):
        yield X[start : start + 23], CLASSES[start : start + 23]


def stream(keep: Keep) -> Result:
    """Rows through a buffer that is smaller than they are, in chunks of three steps."""
    network = dr.Network([dr.Dense(12, "silu"), dr.BatchNorm(), dr.Dropout(0.1), dr.Dense(2)], seed=1)
    stopping = EarlyStopping(patience=8)
    optimizer = dr.AdamW(dr.StepLR(0.02, step_size=5, gamma=0.7), amsgrad=True)
    history = network.fit(
        dr.stream(_batches, buffer=50), loss="cross_entropy", optimizer=optimizer, epochs=45, batch_size=8,
        validation_data=(X[-40:], CLASSES[-40:]), callbacks=[stopping, dr.EMA(0.9)], metrics=["accuracy"],
        class_weight={0: 1.0, 1: 1.5}, **keep,
    )  # fmt: skip
    return network, history, [stopping]


def recurrent(keep: Keep) -> Result:
    """Sequences of several lengths, in pieces."""
    network = dr.Network([dr.GRU(7), dr.Dropout(0.1), dr.Dense(1)], seed=3)
    network.set_lr_factor(0.5, 0)
    stopping = EarlyStopping("val_mae", patience=1000)
    optimizer = dr.RMSprop(dr.CosineAnnealingLR(0.01), momentum=0.5, centered=True)
    history = network.fit(
        SEQUENCES, SUMS, lengths=LENGTHS, loss="mse", optimizer=optimizer, epochs=50, batch_size=7, bptt_steps=4,
        validation_split=0.25, callbacks=[stopping], clip_value=0.5, metrics=["mae"], **keep,
    )  # fmt: skip
    return network, history, [stopping]


def six_epochs(keep: Keep) -> Result:
    """As many checkpoints."""
    network = dr.Network([dr.Dense(300, "tanh"), dr.Dense(1)], seed=4)
    stopping = EarlyStopping("loss")
    history = network.fit(X, CLASSES, loss="mse", epochs=6, callbacks=[stopping], **keep)
    return network, history, [stopping]


FITS = {fit.__name__: fit for fit in (one_cycle, plateau, stream, recurrent)}
EVERY: tuple[int | str, ...] = (1, 1, "7 steps", "1 step", 3)
STAGES = ("opened", "half", "before fsync", "after fsync", "before replace", "after replace", "folder")


def outcome(fit: Fit, keep: Keep) -> dict[str, Any]:
    """All bits of what a fit comes to, in text."""
    network, history, stoppings = fit(keep)
    assert history["seconds"] == sorted(history["seconds"]), "the time goes back"
    weights = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in network.state_dict().items()}
    return {
        "weights": weights,
        "epochs": network.epochs_trained,
        "history": {name: [x.hex() for x in column] for name, column in history.items() if name != "seconds"},
        "stopping": [[one.best, one.best_epoch, one.stopped_epoch, one._waited] for one in stoppings],
    }


def die_at(stage: str, count: int) -> None:
    """Let this process kill itself at a stage of the count-th checkpoint it writes."""
    really_open, really_fsync, really_replace = os.open, os.fsync, os.replace
    writes = 0

    def reached(here: str) -> None:
        if writes == count and here == stage:
            os.kill(os.getpid(), signal.SIGKILL)

    def opened(path: Any, flags: int, *mode: Any) -> int:
        nonlocal writes
        descriptor = really_open(path, flags, *mode)
        if str(path).endswith(".part"):
            writes += 1
            reached("opened")
        return descriptor

    def fsync(descriptor: int) -> None:
        about = os.fstat(descriptor)
        if stat.S_ISDIR(about.st_mode):
            reached("folder")
            really_fsync(descriptor)
        else:
            if writes == count and stage == "half":
                os.ftruncate(descriptor, about.st_size // 2)  # as far as the disk had come
            reached("half")
            reached("before fsync")
            really_fsync(descriptor)
            reached("after fsync")

    def replace(source: Any, target: Any) -> None:
        reached("before replace")
        really_replace(source, target)
        reached("after replace")

    os.open, os.fsync, os.replace = opened, fsync, replace  # type: ignore[assignment]


def fork(work: Callable[[], Any]) -> int:
    """A child that does it and ends."""
    if os.path.isdir("/proc/self/task"):
        assert len(os.listdir("/proc/self/task")) == 1, "only a process without threads can be forked safely"
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def end_of(child: int) -> int:
    """Its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def read_all_the_time(folder: Path) -> None:
    """Read the checkpoints, which are written meanwhile, until there is a file "enough"; ValueError at a torn one."""
    reads, seen = 0, set()
    while not (folder / "enough").exists():
        for path in folder.glob("*.ckpt"):
            saved = SavedFit(path).read()
            assert saved is not None
            reads += 1
            seen.add((path.name, saved.epochs_done, saved.step))
    write(folder / "reads.json", [reads, len(seen)])


def kill_often(name: str, folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill a fit so many times, each time go on, and tell what came of it and of one that was left alone."""
    fit, choose = FITS[name], random.Random(seed)
    assert end_of(fork(lambda: write(folder / "alone.json", outcome(fit, {"n_threads": 1})))) == 0
    start = time.monotonic()
    keep = {"checkpoint": folder / "timed", "checkpoint_every": 1}
    assert end_of(fork(lambda: write(folder / "timed.json", outcome(fit, keep)))) == 0
    seconds = time.monotonic() - start
    reader = fork(lambda: read_all_the_time(folder))
    found, done, stages, torn, run, went_back = ["timed.json"], 0, 0, 0, 0, False
    place, path = (0, 0), folder / "0.ckpt"
    while True:
        keep = {
            "checkpoint": path, "checkpoint_every": choose.choice(EVERY), "resume": True,
            "n_threads": choose.choice([None, 1, 2, 3]),
        }  # fmt: skip
        in_writing = done < kills and choose.random() < 0.3
        stage, count = choose.choice(STAGES), choose.choice([1, 1, 2, 3, 5, 8])

        child = fork(partial(train, fit, keep, (stage, count) if in_writing else None))
        if not in_writing and done < kills:
            time.sleep(choose.choice([0.05, 0.25]) * seconds * choose.random())
            os.kill(child, signal.SIGKILL)
        code = end_of(child)
        assert code in (0, -signal.SIGKILL), f"a child of {name} has ended with {code}, {keep}"
        torn += (folder / f".{path.name}.part").exists()
        if code == 0:
            found.append(f"{run}.json")
            if done >= kills:
                break
            run, place = run + 1, (0, 0)
            path = folder / f"{run}.ckpt"
            continue
        done, stages = done + 1, stages + in_writing
        saved = SavedFit(path).read()
        now = (0, 0) if saved is None else (saved.epochs_done, saved.step)
        went_back, place = went_back or now < place, now
    (folder / "enough").touch()
    assert end_of(reader) == 0, "the reader has seen a torn file"
    outcomes = [json.loads((folder / file).read_text()) for file in found]
    alone = json.loads((folder / "alone.json").read_text())
    reads, states = json.loads((folder / "reads.json").read_text())
    return {
        "kills": done, "in_writing": stages, "left_behind": torn, "runs": len(outcomes), "went_back": went_back,
        "differing": [file for file, one in zip(found, outcomes, strict=True) if one != alone],
        "reads": reads, "states_read": states, "seconds": seconds, "epochs": alone["epochs"],
    }  # fmt: skip


def train(fit: Fit, keep: Keep, death: tuple[str, int] | None = None) -> None:
    """In a child: fit, perhaps die, and leave what came of it beside the checkpoint."""
    if death is not None:
        die_at(*death)
    write(keep["checkpoint"].with_suffix(".json"), outcome(fit, keep))


def kill_at_each_stage(folder: Path) -> dict[str, Any]:
    """Kill a fit at each stage of its first, second and last checkpoint, and go on; tell what was wrong."""
    wrong, kills = [], 0
    assert end_of(fork(lambda: write(folder / "alone.json", outcome(six_epochs, {})))) == 0
    alone = json.loads((folder / "alone.json").read_text())
    for stage in STAGES:
        for count in (1, 2, 6):
            path = folder / f"{stage}-{count}.ckpt"

            code = end_of(fork(partial(train, six_epochs, {"checkpoint": path}, (stage, count))))
            kills += code == -signal.SIGKILL
            saved = SavedFit(path).read()
            done = 0 if saved is None else saved.epochs_done
            if done != (count if STAGES.index(stage) >= STAGES.index("after replace") else count - 1):
                wrong.append(f"{path.name}: {done} epochs are there")
            code = end_of(fork(partial(train, six_epochs, {"checkpoint": path, "resume": True})))
            if code != 0 or json.loads(path.with_suffix(".json").read_text()) != alone:
                wrong.append(f"{path.name}: another result")
    return {"kills": kills, "wrong": wrong, "left": [path.name for path in folder.iterdir() if path.suffix == ".part"]}


def main() -> NoReturn:
    folder = Path(sys.argv[2])
    found = (
        kill_at_each_stage(folder)
        if sys.argv[1] == "stages"
        else kill_often(sys.argv[1], folder, *map(int, sys.argv[3:]))
    )
    print(json.dumps(found))
    sys.exit(0)


if __name__ == "__main__":
    main()
