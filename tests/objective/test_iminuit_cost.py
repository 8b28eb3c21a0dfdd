"""Sums of costs."""

from __future__ import annotations

import iminuit
import iminuit.cost
import numpy as np
import pytest
from iminuit import Minuit
from iminuit.cost import NormalConstraint

import ffnn_xp as fx


def test_sum_with_constraint(cost: fx.LeastSquares) -> None:
    name, at = "b_L2_L3[0]", float(cost.start[6]) + 0.3
    constraint = NormalConstraint(name, at, 0.02)
    m = Minuit(cost + constraint, cost.start).migrad().hesse()
    assert m.valid
    assert m.parameters == cost.model.names
    assert m.nhessian > 0
    assert abs(m.values[name] - at) < 0.1
    hessian = cost.hessian(np.array(m.values))
    hessian[6, 6] += 2 / 0.02**2
    np.testing.assert_allclose(m.covariance, 2 * np.linalg.inv(hessian), rtol=1e-8)


def test_sum_that_iminuit_makes_itself(cost: fx.LeastSquares) -> None:
    """``constraint + cost`` is iminuit's own sum: it orders the names its way, and wants numbers, not a vector."""
    name, at = "b_L2_L3[0]", float(cost.start[6]) + 0.3
    total = NormalConstraint(name, at, 0.02) + cost
    m = Minuit(total, **dict(zip(cost.model.names, cost.start, strict=True))).migrad()
    assert m.valid
    ours = Minuit(cost + NormalConstraint(name, at, 0.02), cost.start).migrad()
    assert m.fval == pytest.approx(ours.fval, abs=2e-3)


def test_sum_with_fixed_parameters(cost: fx.LeastSquares) -> None:
    m = Minuit(cost + NormalConstraint("a_L1_L2[0,0]", float(cost.start[0]), 0.05), cost.start)
    m.fixed[2] = True
    m.migrad().hesse()
    free = [0, 1, 3, 4, 5, 6]
    H = cost.hessian(np.array(m.values))
    H[0, 0] += 2 / 0.05**2
    expected = 2 * np.linalg.inv(H[np.ix_(free, free)])
    np.testing.assert_allclose(np.array(m.covariance)[np.ix_(free, free)], expected, rtol=1e-8)


def test_sum_with_a_parametric_model_that_shares_nothing(cost: fx.LeastSquares) -> None:
    line = iminuit.cost.LeastSquares([0.0, 1.0, 2.0], [1.0, 3.1, 4.9], 0.1, lambda x, slope, const: const + slope * x)
    total = cost + line
    assert total.npar == 9
    assert not total.has_hessian
    m = Minuit(total, np.append(cost.start, [1.0, 0.0]))
    m.migrad()
    assert m.valid
    assert m.values["slope"] == pytest.approx(1.95, abs=1e-3)
    assert m.nfcn < 2000
    assert total(np.array(m.values)) == pytest.approx(
        cost(np.array(m.values)[:7]) + line(m.values["slope"], m.values["const"]), rel=1e-12
    )
    with pytest.raises(ValueError, match="no second derivative in closed form"):
        total.hessian(np.array(m.values))


def test_sums_of_several_and_of_numbers(cost: fx.LeastSquares) -> None:
    theta = cost.start
    assert sum([cost, cost])(theta) == pytest.approx(2 * cost(theta))
    assert (cost + cost + 5)(theta) == pytest.approx(2 * cost(theta) + 5)
    np.testing.assert_allclose((cost + cost).hessian(theta), 2 * cost.hessian(theta))
    np.testing.assert_allclose((cost + cost).g2(theta), np.diag(2 * cost.hessian(theta)))
