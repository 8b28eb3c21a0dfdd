"""Each statistic against SciPy's densities, and its derivatives, through whole networks, against differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats

import ffnn_xp as fx
from ffnn_xp import Backend
from ffnn_xp.losses import LOSSES, Loss, get_loss
from ffnn_xp.network import hessian
from ffnn_xp.objective.data_cost import DataCost

from ..oracles.loops import assert_close, central_gradient

N = 13
RNG = np.random.default_rng(7)
X = RNG.normal(size=(N, 2))
REAL = RNG.normal(size=(N, 1)) * 2
ERROR = RNG.uniform(0.5, 2, (N, 1))
COUNTS = RNG.poisson(3.0, (N, 1)).astype(float)
EXPOSURE = RNG.uniform(0.5, 2, (N, 1))
TRIALS = RNG.integers(1, 9, (N, 1)).astype(float)
PART = np.minimum(RNG.integers(0, 9, (N, 1)), TRIALS)
PART[:2, 0] = 0, TRIALS[1, 0]
CLASSES = RNG.multinomial(3, [0.2, 0.3, 0.5], N).astype(float)
COVARIANCE = 0.5 * np.eye(2 * N) + 0.3 * np.exp(-np.abs(np.subtract.outer(np.arange(2 * N), np.arange(2 * N))))
TWO = RNG.normal(size=(N, 2))
BLOCKS = np.stack([np.cov(RNG.normal(size=(2, 8))) for _ in range(N)])


@dataclass(frozen=True)
class Problem:
    """A network with data, and what S should be, by SciPy, of its raw outputs ``(n, k)``."""

    k: int
    output: str
    cost: Callable[[fx.Model], DataCost]
    oracle: Callable[[np.ndarray], Any]


def _pull(y: np.ndarray) -> np.ndarray:
    return (y - REAL) / ERROR


def _poisson(y: np.ndarray, t: np.ndarray) -> Any:
    return -2 * np.sum(scipy.stats.poisson.logpmf(t, y) - scipy.stats.poisson.logpmf(t, t))


def _binomial(y: np.ndarray) -> Any:
    law = scipy.stats.binom.logpmf
    return -2 * np.sum(law(PART, TRIALS, y) - law(PART, TRIALS, PART / TRIALS))


def _multinomial(y: np.ndarray) -> Any:
    law = scipy.stats.multinomial.logpmf
    return -2 * sum(law(t, 3, p / p.sum()) - law(t, 3, t / 3) for t, p in zip(CLASSES, y, strict=True))


def _normal(y: np.ndarray) -> Any:
    each = -2 * scipy.stats.norm.logpdf(REAL[:, 0], y[:, 0], np.exp(y[:, 1])) - np.log(2 * np.pi)
    return np.sum(each)


def _correlated(y: np.ndarray) -> Any:
    r = (y - TWO).ravel()
    return r @ np.linalg.solve(COVARIANCE, r)


def _blocks(y: np.ndarray) -> Any:
    r = y - TWO
    return np.einsum("ni,nij,nj", r, np.linalg.inv(BLOCKS), r)


def _least_squares(name: str) -> Callable[[fx.Model], DataCost]:
    return lambda model: fx.LeastSquares(X, REAL, ERROR, model, loss=name)


def _whole(y_cov: np.ndarray) -> Callable[[fx.Model], DataCost]:
    """A cost that only `Model.fit` makes."""

    def cost(model: fx.Model) -> DataCost:
        fit = fx.Model(model.layers, backend=model.backend, seed=1).fit(X, TWO, y_cov=y_cov, prior=3.0, restarts=1)
        return DataCost.from_dataset(fit.problem.data, model, fit.problem.loss)

    return cost


PROBLEMS = {
    "least_squares": Problem(1, "identity", _least_squares("least_squares"), lambda y: np.sum(_pull(y) ** 2)),
    "soft_l1": Problem(
        1, "identity", _least_squares("soft_l1"), lambda y: np.sum(2 * (np.sqrt(1 + _pull(y) ** 2) - 1))
    ),
    "huber": Problem(
        1, "identity", _least_squares("huber"), lambda y: 2 * np.sum(scipy.special.huber(1.345, _pull(y)))
    ),
    "student_t": Problem(
        1,
        "identity",
        _least_squares("student_t"),
        lambda y: -2 * np.sum(scipy.stats.t.logpdf(_pull(y), 4) - scipy.stats.t.logpdf(0, 4)),
    ),
    "normal": Problem(2, "identity", lambda model: fx.Normal(X, REAL, model), _normal),
    "poisson": Problem(
        1,
        "exp",
        lambda model: fx.Poisson(X, COUNTS, model, exposure=EXPOSURE),
        lambda y: _poisson(EXPOSURE * y, COUNTS),
    ),
    "poisson of softplus": Problem(
        1,
        "softplus",
        lambda model: fx.Poisson(X, COUNTS, model, exposure=EXPOSURE),
        lambda y: _poisson(EXPOSURE * y, COUNTS),
    ),
    "binomial": Problem(1, "logistic", lambda model: fx.Binomial(X, PART, model, trials=TRIALS), _binomial),
    "multinomial": Problem(3, "softmax", lambda model: fx.Multinomial(X, CLASSES, model), _multinomial),
    "correlated": Problem(2, "identity", _whole(COVARIANCE), _correlated),
    "correlated blocks": Problem(2, "identity", _whole(BLOCKS), _blocks),
}


def make(name: str, backend: Backend | str = "numpy") -> tuple[fx.Model, DataCost, np.ndarray]:
    problem = PROBLEMS[name]
    model = fx.Model((2, 4, problem.k), output=problem.output, backend=backend, seed=3)
    cost = problem.cost(model)
    return model, cost, cost.start


def test_every_loss_has_a_problem() -> None:
    assert set(LOSSES) <= set(PROBLEMS)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_value_is_scipys(name: str) -> None:
    model, cost, theta = make(name)
    assert cost(theta) == pytest.approx(PROBLEMS[name].oracle(model(X, theta).reshape(N, -1)), rel=1e-12)


@pytest.mark.parametrize("name", PROBLEMS)
def test_derivatives_are_those_of_the_value(name: str) -> None:
    _, cost, theta = make(name)
    assert_close(cost.grad(theta), central_gradient(cost, theta), 1e-8)
    assert_close(cost.hessian(theta), central_gradient(cost.grad, theta), 1e-8)
    v = np.random.default_rng(1).normal(size=len(theta))
    assert_close(cost.hessian_product(theta, v), cost.hessian(theta) @ v, 1e-12)
    assert_close(cost.gauss_newton_product(theta, v), cost.gauss_newton(theta) @ v, 1e-12)


@pytest.mark.parametrize("name", PROBLEMS)
def test_gauss_newton_is_never_negative_and_three_ways_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    matrices, scores = [], []
    for way in (hessian.by_rows, hessian.by_units, None):
        monkeypatch.setattr(hessian, "cheapest", lambda layout, k, cost, way=way: way)
        _, cost, theta = make(name)
        matrices.append(cost.gauss_newton(theta))
        scores.append(cost.scores(theta))
    for i in (1, 2):
        assert_close(matrices[i], matrices[0], 1e-12)
        assert_close(scores[i], scores[0], 1e-12)
    assert np.linalg.eigvalsh(matrices[0])[0] > -1e-12 * np.abs(matrices[0]).max()


@pytest.mark.parametrize("name", ["poisson", "binomial", "multinomial", "normal"])
def test_gauss_newton_is_the_mean_hessian_of_toys(name: str) -> None:
    """Fisher's information: the mean of the exact second derivative over what the statistic says may be measured."""
    model, cost, theta = make(name)
    data = cost.data
    auxiliary = data.auxiliary_of(np, cost.statistic)
    rng, total, number = np.random.default_rng(5), 0.0, 300
    y = model(X, theta).reshape(N, -1).T
    for _ in range(number):
        toy = DataCost.from_dataset(replace(data, y=cost.statistic.sample(rng, y, auxiliary)), model, cost.statistic)
        total = total + toy.hessian(theta) / number
    assert_close(total, cost.gauss_newton(theta), 0.1)


