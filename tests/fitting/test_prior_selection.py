"""``prior="auto"``: what is chosen, the mixture's density, and what it covers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

import ffnn_xp as fx
import ffnn_xp.fitting.hidden_layers
import ffnn_xp.fitting.prior_selection
import ffnn_xp.network.initialization
from ffnn_xp._lib.limits import StopMinimization
from ffnn_xp.fitting.folds import CostBatch, Fold
from ffnn_xp.fitting.held_out import hold_out
from ffnn_xp.fitting.members import member
from ffnn_xp.fitting.prior_selection import FEWEST_TO_CHOOSE, _noise
from ffnn_xp.fitting.regularization_path import PathMinimizer, shape_of_prior
from ffnn_xp.fitting.tuning import PriorSelectionTuning, Tuning
from ffnn_xp.fitting.width_selection import HeldOut
from ffnn_xp.network.initialization import glorot
from ffnn_xp.objective.prior import GaussianPrior
from ffnn_xp.uncertainty.predictive import WIDEST, Calibration, Member, Predictive, bounded, calibrate
from ffnn_xp.uncertainty.varying_width import VaryingWidth

RNG = np.random.default_rng(4)
X = RNG.uniform(-1, 1, (150, 2))
TRUTH = np.sin(3 * X[:, 0]) + X[:, 1] ** 2
Y = 100 + 10 * (TRUTH + 0.2 * RNG.standard_t(5, 150))
NEW = RNG.uniform(-1, 1, (2000, 2))
MEASURED = 100 + 10 * (np.sin(3 * NEW[:, 0]) + NEW[:, 1] ** 2 + 0.2 * RNG.standard_t(5, 2000))
STATE = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def _same_draws() -> None:
    """Each test draws the same numbers, whichever ran before it in this process."""
    RNG.bit_generator.state = STATE


def network(seed: int = 1) -> fx.Model:
    return fx.Model((2, 12, 1), backend="numpy", seed=seed)


@pytest.fixture(scope="module")
def fitted() -> tuple[fx.Model, fx.FitResult]:
    model = network()
    return model, model.fit(X, Y, prior="auto")


@pytest.mark.slow
def test_the_fit_is_certified_and_says_what_was_chosen(fitted: tuple[fx.Model, fx.FitResult]) -> None:
    model, fit = fitted
    assert fit.valid
    assert fit.recipe is not None
    assert fit.recipe.held_out == 150
    best = fit.recipe.path[np.argmin(fit.recipe.path[:, 1])]
    assert fit.recipe.strength == pytest.approx(best[0])
    assert np.argmin(fit.recipe.path[:, 1]) > 0
    np.testing.assert_allclose(fit.recipe.path[:-1, 0] / fit.recipe.path[1:, 0], 2, rtol=1e-12)
    assert f"strength {fit.recipe.strength:.2g}" in str(fit)
    assert fit.y_error is not None
    np.testing.assert_allclose(fit.y_error, np.sqrt(best[1]) * np.std(Y), rtol=0.03)  # of the held-out residuals
    assert "from held-out residuals" in str(fit)
    assert fit.chi2 / fit.ndof == pytest.approx(0.934, abs=0.05)  # below one: this network has seen all events
    assert fit.fval > fit.chi2
    np.testing.assert_allclose(model.parameters, fit.parameters)


@pytest.mark.slow
def test_the_members_are_at_their_minima(fitted: tuple[fx.Model, fx.FitResult]) -> None:
    """To less than one standard deviation."""
    model, fit = fitted
    assert fit.recipe is not None
    x, y = (X - X.mean(axis=0)) / X.std(axis=0), (Y - Y.mean()) / Y.std()
    cost = fx.LeastSquares(x, y, 1.0, model, prior=GaussianPrior(fit.recipe.precision))
    for theta in fit.recipe.members:
        g = cost.grad(theta)
        edm = 0.5 * float(g @ np.linalg.solve(cost.gauss_newton(theta), g))
        assert edm < 0.5 * cost(theta) / len(Y)


@pytest.mark.slow
@pytest.mark.parametrize("many", [1000, 100])
def test_the_networks_of_the_folds_go_on(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    """Each fold has several networks; all go on, at the last, with all events from where they ended."""
    starts: list[np.ndarray] = []
    minimised: list[tuple[int, np.ndarray, np.ndarray]] = []

    def glorot(*args: Any) -> np.ndarray:
        starts.append(ffnn_xp.network.initialization.glorot(*args))
        return starts[-1]

    original = PathMinimizer.minimize

    def minimize(self: PathMinimizer, costs: CostBatch, thetas: list[np.ndarray], *options: Any) -> list[np.ndarray]:
        ends = original(self, costs, thetas, *options)
        minimised.extend(zip(costs.n.tolist(), thetas, ends, strict=True))
        return ends

    monkeypatch.setattr(ffnn_xp.fitting.hidden_layers, "glorot", glorot)
    monkeypatch.setattr(PathMinimizer, "minimize", minimize)
    tuning = Tuning(prior_selection=PriorSelectionTuning(one_fold=many))
    fit = network().fit(X, Y, prior="auto", seed=3, tuning=tuning)
    assert fit.recipe is not None
    number = PriorSelectionTuning().few_members
    assert len(fit.recipe.members) == len(starts) == number  # no network is drawn that is not a member
    parts = [end for n, _, end in minimised if n < len(X)]
    whole = [start for n, start, _ in minimised if n == len(X)]
    assert len(whole) == number
    assert all(any(np.array_equal(start, end) for end in parts) for start in whole)


@pytest.mark.slow
@pytest.mark.parametrize(("folds", "members"), [(3, 4), (5, 3), (2, 5)])
def test_an_ensemble_has_as_many_networks_as_it_is_to(folds: int, members: int) -> None:
    """Also where folds do not share them evenly; the density is calibrated all the same."""
    tuning = Tuning(prior_selection=PriorSelectionTuning(folds=folds, few_members=members))
    fit = network().fit(X, Y, prior="auto", tuning=tuning)
    assert fit.recipe is not None
    assert len(fit.recipe.members) == members
    assert fit.recipe.calibration is not None


@pytest.mark.slow
def test_residuals_of_a_folds_mean_are_scaled_to_those_of_the_whole_ensemble() -> None:
    """Networks scatter at random about the truth: the mean of a fold's two keeps half of that, the mean of all none."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, 6000)
    y = x + 0.3 * rng.normal(size=6000)
    problem = replace(fx.Model((1, 1), seed=1).fit(x, y, 1.0, prior=None).problem, prior=None)
    scale, rows = float(problem.scaling.y_scale[0]), np.arange(6000)
    folds = [Fold(problem.cost(), rows[rows % 300 != f], rows[rows % 300 == f]) for f in range(300)]
    truth = problem.scaling.to_standard(np.array([1.0, 0.0]))
    shifts = 0.3 / scale * rng.normal(size=(300, 2))
    networks = [[truth + np.array([0, shift]) for shift in of_fold] for of_fold in shifts]
    found = hold_out(problem, list(zip(folds, networks, strict=True)), np.zeros(2)).residuals
    assert np.mean(found**2) == pytest.approx(0.3**2, rel=0.1)
    one = hold_out(problem, [(fold, [truth]) for fold in folds], np.zeros(2))
    np.testing.assert_allclose(one.residuals[0, :20], (y - x)[rows % 300 == 0], atol=1e-9)


