"""MIGRAD's certificate of a fit: what is asked, how often, and what is reported."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.fitting.certification import _is_finite, _rounding, certify_fit
from ffnn_xp.fitting.found import Found
from ffnn_xp.fitting.local_search import LocalMinimum
from ffnn_xp.fitting.search_result import SearchResult
from ffnn_xp.fitting.tuning import DEFAULT_TUNING, CertificationTuning, Tuning
from ffnn_xp.minimizers import Certificate, Migrad
from ffnn_xp.objective import NetworkCost

X = np.linspace(-2, 2, 50)


@dataclass(frozen=True)
class Altered(Migrad):
    """MIGRAD whose certificates are altered by a function of them and of their number, and noted."""

    alter: Callable[[Certificate, int], Certificate] = lambda found, _: found
    own: list[Certificate] = field(default_factory=list)
    given: list[Certificate] = field(default_factory=list)

    def certify(self, *args: Any) -> Certificate:
        self.own.append(super().certify(*args))
        self.given.append(self.alter(self.own[-1], len(self.own)))
        return self.given[-1]

    @property
    def tuning(self) -> Tuning:
        return Tuning(certification=CertificationTuning(migrad=self))


@pytest.mark.parametrize("prior", [None, 3.0])
def test_a_fit_and_its_live_minuit_have_the_same_errors(prior: float | None) -> None:
    rng = np.random.default_rng(5)
    x = rng.uniform(-2, 2, 200)
    y = np.sin(2 * x) + rng.normal(0, 0.1, 200)
    fit = fx.Model((1, 4, 1), backend="numpy", seed=5).fit(x, y, 0.1, prior=prior, restarts=1)
    assert fit.edm_newton < 1e-12
    m = fit.minuit
    np.testing.assert_allclose(m.values, fit.parameters, rtol=1e-12)
    np.testing.assert_allclose(m.covariance, fit.covariance, rtol=1e-9)
    assert m.accurate


@pytest.mark.slow
def test_the_point_that_is_reported_is_the_one_that_its_covariance_belongs_to() -> None:
    """Not one beside it, to which MIGRAD moved on: both are the minimum to all digits that count."""
    moved = Altered(alter=lambda run, _: replace(run, values=run.values * (1 + 1e-9)))
    plain = fx.Model((1, 2, 1), backend="numpy", seed=1).fit(X, np.tanh(X), 0.1, prior=3.0)
    fit = fx.Model((1, 2, 1), backend="numpy", seed=1).fit(X, np.tanh(X), 0.1, prior=3.0, tuning=moved.tuning)
    np.testing.assert_array_equal(fit.standardised, plain.standardised)
    assert fit.edm == moved.given[-1].edm


@pytest.mark.parametrize(
    ("seen", "gains", "runs"),
    [
        ([(False, True), None], [1.0], 2),  # cut short: the minimization goes on from there
        ([(False, False), None], [1.0], 2),  # gone astray on its way: once more, with the curvature there
        ([(False, False)] * 9, [1.0, 2.0, 3.0, 4.0], 4),  # but not for ever
        ([(False, False)] * 9, [1.0, 2.0, 2.0], 3),  # nor without getting on
        ([(False, False)] * 9, [0.0], 1),
    ],
)
def test_migrad_is_asked_again(seen: list[tuple[bool, bool] | None], gains: list[float], runs: int) -> None:
    """Where it went down to no minimum; `seen` are (certified, cut short), and `gains`, in place of its own."""

    def certified(found: Certificate, number: int) -> Certificate:
        answer = seen[number - 1]
        if answer is None:
            return found
        fval, values = found.fval - gains[number - 1], found.values + 1e-5
        return replace(found, certified=answer[0], cut_short=answer[1], fval=fval, values=values)

    migrad = Altered(alter=certified)
    model = fx.Model((1, 2, 1), backend="numpy", seed=1)
    y = np.tanh(2 * X) - 0.5 * np.tanh(3 * X - 2) + 0.1 * np.random.default_rng(1).normal(size=50)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", fx.FitWarning)
        fit = model.fit(X, y, 0.1, prior=3.0, restarts=1, tuning=migrad.tuning)
    assert len(migrad.own) == runs
    assert fit.valid == (seen[runs - 1] is None) == (not warned)
    np.testing.assert_allclose(fit.standardised, migrad.own[0].values, atol=1e-4)


def test_of_a_non_smooth_cost_migrad_is_asked_no_oftener() -> None:
    """Where S falls on the way to each certificate, and would fall for ever, the fit says so."""

    def never(found: Certificate, number: int) -> Certificate:
        return replace(found, certified=False, fval=found.fval - number, values=found.values + 1e-5)

    migrad, model = Altered(alter=never), fx.Model((1, 2, 1), activation="relu", backend="numpy", seed=1)
    with pytest.warns(fx.FitWarning, match="S still fell between kinks"):
        model.fit(X, np.abs(X), 0.1, prior=3.0, restarts=1, tuning=migrad.tuning)
    assert len(migrad.own) == DEFAULT_TUNING.certification.runs


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_weakly_determined_directions_are_followed_to_the_end(seed: int) -> None:
    """More units than the data need: only the exact Hessian knows a curvature there, and MIGRAD has little left to do.

    With the Gauss-Newton matrix it took 300 and 800 calls, and EDM by Newton's step was 0.01 and 0.15.
    """
    rng, teacher = np.random.default_rng(seed), fx.Model((4, 10, 10, 2), backend="numpy", seed=seed)
    x = rng.normal(size=(400, 4))
    y = teacher(x) + 0.1 * rng.normal(size=(400, 2))
    fit = fx.Model((4, 10, 10, 2), backend="numpy", seed=seed + 1000).fit(x, y, 0.1, prior=None)
    assert fit.valid
    assert fit.minuit_calls < 60
    assert fit.edm_newton < 0.1


def test_a_point_above_a_kink_is_not_certified_where_s_falls_along_newtons_step() -> None:
    """MIGRAD's covariance, built from gradients that jump, may be far too small; then its EDM is, too."""
    rng = np.random.default_rng(5)
    y = np.abs(X) + rng.normal(0, 0.1, 50)
    model = fx.Model((1, 3, 1), activation="leaky_relu", backend="numpy", seed=1)
    fit = model.fit(X, y, 0.1, prior=3.0, restarts=3)
    assert fit.spectrum is not None
    beside = fit.standardised + 0.5 * fit.spectrum.errors[-1] * np.eye(10)[-1]
    for theta, certified in ((fit.standardised, True), (beside, False)):
        value = float(fit.cost(theta))
        search = SearchResult(LocalMinimum.unfinished(theta, value))
        migrad = Certificate(theta, value, edm=0.0, calls=1, certified=True)
        assert Found(fit.problem, fit.raw_cost, fit.cost, search, fit.spectrum, migrad).certified is certified


