"""The statistic of measurements: the named loss, or its form for correlated values, bins or uncertain inputs."""

from __future__ import annotations

import numpy as np

from ffnn_xp.data.errors_in_x import uncertain_inputs
from ffnn_xp.data.measurements import Measurements
from ffnn_xp.data.points import Points, array_shape
from ffnn_xp.losses import IntegratedLoss, Loss, LossLike, get_loss
from ffnn_xp.network import Activation


def find_statistic(loss: LossLike, output: Activation, measurements: Measurements, points: Points) -> Loss:
    """Return the statistic of these measurements for a network with this output.

    Raises
    ------
    ValueError
        If an array was given that the statistic does not use.
    """
    statistic = get_loss(loss)
    if measurements.y_cov is not None:
        shape = array_shape(measurements.y)
        outputs = shape[1] if len(shape) == 2 else 1
        statistic = statistic.with_covariance(None if np.ndim(measurements.y_cov) == 3 else outputs)
    uncertain = uncertain_inputs(points, measurements.x_err)
    if points.node_weights is not None:
        statistic = IntegratedLoss(statistic)
    elif uncertain:
        statistic = statistic.with_x_error(uncertain)
    else:
        statistic = statistic.for_output(output.name)
    for name, value in measurements.auxiliaries.items():
        if value is not None and name != statistic.auxiliary:
            raise ValueError(f"`{name}` has no place in loss {statistic.name!r}")
    if output.coupled_outputs and statistic.link != output.name:
        raise ValueError(f"a softmax output needs loss='multinomial', got {statistic.name!r}")
    return statistic