def test_the_path_leaves_the_constant_that_a_strong_prior_makes() -> None:
    """There the gradient is all but zero, and plain L-BFGS stays for all of this path."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 4))
    y = np.tanh(x @ rng.normal(size=(4, 3))) @ np.ones(3)
    model = fx.Model((4, 30, 1), backend="numpy", seed=3)
    theta, found = glorot(model.network.layout, np.random.default_rng(0)), []
    for strength in 400 * 2.0 ** -np.arange(12):
        cost = fx.LeastSquares(x, y, 1.0, model, prior=GaussianPrior(strength * shape_of_prior(model.network)))
        assert cost.prior is not None
        (theta,) = PathMinimizer().minimize(CostBatch([cost.objective]), [theta], cost.prior.precision, 60)
        found.append(cost(theta))
    assert found[6] > 0.99 * found[0]
    assert found[-1] < 0.1 * found[0]


@pytest.mark.slow
def test_the_certificate_may_not_cost_more_than_the_choice() -> None:
    """Predictions do not need it."""
    model = network()
    tuning = Tuning(prior_selection=PriorSelectionTuning(certificate=1e-3))
    with pytest.warns(fx.FitWarning, match="gradients that it may take are spent"):
        fit = model.fit(X, Y, prior="auto", tuning=tuning)
    assert not fit.valid
    assert "ensemble's, which needs no certificate" in fit.message
    assert np.all(np.isfinite(model.log_density(NEW, MEASURED)))


@pytest.mark.slow
def test_the_same_seed_chooses_the_same() -> None:
    one, two = (network(3).fit(X, Y, prior="auto") for _ in range(2))
    assert one.recipe is not None
    assert two.recipe is not None
    np.testing.assert_array_equal(one.recipe.path, two.recipe.path)
    np.testing.assert_array_equal(one.parameters, two.parameters)


@pytest.mark.slow
def test_it_predicts_better_than_a_weak_and_a_strong_prior(fitted: tuple[fx.Model, fx.FitResult]) -> None:
    def rms(model: fx.Model) -> float:
        return float(np.sqrt(np.mean((model.predict(NEW) - MEASURED) ** 2)))

    for prior in (0.05, 30.0):
        other = network()
        other.fit(X, Y, prior=prior)
        assert rms(fitted[0]) < 0.97 * rms(other)


@pytest.mark.slow
def test_intervals_hold_what_they_say(fitted: tuple[fx.Model, fx.FitResult]) -> None:
    """150 events to choose and calibrate by; 2,000 new ones."""
    for cl in (0.5, 0.9):
        low, high = fitted[0].interval(NEW, cl=cl)
        assert np.mean((low < MEASURED) & (high > MEASURED)) == pytest.approx(cl, abs=0.06)


@pytest.mark.slow
def test_the_density_integrates_to_one_and_has_its_quantiles(fitted: tuple[fx.Model, fx.FitResult]) -> None:
    model, _ = fitted
    x = NEW[:1]

    def density(y: float) -> float:
        return float(np.exp(model.log_density(x, [y])[0]))

    low, high = model.interval(x, cl=0.9)
    ends = (float(low[0]), float(high[0]))
    assert scipy.integrate.quad(density, -400, 600, points=ends, limit=200)[0] == pytest.approx(1, abs=1e-4)
    assert scipy.integrate.quad(density, *ends)[0] == pytest.approx(0.9, abs=1e-6)
    mean, std = model.predict(x, return_std=True, kind="prediction")
    first = scipy.integrate.quad(lambda y: y * density(y), -400, 600, points=ends, limit=200)[0]
    assert first == pytest.approx(float(mean[0]), rel=1e-4)
    second = scipy.integrate.quad(lambda y: (y - first) ** 2 * density(y), -900, 1100, points=ends, limit=400)[0]
    assert np.sqrt(second) == pytest.approx(float(std[0]), rel=0.02)


@pytest.mark.slow
def test_a_member_leaves_a_share_of_the_values_for_its_errors() -> None:
    """However many parameters it has, and however weak its prior is: residuals of nothing would be no errors."""
    fit = network().fit(X[:20], Y[:20], prior="auto")
    assert fit.recipe is not None
    found = member(fit.problem, fit.recipe.members[0], 1e-9 * fit.recipe.precision)
    assert found.effective == pytest.approx(0.9 * 20)


@pytest.mark.slow
@pytest.mark.parametrize("covariance", ["hessian", "sandwich"])
def test_the_covariance_of_a_member_is_that_of_the_fit(covariance: Any) -> None:
    """A sandwich does not depend on errors that are wrong by a factor; estimated errors are as good as given ones."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, 100)
    y = np.sin(3 * x) + 0.1 * rng.normal(size=100)
    fits = [
        fx.Model((1, 3, 1), backend="numpy", seed=1).fit(x, y, e, prior=1.0, covariance=covariance) for e in (0.1, 0.3)
    ]
    theta, P = fits[0].standardised, 1e-5 * shape_of_prior(fits[0].problem.network)
    right, wide = (member(fit.problem, theta, P / f) for fit, f in zip(fits, (1, 9), strict=True))
    ratio = wide.band.spectrum.errors / right.band.spectrum.errors
    np.testing.assert_allclose(ratio, 1.0 if covariance == "sandwich" else 3.0, rtol=1e-2)
    unknown = fx.Model((1, 3, 1), backend="numpy", seed=1).fit(x, y, prior=1.0, covariance=covariance)
    free = member(unknown.problem, theta, P)
    width = float(free.y_error[0])
    given = fx.Model((1, 3, 1), backend="numpy", seed=1).fit(x, y, width, prior=1.0, covariance=covariance)
    scale = width / float(given.scaling.y_scale[0])
    same = member(given.problem, theta, P / scale**2)
    np.testing.assert_allclose(free.band.spectrum.errors, same.band.spectrum.errors, rtol=1e-9)


