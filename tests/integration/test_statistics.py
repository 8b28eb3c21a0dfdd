"""Fits with each statistic: against statsmodels where a network is a generalised linear model, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats

import ffnn_xp as fx
from ffnn_xp.uncertainty import Spectrum, sandwich

N = 300
RNG = np.random.default_rng(11)
X = RNG.normal(size=(N, 2))
ETA = 0.5 * X[:, 0] - 0.3 * X[:, 1] + 0.2
WITH_ONE = np.column_stack([X, np.ones(N)])
STATE = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def _same_draws() -> None:
    """Each test draws the same numbers, whichever ran before it in this process."""
    RNG.bit_generator.state = STATE


@pytest.fixture
def sm() -> Any:
    return pytest.importorskip("statsmodels.api")


def same(fit: fx.FitResult, oracle: Any, scale: float = 1.0) -> None:
    assert fit.valid
    np.testing.assert_allclose(fit.parameters, oracle.params, rtol=1e-6)
    np.testing.assert_allclose(fit.errors, oracle.bse * scale, rtol=1e-6)
    np.testing.assert_allclose(fit.covariance, oracle.cov_params() * scale**2, rtol=1e-6, atol=1e-12)


@pytest.mark.slow
def test_gaussian(sm: Any) -> None:
    y_err = RNG.uniform(0.1, 0.3, N)
    y = ETA + y_err * RNG.normal(size=N)
    oracle = sm.WLS(y, WITH_ONE, weights=1 / y_err**2).fit(cov_type="fixed scale", cov_kwds={"scale": 1.0})
    same(fx.Model((2, 1), seed=1).fit(X, y, y_err, prior=None), oracle)


@pytest.mark.slow
def test_poisson_with_exposure(sm: Any) -> None:
    exposure = RNG.uniform(0.5, 20, N)
    counts = RNG.poisson(exposure * np.exp(ETA))
    oracle = sm.GLM(counts, WITH_ONE, family=sm.families.Poisson(), exposure=exposure).fit(tol=1e-13)
    fit = fx.Model((2, 1), output="exp", seed=1).fit(X, counts, loss="poisson", exposure=exposure, prior=None)
    same(fit, oracle)
    assert fit.chi2 == pytest.approx(oracle.deviance, rel=1e-9)
    assert np.isnan(fit.p_value)
    assert "deviance" in str(fit)


@pytest.mark.slow
def test_binomial(sm: Any) -> None:
    trials = RNG.integers(1, 30, N)
    k = RNG.binomial(trials, 1 / (1 + np.exp(-ETA)))
    oracle = sm.GLM(np.column_stack([k, trials - k]), WITH_ONE, family=sm.families.Binomial()).fit(tol=1e-13)
    fit = fx.Model((2, 1), output="logistic", seed=1).fit(X, k, loss="binomial", trials=trials, prior=None)
    same(fit, oracle)
    assert fit.chi2 == pytest.approx(oracle.deviance, rel=1e-9)


@pytest.mark.slow
def test_yes_and_no(sm: Any) -> None:
    k = RNG.binomial(1, 1 / (1 + np.exp(-ETA)))
    same(
        fx.Model((2, 1), output="logistic", seed=1).fit(X, k, loss="binomial", prior=None),
        sm.GLM(k, WITH_ONE, family=sm.families.Binomial()).fit(tol=1e-13),
    )


@pytest.mark.slow
def test_classes_have_the_probabilities_of_a_multinomial_logit(sm: Any) -> None:
    """Parameters are free up to what moves all outputs; probabilities, their errors and S are not."""
    p = np.exp(np.stack([0 * ETA, ETA, -ETA], axis=1)) / (1 + 2 * np.cosh(ETA))[:, None]
    labels = np.array([RNG.choice(3, p=each) for each in p])
    oracle = sm.MNLogit(labels, WITH_ONE).fit(method="newton", disp=False, tol=1e-13)
    model = fx.Model((2, 3), output="softmax", seed=1)
    fit = model.fit(X, labels, loss="multinomial", prior=None)
    p, std = model.predict(X[:5], return_std=True)
    np.testing.assert_allclose(p, oracle.predict(WITH_ONE[:5]), rtol=1e-6)
    assert fit.valid
    assert fit.chi2 == pytest.approx(-2 * oracle.llf, rel=1e-9)
    free = np.asarray(oracle.params)  # (3, 2): of classes 1 and 2
    by_class = np.asarray(oracle.cov_params())
    for row, (event, mine) in enumerate(zip(WITH_ONE[:5], std, strict=True)):
        q = p[row]
        for i in range(3):
            j = np.concatenate([q[i] * ((i == c) - q[c]) * event for c in (1, 2)])
            assert mine[i] == pytest.approx(np.sqrt(j @ by_class @ j), rel=1e-5), free.shape


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_the_sandwich_is_statsmodels_hc0(sm: Any, kind: str) -> None:
    if kind == "gaussian":
        y = ETA + np.abs(X[:, 0]) * RNG.normal(size=N)
        oracle = sm.OLS(y, WITH_ONE).fit(cov_type="HC0")
        fit = fx.Model((2, 1), seed=1).fit(X, y, 1.0, covariance="sandwich", prior=None)
    else:
        y = RNG.poisson(np.exp(ETA + 0.5 * RNG.normal(size=N)))
        oracle = sm.GLM(y, WITH_ONE, family=sm.families.Poisson()).fit(tol=1e-13, cov_type="HC0")
        fit = fx.Model((2, 1), output="exp", seed=1).fit(X, y, loss="poisson", covariance="sandwich", prior=None)
    same(fit, oracle)


def test_weighted_events_have_the_error_of_their_weights() -> None:
    """The mean of weighted values: its variance is sum w^2 sigma^2 / (sum w)^2, whatever the weights' scale."""
    w = RNG.choice([-1.0, 2.0, 3.0], N)
    y = RNG.normal(size=N)
    fit = fx.Model((1, 1), seed=1).fit(np.linspace(-1, 1, N), y, 1.0, weights=w, covariance="sandwich", prior=None)
    A = np.column_stack([np.linspace(-1, 1, N), np.ones(N)])
    H = A.T @ (w[:, None] * A)
    best = np.linalg.solve(H, A.T @ (w * y))
    B = A.T @ ((w * (y - A @ best))[:, None] ** 2 * A)
    want = np.linalg.solve(H, np.linalg.solve(H, B).T)
    np.testing.assert_allclose(fit.parameters, best, rtol=1e-6)
    np.testing.assert_allclose(fit.covariance, want, rtol=1e-6)


