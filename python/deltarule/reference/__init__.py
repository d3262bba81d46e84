"""Backpropagation in plain NumPy float64, written to be read: the twin of every formula in the C++ core.

It never imports the core. Read layers/dense.py and network.py first; the comment below is the way through.
To add a formula, write its class into the module of its kind; the mathematics is in the docstrings.
"""

# One training step, by the chain rule.
#
# 1. Forward. The minibatch X is the first layer's input x. Each layer computes, with its weight W and its bias b,
#        z = x W + b        every unit's weighted sum of its inputs               (n_samples, units)
#        a = f(z)           the activation, number by number                      activations.py
#    and its a is the next layer's x. Each layer keeps its x and z.                layers/dense.py, Dense.forward
#
# 2. Loss. The last a is the network's output. How wrong it is, given the targets y, is one number:
#        L = mean over the samples of ℓ(output, y)                                 losses.py
#    The question of training is how L changes with each single W and b. The loss answers for the output: dL/d output.
#
# 3. Backward. Take it through the layers from the last to the first. Each layer is told dL/da, how L changes with what
#    it gave out, and asks the chain rule three times:
#        a = f(z)           so    dL/dz = dL/da * f'(z)       this is delta, the error signal
#        z = x W + b        so    dL/dW = xᵀ delta            each weight: its input times its unit's error
#                                 dL/db = Σ delta             over the samples
#                                 dL/dx = delta Wᵀ            each input: the errors it caused, by the same weights
#    and dL/dx is dL/da of the layer before. Every layer is visited once: all gradients cost about as much as two more
#    ways forward, however many weights there are.                                 layers/dense.py, Dense.backward
#
# 4. Update. Go a little downhill, for each parameter p with gradient g = dL/dp:
#        p ← p - lr g       or a cleverer rule                                     optimizers.py
#
# 5. Repeat.                                                                       network.py, Network.step
#
# Sequences. A recurrent layer sees the steps of a sequence one after the other, and its own state after the last one:
#        state_t = cell(x_t, state_{t-1})                                         cells.py
#    Written out for all steps this is a deep network whose layers share their weights, and 3. holds for it as it is:
#    back through time, from the last step to the first, where every step adds to the same dL/dW.
#                                                                                 layers/recurrent.py
#
# Is it right? Nudge one weight, watch the loss: (L(p + h) - L(p - h)) / 2h must be dL/dp. Network.numerical_gradients.

from __future__ import annotations

from . import activations, cells, initializers, layers, losses, masks, network, optimizers
from .activations import ACTIVATIONS
from .cells import CELLS
from .clipping import clip_by_global_norm, clip_by_value
from .initializers import INITIALIZERS
from .layers import LAYERS, BatchNorm, Dense, Dropout, LayerNorm, Recurrent
from .losses import LOSSES
from .network import Network
from .optimizers import OPTIMIZERS

__all__ = [
    "ACTIVATIONS",
    "CELLS",
    "INITIALIZERS",
    "LAYERS",
    "LOSSES",
    "OPTIMIZERS",
    "BatchNorm",
    "Dense",
    "Dropout",
    "LayerNorm",
    "Network",
    "Recurrent",
    "activations",
    "cells",
    "clip_by_global_norm",
    "clip_by_value",
    "initializers",
    "layers",
    "losses",
    "masks",
    "network",
    "optimizers",
]
