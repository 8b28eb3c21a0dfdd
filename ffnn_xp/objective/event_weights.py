"""Products of a statistic's values and derivatives with the weights of events, which may be None."""

from __future__ import annotations

from ffnn_xp._lib.typing import Array, Namespace


def weighted(s: Array, weights: Array | None, *, coupled: bool = False) -> Array:
    """Multiply values ``(..., k, n)``, or `coupled` ones ``(..., k, k, n)``, by weights ``(..., 1, n)``."""
    if weights is None:
        return s
    return s * (weights[..., None, :, :] if coupled else weights)


def weighted_columns(xp: Namespace, s: Array, weights: Array | None) -> Array:
    """Multiply values by weights where each event has several columns, one after another."""
    if weights is None:
        return s
    each = xp.reshape(s, (*s.shape[:-1], weights.shape[-1], -1))
    return xp.reshape(each * weights[..., None], s.shape)


def columns_in_use(xp: Namespace, x: Array, weights: Array | None) -> Array | None:
    """Return 1 for columns of x whose event has a weight other than 0, else 0; None without weights."""
    if weights is None:
        return None
    each = xp.astype(weights != 0, x.dtype)[..., None]
    columns = xp.broadcast_to(each, (*weights.shape, x.shape[-1] // weights.shape[-1]))
    return xp.reshape(columns, (*weights.shape[:-1], -1))