@pytest.mark.slow
def test_the_calibration_knows_a_sandwich() -> None:
    """With errors three times as large, pulls and bands are a third in their units: only the noise's factor changes."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, 400)
    y = np.sin(3 * x) + 0.1 * rng.normal(size=400)
    found = []
    for error in (0.1, 0.3):
        fit = fx.Model((1, 3, 1), backend="numpy", seed=1).fit(x, y, error, prior=1.0, covariance="sandwich")
        problem = replace(fit.problem, prior=None)
        rows = np.arange(400)
        part = Fold(problem.cost(), rows[rows % 2 == 0], rows[rows % 2 == 1])
        theta = fit.standardised if not found else found[0][1]
        P = 1e-7 * shape_of_prior(problem.network) / error**2
        held_out = hold_out(problem, [(part, [theta])], P)
        found.append((held_out.calibrate(held_out.y_error), theta))
    (near, _), (far, _) = found
    assert far.a == pytest.approx(near.a / 9, rel=0.05)
    assert far.b == pytest.approx(near.b, rel=0.2)


@pytest.mark.slow
def test_the_prediction_is_the_mean_of_the_members(fitted: tuple[fx.Model, fx.FitResult]) -> None:
    model, fit = fitted
    assert fit.recipe is not None
    members = [model(NEW, fit.scaling.to_raw(theta)) for theta in fit.recipe.members]
    np.testing.assert_allclose(model.predict(NEW), np.mean(members, axis=0), rtol=1e-9)
    _, inside = model.predict(NEW, return_std=True)
    _, outside = model.predict(NEW, return_std=True, kind="prediction")
    assert np.all(outside > inside)


@pytest.mark.slow
def test_no_mean_is_less_certain_than_a_new_measurement(fitted: tuple[fx.Model, fx.FitResult]) -> None:
    """Held-out residuals, which tell the width, contain the error of the mean: wider bands are wrong."""
    model, fit = fitted
    assert fit.predictive is not None
    measured = replace(fit.predictive, calibration=Calibration(a=0.1, b=0.3))
    where = model.network, model.backend, NEW.T
    wide = replace(fit.predictive, calibration=None).std(*where, with_y_error=False)
    std, new = (measured.std(*where, with_y_error=of_y) for of_y in (False, True))
    np.testing.assert_array_equal(std, np.minimum(wide, new))
    assert 0.1 < np.mean(new < wide) < 1


@pytest.mark.slow
def test_calibration_finds_what_was_put_in() -> None:
    rng = np.random.default_rng(1)
    band = rng.uniform(0, 2, 20000)
    pulls = np.sqrt(0.5 + 2 * band**2) * rng.standard_t(6, 20000)
    found = calibrate(pulls, band)
    assert (found.a, found.b) == (pytest.approx(0.5, rel=0.15), pytest.approx(2, rel=0.15))
    assert found.nu == pytest.approx(6, rel=0.2)
    assert Calibration().nu == np.inf


@pytest.mark.slow
def test_known_errors_and_counts_have_a_path_too() -> None:
    error = RNG.uniform(0.5, 3, 150)
    y = 100 + 10 * TRUTH + error * RNG.normal(size=150)
    model = network()
    fit = model.fit(X, y, error, prior="auto")
    assert fit.valid
    assert fit.y_error is None
    assert 0.7 < fit.chi2 / fit.ndof < 1.3
    assert np.isfinite(model.log_density(NEW, MEASURED)).all()
    counts = fx.Model((2, 6, 1), output="exp", seed=1)
    fit = counts.fit(X, RNG.poisson(5 * np.exp(TRUTH)), loss="poisson", prior="auto")
    assert fit.valid
    assert fit.recipe is not None
    assert fit.recipe.calibration is None
    assert np.sqrt(np.mean((np.log(counts(X)) - np.log(5) - TRUTH) ** 2)) < 0.15
    with pytest.raises(fx.NotFittedError, match="the statistic has none"):
        counts.log_density(X, X[:, 0])


@pytest.mark.slow
def test_two_outputs_weights_and_many_events() -> None:
    x = RNG.uniform(-1, 1, (2400, 1))
    y = np.concatenate(
        [np.sin(3 * x) + 0.1 * RNG.normal(size=x.shape), 1e3 * x + 50 * RNG.normal(size=x.shape)], axis=1
    )
    model = fx.Model((1, 8, 2), seed=1)
    fit = model.fit(x, y, weights=RNG.uniform(0.5, 2, 2400), prior="auto")
    assert fit.recipe is not None
    assert fit.recipe.held_out == 2 * 2400 / PriorSelectionTuning().folds  # one fold is enough
    np.testing.assert_allclose(fit.y_error, [0.1, 50], rtol=0.1)
    low, high = model.interval(x)
    assert low.shape == (2400, 2)
    assert np.mean((y > low) & (y < high)) == pytest.approx(0.9, abs=0.03)
    assert model.log_density(x, y).shape == (2400,)


def test_time_is_kept_and_the_best_so_far_used() -> None:
    model = network()
    with pytest.warns(fx.FitWarning):
        fit = model.fit(X, Y, prior="auto", max_seconds=0.05)
    assert fit.recipe is not None
    assert "max_seconds" in fit.recipe.stopped
    assert np.isfinite(model.predict(NEW)).all()


def test_a_calibration_that_is_cut_short_ends_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks stay those of the folds, and there is no density that was not calibrated."""
    late = StopMinimization("it is late")

    def stop(*given: object) -> None:
        raise late

    monkeypatch.setattr(ffnn_xp.fitting.prior_selection, "hold_out", stop)
    model = network()
    with pytest.warns(fx.FitWarning):
        fit = model.fit(X, Y, prior="auto")
    assert fit.recipe is not None
    assert fit.recipe.stopped == "it is late"
    assert fit.recipe.calibration is None
    assert np.isfinite(model.predict(NEW)).all()