@pytest.mark.parametrize("name", PROBLEMS)
def test_scores_are_sums_of_outer_products(name: str) -> None:
    model, cost, theta = make(name)
    if name == "correlated":
        return  # events are not independent, and the fit refuses
    total = 0.0
    for i in range(N):
        cut: Any = {
            field: getattr(cost.data, field)[:, i : i + 1]
            for field in ("inputs", "y", "inverse_error", "auxiliary")
            if getattr(cost.data, field) is not None
        }
        g = DataCost.from_dataset(replace(cost.data, **cut), model, cost.statistic).grad(theta)
        total = total + np.outer(g, g)
    assert_close(cost.scores(theta), total, 1e-12)


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_library_computes_numpys_numbers(backend: Backend, name: str) -> None:
    if backend.name == "jax" and name in ("soft_l1", "huber", "student_t"):
        pytest.skip("each statistic is a compilation, and these share all but a line with least squares")
    _, cost, theta = make(name, backend)
    _, ours, _ = make(name)
    v = np.random.default_rng(1).normal(size=len(theta))
    for method in ("value_and_gradient", "gauss_newton", "hessian"):
        for got, want in zip(getattr(cost, method)(theta), getattr(ours, method)(theta), strict=True):
            assert_close(got, want, 1e-11, method)
    assert_close(cost.hessian_product(theta, v), ours.hessian_product(theta, v), 1e-11)


