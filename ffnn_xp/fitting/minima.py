"""Which starts came to the same minimum.

Two ends are one if S differs by less than `NEARBY` of what one standard deviation raises it, and if the way between
them, once the units of one are put in the order and sign of the other's, raises the parabola of S by as little.
Directions in which the data leave S flat do not count: ends that differ in them alone are the same for the data.
"""

from __future__ import annotations

from collections.abc import Mapping

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.network import aligned
from ffnn_xp.objective import NetworkCost

NEARBY = 0.5


def number_minima(cost: NetworkCost, ends: Mapping[int, tuple[HostArray, float]], unit: float) -> dict[int, int]:
    """For each start the number of the minimum that it came to, the best one being 1.

    Parameters
    ----------
    cost : NetworkCost
        What was minimised.
    ends : mapping of int to (array with shape (p,), float)
        Of the starts that arrived, theta and S.
    unit : float
        What one standard deviation raises S by.
    """
    network = cost.objective.network
    product = cost.hessian_product if network.smooth else cost.gauss_newton_product
    known: list[tuple[HostArray, float]] = []
    numbers: dict[int, int] = {}
    for start, (theta, value) in sorted(ends.items(), key=lambda item: item[1][1]):
        for number, (reference, lowest) in enumerate(known, start=1):
            if value - lowest < NEARBY * unit:
                way = aligned(network, theta, reference) - reference
                if abs(0.5 * float(way @ product(reference, way))) < NEARBY * unit:
                    numbers[start] = number
                    break
        else:
            known.append((theta, value))
            numbers[start] = len(known)
    return numbers