def test_what_is_refused() -> None:
    model = network()
    before = model.parameters
    with pytest.raises(ValueError, match="did you mean 'auto'"):
        model.fit(X, Y, prior="autom")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"cannot be estimated from {FEWEST_TO_CHOOSE - 1} values with 49 parameters"):
        model.fit(X[: FEWEST_TO_CHOOSE - 1], Y[: FEWEST_TO_CHOOSE - 1], prior="auto")
    np.testing.assert_array_equal(model.parameters, before)


def test_widths_are_of_noise_and_band_with_their_factors() -> None:
    """One member with a band of 2 and noise 1, at a = 9 and b = 4, which are those of new measurements."""

    class Flat:
        parameters = fx.Model((1, 1), seed=1).fit(X[:, 0], Y, 1.0, prior=None).scaling.to_raw(np.zeros(2))

        def std(self, network: object, backend: object, x: np.ndarray) -> np.ndarray:
            return np.full((1, x.shape[1]), 2.0)

    model = fx.Model((1, 1), backend="numpy", seed=1)
    mixture = Predictive((Member(Flat(), np.ones(1)),), Calibration(9.0, 4.0))  # type: ignore[arg-type]
    ask = (model.network, model.backend, np.zeros((1, 3)))
    np.testing.assert_allclose(mixture.std(*ask, with_y_error=True), 5.0)
    np.testing.assert_allclose(mixture.std(*ask, with_y_error=False), 2.0)
    half = mixture.quantile(*ask, 0.8413447460685429) - mixture.quantile(*ask, 0.5)
    np.testing.assert_allclose(half, 5.0, rtol=1e-9)


