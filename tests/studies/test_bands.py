"""Bands of predictions: closed forms where the network is linear, SciPy's constrained maximum where it is not."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

import ffnn_xp as fx
from ffnn_xp.backends import Backend
from ffnn_xp.network.activations import ACTIVATIONS
from ffnn_xp.studies.propagation import propagate

X = np.linspace(-1, 1, 40)
AT = np.array([-1.0, 0.3, 2.0])
METHODS = ("linear", "profile", "replicas", "mixture")


@pytest.fixture(scope="module")
def line() -> tuple[fx.Model, fx.FitResult]:
    model = fx.Model((1, 1), backend="numpy", seed=1)
    return model, model.fit(X, 2 * X + 1 + 0.1 * np.random.default_rng(1).normal(size=40), 0.1, prior=None)


@pytest.fixture(scope="module")
def curve() -> tuple[fx.Model, fx.FitResult]:
    model = fx.Model((1, 3, 1), backend="numpy", seed=1)
    y = np.sin(3 * X) + 0.2 * np.random.default_rng(1).normal(size=40)
    return model, model.fit(X, y, 0.2, prior=3.0)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_of_a_straight_line_all_are_the_textbooks(line: tuple[fx.Model, fx.FitResult], method: str) -> None:
    band = line[1].band(AT, cl=0.9, method=method, number=4 if method == "mixture" else 16_000, seed=1)  # type: ignore[arg-type]
    A = np.stack([X, np.ones(40)], axis=1)
    at = np.stack([AT, np.ones(3)], axis=1)
    half = scipy.stats.norm.ppf(0.95) * 0.1 * np.sqrt(np.sum(at @ np.linalg.inv(A.T @ A) * at, axis=1))
    rtol = {"linear": 1e-6, "profile": 0.006, "replicas": 0.05, "mixture": 1e-5}[
        method
    ]  # a percent of the rise; 16,000 toys
    np.testing.assert_allclose(band.mean, line[0](AT), rtol=1e-6)
    np.testing.assert_allclose(band.high - band.mean, half, rtol=rtol)
    np.testing.assert_allclose(band.mean - band.low, half, rtol=rtol)
    assert set(band.status) == {""}
    assert f"Band: 90 %, {method}" in repr(band)


def test_at_the_ends_of_a_profile_s_has_risen_as_scipy_says(curve: tuple[fx.Model, fx.FitResult]) -> None:
    """The smallest S of all parameters with that f(x), by SLSQP, is S_min + 1."""
    model, fit = curve
    band = fit.band(AT[:2], method="profile", cl=0.6827)
    raw = fit.raw_cost
    cost = fx.LeastSquares(X, raw.y, 0.2, model, prior=raw.prior)
    for x, *ends in zip(AT, band.low, band.high, strict=False):
        for end in ends:
            there = {"type": "eq", "fun": lambda t, x=x, end=end: model(np.array([x]), t) - end}
            best = scipy.optimize.minimize(
                cost, fit.parameters, jac=cost.grad, method="SLSQP", constraints=[there], options={"maxiter": 2000}
            )
            assert best.fun - fit.fval == pytest.approx(1, abs=0.02)


def test_profiles_are_not_at_equal_distances_where_s_is_no_parabola(curve: tuple[fx.Model, fx.FitResult]) -> None:
    far = curve[1].band([2.0], cl=0.954, method="profile")
    linear = curve[1].band([2.0], cl=0.954)
    assert (far.high - far.mean)[0] != pytest.approx((far.mean - far.low)[0], rel=0.1)
    assert (linear.high - linear.mean)[0] == pytest.approx((linear.mean - linear.low)[0], rel=1e-9)


@pytest.mark.slow
def test_bands_grow_outside_the_data(curve: tuple[fx.Model, fx.FitResult]) -> None:
    for method in METHODS:
        band = curve[1].band([0.0, 1.5, 3.0], method=method, seed=1)
        assert np.all(np.diff(band.high - band.low) > 0)


@pytest.mark.slow
def test_toys_agree_with_the_linear_band_inside(curve: tuple[fx.Model, fx.FitResult]) -> None:
    linear, toys = curve[1].band(X), curve[1].band(X, method="replicas", number=1000, seed=1)
    ratio = (toys.high - toys.low) / (linear.high - linear.low)
    assert np.mean(ratio) == pytest.approx(1, abs=0.07)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("loss", "output"), [("poisson", "exp"), ("binomial", "logistic")])
def test_ends_stay_in_the_range_of_the_output(loss: str, output: str, method: str) -> None:
    """No count in half of the region: a band linear in the rate would go below zero."""
    counts = np.where(X > 0.5, 1.0, 0.0)
    fit = fx.Model((1, 2, 1), output=output, seed=1).fit(X, counts, loss=loss, prior=3.0)
    band = fit.band(AT, cl=0.95, method=method, number=100, seed=1)  # type: ignore[arg-type]
    assert ACTIVATIONS[output].monotonic
    assert np.all(band.low > 0)
    assert np.all(band.low < band.mean)
    assert np.all(band.mean < band.high)
    if loss == "binomial":
        assert np.all(band.high < 1)


def test_a_poisson_profile_is_exact() -> None:
    """One rate of 40 counts: MINOS of log mu by hand."""
    counts = np.random.default_rng(1).poisson(0.2, 40)
    model = fx.Model((1, 1), output="exp", seed=1)
    fit = model.fit(X, counts, loss="poisson", prior=None)
    band = fit.band([0.0], cl=0.683, method="profile")
    cost = fx.Poisson(X, counts, model)
    z = scipy.stats.norm.ppf(0.8415)

    def rise(b: float) -> float:
        best = scipy.optimize.minimize_scalar(lambda a: cost(np.array([a, b])), bracket=(-1, 1))
        return float(best.fun - fit.fval - z**2)

    b = fit.parameters[1]
    np.testing.assert_allclose(
        np.log([band.low[0], band.high[0]]),
        [scipy.optimize.brentq(rise, b - 3, b), scipy.optimize.brentq(rise, b, b + 3)],
        atol=0.004,
    )


def test_covariances_of_predictions(line: tuple[fx.Model, fx.FitResult]) -> None:
    model, fit = line
    at = np.stack([AT, np.ones(3)], axis=1)
    y, cov = model.predict(AT, return_cov=True)
    np.testing.assert_allclose(y, model(AT))
    np.testing.assert_allclose(cov, at @ fit.covariance @ at.T, rtol=1e-6)
    with pytest.raises(ValueError, match="independent"):
        model.predict(AT, return_cov=True, kind="prediction")
    with pytest.raises(ValueError, match="did you mean 'prediction'"):
        model.predict(AT, return_std=True, kind="predictions")  # type: ignore[arg-type]


def test_covariances_of_two_outputs_are_event_by_event() -> None:
    model = fx.Model((1, 2), seed=1)
    rng = np.random.default_rng(1)
    model.fit(X, np.stack([X, -X], axis=1) + rng.normal(size=(40, 2)) * [0.1, 0.5], [0.1, 0.5], prior=None)
    _, std = model.predict(AT, return_std=True)
    _, cov = model.predict(AT, return_cov=True)
    np.testing.assert_allclose(np.sqrt(np.diag(cov)), std.ravel(), rtol=1e-9)
    np.testing.assert_allclose(cov[::2, 1::2], 0, atol=1e-12)


def test_propagation_knows_correlations(curve: tuple[fx.Model, fx.FitResult]) -> None:
    """A difference of neighbours is known better than either; the rest against a sample of the parameters."""
    model, fit = curve
    two = np.array([0.1, 0.11])
    _, std = model.predict(two, return_std=True)
    value, variance = fit.propagate(lambda y: y[1] - y[0], two)
    assert np.sqrt(variance) < 0.1 * std[0]
    assert value == pytest.approx(np.diff(model(two))[0])
    several = lambda y: np.array([y.mean(), y[0] / y[1], np.trapezoid(y, dx=0.5)])  # noqa: E731
    three = np.array([-0.5, 0.4, 0.9])
    _, cov = fit.propagate(several, three)
    _, predicted = model.predict(three, return_cov=True)
    sample = np.random.default_rng(1).multivariate_normal(model(three), predicted * 1e-4, 20000)
    np.testing.assert_allclose(cov, np.cov([several(y) for y in sample], rowvar=False) * 1e4, rtol=0.06, atol=2e-4)
    with pytest.raises(ValueError, match="finite number or vector"):
        propagate(lambda y: y * np.nan, np.ones(2), np.eye(2))


def many_minima() -> fx.FitResult:
    """Ten units for a product of two inputs: hardly two starts end in the same minimum."""
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (150, 2))
    model = fx.Model((2, 10, 1), backend="numpy", seed=2)
    return model.fit(x, 2 * x[:, 0] * x[:, 1] + 0.2 * rng.normal(size=150), 0.2, prior=3.0)


@pytest.mark.slow
def test_the_mixture_weighs_minima_by_their_evidence() -> None:
    """Its ends are where the weighted normal distributions have the nominal tails."""
    fit = many_minima()
    at = np.array([[0.1, 0.2], [0.9, -0.9]])
    band = fit.band(at, cl=0.8, method="mixture", number=5, seed=3)
    (minima,) = fit._fitted.minima.values()
    assert len(minima) == 5
    log, parts = [], []
    for minimum in minima:
        raw = fx.Model((2, 10, 1), backend="numpy", seed=2)
        raw.parameters = fit.scaling.to_raw(minimum.theta)
        covariance = minimum.spectrum.factor @ minimum.spectrum.factor.T
        log.append(-0.5 * fit.cost(minimum.theta) + 0.5 * np.linalg.slogdet(covariance)[1])
        std = minimum.std(fit.problem.network, fit.problem.model.backend, at.T)[0]
        parts.append(scipy.stats.norm(raw.predict(at), std))
    weights = np.exp(log - np.max(log)) / np.sum(np.exp(log - np.max(log)))
    assert 0.1 < weights.max() < 0.99
    for ends, tail in ((band.low, 0.1), (band.high, 0.9)):
        mixed = sum(w * part.cdf(ends) for w, part in zip(weights, parts, strict=True))
        np.testing.assert_allclose(mixed, tail, rtol=1e-6)
    np.testing.assert_allclose(band.mean, sum(w * part.mean() for w, part in zip(weights, parts, strict=True)))


@pytest.mark.slow
def test_the_mixture_is_made_once_and_the_same_for_a_seed() -> None:
    fit, again = many_minima(), many_minima()
    at = np.zeros((1, 2))
    narrow = fit.band(at, cl=0.5, method="mixture", number=3, seed=1)
    before = fit._fitted.minima[3, 1]
    wide = fit.band(at, cl=0.9, method="mixture", number=3, seed=1)
    assert fit._fitted.minima[3, 1] is before
    assert wide.low < narrow.low < narrow.high < wide.high
    np.testing.assert_array_equal(again.band(at, cl=0.5, method="mixture", number=3, seed=1).low, narrow.low)


@pytest.mark.parametrize("number", [0, -3, 2.5, True])
def test_a_number_of_toys_or_starts_must_be_one(curve: tuple[fx.Model, fx.FitResult], number: float) -> None:
    with pytest.raises(ValueError, match="`number` must be a positive integer"):
        curve[1].band(AT, method="mixture", number=number)  # type: ignore[arg-type]


def test_prediction_intervals_hold_new_measurements(curve: tuple[fx.Model, fx.FitResult]) -> None:
    model, _ = curve
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, 4000)
    y = np.sin(3 * x) + 0.2 * rng.normal(size=4000)
    low, high = model.interval(x, cl=0.9)
    assert np.mean((y > low) & (y < high)) == pytest.approx(0.9, abs=0.02)
    mean, std = model.predict(x, return_std=True, kind="prediction")
    np.testing.assert_allclose(model.log_density(x, y), scipy.stats.norm.logpdf(y, mean, std), rtol=1e-9)
    np.testing.assert_allclose(high - low, 2 * scipy.stats.norm.ppf(0.95) * std, rtol=1e-9)


def test_new_measurements_have_errors_like_those_of_the_fit(backend: Backend) -> None:
    """Where each value has its own error, of each output its root mean square; the band's variance is added."""
    error = np.stack([np.linspace(0.1, 0.3, 40), np.linspace(2.0, 1.0, 40)], axis=1)
    y = np.stack([X, 3 * X], axis=1) + error * np.random.default_rng(1).normal(size=(40, 2))
    model = fx.Model((1, 2), backend=backend, seed=1)
    model.fit(X, y, error, prior=None)
    band = backend.to_host(model.predict(AT, return_std=True)[1])
    std = backend.to_host(model.predict(AT, return_std=True, kind="prediction")[1])
    typical = np.sqrt(np.mean(error**2, axis=0))
    np.testing.assert_allclose(std, np.sqrt(band**2 + typical**2), rtol=1e-6)


