"""Corners where a fit meets the world around it: the end of the process, callbacks, other threads, extreme weights."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import deltarule as dr

X, Y = dr.datasets.xor()

DAEMON = """
import threading, time
import numpy as np
import deltarule as dr
X, Y = dr.datasets.xor()
class Watcher:
    def on_epoch_end(self, epoch, logs): pass
def loss(output, y): return float(np.mean((output - y) ** 2)), 2 * (output - y) / output.size
def train():
    network = dr.Network([dr.Dense(4, "tanh"), dr.Dense(1)])
    network.fit(X, Y, loss={loss}, epochs=10**9, callbacks=[Watcher()], n_threads={threads})
threading.Thread(target=train, daemon=True).start()
time.sleep(0.3)
"""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("loss", ["'mse'", "loss"])
def test_the_process_ends_while_a_daemon_thread_trains(loss: str, threads: int) -> None:
    program = DAEMON.format(loss=loss, threads=threads)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_users_code_sees_denormals() -> None:
    seen = []

    class Watcher:
        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            seen.append(float(np.float64(1e-300) * np.float64(1e-10)))

    def loss(output: Any, y: Any) -> tuple[float, Any]:
        seen.append(float(np.float64(1e-300) * np.float64(1e-10)))
        return float(np.mean((output - y) ** 2)), 2 * (output - y) / output.size

    dr.Network([dr.Dense(1)]).fit(X, Y, loss=loss, callbacks=[Watcher()], epochs=2, n_threads=2)
    assert seen == [1e-310] * 4


@pytest.mark.parametrize(
    ("dtype", "sizes"), [("float32", (1e-39, 1e-30, 1.0, 3e37)), ("float64", (1e-310, 1.0, 4e307))]
)
def test_only_the_ratios_of_weights_matter(dtype: str, sizes: tuple[float, ...]) -> None:
    network = dr.Network([dr.Dense(3, "tanh"), dr.Dense(1)], input_shape=2, dtype=dtype)
    value, gradients = network.loss_and_gradients(X, Y, loss="mse")
    for size in sizes:
        scaled, of_scaled = network.loss_and_gradients(X, Y, loss="mse", sample_weight=np.full(4, size))
        assert scaled == pytest.approx(value, rel=1e-6)
        for name, gradient in gradients.items():
            np.testing.assert_allclose(of_scaled[name], gradient, rtol=1e-5, atol=1e-7)


def test_a_trainer_with_a_loss_of_the_users_is_collected() -> None:
    def loss(output: Any, y: Any) -> tuple[float, Any]:
        return float(np.mean((output - y) ** 2)), 2 * (output - y) / output.size

    trainer = dr.Trainer(dr.Network([dr.Dense(1)]), loss=loss)
    trainer.step(X, Y)
    gone = weakref.ref(trainer)
    del trainer
    gc.collect()
    assert gone() is None


def test_a_refused_call_leaves_the_running_one_alone() -> None:
    """The loss of the fit under way, and the y of the step under way, are not those of the call that was refused."""
    network = dr.Network([dr.Dense(1)], input_shape=2)
    seen: list[Any] = []

    def loss(output: Any, y: Any) -> tuple[float, Any]:
        if not seen:

            def intrude() -> None:
                with pytest.raises(RuntimeError):
                    network.fit(X, Y, loss="binary_cross_entropy")
                with pytest.raises(RuntimeError):
                    trainer.step(X, Y + 5)

            thread = threading.Thread(target=intrude)
            thread.start()
            thread.join()
        seen.append(float(np.max(y)))
        return float(np.mean((output - y) ** 2)), 2 * (output - y) / output.size

    trainer = dr.Trainer(network, loss=loss)
    trainer.step(X, Y)
    assert seen == [1.0]
    assert network.loss is loss


def test_a_first_fit_in_two_threads_builds_one_network() -> None:
    data = np.random.default_rng(0).normal(size=(64, 300))
    for _ in range(5):
        network = dr.Network([dr.Dense(600, "tanh"), dr.Dense(1)])
        outcomes: list[str] = []
        start = threading.Barrier(2)

        def train(network: dr.Network = network, outcomes: list[str] = outcomes, start: Any = start) -> None:
            start.wait()
            try:
                network.fit(data, data[:, 0], loss="mse", epochs=3)
                outcomes.append("trained")
            except RuntimeError:
                outcomes.append("refused")

        threads = [threading.Thread(target=train) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert network.epochs_trained == 3 * outcomes.count("trained")


def test_poisson_takes_the_log_of_the_rate() -> None:
    with pytest.raises(ValueError, match=r"it takes the log of the rate, so end in Dense\(1\)"):
        dr.Network([dr.Dense(1, "exp")]).fit(X, Y, loss="poisson")
    with pytest.raises(ValueError, match="log of the rate"):
        dr.Network([dr.Dense(1, "exp")]).fit(X, Y, loss="poisson_deviance")


def test_numpy_says_stop_too() -> None:
    class Stopping:
        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> Any:
            return np.float64(logs["loss"]) < 10

    assert dr.Network([dr.Dense(1)]).fit(X, Y, loss="mse", epochs=9, callbacks=[Stopping()]).epochs == 1


def test_metrics_that_do_not_fit_the_targets_are_refused() -> None:
    network = dr.Network([dr.Dense(3, init="zeros")], input_shape=2)
    one_hot = dr.one_hot([0, 1, 2, 2])
    assert network.evaluate(X, one_hot, loss="mse", metrics=["accuracy"])["accuracy"] == 0.25  # as the argmax says
    with pytest.raises(ValueError, match="accuracy needs classes"):
        network.evaluate(X, one_hot * 1.5, loss="mse", metrics=["accuracy"])
    with pytest.raises(ValueError, match="compare numbers"):
        network.evaluate(X, [0, 1, 2, 2], loss="cross_entropy", metrics=["mae"])


def test_loading_does_not_draw_weights_first(tmp_path: Any) -> None:
    """Orthogonal weights of a large layer take seconds, which a file from a stranger should not cost."""
    network = dr.Network([dr.Dense(1, init="orthogonal")], input_shape=2)
    network.save(tmp_path / "model")
    loaded = dr.Network.load(tmp_path / "model")
    assert loaded.predict(X).tobytes() == network.predict(X).tobytes()
    unset = dr.Network.from_spec(network.spec(), initialize=False)
    assert not any(array.any() for array in unset.parameters.values())


def test_no_memory_is_said_in_words() -> None:
    with pytest.raises(MemoryError, match=r"GiB of float32: there is no memory for them; use fewer units"):
        dr.Network([dr.Dense(2**22)], input_shape=2**22)