@dataclass(frozen=True)
class Level:
    """A network without hidden units whose outputs are these constants, with these bands."""

    outputs: tuple[float, ...]
    bands: tuple[float, ...]

    @property
    def parameters(self) -> np.ndarray:
        return np.array([[0.0, output] for output in self.outputs]).ravel()

    def std(self, network: object, backend: object, x: np.ndarray) -> np.ndarray:
        return np.array(self.bands)[:, None] + np.zeros(x.shape[1])

    def with_error(self, *y_error: float) -> Member:
        return Member(self, np.array(y_error))  # type: ignore[arg-type]


def asked(outputs: int = 1) -> tuple[Any, Any, np.ndarray]:
    model = fx.Model((1, outputs), backend="numpy", seed=1)
    return model.network, model.backend, np.array([[-0.3, 0.0, 0.2]])


@pytest.mark.parametrize("known", [0.0, 1.0, 100.0])
def test_the_width_of_an_ensemble_is_of_mean_squares_and_of_scatter_that_was_not_calibrated(
    known: float,
) -> None:
    for apart in (2.0, 200.0):
        width = np.sqrt(9 * 25 + 4 * 25 + max(0, apart**2 / 2 - known**2))
        members = (Level((0.0,), (1.0,)).with_error(7.0), Level((apart,), (7.0,)).with_error(1.0))
        mixture = Predictive(members, Calibration(9.0, 4.0), scatter=np.array([known]))
        np.testing.assert_allclose(mixture.mean(*asked()), apart / 2, rtol=1e-12)
        np.testing.assert_allclose(mixture.std(*asked(), with_y_error=True), width, rtol=1e-12)
        np.testing.assert_allclose(mixture.quantile(*asked(), 0.5), apart / 2, rtol=1e-12)
        y = np.array([[-3.0, 0.0, 40.0]])
        expected = scipy.stats.norm(apart / 2, width).logpdf(y[0])
        np.testing.assert_allclose(mixture.log_density(*asked(), y), expected, rtol=1e-12)
        between = apart**2 / 2 / 2
        np.testing.assert_allclose(mixture.std(*asked(), with_y_error=False), np.sqrt(25 + between), rtol=1e-12)


@pytest.mark.parametrize(("nu", "factor"), [(4.0, np.sqrt(2)), (2.0, np.inf)])
def test_the_standard_deviation_of_a_new_measurement_is_that_of_its_t(nu: float, factor: float) -> None:
    mixture = Predictive((Level((0.0,), (4.0,)).with_error(3.0),), Calibration(nu=nu))
    np.testing.assert_allclose(mixture.std(*asked(), with_y_error=True), 5 * factor, rtol=1e-12)


def test_widths_that_networks_predict_are_those_of_the_density() -> None:
    """Their second output is the logarithm of the error; it has no mean. Their means scatter by the root of 2."""
    levels = [Level((mean, np.log(error)), (band, 99.0)) for mean, error, band in ((0.0, 1.0, 7.0), (2.0, 7.0, 1.0))]
    mixture = Predictive(tuple(level.with_error(0.0, 0.0) for level in levels), predicts_width=True)
    np.testing.assert_allclose(mixture.std(*asked(2), with_y_error=True), np.full((1, 3), np.sqrt(52)), rtol=1e-12)
    np.testing.assert_allclose(mixture.std(*asked(2), with_y_error=False), np.full((1, 3), np.sqrt(26)), rtol=1e-12)


def test_a_varying_width_takes_the_place_of_the_members_errors() -> None:
    """It knows x, the mean, and the band: log w is tanh(x) + tanh(mean) + tanh(log(band) / 10)."""
    units = np.concatenate([np.diag([1.0, 1.0, 0.1]), np.zeros((3, 1))], axis=1).ravel()
    varying = VaryingWidth(np.array([[*units, 1, 1, 1, 0]]), 1, 1, np.array([-9.0]), np.array([9.0]))
    members = (Level((0.0,), (1.0,)).with_error(77.0), Level((1.0,), (7.0,)).with_error(77.0))
    mixture = Predictive(members, Calibration(9.0, 4.0), width=varying)
    noise = np.exp(np.tanh(asked()[2]) + np.tanh(0.5) + np.tanh(np.log(5.0) / 10))
    expected = np.sqrt(9 * noise**2 + 4 * 25 + 0.5)
    np.testing.assert_allclose(mixture.std(*asked(), with_y_error=True), expected, rtol=1e-12)


def test_bands_are_bounded_for_a_calibration() -> None:
    np.testing.assert_array_equal(bounded(np.array([0.5, 1e9, np.inf, np.nan])), [0.5, WIDEST, 1, 1])
    pulls, known = np.linspace(-2, 2, 30), np.linspace(0.5, 2, 30)
    known[0], known[1] = 1.0, WIDEST
    wide = known.copy()
    wide[0], wide[1] = np.inf, 1e9
    assert calibrate(pulls, wide) == calibrate(pulls, known)


