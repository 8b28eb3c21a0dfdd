"""Measured values, counts and classes: their shapes, and the values that each statistic allows."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import device

from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp._lib.validation import letter
from ffnn_xp.backends import Backend
from ffnn_xp.data.points import array_shape
from ffnn_xp.data.validation import (
    CONTENT,
    COUNT,
    FINITE,
    LABEL,
    NUMBER_CLASSES,
    SHARE,
    SUCCESSES,
    YES_OR_NO,
    floats,
)
from ffnn_xp.losses import Loss


def measured_values(backend: Backend, y: Any, n: int, k: int | None, loss: Loss) -> tuple[Array, bool]:
    """Return measured values ``(n, m)`` for a network of k outputs; some losses need several outputs for each value."""
    if k is not None:
        each = loss.outputs(1)
        if k % each:
            raise ValueError(f"loss {loss.name!r} needs {each} outputs for each value of y, this network has {k}")
        k //= each
    counted = COUNT if loss.whole_counts else CONTENT
    a = floats(backend, y, "y", {"real": FINITE, "successes": SUCCESSES}.get(loss.target_kind, counted))
    was_column = a.ndim == 2 and a.shape[1] == 1
    if a.ndim == 0 and n == 1:
        a = backend.xp.reshape(a, (1, 1))
    elif a.ndim == 1 and a.shape[0] == n and (k in (None, 1) or n != 1):
        a = a[:, None]
    elif a.ndim == 1 and n == 1:
        a = a[None, :]
    if a.ndim != 2 or a.shape[0] != n:
        raise ValueError(f"`y` must have shape ({n}, {letter(k, 'k')}) to match the {n} events of `x`, got {a.shape}")
    if k is not None and a.shape[1] != k:
        raise ValueError(f"`y` must have shape ({n}, {k}) since the network has {k} outputs, got {a.shape}")
    return a, was_column


def counts_of_classes(backend: Backend, y: Any, n: int, k: int | None, *, to_fit: bool) -> tuple[Array, bool]:
    """Return counts of classes ``(n, k)``; labels from 0 to k-1 with shape (n,) become counts of 0 and 1."""
    labels = len(array_shape(y)) == 1 and k != 1
    a = floats(backend, y, "y", LABEL if labels else SHARE)
    xp = backend.xp
    if labels:
        k = _number_of_classes(np.unique(backend.to_host(a)), k, to_fit=to_fit)
        a = xp.astype(a[:, None] == xp.arange(k, dtype=a.dtype, device=device(a))[None, :], a.dtype)
    if a.ndim != 2 or a.shape[0] != n or a.shape[1] < 2 or (k is not None and a.shape[1] != k):
        raise ValueError(
            f"`y` must have shape ({n},), a label for each event, or ({n}, {letter(k, 'k')}), counts of classes, "
            f"got {tuple(a.shape)}"
        )
    _check_shares(backend, a)
    return a, False


def _number_of_classes(labels: HostArray, k: int | None, *, to_fit: bool) -> int:
    """Return the number of classes from the different labels, or check them for a network of k outputs.

    A class without events would get a probability from nowhere, so that a fit needs events of each.
    """
    held = ", ".join(f"{label:g}" for label in labels[:4]) + (", ..." if len(labels) > 4 else "")
    if k is not None and len(labels) and labels[-1] >= k:
        raise ValueError(
            f"`y` holds the label {labels[-1]:g}, but the network has {k} outputs, and labels go from 0 to {k - 1}: "
            f"{NUMBER_CLASSES}"
        )
    if to_fit and len(labels) < 2:
        raise ValueError("`y` holds one class only: a classifier needs at least two")
    if to_fit and len(labels) != (labels[-1] + 1 if k is None else k):
        upto = "" if k is None else f" up to {k - 1}"
        keep = "" if k is None else f"; to keep classes without events, give y as counts of classes, (n, {k})"
        raise ValueError(
            f"`y` must hold all labels 0, 1, 2, ...{upto} without gaps, got {held}: {NUMBER_CLASSES}{keep}"
        )
    return len(labels) if k is None else k


def check_sets(backend: Backend, sets: HostArray, loss: Loss, trials: Array | None) -> None:
    """Check the values of many sets of measurements ``(r, n, k)`` by the rules of one set.

    Raises
    ------
    ValueError
        For values that the statistic does not allow.
    """
    rule = {"real": FINITE, "class": SHARE}.get(loss.target_kind, COUNT)
    y = floats(backend, sets, "y", rule)
    if loss.target_kind == "class":
        _check_shares(backend, y)
    if loss.target_kind == "successes":
        check_successes(backend, y, trials)


def _check_shares(backend: Backend, y: Array) -> None:
    """Check that each event is of some class."""
    if y.shape[-2] and float(backend.to_host(backend.xp.min(backend.xp.sum(y, axis=-1)))) <= 0:
        raise ValueError("`y` has an event that is of no class: leave it out")


def check_successes(backend: Backend, k: Array, trials: Array | None) -> None:
    """Check that successes ``(..., n, k)`` are at most the trials ``(k, n)``, or 0 or 1 without trials."""
    xp = backend.xp
    too_many = xp.matrix_transpose(k) > (1 if trials is None else trials)
    if float(backend.to_host(xp.sum(xp.astype(too_many, k.dtype)))):
        what = "0 or 1 (or give `trials`)" if trials is None else "at most the number of `trials`"
        remedy = f": {YES_OR_NO}" if trials is None else ""
        at = tuple(np.argwhere(np.swapaxes(backend.to_host(too_many), -1, -2))[0])
        raise ValueError(f"`y` must be {what}, got {backend.to_host(k)[at]:g} in row {at[-2]}{remedy}")
