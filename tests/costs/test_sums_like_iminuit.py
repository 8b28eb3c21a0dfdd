"""Sums of costs behave as iminuit's: elements, constants, constraints, shared names, gradients."""

from __future__ import annotations

import pickle
from typing import Any

import iminuit.cost
import numpy as np
import pytest
from iminuit import Minuit
from iminuit.cost import NormalConstraint
from iminuit.util import describe

import ffnn_xp as fx

from .test_like_iminuit import AT, ERROR, MASK, X, Y, ours, theirs

NAMES = ("slope", "const")
CONSTRAINT = NormalConstraint("const", 1.0, 0.05)


def sums() -> tuple[Any, Any]:
    """Return the same sum of two sets of data and a constraint, of our costs and of iminuit's."""
    second = fx.LeastSquares(X + 2, Y + 4, 0.2, ours().model, name=NAMES)
    mine = ours(name=NAMES) + second + CONSTRAINT + 5
    line = iminuit.cost.LeastSquares(X + 2, Y + 4, 0.2, lambda x, slope, const: const + slope * x)
    return mine, theirs() + line + CONSTRAINT + 5


def test_value_gradient_minimum_and_errors() -> None:
    second = fx.LeastSquares(X + 2, Y + 4, 0.2, fx.Model((1, 1), seed=2), name=NAMES)  # another network, names shared
    mine, other = sums()
    assert (ours(name=NAMES) + second)(AT) == (mine[0] + mine[1])(AT)
    assert describe(mine) == describe(other)
    assert mine(*AT) == mine(AT) == pytest.approx(other(*AT), rel=1e-12)
    assert (mine.ndata, mine.npar) == (other.ndata, other.npar)
    differences = [(mine(np.add(AT, h)) - mine(np.subtract(AT, h))) / 2e-5 for h in 1e-5 * np.eye(2)]
    np.testing.assert_allclose(mine.grad(AT), differences, rtol=1e-6)
    a, b = Minuit(mine, *AT).migrad(), Minuit(other, *AT).migrad()
    assert a.valid
    assert a.fval == pytest.approx(b.fval, abs=1e-6)
    assert a.ndof == b.ndof
    np.testing.assert_allclose(a.values, b.values, atol=1e-3 * min(b.errors))
    np.testing.assert_allclose(a.hesse().covariance, b.hesse().covariance, rtol=1e-3)


def test_elements() -> None:
    mine, other = sums()
    assert len(mine) == len(other) == 4
    assert [type(part).__name__ for part in mine] == ["LeastSquares", "LeastSquares", "NormalConstraint", "Constant"]
    assert mine[-1].value == 5
    assert [type(part).__name__ for part in mine[1:3]] == ["LeastSquares", "NormalConstraint"]
    assert mine[2] in mine
    assert mine.index(mine[1]) == 1
    assert sum(mine)(AT) == mine(AT)
    assert (mine + mine)(AT) == pytest.approx(2 * mine(AT))
    assert len(mine + mine) == 8
    assert len(mine + 0) == 4


def test_a_part_that_is_set_changes_the_sum() -> None:
    mine, other = sums()
    before = mine(AT)
    for total in (mine, other):
        total[0].mask = MASK
        total[0].loss = "soft_l1"
    assert mine(AT) == pytest.approx(other(*AT), rel=1e-12)
    assert mine(AT) != before
    assert mine.ndata == other.ndata
    assert pickle.loads(pickle.dumps(mine))(AT) == mine(AT)


def test_functions_with_parameters_in_common() -> None:
    """Two channels with backgrounds of their own and one peak: the names of functions are shared."""

    def peak(x: np.ndarray, height: float) -> np.ndarray:
        return height * np.exp(-(x**2))

    channels = [
        fx.PlusFunction(fx.LeastSquares(X, Y, ERROR, fx.Model((1, 1), seed=1, name=name)), peak, height=0.0)
        for name in ("a", "b")
    ]
    total = channels[0] + channels[1]
    assert total.npar == 5
    m = Minuit(total, total.start).migrad()
    assert m.valid
    assert m.values["a.b_L1_L2[0]"] == pytest.approx(m.values["b.b_L1_L2[0]"], abs=1e-4)


def test_a_function_takes_the_data_of_its_cost() -> None:
    def bend(x: np.ndarray, q: float) -> np.ndarray:
        return q * x**2

    cost = fx.PlusFunction(ours(name=NAMES), bend, q=0.1)
    reference = iminuit.cost.LeastSquares(X, Y, ERROR, lambda x, slope, const, q: const + slope * x + q * x**2)
    at = [*AT, 0.3]
    for other in (cost, reference):
        other.mask, other.loss = MASK, "soft_l1"
        other.y = 0.9 * Y
    assert cost(at) == pytest.approx(reference(*at), rel=1e-12)
    assert cost.ndata == reference.ndata == 24
    np.testing.assert_allclose(cost.pulls(at), reference.pulls(at))
    np.testing.assert_allclose(cost.prediction(at), reference.prediction(at))
    np.testing.assert_array_equal(cost.mask, MASK)
    differences = [(cost(np.add(at, h)) - cost(np.subtract(at, h))) / 2e-5 for h in 1e-5 * np.eye(3)]
    np.testing.assert_allclose(cost.grad(at), differences, rtol=1e-6)
    with pytest.raises(ValueError, match="`y` must have 25 rows like `x`"):
        cost.y = Y[:3]
    cost.mask = None
    assert cost.ndata == 25


def test_text_of_costs_and_sums() -> None:
    mine, _ = sums()
    assert repr(mine).splitlines() == [
        "CostSum of 4 parts: 51 values, 2 parameters",
        "  LeastSquares     25 values, 2 parameters: 1-1, identity",
        "  LeastSquares     25 values, 2 parameters: 1-1, identity",
        "  NormalConstraint 1 value, 1 parameter: const",
        "  Constant         5",
    ]
    mine[0].mask = MASK
    assert repr(mine[0]).splitlines() == [
        "LeastSquares: 24 values, 2 parameters",
        "  data         24 of 25 events of 1 input and 1 measured value",
        "  statistic    chi2 of least_squares",
        "  network      1-1, identity",
        "  parameters   slope, const",
    ]
    bent = fx.PlusFunction(mine[0], lambda x, q: q * x**2, q=0.0)
    assert repr(bent).splitlines()[-1] == "  function     <lambda>(x, q)"
    for cost in (mine, mine[0], bent):
        html = cost._repr_html_()
        assert html.startswith(f"<p><b>{type(cost).__name__}")
        assert "<lambda>" not in html
    bins = fx.Poisson(fx.Bins([0.0, 1.0, 2.0]), [3, 4], fx.Model((1, 1), output="exp"))
    assert "2 events of 1 input in bins and 1 measured value" in repr(bins)