def test_without_held_out_values_the_calibration_is_the_centre_of_its_prior() -> None:
    found = calibrate(np.zeros(0), np.zeros(0))
    np.testing.assert_allclose([found.a, found.b, found.nu], [1.0, 1.0, 2.1 + np.exp(2.0)], rtol=1e-3)
    one = calibrate(np.zeros(1), np.zeros(1))  # lowest log(a) / 2 + log(a)^2 / 18
    np.testing.assert_allclose([one.a, one.b], [np.exp(-4.5), 1.0], rtol=1e-3)


def line(outputs: int, y_error: float | None, **options: Any) -> tuple[Any, list[Fold], np.ndarray, np.ndarray]:
    """The problem of straight lines through x of mean 100, two folds, and x and y ``(d, n)`` as they are held out."""
    rng = np.random.default_rng(1)
    x = rng.normal(100, 5, (40, 1))
    y = x * np.array([1.0, -30.0])[:outputs] + rng.normal(size=(40, outputs))
    fit = fx.Model((1, outputs), backend="numpy", seed=1).fit(x, y, y_error, prior=None, **options)
    rows = np.arange(40)
    problem = replace(fit.problem, prior=None, y_error=np.ones(outputs))
    folds = [Fold(problem.cost(), rows[rows % 2 != f], rows[rows % 2 == f]) for f in range(2)]
    order = np.concatenate([fold.out for fold in folds])
    return problem, folds, x[order].T, y[order].T


@pytest.mark.parametrize("y_error", [None, 0.5])
@pytest.mark.parametrize("outputs", [1, 2])
def test_what_is_held_out_is_in_raw_units_or_in_those_of_known_errors(outputs: int, y_error: float | None) -> None:
    problem, folds, x, y = line(outputs, y_error)
    truth = np.array([[1.0, 0.0], [-30.0, 0.0]])[:outputs].ravel()
    theta = problem.scaling.to_standard(truth)
    found = hold_out(problem, [(fold, [theta]) for fold in folds], 1e-9 * np.ones(len(theta)))
    np.testing.assert_allclose(found.x, x, rtol=1e-12)
    expected = x * np.array([[1.0], [-30.0]])[:outputs]
    np.testing.assert_allclose(found.predictions, expected, rtol=1e-12)
    np.testing.assert_allclose(found.residuals, (y - expected) / (y_error or 1.0), rtol=1e-6, atol=1e-9)
    design = np.concatenate([x, np.ones_like(x)])
    bands, errors = np.zeros_like(y), np.ones_like(y)
    for f in range(2):
        out, known = slice(20 * f, 20 * f + 20), slice(20 - 20 * f, 40 - 20 * f)
        G = design[:, known] @ design[:, known].T
        leverage = np.sum(design[:, out] * np.linalg.solve(G, design[:, out]), axis=0)
        if y_error is None:  # two parameters for each output
            errors[:, out] = np.sqrt(np.sum((y - expected)[:, known] ** 2, axis=1) / 18)[:, None]
            standard = errors[:, out] / problem.scaling.y_scale[:, None]
            mean = np.sqrt(np.mean(standard[:, 0] ** 2)) * problem.scaling.y_scale[:, None]
            bands[:, out] = mean * np.sqrt(leverage)
        else:
            bands[:, out] = np.sqrt(leverage)
    np.testing.assert_allclose(found.y_error, errors, rtol=1e-6)
    np.testing.assert_allclose(found.bands, bands, rtol=1e-6)


def test_a_fold_leaves_a_share_of_its_values_for_its_errors() -> None:
    """A line takes up both of two values; a tenth of them is left."""
    problem, _, x, y = line(1, None)
    fold = Fold(problem.cost(), np.arange(2), np.arange(2, 40))
    theta = problem.scaling.to_standard(np.array([1.0, 0.0]))
    found = hold_out(problem, [(fold, [theta])], 1e-9 * np.ones(2))
    known = (y - x)[0, [0, 20]]  # the events 0 and 1, since even ones come first
    np.testing.assert_allclose(found.y_error, np.sqrt(np.sum(known**2) / 0.2), rtol=1e-6)


def test_scatter_takes_no_more_than_half_of_the_square_of_held_out_residuals() -> None:
    problem, folds, _, _ = line(1, 0.5)
    truth = problem.scaling.to_standard(np.array([1.0, 0.0]))
    for shift in (0.01, 1.0):
        networks = [[truth + np.array([0, shift]), truth - np.array([0, shift])]] * 2
        P = np.ones(2)
        found = hold_out(problem, list(zip(folds, networks, strict=True)), P)
        plain = hold_out(problem, [(fold, [truth]) for fold in folds], P)
        units = problem.scaling.y_scale[0] / 0.5
        share = 2 * (shift * units) ** 2 * (1 / 2 - 1 / 4) / np.mean(plain.residuals**2)
        expected = plain.residuals * np.sqrt(1 - min(share, 0.5))
        np.testing.assert_allclose(found.residuals, expected, rtol=1e-9)
        np.testing.assert_allclose(found.predictions, plain.predictions, rtol=1e-12)
        apart = [truth, truth + np.array([0, shift])]
        uneven = hold_out(problem, [(fold, apart) for fold in folds], P)
        np.testing.assert_allclose(uneven.scatter, shift * problem.scaling.y_scale / np.sqrt(2), rtol=1e-9)
        np.testing.assert_array_equal(plain.scatter, 0.0)
        np.testing.assert_allclose(
            uneven.predictions, plain.predictions + 0.5 * shift * problem.scaling.y_scale[0], rtol=1e-12
        )