@pytest.mark.parametrize(("loss", "changes"), [("least_squares", 1.0), ("student_t", 1.0), ("normal", 100.0)])
def test_an_s_that_is_made_of_rounding_is_not_certified(loss: str, changes: float) -> None:
    """Errors below the last digits of y make S in raw units another one; that of "normal" differs by a constant."""
    model = fx.Model((1, 1, 2 if loss == "normal" else 1), backend="numpy", seed=1)
    y = np.sin(X) + 0.1 * np.random.default_rng(1).normal(size=50)
    fit = model.fit(X, y, None if loss == "normal" else 0.1, loss=loss, prior=3.0, restarts=1)
    search = SearchResult(LocalMinimum.unfinished(fit.standardised, fit.fval))
    found = Found(fit.problem, fit.raw_cost, fit.cost, search, fit.spectrum, None)
    assert _rounding(found, fit.parameters, fit.fval) == ""
    why = _rounding(found, fit.parameters, fit.fval + changes)
    assert (why == "") is (loss == "normal")
    assert why == "" or "errors of y lie below its last digits" in why


@pytest.mark.parametrize("jump", [1.0, -50.0, np.nan, np.inf])
@pytest.mark.parametrize("larger", [True, False])
def test_an_s_that_jumps_in_last_digits_is_not_certified(jump: float, larger: bool) -> None:
    """With errors of x S jumps where a value crosses a kink: its last digits decide on which side it lies."""
    model = fx.Model((1, 3, 1), activation="leaky_relu", backend="numpy", seed=1)
    fit = model.fit(X, np.abs(X) + np.random.default_rng(5).normal(0, 0.1, 50), 0.1, prior=3.0, restarts=3)
    search = SearchResult(LocalMinimum.unfinished(fit.standardised, fit.fval))
    migrad = Certificate(fit.standardised, fit.fval, edm=0.0, calls=1, certified=True)
    found = Found(fit.problem, fit.raw_cost, fit.cost, search, fit.spectrum, migrad)
    assert _rounding(found, fit.parameters, fit.fval) == ""

    def jumps(theta: np.ndarray) -> float:
        farther = np.abs(theta) > np.abs(fit.parameters) if larger else np.abs(theta) < np.abs(fit.parameters)
        return fit.fval + (jump if np.all(farther) else 0.0)

    why = _rounding(replace(found, raw_cost=jumps), fit.parameters, fit.fval)  # type: ignore[arg-type]
    assert why.startswith("S jumps from ")


