"""TODO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ffnn_xp.data.bins import Bins
from ffnn_xp.data.errors_in_x import UncertainInputs
from ffnn_xp.losses import BlockCorrelatedLoss, CorrelatedLoss, Loss
from ffnn_xp.losses import loss as find_loss
from ffnn_xp.network import Activation


def find_statistic(
    loss: str | Loss, output: Activation, extras: Mapping[str, Any], x: Any = None, y: Any = None
) -> tuple[Loss, Any]:
    """The statistic for a network with this output, and what else belongs to each value, of what the user gave."""
    statistic = find_loss(loss)
    if extras.get("y_cov") is not None:
        statistic = _correlated(statistic, np.ndim(extras["y_cov"]), np.shape(y))
    of_inputs = isinstance(x, Bins | UncertainInputs)
    statistic = x.statistic(statistic) if of_inputs else statistic.for_output(output.name)
    for name, value in extras.items():
        if value is not None and name != statistic.auxiliary:
            raise ValueError(f"`{name}` has no place in loss {statistic.name!r}")
    if output.coupled_outputs and statistic.link != output.name:
        raise ValueError(f"a softmax output needs loss='multinomial', got {statistic.name!r}")
    return statistic, extras.get(str(statistic.auxiliary))


def _correlated(statistic: Loss, dimensions: int, shape: tuple[int, ...]) -> Loss:
    """Least squares with the covariance of all values, or of those of each event."""
    if statistic.name != "least_squares":
        raise ValueError(f"`y_cov` has no place in loss {statistic.name!r}")
    if dimensions == 3:
        return BlockCorrelatedLoss()
    return CorrelatedLoss(shape[1] if len(shape) == 2 else 1)