@pytest.mark.parametrize("covariance", ["hessian", "sandwich"])
def test_weights_of_held_out_events_are_inverse_squares_of_errors_but_not_for_a_sandwich(covariance: Any) -> None:
    weights = np.where(np.arange(40) % 4 < 2, 1.0, 4.0)
    problem, folds, x, y = line(1, 0.5, weights=weights, covariance=covariance)
    truth = problem.scaling.to_standard(np.array([1.0, 0.0]))
    found = hold_out(problem, [(fold, [truth]) for fold in folds], np.ones(2))
    more = 1.0 if covariance == "sandwich" else np.sqrt(weights[np.concatenate([fold.out for fold in folds])])
    np.testing.assert_allclose(found.residuals, more * (y - x) / 0.5, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("y_error", [None, 0.5])
def test_the_width_may_vary_where_errors_are_not_known_and_not_below_rounding(
    y_error: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[np.ndarray] = []

    def choose(held_out: object, rounding: np.ndarray, *rest: object) -> tuple[str, None]:
        given.append(rounding)
        return "chosen", None

    monkeypatch.setattr(ffnn_xp.fitting.prior_selection, "choose_width", choose)
    x = np.arange(40.0)
    fit = fx.Model((1, 1), backend="numpy", seed=1).fit(x, np.round(x / 4), y_error, prior=None)
    one = np.ones((1, 40))
    residuals = HeldOut(one, one, one, one, one)
    monkeypatch.setattr(ffnn_xp.fitting.prior_selection, "hold_out", lambda *given: residuals)
    folds: Any = SimpleNamespace(precision=None, of_folds=list)
    found = _noise(fit.problem, folds, np.random.default_rng(1), PathMinimizer())
    assert found.relative_error is None
    if y_error is None:
        assert found.calibration == "chosen"
        np.testing.assert_allclose(given, [[1 / np.sqrt(12)]], rtol=1e-12)
    else:
        assert found[:2] == (residuals.calibrate(one), None)
        assert not given


def test_an_interval_is_infinite_where_nothing_is_known_and_the_mean_overflows() -> None:
    class Unknown:
        parameters = np.array([1e3, 1e3])

        def std(self, network: object, backend: object, x: np.ndarray) -> np.ndarray:
            return np.full((1, x.shape[1]), np.inf)

    model = fx.Model((1, 1), output="exp", backend="numpy", seed=1)
    mixture = Predictive((Member(Unknown(), np.ones(1)),))  # type: ignore[arg-type]
    ask = (model.network, model.backend, np.array([[-1.0, 1.0]]))
    with np.errstate(over="ignore"):
        assert np.isinf(mixture.mean(*ask)[0, 1])
        np.testing.assert_array_equal(mixture.quantile(*ask, 0.1), -np.inf)
        np.testing.assert_array_equal(mixture.quantile(*ask, 0.9), np.inf)


def test_networks_that_overflow_scatter_by_infinity() -> None:
    class Known:
        parameters = np.array([1e3, 1e3])

        def std(self, network: object, backend: object, x: np.ndarray) -> np.ndarray:
            return np.ones((1, x.shape[1]))

    model = fx.Model((1, 1), output="exp", backend="numpy", seed=1)
    mixture = Predictive((Member(Known(), np.ones(1)),) * 2)  # type: ignore[arg-type]
    ask = (model.network, model.backend, np.array([[-1.0, 1.0]]))
    with np.errstate(over="ignore"):
        for with_y_error in (True, False):
            np.testing.assert_array_equal(np.isinf(mixture.std(*ask, with_y_error=with_y_error)), [[False, True]])
        np.testing.assert_array_equal(np.isinf(mixture.quantile(*ask, 0.1)), [[False, True]])
        assert mixture.quantile(*ask, 0.1)[0, 1] == -np.inf


@pytest.mark.slow
@pytest.mark.parametrize("error", [0.1, None])
@pytest.mark.parametrize("value", [0.0, 3.1, 1e9, -1e-9])
def test_constant_values_are_predicted(value: float, error: float | None) -> None:
    """A detector that reads the same value everywhere: held-out values do not tell priors apart."""
    x = np.random.default_rng(0).uniform(-1, 1, 60)
    model = fx.Model((1, 3, 1), seed=1)
    fit = model.fit(x, np.full(60, value), error, prior="auto")
    np.testing.assert_allclose(model.predict([0.2, 0.9]), value, rtol=1e-6, atol=1e-6)
    assert fit.recipe is not None
    assert np.all(np.isfinite(fit.recipe.path))
    if error is not None:
        std = model.predict([0.2], return_std=True, kind="prediction")[1]
        assert 0 < std[0] < 2 * error


@pytest.mark.slow
def test_constant_counts_are_predicted() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, 60)
    for counts, output, loss in ((4, "exp", "poisson"), (0, "exp", "poisson"), (1, "logistic", "binomial")):
        model = fx.Model((1, 3, 1), output=output, seed=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fx.FitWarning)  # of no counts and certain yes the minimum is at infinity
            model.fit(x, np.full(60, counts), loss=loss, prior="auto")
        np.testing.assert_allclose(model.predict([0.2, 0.9]), counts, atol=0.05)


@pytest.mark.slow
def test_no_matrices_are_formed_beyond_the_limit(forbid: Callable[..., None]) -> None:
    """The same prior is chosen; there is no calibration, since bands of many events would take a solve each."""
    small = {"layers": (2, 3, 1), "backend": "numpy", "seed": 1}
    expected = fx.Model(**small).fit(X, Y, prior="auto", restarts=1)
    forbid("hessian", "gauss_newton", "scores")
    model = fx.Model(**small)
    fit = model.fit(X, Y, prior="auto", restarts=1, tuning=Tuning(matrix_limit=5))
    assert fit.valid
    assert fit.certificate == "conjugate gradients"
    assert fit.recipe is not None
    assert expected.recipe is not None
    assert fit.recipe.calibration is None
    assert fit.recipe.strength == expected.recipe.strength
    assert fit.y_error == pytest.approx(
        expected.y_error, rel=1e-2
    )  # networks of folds are minimized further for a calibration
    assert np.isfinite(model.predict(NEW, return_std=True)).all()


class TestOpenLayers:
    """`Model()` leaves its hidden layers to the fit, which takes larger ones where held-out events want them."""

    @staticmethod
    def fit(least: float, **options: Any) -> tuple[fx.Model, fx.FitResult]:
        model = fx.Model(backend="numpy", seed=1)
        tuning = Tuning(prior_selection=PriorSelectionTuning(larger=least, folds=2, few_members=2))
        return model, model.fit(X, Y, tuning=tuning, **options)

    @pytest.mark.slow
    @pytest.mark.parametrize(("least", "layers"), [(-9.0, (2, 16, 16, 1)), (9.0, (2, 10, 1))])
    def test_the_gain_decides(self, least: float, layers: tuple[int, ...]) -> None:
        model, fit = self.fit(least)
        assert model.layers == layers
        assert fit.recipe is not None
        assert "hidden layers by the same S: 10 (" in str(fit)
        assert "16-16 (" in str(fit)
        assert all(len(theta) == model.n_parameters for theta in fit.recipe.members)
        assert len(model.names) == len(fit.parameters) == model.n_parameters
        assert fit.recipe.predictive is not None
        assert model.predict(NEW).shape == (2000,)

    @pytest.mark.slow
    def test_a_layered_function_takes_two(self) -> None:
        """By the default rule; a plane takes one."""
        rng = np.random.default_rng(1)
        x = rng.uniform(-1, 1, (1000, 2))
        for y, hidden in ((np.sin(5 * np.sum(x**2, axis=1)), 2), (x[:, 0] - x[:, 1], 1)):
            model = fx.Model(backend="numpy", seed=1)
            model.fit(x, y + 0.05 * rng.normal(size=1000), 0.05)
            assert len(model.layers) - 2 == hidden

    @pytest.mark.slow
    @pytest.mark.parametrize("options", [{"prior": 3.0}, {"prior": None, "restarts": 1}, {"start": np.full(41, 0.1)}])
    def test_it_does_not_choose(self, options: dict[str, Any]) -> None:
        """Without ``prior="auto"``, and from a given start, which has its own number of parameters."""
        model, fit = self.fit(-9.0, **options)
        assert model.layers == (2, 10, 1)
        assert "hidden layers" not in str(fit)

    def test_several_activations_are_those_of_so_many_layers(self) -> None:
        model = fx.Model(activation=["relu"], backend="numpy", seed=1)
        assert [network.layout.widths for network in model.networks_for(2, 1)] == [(2, 10, 1)]

    @pytest.mark.slow
    def test_the_first_fit_decides_and_a_clone_is_open_again(self) -> None:
        model, _ = self.fit(-9.0)
        model.fit(X, Y, prior=3.0)
        assert model.layers == (2, 16, 16, 1)
        again = model.__sklearn_clone__()
        assert again.layers == (None, 10, None)
        assert [network.layout.widths for network in again.networks_for(2, 1)] == [(2, 10, 1), (2, 16, 16, 1)]
        assert [a.name for a in again.networks_for(2, 1)[1].activations] == ["tanh", "tanh", "identity"]

    def test_where_time_is_up_the_smaller_one_is_taken(self) -> None:
        model = fx.Model(backend="numpy", seed=1)
        with pytest.warns(fx.FitWarning):
            fit = model.fit(X, Y, max_seconds=0.02)
        assert model.layers == (2, 10, 1)
        assert fit.recipe is not None
        assert "max_seconds" in fit.recipe.stopped

    @pytest.mark.slow
    def test_a_checkpoint_of_fixed_layers_is_another_fit(self, tmp_path: Path) -> None:
        fx.Model((None, 10, None), backend="numpy", seed=1).fit(X, Y, prior=3.0, checkpoint=tmp_path / "kept")
        with pytest.raises(ValueError, match="layers"):
            fx.Model(backend="numpy", seed=1).fit(X, Y, prior=3.0, checkpoint=tmp_path / "kept")