@pytest.mark.parametrize("S", [np.nan, np.inf])
def test_an_s_that_is_not_finite_in_raw_units_is_not_certified(S: float) -> None:
    """Raw parameters may overflow where the standardised ones do not."""
    model = fx.Model((1, 2, 1), backend="numpy", seed=1)
    fit = model.fit(X, np.sin(X), 0.1, prior=3.0, restarts=1)
    search = SearchResult(LocalMinimum.unfinished(fit.standardised, fit.fval))
    found = Found(fit.problem, fit.raw_cost, fit.cost, search, fit.spectrum, None)
    assert _is_finite(found, fit.fval)
    assert not _is_finite(found, S)


@dataclass(frozen=True)
class Given:
    """A cost by its values alone."""

    values: Callable[[np.ndarray], float]
    errordef: float = 1.0

    def __call__(self, theta: np.ndarray) -> float:
        return self.values(theta)


def plain(activation: str) -> tuple[Found, np.ndarray]:
    """A point that was found, with MIGRAD's certificate, and its parameters in raw units."""
    fit = fx.Model((1, 2, 1), activation=activation, backend="numpy", seed=1).fit(X, np.sin(X), 0.1, prior=3.0)
    search = SearchResult(LocalMinimum.unfinished(fit.standardised, fit.fval))
    migrad = Certificate(fit.standardised, fit.fval, edm=0.0, calls=1, certified=True)
    return Found(fit.problem, fit.raw_cost, fit.cost, search, fit.spectrum, migrad), fit.parameters


def test_an_s_that_is_not_finite_in_standardised_units_is_not_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = plain("tanh")
    right = NetworkCost.value_and_gradient
    monkeypatch.setattr(NetworkCost, "value_and_gradient", lambda *args: (np.nan, right(*args)[1]))
    assert not _is_finite(found, 1.0)


@pytest.mark.parametrize(("activation", "product"), [("tanh", "hessian_product"), ("relu", "gauss_newton_product")])
def test_without_matrices_the_product_of_the_networks_curvature_is_finite(
    activation: str, product: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At kinks that is the Gauss-Newton matrix; the Hessian's jumps there."""
    found, _ = plain(activation)
    found = replace(found, spectrum=None)
    assert _is_finite(found, 1.0)
    monkeypatch.setattr(NetworkCost, product, lambda cost, theta, v: np.full_like(v, np.nan))
    assert not _is_finite(found, 1.0)


@pytest.mark.parametrize(("S", "difference"), [(1e12, 1e6), (0.0, 0.09)])
def test_differences_of_s_that_its_digits_or_an_error_allow_are_not_of_rounding(S: float, difference: float) -> None:
    found, raw = plain("tanh")
    found = replace(found, certificate=None)
    given = replace(found, cost=Given(lambda theta: S + difference))  # type: ignore[arg-type]
    assert _rounding(given, raw, S) == ""
    assert "a difference of rounding alone" in _rounding(given, raw, S - 2 * difference)


def test_of_an_s_that_is_not_finite_rounding_is_not_blamed() -> None:
    found, raw = plain("tanh")
    assert _rounding(found, raw, np.inf) == ""


@pytest.mark.parametrize(("activation", "certified"), [("tanh", True), ("relu", False), ("relu", True)])
def test_jumps_in_last_digits_count_for_certified_points_of_networks_with_kinks(
    activation: str, certified: bool
) -> None:
    found, raw = plain(activation)
    if not certified:
        found = replace(found, certificate=None)
    S = found.raw_cost(raw)
    jumps = Given(lambda theta: S if np.array_equal(theta, raw) else S + 9)
    assert bool(_rounding(replace(found, raw_cost=jumps), raw, S)) is (certified and activation == "relu")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 3])
