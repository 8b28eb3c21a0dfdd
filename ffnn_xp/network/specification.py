"""Specification of a network: checks of the widths, nonlinearities and matrices that users give."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.backends import host_floats
from ffnn_xp.network.activations import Activation, get_activation

Widths = Sequence[int | None]


def check_widths(layers: Widths) -> tuple[int | None, ...]:
    """Check that widths are positive integers, or None first or last, and return them as a tuple.

    Raises
    ------
    TypeError, ValueError
        If they are anything else.
    """
    if isinstance(layers, int | str) or not hasattr(layers, "__len__"):
        raise TypeError(f"`layers` must be a sequence of widths such as (8, 7, 9, 6), got {layers!r}")
    if len(layers) < 2:
        raise ValueError(f"`layers` needs at least inputs and outputs, got {tuple(layers)}")
    for i, h in enumerate(layers):
        if h is None and i not in (0, len(layers) - 1):
            raise ValueError(f"only the first and last width can be None, read from the data; got {tuple(layers)}")
        if h is not None and (isinstance(h, bool) or not isinstance(h, int | np.integer)):
            raise TypeError(f"widths must be integers, got {h!r} in {tuple(layers)}")
        if h is not None and h < 1:
            raise ValueError(f"widths must be at least 1, got {h} in {tuple(layers)}")
    return tuple(None if h is None else int(h) for h in layers)


def check_name(name: str | None) -> str | None:
    """Check that the name of a network is text that can begin the names of its parameters, or None.

    Raises
    ------
    TypeError, ValueError
        If it is anything else.
    """
    if name is not None and not isinstance(name, str):
        raise TypeError(f"`name` must be text, such as 'signal', got {name!r}")
    if name is not None and not (name.strip() == name != "" and name.isprintable()):
        raise ValueError(f"`name` must be printable text without spaces around it, such as 'signal', got {name!r}")
    return name


def hidden_activations(spec: str | Activation | Sequence[str | Activation], layers: int) -> tuple[Activation, ...]:
    """Return one nonlinearity for each of so many hidden layers.

    Raises
    ------
    TypeError, ValueError
        If one is unknown, or their number is wrong.
    """
    if isinstance(spec, str | Activation):
        return (get_activation(spec),) * layers
    if not hasattr(spec, "__len__"):
        get_activation(cast(Any, spec))  # raises the TypeError that says what is wanted
    if len(spec) != layers:
        raise ValueError(f"`activation` must name one nonlinearity, or {layers}, one per hidden layer; got {len(spec)}")
    return tuple(get_activation(s) for s in spec)


def augmented_matrices(matrices: Sequence[Any]) -> list[HostArray]:
    """Return augmented matrices from pairs (weights, bias) or augmented ones, and check that they fit together.

    Each one has a column for each row of the one before, and one for the bias.

    Raises
    ------
    ValueError
        If one does not fit.
    """
    if not len(matrices):
        raise ValueError("`matrices` is empty: give at least one matrix")
    augmented = [_augmented(item, l) for l, item in enumerate(matrices, start=1)]
    for l, (below, above) in enumerate(pairwise(augmented), start=2):
        if above.shape[1] != below.shape[0] + 1:
            raise ValueError(
                f"matrix {l} must have {below.shape[0]} columns and a bias to follow matrix {l - 1} with "
                f"{below.shape[0]} rows, got shape {above.shape} with the bias"
            )
    return augmented


def _augmented(item: Any, l: int) -> HostArray:
    """Return one augmented matrix from a pair (weights, bias) or from itself."""
    if isinstance(item, tuple | list) and len(item) == 2 and np.ndim(host_floats(item[0], f"matrix {l}")) == 2:
        a, b = host_floats(item[0], f"matrix {l}"), host_floats(item[1], f"bias {l}")
        if b.shape not in ((a.shape[0],), (a.shape[0], 1)):
            raise ValueError(f"bias {l} must have shape ({a.shape[0]},) for a matrix {a.shape}, got {b.shape}")
        A = np.hstack([a, b.reshape(-1, 1)])
    else:
        A = host_floats(item, f"matrix {l}")
    if A.ndim != 2 or A.shape[1] < 2:
        raise ValueError(f"matrix {l} must have shape (h, d + 1) with the bias as last column, got {A.shape}")
    if not np.all(np.isfinite(A)):
        raise ValueError(f"matrix {l} has values that are not finite")
    return A