def scattered(scatter: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(-1, 1, 400)
    return x, np.sin(2 * x) + 0.1 * np.exp(x) * scatter


def test_predicted_widths_are_those_of_new_measurements() -> None:
    """By the normal density of the outputs themselves, and by the content of intervals of other measurements."""
    x, y = scattered(np.random.default_rng(0).normal(size=400))
    model = fx.Model((1, 4, 2), seed=1)
    model.fit(x, y, loss="normal", prior=3.0)
    outputs, band = model(x), model.predict(x, return_std=True)[1][:, 0]
    width = np.hypot(np.exp(outputs[:, 1]), band)
    mean, std = model.predict(x, return_std=True, kind="prediction")
    np.testing.assert_allclose(mean, outputs[:, 0], rtol=1e-12)
    np.testing.assert_allclose(std, width, rtol=1e-9)
    np.testing.assert_allclose(model.log_density(x, y), scipy.stats.norm.logpdf(y, outputs[:, 0], width), rtol=1e-9)
    low, high = model.interval(x, cl=0.9)
    _, new = scattered(np.random.default_rng(1).normal(size=400))
    assert np.mean((new > low) & (new < high)) == pytest.approx(0.9, abs=0.05)
    assert model.log_density(x[:0], y[:0]).shape == (0,)
    two = fx.Model((1, 4), seed=1)
    two.fit(x, np.stack([y, -y], axis=1), loss="normal", prior=3.0)
    assert two.interval(x)[0].shape == two.predict(x, return_std=True, kind="prediction")[0].shape == (400, 2)


@pytest.mark.slow
@pytest.mark.parametrize("nu", [1.5, 4.0])
def test_new_measurements_with_long_tails(nu: float) -> None:
    """Student's t with the errors of y, to which the band adds; below two degrees of freedom it has no variance."""
    x, y = scattered(np.random.default_rng(0).standard_t(nu, size=400))
    model = fx.Model((1, 3, 1), seed=1)
    model.fit(x, y, 0.1, loss=fx.StudentTLoss(nu=nu), prior=3.0)
    mean, band = model.predict(x, return_std=True)
    std = model.predict(x, return_std=True, kind="prediction")[1]
    scale = np.hypot(0.1, band)
    np.testing.assert_allclose(std, scale * np.sqrt(nu / (nu - 2)) if nu > 2 else np.inf, rtol=1e-9)
    np.testing.assert_allclose(model.log_density(x, y), scipy.stats.t.logpdf(y, nu, mean, scale), rtol=1e-9)
    low, high = model.interval(x, cl=0.9)
    np.testing.assert_allclose(high - low, 2 * scale * scipy.stats.t.ppf(0.95, nu), rtol=1e-9)
    np.testing.assert_allclose(low + high, 2 * mean, atol=1e-9)


@pytest.mark.parametrize("huge", [1e4, 1e150])
@pytest.mark.parametrize("off", [[3], slice(0, 40, 2), slice(0, 28)])
def test_values_switched_off_by_their_errors_say_nothing_of_new_measurements(off: object, huge: float) -> None:
    """Whether one value, half of them or most, of one output or both: the fit without them is the oracle."""
    error = np.stack([np.linspace(0.1, 0.3, 40), np.linspace(2.0, 1.0, 40)], axis=1)
    y = np.stack([X, 3 * X], axis=1) + error * np.random.default_rng(1).normal(size=(40, 2))
    with_off, kept = error.copy(), np.ones(40, dtype=bool)
    with_off[off, 0] = huge  # type: ignore[index]
    kept[off] = False  # type: ignore[index]
    model, alone = fx.Model((1, 2), seed=1), fx.Model((1, 1), seed=1)
    model.fit(X, y, with_off, prior=None)
    alone.fit(X[kept], y[kept, 0], error[kept, 0], prior=None)
    std = model.predict(AT, return_std=True, kind="prediction")[1]
    np.testing.assert_allclose(std[:, 0], alone.predict(AT, return_std=True, kind="prediction")[1], rtol=1e-3)
    band = model.predict(AT, return_std=True)[1][:, 1]
    np.testing.assert_allclose(std[:, 1], np.sqrt(band**2 + np.mean(error[:, 1] ** 2)), rtol=1e-3)


@pytest.mark.slow
def test_no_events_have_empty_predictions(backend: Backend) -> None:
    for d, k in ((1, 1), (2, 1), (2, 3)):
        x, y = np.random.default_rng(1).normal(size=(40, d)), np.outer(X, np.arange(1.0, k + 1))
        model = fx.Model((d, 2, k), backend=backend, seed=1)
        fit = model.fit(x, y if k > 1 else y[:, 0], 0.5, prior=1.0, restarts=1)
        none, shape = np.empty((0, d)), (0,) if k == 1 else (0, k)
        std, prediction = (model.predict(none, return_std=True, kind=kind) for kind in ("confidence", "prediction"))
        for found in (
            model(none),
            model.predict(none),
            *std,
            *prediction,
            *model.interval(none),
            fit.prior_share(none),
        ):
            assert tuple(found.shape) == shape
        mean, covariance = model.predict(none, return_cov=True)
        assert (tuple(mean.shape), covariance.shape) == (shape, (0, 0))
        assert model.log_density(none, np.empty(shape)).shape == (0,)
        for method, options in (
            ("linear", {}),
            ("profile", {}),
            ("replicas", {"number": 2}),
            ("mixture", {"number": 2}),
        ):
            band = fit.band(none, method=method, **options)  # type: ignore[arg-type]
            assert band.low.shape == band.high.shape == band.status.shape == shape
            assert "0 predictions" in str(band)
        assert fit.propagate(np.sum, none) == (0.0, 0.0)
        with pytest.raises(ValueError, match="`x` holds no events: a coverage"):
            fit.coverage(none, number=2)


@pytest.mark.slow
def test_a_mixture_tells_of_a_deeper_minimum() -> None:
    """One start in ten of this network comes to the deepest of its minima, and this fit's own did not."""
    rng = np.random.default_rng(1)
    x, y_err = rng.uniform(0, 1, 200), rng.uniform(0.05, 0.15, 200)
    y = np.sin(5 * x) / (0.5 + x) + y_err * rng.normal(size=200)
    model = fx.Model((1, 3, 1), seed=5)
    fit = model.fit(x, y, y_err, prior=3.0, restarts=1)
    with pytest.warns(fx.FitWarning, match=r"S is lower by 13.5 .* fit\(..., start=band.deeper\) goes on from there"):
        band = fit.band([0.3], method="mixture", number=8, seed=1)
    best = model.fit(x, y, y_err, prior=3.0)
    again = model.fit(x, y, y_err, prior=3.0, start=band.deeper)
    assert again.fval == pytest.approx(best.fval, abs=1e-3)
    assert best.band([0.3], method="mixture", number=8, seed=1).deeper is None


def test_what_is_refused(line: tuple[fx.Model, fx.FitResult]) -> None:
    model, fit = line
    with pytest.raises(ValueError, match="did you mean 'profile'"):
        fit.band(AT, method="profil")  # type: ignore[arg-type]
    for cl in (0.0, 1.0, 68.0):
        with pytest.raises(ValueError, match="`cl` must lie between 0 and 1"):
            fit.band(AT, cl=cl)
        with pytest.raises(ValueError, match="`cl` must lie between 0 and 1"):
            model.interval(AT, cl=cl)
    bad = fx.Model((1, 8, 1), seed=1)
    with pytest.warns(fx.FitWarning):
        result = bad.fit(X, X, 0.1, max_seconds=1e-9, prior=None)
    asked = (lambda: result.band(AT), lambda: result.propagate(np.sum, AT), lambda: bad.predict(AT, return_cov=True))
    for ask in asked:
        with pytest.raises(fx.NotFittedError):
            ask()
    with pytest.raises(fx.NotFittedError, match="no predictive density"):
        bad.log_density(AT, AT)
    counts = fx.Model((1, 1), output="exp", seed=1)
    counts.fit(X, np.arange(40), loss="poisson", prior=None)
    with pytest.raises(fx.NotFittedError, match="the statistic has none"):
        counts.interval(AT)


@pytest.mark.parametrize("method", ["linear", "profile", "replicas"])
def test_without_time_for_a_linear_band_there_is_none(curve: tuple[fx.Model, fx.FitResult], method: str) -> None:
    with pytest.raises(ValueError, match="there is no band yet: the time given by max_seconds is up"):
        curve[1].band(AT, method=method, number=20 if method == "replicas" else None, max_seconds=1e-9)


def test_what_no_data_determine_has_no_band() -> None:
    """The second input is constant: a prediction elsewhere along it depends on what was never seen."""
    x = np.stack([X, np.ones(40)], axis=1)
    model = fx.Model((2, 1), seed=1)
    fit = model.fit(x, X, 0.1, prior=None)
    band = fit.band([[0.0, 1.0], [0.0, 2.0]])
    assert np.isfinite(band.high - band.low).tolist() == [True, False]
    assert band.status[1] == "depends on an unidentified direction"
    with pytest.raises(ValueError, match="does not determine"):
        fit.propagate(np.sum, [[0.0, 2.0]])
    assert np.isnan(model.predict([[0.0, 1.0], [0.0, 2.0]], return_cov=True)[1]).tolist() == [
        [False, True],
        [True, True],
    ]


@pytest.mark.slow
def test_on_every_backend_they_are_numpys(backend: Backend) -> None:
    """All that is told of predictions, of two outputs."""
    x = np.stack([X, np.cos(5 * X)], axis=1)
    y = np.stack([np.sin(3 * X), X * x[:, 1]], axis=1) + 0.2 * np.random.default_rng(1).normal(size=(40, 2))
    at = x[::9] + 0.1
    told = []
    for b in (backend, fx.get_backend("numpy")):
        model = fx.Model((2, 3, 2), backend=b, seed=1)
        fit = model.fit(x, y, 0.2, prior=1.0)
        assert fit.valid
        mean, std = model.predict(at, return_std=True)
        found = [mean, std, model.predict(at, return_cov=True)[1], *model.interval(at), model.log_density(x, y)]
        found += [fit.prior_share(at), fit.propagate(np.ravel, at)[1], fit.log_evidence]
        for method in ("linear", "profile", "replicas"):
            band = fit.band(at, method=method, number=60, seed=1)  # type: ignore[arg-type]
            found += [band.low, band.high]
        told.append([b.to_host(a) if b.owns(a) else np.asarray(a) for a in found])
    for there, here in zip(*told, strict=True):
        np.testing.assert_allclose(there, here, rtol=2e-5, atol=1e-6)


def test_no_band_on_every_backend(backend: Backend) -> None:
    x = np.stack([X, np.ones(40)], axis=1)
    model = fx.Model((2, 1), backend=backend, seed=1)
    fit = model.fit(x, X, 0.1, prior=None)
    assert np.isnan(fit.prior_share([[0.0, 1.0], [0.0, 2.0]])).tolist() == [False, True]
    _, std = model.predict([[0.0, 1.0], [0.0, 2.0]], return_std=True)
    assert np.isfinite(backend.to_host(std)).tolist() == [True, False]
    _, cov = model.predict([[0.0, 1.0], [0.0, 2.0]], return_cov=True)
    assert np.isnan(cov).tolist() == [[False, True], [True, True]]
