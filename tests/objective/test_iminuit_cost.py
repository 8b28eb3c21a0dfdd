"""Sums of costs."""

from __future__ import annotations

import copy
from collections.abc import Callable

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


X = np.linspace(-1, 1, 30)
UP, DOWN = np.tanh(2 * X) + 0.1 * np.cos(40 * X), 0.5 - 0.3 * X + 0.1 * np.sin(31 * X)


def named(name: str | None, seed: int) -> fx.Model:
    return fx.Model((1, 2, 1), backend="numpy", seed=seed, name=name)


@pytest.mark.parametrize("names", [("signal", "background"), ("signal", None)])
def test_two_networks_in_one_sum(names: tuple[str | None, str | None]) -> None:
    """The sum has the parameters of both, and its minimum is the sum of the two minima."""
    models = [named(name, seed) for seed, name in enumerate(names)]
    costs = [fx.LeastSquares(X, y, 0.1, model) for model, y in zip(models, (UP, DOWN), strict=True)]
    alone = [Minuit(cost, cost.start).migrad() for cost in costs]
    total = costs[0] + costs[1]
    assert total.npar == 14
    np.testing.assert_array_equal(total.start, np.concatenate([cost.start for cost in costs]))
    v = np.concatenate([m.values for m in alone])
    assert total(v) == pytest.approx(sum(m.fval for m in alone), rel=1e-12)
    H = np.zeros((14, 14))
    H[:7, :7], H[7:, 7:] = (cost.hessian(np.array(m.values)) for cost, m in zip(costs, alone, strict=True))
    np.testing.assert_allclose(total.hessian(v), H, rtol=1e-12)
    m = Minuit(total, total.start)
    assert m.parameters == (*models[0].names, *models[1].names)
    assert m.parameters[0] == "signal.a_L1_L2[0,0]"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda model: named(None, 2), "neither has a name, give each a name of its own"),
        (copy.deepcopy, "two different networks"),
        (copy.copy, "two different networks"),
        (lambda model: fx.Model((1, 3, 1), backend="numpy", seed=1), r"'a_L1_L2\[0,0\]'"),
    ],
)
def test_two_networks_whose_parameters_have_the_same_names(other: Callable[[fx.Model], fx.Model], message: str) -> None:
    first = named(None, 1)
    one, two = fx.LeastSquares(X, UP, 0.1, first), fx.Poisson(X, np.ones(30), other(first))
    peak = fx.PlusFunction(fx.LeastSquares(X, UP, 0.1, other(first)), lambda x, height: height * x, height=1.0)
    constraint = NormalConstraint("nuisance", 0.0, 1.0)
    for parts in ((one, two), (two, one), (one, constraint, two), (one, peak), (one, one, two)):
        with pytest.raises(ValueError, match=message):
            sum(parts)


def test_two_networks_of_one_name() -> None:
    with pytest.raises(ValueError, match="both are called 'A', give each a name of its own"):
        fx.LeastSquares(X, UP, 0.1, named("A", 1)) + fx.LeastSquares(X, UP, 0.1, named("A", 2))


def test_one_network_for_two_sets_of_data() -> None:
    """A simultaneous fit has the parameters once, and is the fit of all data together."""
    model = named(None, 1)
    model.fit(X, UP, 0.1, prior=3.0)
    total = fx.LeastSquares(X[:10], UP[:10], 0.1, model) + fx.LeastSquares(X[10:], UP[10:], 0.1, model)
    assert total.npar == 7
    np.testing.assert_array_equal(total.start, model.parameters)
    assert total(total.start) == pytest.approx(fx.LeastSquares(X, UP, 0.1, model)(total.start), rel=1e-12)


def test_start_of_a_sum_with_costs_of_other_kinds(cost: fx.LeastSquares) -> None:
    constraint = NormalConstraint(["nuisance", "b_L2_L3[0]"], [0.7, 9.0], [0.1, 1.0])
    np.testing.assert_array_equal((cost + constraint).start, np.append(cost.start, 0.7))
    line = iminuit.cost.LeastSquares([0.0, 1.0, 2.0], [1.0, 3.1, 4.9], 0.1, lambda x, slope, const: const + slope * x)
    with pytest.raises(ValueError, match=r"no start values for \['slope', 'const'\].*by name"):
        _ = (cost + line + 5).start
    peak = fx.PlusFunction(cost, lambda x, height: height * x, height=2.0)
    np.testing.assert_array_equal((peak + 5.0).start, peak.start)