def test_errors_are_those_of_the_hessian_at_the_parameters(seed: int) -> None:
    """Also where MIGRAD moves on by next to nothing, along a bent valley: the Hessian there is another one."""
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(0, 4, 80))
    y = np.sin(2 * x) * np.exp(-x / 2) + 0.1 * rng.normal(size=80)
    fit = fx.Model((1, 10, 1), backend="numpy", seed=seed).fit(x, y, 0.1, prior="auto")
    assert fit.valid
    covariance = 2 * np.linalg.inv(fit.cost.hessian(fit.standardised))
    assert fit.spectrum is not None
    np.testing.assert_allclose(fit.spectrum.errors, np.sqrt(np.diag(covariance)), rtol=1e-6)
    assert fit.hesse_difference < 1e-6


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("activation", "limit", "derivative"),
    [
        ("tanh", 6000, "hessian"),
        ("relu", 6000, "gauss_newton"),
        ("tanh", 0, "hessian_product"),
        ("tanh", 6000, "value_and_gradient"),
        ("relu", 6000, "value_and_gradient"),
        ("tanh", 0, "value_and_gradient"),
    ],
)
def test_a_derivative_that_is_not_finite_is_never_certified(
    activation: str, limit: int, derivative: str, wrong: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One element of it alone; of the gradient at the last point only, since minimizers reject it on their way."""
    options: dict[str, Any] = {"prior": 3.0, "restarts": 1, "tuning": Tuning(matrix_limit=limit), "max_seconds": 20.0}
    right = getattr(NetworkCost, derivative)

    def broken(cost: NetworkCost, *args: Any) -> Any:
        result = right(cost, *args)
        (result[1] if derivative == "value_and_gradient" else result).flat[3] = wrong
        return result

    def certified(found: Found, *args: Any) -> Any:
        monkeypatch.setattr(NetworkCost, derivative, broken)
        return certify_fit(found, *args)

    if derivative == "value_and_gradient":
        monkeypatch.setattr("ffnn_xp.fitting.pipeline.certify_fit", certified)
    else:
        monkeypatch.setattr(NetworkCost, derivative, broken)
    with pytest.warns(fx.FitWarning), np.errstate(all="ignore"):
        fit = fx.Model((1, 3, 1), activation=activation, backend="numpy", seed=1).fit(X, np.sin(X), 0.1, **options)
    assert not fit.valid


@pytest.mark.parametrize("prior", [None, 3.0])
def test_without_matrices_a_network_that_is_off_is_no_minimum(prior: float | None) -> None:
    """At weights of zero neither the gradient nor the Gauss-Newton matrix knows that S falls on both sides."""
    model = fx.Model((1, 6, 1), activation="relu", backend="numpy", seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.FitWarning)
        fit = model.fit(X, np.sin(X), 0.1, prior=prior, start=np.zeros(19), tuning=Tuning(matrix_limit=0))
    assert fit.chi2 < 0.1 * np.sum((np.sin(X) / 0.1) ** 2)


@pytest.mark.slow
def test_most_fits_with_kinks_are_certified_by_a_covariance_that_knows_of_them() -> None:
    """By Gauss-Newton's, which does not, 3 of these 6 were; at which kinks they end depends on last digits."""
    certified = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(300, 3))
        y = np.sin(x[:, 0]) + x[:, 1] * x[:, 2] + 0.2 * rng.normal(size=300)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fx.FitWarning)
            model = fx.Model((3, 8, 1), activation="relu", backend="numpy", seed=seed)
            fit = model.fit(x, y, 0.2, prior=3.0, restarts=3)
        certified.append(fit.valid)
        assert not fit.valid or fit.edm < 2e-3
    assert sum(certified) >= 5