def test_frequency_weights_are_repeated_events() -> None:
    times = RNG.integers(1, 4, 40)
    x, y = np.linspace(-1, 1, 40), RNG.normal(size=40)
    model = fx.Model((1, 2, 1), seed=1)
    once = fx.LeastSquares(x, y, 0.1, model, weights=times)
    each = fx.LeastSquares(np.repeat(x, times), np.repeat(y, times), 0.1, model)
    assert once(once.start) == pytest.approx(each(once.start), rel=1e-12)
    np.testing.assert_allclose(once.hessian(once.start), each.hessian(once.start), rtol=1e-9, atol=1e-9)
    fits = [fx.Model((1, 1), seed=1).fit(x, y, 0.1, weights=times, prior=None)]
    fits.append(fx.Model((1, 1), seed=1).fit(np.repeat(x, times), np.repeat(y, times), 0.1, prior=None))
    np.testing.assert_allclose(fits[0].covariance, fits[1].covariance, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["soft_l1", "huber", "student_t"])
@pytest.mark.parametrize("known", [True, False])
def test_outliers_do_not_pull(name: str, known: bool) -> None:
    x = np.linspace(-2, 2, 200)
    y = np.sin(2 * x) + 0.1 * RNG.normal(size=200)
    y[::20] += 1e3
    model = fx.Model((1, 6, 1), seed=1)
    fit = model.fit(x, y, 0.1 if known else None, loss=name, prior=3.0)
    assert fit.valid
    assert np.sqrt(np.mean((model(x) - np.sin(2 * x)) ** 2)) < 0.06
    if not known:
        assert fit.y_error == pytest.approx(0.1, rel=0.4)


@pytest.mark.slow
def test_a_predicted_width_is_found() -> None:
    x = np.linspace(-1, 1, 1000)
    y = x + np.exp(x - 2) * RNG.normal(size=1000)
    model = fx.Model((1, 3, None), seed=1)
    fit = model.fit(x, y, loss="normal", prior=3.0)
    mean, log_width = model(x).T
    assert fit.valid
    assert model.layers == (1, 3, 2)
    assert np.max(np.abs(log_width - (x - 2))) < 0.25
    assert np.std((y - mean) / np.exp(log_width)) == pytest.approx(1, abs=0.02)


