"""The driver of `LBFGS`: SciPy's L-BFGS-B over the core's loss and gradients of all samples."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DivergenceError
from ..history import History
from ..layers import Dropout
from .inputs import Inputs
from .loop import Result
from .objective import NotFiniteError, Objective, Vector
from .preparing import Prepared

if TYPE_CHECKING:
    from ..lbfgs import LBFGS
    from .network import Network

__all__ = ["check_full_batch", "fit_full_batch"]

_DEFAULT_BATCH = 32  # of Network.fit: nobody asked for it


def check_full_batch(
    network: Network, optimizer: LBFGS, n_samples: int, *, epochs: int, batch_size: int, **refused: Any
) -> None:
    """Refuse what does not go with L-BFGS: before any callback is told of a beginning.

    Parameters
    ----------
    network, optimizer, n_samples, epochs, batch_size
        As in the fit.
    **refused
        Arguments of the fit that have to be None.

    Raises
    ------
    ImportError
        There is no SciPy.
    ValueError
        An argument or a layer does not go with it.
    """
    _minimize()
    for argument, value in refused.items():
        if value is not None:
            raise ValueError(
                f"{argument}={value!r} does not go with optimizer={optimizer!r}, which looks at all samples in each "
                "iteration and whose state is SciPy's; leave it out, or use another optimizer such as deltarule.Adam()"
            )
    if epochs != 1:
        raise ValueError(
            f"epochs={epochs} with optimizer={optimizer!r}: an iteration is an epoch, and the optimizer says how many "
            f"there are; leave epochs out and give LBFGS(max_iter={max(epochs, 1)})"
        )
    if batch_size < n_samples and batch_size != _DEFAULT_BATCH:
        raise ValueError(
            f"batch_size={batch_size} with optimizer={optimizer!r}: each iteration looks at all {n_samples} samples; "
            "leave batch_size out"
        )
    for number, layer in enumerate(network.layers):
        if layer.type == "batch_norm" or (isinstance(layer, Dropout) and layer.rate > 0):
            raise ValueError(
                f"layer {number} is {layer!r}: in training its outputs change from one call to the next, and "
                f"optimizer={optimizer!r} needs a loss that does not; use another optimizer such as deltarule.Adam()"
            )
        factor = getattr(layer, "lr_factor", 1.0)
        if factor != 1.0:
            raise ValueError(
                f"layer {number} has lr_factor={factor}: optimizer={optimizer!r} has no learning rate; trainable=False "
                "freezes a layer"
            )


def fit_full_batch(
    network: Network,
    optimizer: LBFGS,
    inputs: Inputs,
    prepared: Prepared,
    *,
    validation: tuple[Any, ...] | None = None,
    threads: tuple[int, int] = (1, 1),
    cut: tuple[int, bool] = (0, False),
    after_epoch: Callable[..., bool] | None = None,
) -> Result:
    """Train; the arguments are those of a `Task`, checked by `check_full_batch`.

    The network has the parameters of the last iteration that was completed, whatever happens, unless somebody else has
    changed it meanwhile: then that is an error.
    """
    native, start = network._native, time.perf_counter()
    objective = Objective(network, inputs, prepared, threads, cut)
    result = Result("finished", (0, 0, -1, 0.0), [], [], [], [], [], None)
    raised: BaseException | None = None
    before = network.loss
    own, layers = np.array(network._flat), network.layers

    def require_unchanged() -> None:  # the core does not know of a fit, between whose iterations it would refuse this
        if network.layers is not layers or not np.array_equal(network._flat, own):
            raise RuntimeError(
                "the network was changed, by a callback or another thread, while a fit runs on it: wait for the fit to "
                "end, or train a copy (copy.deepcopy(network))"
            )

    def complete(x: Vector, loss: float) -> bool:
        require_unchanged()
        own[:] = objective.write(x)
        native.assign(network._flat, own)
        epoch, network.epochs_trained = len(result.loss), network.epochs_trained + 1
        val_loss = None
        if validation is not None:
            data, targets, weights, val_of = validation
            val_loss = native.evaluate(network._flat, val_of, data, targets, weights, *threads)
            result.val_loss.append(val_loss)
        result.loss.append(loss)
        result.lr.append(optimizer.first_lr)
        result.seconds.append(time.perf_counter() - start)
        return after_epoch is not None and after_epoch(epoch, loss, val_loss, result.lr[-1], result.seconds[-1])

    def after_iteration(intermediate_result: Any) -> None:  # SciPy looks at the argument's name
        nonlocal raised
        objective.accept()
        try:
            stops = complete(intermediate_result.x, float(intermediate_result.fun))
        except BaseException as error:  # a StopIteration of the caller's too, which SciPy would take for its own
            raised, stops = error, True
        if stops:
            raise StopIteration

    network.loss = prepared.found
    where = result.where
    try:
        found = _minimize()(
            objective,
            objective.start,
            method="L-BFGS-B",
            jac=True,
            callback=after_iteration,
            options={
                "maxcor": optimizer.history_size,
                "ftol": optimizer.tolerance_change,
                "gtol": optimizer.tolerance_grad,
                "maxiter": optimizer.max_iter,
                "maxfun": 2**31 - 1,
            },
        )
        end = _ENDS.get(found.status, "finished")
        if raised is None:
            require_unchanged()
    except NotFiniteError as error:
        end, where, raised = "diverged", (0, 0, -1, error.loss), _divergence(optimizer, error.loss)
    except BaseException as error:
        end, raised = "failed", error
    if raised is not None and end != "diverged":
        end = "interrupted" if isinstance(raised, KeyboardInterrupt) else "failed"
    if not result.loss:
        network.loss = before
    return result._replace(end=end, where=where, raised=raised)


# By SciPy's status. 2: nothing lower was found along the line, as where the dtype's digits are used up.
_ENDS = {0: "converged", 2: "converged", 99: "stopped"}


def _minimize() -> Any:
    try:
        from scipy.optimize import minimize
    except ImportError as error:
        raise ImportError("optimizer=LBFGS() needs SciPy: pip install 'deltarule[scipy]'") from error
    return minimize


def _divergence(optimizer: LBFGS, loss: float) -> DivergenceError:
    what = "the gradient is not finite" if np.isfinite(loss) else f"the loss is {loss}"
    return DivergenceError(
        f"training with {optimizer!r} cannot begin: {what} with the weights that the network has. It is as it was; "
        "scale the inputs with deltarule.Standardizer, or begin with smaller weights",
        epoch=0,
        step=0,
        layer=-1,
        history=History({"loss": [], "lr": [], "seconds": []}),
    )
