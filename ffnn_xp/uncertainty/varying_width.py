r"""The noise's width where it depends on x: the exponential of a mean of networks' outputs.

.. math:: \log w(x) = \frac{1}{M} \sum_m f_m\bigl(x, \hat y(x), \log\mathrm{band}(x)\bigr)

A width depends on x itself, on the size of the prediction :math:`\hat y`, as of counts, and on how well the data
determine it. The networks are fitted to residuals of held-out events (`fitting.width_selection`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.backends import get_backend
from ffnn_xp.network import Layout, Network, evaluate, get_activation, identity

SMALLEST_BAND = 1e-30  # a band of zero has a logarithm, too


@dataclass(frozen=True)
class VaryingWidth:
    """The width of the noise as a function of x, between the smallest and the largest at held-out events.

    Parameters
    ----------
    parameters : array with shape (m, q)
        Theta of each network in raw units: d + 2 k inputs, a hidden layer of tanh, k outputs.
    inputs, outputs : int
        The numbers d and k.
    lowest, highest : array with shape (k,)
        Logarithms of the smallest and the largest width.

    Examples
    --------
    A network of one unit, whose output is 2 tanh(x):

    >>> import numpy as np
    >>> width = VaryingWidth(np.array([[1.0, 0, 0, 0, 2, 0]]), 1, 1, np.array([-1.0]), np.array([1.0]))
    >>> np.log(width(np.array([[0.0, 0.1, 5.0]]), np.zeros((1, 3)), np.ones((1, 3)))).round(4)
    array([[0.    , 0.1993, 1.    ]])
    """

    parameters: HostArray
    inputs: int
    outputs: int
    lowest: HostArray
    highest: HostArray

    @property
    def units(self) -> int:
        """The number of hidden units."""
        return int(self.parameters.shape[1] - self.outputs) // (self.inputs + 3 * self.outputs + 1)

    @cached_property
    def network(self) -> Network:
        """The network of the logarithms."""
        return width_network(self.inputs, self.units, self.outputs)

    def __call__(self, x: HostArray, prediction: HostArray, band: HostArray) -> HostArray:
        """Return widths ``(k, n)`` in units of y at raw inputs ``(d, n)``, from predictions and bands ``(k, n)``."""
        given = width_inputs(x, prediction, band)
        logs = evaluate(self.network, get_backend("numpy"), self.parameters, given).mean(axis=0)
        return np.asarray(np.exp(np.clip(logs, self.lowest[:, None], self.highest[:, None])))


def width_network(inputs: int, units: int, outputs: int) -> Network:
    """Return the network whose outputs are the logarithms of widths."""
    layout = Layout((inputs + 2 * outputs, units, outputs))
    return Network(layout, (get_activation("tanh"), identity))


def width_inputs(x: HostArray, prediction: HostArray, band: HostArray) -> HostArray:
    """Return the inputs of the widths' networks ``(d + 2 k, n)``: x, the prediction, and the logarithm of the band."""
    return np.concatenate([x, prediction, np.log(np.clip(band, SMALLEST_BAND, 1 / SMALLEST_BAND))])