@pytest.mark.parametrize("name", ["normal", "poisson", "binomial", "multinomial", "correlated blocks"])
def test_blocks_and_replicas_change_nothing(name: str) -> None:
    _, cost, theta = make(name)
    S = cost.objective
    parts = replace(S, chunk_size=5)
    for method in ("value_and_gradient", "gauss_newton", "hessian", "scores"):
        assert_close(getattr(parts, method)(theta), getattr(S, method)(theta), 1e-12, method)
        both = getattr(S, method)(np.stack([theta, 2 * theta]))
        assert_close(both[1], getattr(S, method)(2 * theta), 1e-12, method)


@pytest.mark.parametrize("name", LOSSES)
def test_toys_scatter_as_claimed(name: str) -> None:
    """Pulls of many toys around one prediction: mean 0, and for counts variance 1."""
    one = LOSSES[name]
    y = {"normal": [[2.0], [-1.0]], "poisson": [[7.0]], "binomial": [[0.3]], "multinomial": [[0.2], [0.3], [0.5]]}
    predicted = np.array(y.get(name, [[1.5]]))
    auxiliary = np.array([[{"poisson": 2.0, "binomial": 40.0, "multinomial": 30.0}.get(name, 4.0)]])
    many = np.broadcast_to(predicted, (20000, *predicted.shape))
    toys = one.sample(np.random.default_rng(3), many, auxiliary)
    pulls = one.pulls(np, many, toys, auxiliary)
    assert np.all(np.abs(pulls.mean(axis=0)) < 4 * pulls.std() / np.sqrt(20000))
    if name in ("soft_l1", "huber", "student_t"):  # the variance of their own densities, exp(-rho / 2)
        z = np.linspace(-60, 60, 400001)
        density = np.exp(-one.value(np, z, (0.0, 1.0)) / 2)
        want = np.sum(z**2 * density) / np.sum(density)
        assert pulls.var() == pytest.approx(want, rel=0.1)
    else:
        assert pulls.var() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("name", LOSSES)
def test_only_losses_with_a_bound_are_zero_at_best(name: str) -> None:
    """S of a perfect fit is zero where it is bounded below, and nowhere negative."""
    _, cost, _ = make(name)
    assert cost.statistic.bounded_below == (name != "normal")
    if cost.statistic.bounded_below:
        values = cost.statistic.value(np, np.linspace(0.1, 0.9, N)[None, :], cost.objective.events.data)
        assert np.all(np.sum(values, axis=-2) >= -1e-12)


def test_a_loss_without_toys_says_so() -> None:
    class Plain(fx.HuberLoss):
        name = "plain"
        sample = Loss.sample

    with pytest.raises(TypeError, match="no toys can be drawn of loss 'plain'"):
        Plain().sample(np.random.default_rng(1), np.ones((1, 1)), np.ones((1, 1)))


def test_losses_by_name_and_unknown_ones() -> None:
    assert get_loss(fx.StudentTLoss(nu=3)).name == "student_t"
    with pytest.raises(ValueError, match="did you mean 'poisson'"):
        get_loss("poison")
    with pytest.raises(TypeError, match="a name, a Loss such as"):
        get_loss(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", LOSSES)
def test_only_least_squares_takes_correlations_and_errors_in_x(name: str) -> None:
    if name == "least_squares":
        assert get_loss(name).with_covariance(2).auxiliary == "y_cov"
        assert get_loss(name).with_x_error((1,)).uncertain_inputs == (1,)
        return
    with pytest.raises(ValueError, match="`y_cov` has no place in loss"):
        get_loss(name).with_covariance(None)
    with pytest.raises(ValueError, match="`x_err` is for least squares"):
        get_loss(name).with_x_error((0,))
