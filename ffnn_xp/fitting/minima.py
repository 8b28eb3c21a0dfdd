"""Comparison of minima: it finds which starts came to the same minimum.

Two points are one minimum if S differs by less than `NEARBY` of one standard deviation's rise, and if the step between
them, once the units of one are put in the order and sign of the other's, raises the parabola of S by as little. Points
that differ in unidentified directions alone are the same minimum, since S does not change along these.
"""

from __future__ import annotations

from collections.abc import Mapping

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.network import aligned
from ffnn_xp.objective import NetworkCost

NEARBY = 0.5


def number_minima(cost: NetworkCost, ends: Mapping[int, tuple[HostArray, float]], unit: float) -> dict[int, int]:
    """Return for each start the number of the minimum that it came to, the best one being 1.

    Parameters
    ----------
    cost : NetworkCost
        The cost that was minimised.
    ends : mapping of int to (array with shape (p,), float)
        Theta and S at the end of each start that came to a minimum.
    unit : float
        One standard deviation's rise of S.
    """
    network = cost.objective.network
    product = cost.hessian_product if network.smooth else cost.gauss_newton_product
    known: list[tuple[HostArray, float]] = []
    numbers: dict[int, int] = {}
    for start, (theta, value) in sorted(ends.items(), key=lambda item: item[1][1]):
        for number, (reference, lowest) in enumerate(known, start=1):
            if value - lowest < NEARBY * unit:
                step = aligned(network, theta, reference) - reference
                if abs(0.5 * float(step @ product(reference, step))) < NEARBY * unit:
                    numbers[start] = number
                    break
        else:
            known.append((theta, value))
            numbers[start] = len(known)
    return numbers
