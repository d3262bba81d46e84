"""The last activation and the loss that are computed together; to add a pair, see FUSED at the end."""

from __future__ import annotations

__all__ = ["FUSED"]

# Both are computed from the last layer's z, the logits.
#
# As in the textbook, softmax p = softmax(z) comes first, then ℓ = -Σ_k y_k log p_k, and the way back multiplies
# dℓ/dp_k = -y_k / p_k by dp_k/dz_j = p_k ([j = k] - p_j):
#
#     dℓ/dz_j = Σ_k -y_k / p_k * p_k ([j = k] - p_j) = -y_j + p_j Σ_k y_k = p_j - y_j.
#
# The factors p_k cancel, which in a computer they must do on paper: where p_k has underflowed to 0, log p_k and 1 / p_k
# are infinite. The losses of this library therefore take logits, and give p - y at once. The same holds for the sigmoid
# p = σ(z) and ℓ = -y log p - (1 - y) log(1 - p): with dp/dz = p (1 - p),
#
#     dℓ/dz = (-y / p + (1 - y) / (1 - p)) * p (1 - p) = -y (1 - p) + (1 - y) p = p - y.
#
# So a network whose last layer applies the softmax or the sigmoid itself is trained as if it did not: the loss looks at
# z, and dℓ/dz is already that layer's delta.
FUSED = {("softmax", "cross_entropy"), ("sigmoid", "binary_cross_entropy")}