def test_correlated_values_have_the_errors_of_generalised_least_squares() -> None:
    x = np.linspace(0, 1, 30)
    V = 0.01 * np.eye(30) + 0.04  # a common offset of 0.2
    y = 2 * x + RNG.multivariate_normal(np.zeros(30), V)
    fit = fx.Model((1, 1), seed=1).fit(x, y, y_cov=V, prior=None)
    A = np.column_stack([x, np.ones(30)])
    want = np.linalg.inv(A.T @ np.linalg.solve(V, A))
    np.testing.assert_allclose(fit.covariance, want, rtol=1e-6)
    np.testing.assert_allclose(fit.parameters, want @ A.T @ np.linalg.solve(V, y), rtol=1e-6)
    assert fit.p_value == pytest.approx(scipy.stats.chi2.sf(fit.chi2, 28), rel=1e-9)


def test_blocks_are_the_whole_covariance() -> None:
    x = np.linspace(-1, 1, 20)
    y = np.stack([x, x**2], axis=1) + 0.1 * RNG.normal(size=(20, 2))
    block = np.array([[0.02, 0.01], [0.01, 0.03]])
    parts = fx.Model((1, 2), seed=1).fit(x, y, y_cov=np.broadcast_to(block, (20, 2, 2)), prior=None)
    whole = fx.Model((1, 2), seed=1).fit(x, y, y_cov=np.kron(np.eye(20), block), prior=None)
    np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-6, atol=1e-12)
    assert parts.chi2 == pytest.approx(whole.chi2, rel=1e-9)


def test_bins_find_the_density_where_centres_do_not() -> None:
    """Wide bins of a steep density: its integral is not its value at the centre times the width."""
    edges = np.linspace(0, 6, 7)
    contents = 1e6 * (np.exp(-2 * edges[:-1]) - np.exp(-2 * edges[1:]))
    model = fx.Model((1, 1), output="exp", seed=1)
    model.fit(fx.Bins(edges, nodes=8), np.round(contents), loss="poisson", prior=None)
    np.testing.assert_allclose(model.parameters, [-2.0, np.log(2e6)], rtol=1e-4)
    average = fx.Model((1, 1), output="exp", seed=1)
    average.fit(fx.Bins(edges, nodes=8, average=True), np.round(contents), loss="poisson", prior=None)
    np.testing.assert_allclose(average.parameters, [-2.0, np.log(2e6)], rtol=1e-4)


def test_a_mask_takes_events_away() -> None:
    x, y = np.linspace(0, 1, 20), np.linspace(1, 3, 20)
    y[3] = np.nan
    fit = fx.Model((1, 1), seed=1).fit(x, y, np.full(20, 0.1), mask=np.isfinite(y), prior=None)
    assert fit.n_data == 19
    np.testing.assert_allclose(fit.parameters, [2.0, 1.0], rtol=1e-6)
    for mask in (np.ones(19, bool), np.ones(20), np.ones((20, 1), bool)):
        with pytest.raises(ValueError, match="`mask` must"):
            fx.Model((1, 1), seed=1).fit(x, y, mask=mask, prior=None)


def test_toys_of_counts_are_refitted_in_one_batch() -> None:
    x = np.linspace(-1, 1, 60)
    model = fx.Model((1, 1), output="exp", seed=1)
    counts = RNG.poisson(np.exp(2 + x))
    fit = model.fit(x, counts, loss="poisson", prior=None)
    toys = model.fit_replicas(x, counts, loss="poisson", number=400, seed=1)
    assert toys.valid.all()
    np.testing.assert_allclose(toys.parameters.std(axis=0), fit.errors, rtol=0.12)


