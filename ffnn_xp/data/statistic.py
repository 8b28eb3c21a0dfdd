"""The statistic that measurements ask for: the named loss, for correlated values, for bins or for uncertain inputs."""

from __future__ import annotations

import numpy as np

from ffnn_xp.data.errors_in_x import effective_variance, uncertain_inputs
from ffnn_xp.data.measurements import Measurements
from ffnn_xp.data.points import Points, array_shape
from ffnn_xp.losses import BlockCorrelatedLoss, CorrelatedLoss, IntegratedLoss, Loss
from ffnn_xp.losses import loss as find_loss
from ffnn_xp.network.activations import Activation


def find_statistic(loss: str | Loss, output: Activation, measurements: Measurements, points: Points) -> Loss:
    """Return the statistic of these measurements for a network with this output.

    Raises
    ------
    ValueError
        If something was given that has no place in it.
    """
    statistic = find_loss(loss)
    if measurements.y_cov is not None:
        statistic = _correlated(statistic, np.ndim(measurements.y_cov), array_shape(measurements.y))
    uncertain = uncertain_inputs(points, measurements.x_err)
    if points.node_weights is not None:
        statistic = _integrated(statistic)
    elif uncertain:
        statistic = effective_variance(statistic, uncertain)
    else:
        statistic = statistic.for_output(output.name)
    for name, value in measurements.auxiliaries.items():
        if value is not None and name != statistic.auxiliary:
            raise ValueError(f"`{name}` has no place in loss {statistic.name!r}")
    if output.coupled_outputs and statistic.link != output.name:
        raise ValueError(f"a softmax output needs loss='multinomial', got {statistic.name!r}")
    return statistic


def _correlated(statistic: Loss, dimensions: int, shape: tuple[int, ...]) -> Loss:
    """Return least squares with the covariance of all values, or of those of each event."""
    if statistic.name != "least_squares":
        raise ValueError(f"`y_cov` has no place in loss {statistic.name!r}")
    if dimensions == 3:
        return BlockCorrelatedLoss()
    return CorrelatedLoss(shape[1] if len(shape) == 2 else 1)


def _integrated(of: Loss) -> Loss:
    """Return the statistic of the contents of bins as one of the network, if they can have it."""
    if (of.link is not None and of.target_kind != "count") or of.coupled_outputs or not of.separable:
        raise ValueError(f"integrals over bins are for contents of independent bins, not for {of.name!r}")
    return IntegratedLoss(of)