REFUSED = {
    "a count: 0, 1, 2": ({"loss": "poisson"}, [1.0, -1.0, 2.0], "exp"),
    "a count: 0, 1, 2, ...": ({"loss": "poisson"}, [1.0, 1.5, 2.0], "exp"),
    "at most the number": ({"loss": "binomial", "trials": [2, 2, 2]}, [1, 3, 2], "logistic"),
    "0 or 1": ({"loss": "binomial"}, [1, 2, 0], "logistic"),
    "`trials` must be a number": ({"loss": "binomial", "trials": [2, 0, 2]}, [1, 0, 2], "logistic"),
    "`exposure` must be positive": ({"loss": "poisson", "exposure": [1, 0, 2]}, [1, 0, 2], "exp"),
    "`y_err` has no place": ({"loss": "poisson", "y_err": 1.0}, [1, 0, 2], "exp"),
    "`exposure` has no place": ({"exposure": 1.0}, [1, 0, 2], "identity"),
    "needs loss='multinomial'": ({}, [1, 0, 2], "softmax"),
    "needs a network with output='logistic'": ({"loss": "binomial"}, [1, 0, 1], "identity"),
    "one class only": ({"loss": "multinomial"}, [0, 0, 0], "softmax"),
    "unknown covariance": ({"covariance": "sandwhich"}, [1, 0, 2], "identity"),
    "need covariance='sandwich'": ({"weights": [1, -1, 2]}, [1, 0, 2], "identity"),
    "positive sum": ({"weights": [1, -1, 0], "covariance": "sandwich"}, [1, 0, 2], "identity"),
    "must be symmetric": ({"y_cov": np.tri(3) + np.eye(3)}, [1, 0, 2], "identity"),
    "must be positive definite": ({"y_cov": np.ones((3, 3))}, [1, 0, 2], "identity"),
    "`y_cov` must have shape": ({"y_cov": np.eye(4)}, [1, 0, 2], "identity"),
    "leave y_err and weights out": ({"y_cov": np.eye(3), "y_err": 1.0}, [1, 0, 2], "identity"),
    "independent events": ({"y_cov": np.eye(3), "covariance": "sandwich"}, [1, 0, 2], "identity"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_refused_says_why_and_changes_nothing(message: str) -> None:
    options, y, output = REFUSED[message]
    k = 2 if output == "softmax" else 1
    model = fx.Model((1, k), output=output, seed=1)
    before = model.parameters
    with pytest.raises(ValueError, match=message):
        model.fit([0.0, 1.0, 2.0], y, **options)  # type: ignore[arg-type]
    np.testing.assert_array_equal(model.parameters, before)


def test_labels_beyond_the_outputs() -> None:
    with pytest.raises(ValueError, match="label 2, but the network has 2 outputs, and labels go from 0 to 1"):
        fx.Model((1, 2), output="softmax", seed=1).fit([0.0, 1.0, 2.0], [0, 1, 2], loss="multinomial", prior=None)


@pytest.mark.parametrize(
    ("edges", "message"),
    [([0.0, 2.0, 1.0], "must increase, got 2 and then 1"), ([0.0, np.inf], "finite"), ([0.0], "at least one bin")],
)
def test_bins_out_of_order(edges: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fx.Bins(edges)


def test_bins_need_errors_or_counts() -> None:
    with pytest.raises(ValueError, match="need `y_err`, or loss='poisson'"):
        fx.Model((1, 1), seed=1).fit(fx.Bins([0.0, 1.0, 2.0]), [1.0, 2.0], prior=None)
    with pytest.raises(ValueError, match="independent bins"):
        fx.Model((1, 1), output="logistic", seed=1).fit(fx.Bins([0.0, 1.0, 2.0]), [1, 0], loss="binomial", prior=None)


def test_the_sandwich_of_a_true_likelihood_with_a_prior_is_the_covariance() -> None:
    """The prior counts as a measurement: what its precision adds to H it adds to the gradient's variance too."""
    H, P = np.array([[2.0, 0.5], [0.5, 8.0]]), np.array([0.5, 1.0])
    spectrum = Spectrum.of_hessian(H, 1.0)
    np.testing.assert_allclose(sandwich(spectrum, 4 * (H / 2 - np.diag(P)), 1.0, P).covariance, spectrum.covariance)


def test_standardised_and_raw_cost_of_bins_are_the_same() -> None:
    """The mean that is taken off the density has its integral in each bin, and bins differ in width."""
    fit = fx.Model((1, 2, 1), seed=1).fit(fx.Bins([0.0, 1.0, 1.5, 3.0, 3.2]), [9.0, 7.0, 30.0, 4.0], 0.5, prior=3.0)
    assert fit.cost.chi2(fit.standardised) == pytest.approx(fit.chi2, rel=1e-9)
