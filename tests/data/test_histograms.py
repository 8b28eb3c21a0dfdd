"""Histograms of the UHI protocol: against iminuit's binned costs, of densities whose integrals are known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import iminuit.cost
import numpy as np
import pytest
from iminuit import Minuit

import ffnn_xp as fx
from ffnn_xp.data.uhi import edges_of, is_histogram
from ffnn_xp.losses import WeightedPoissonLoss

hist = pytest.importorskip("hist")
EDGES = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0])
THETA = np.array([-0.4, 5.0])


def exponential() -> fx.Model:
    """A network that is exp(a x + b), whose integral is known."""
    return fx.Model((1, 1), output="exp", backend="numpy", seed=1)


def integral(x: np.ndarray, a: float, b: float) -> np.ndarray:
    return np.exp(a * x + b) / a


def filled(storage: Any, weight: float | None = None, n: int = 800) -> Any:
    rng = np.random.default_rng(2)
    h = hist.Hist(hist.axis.Variable(EDGES), storage=storage)
    x = rng.exponential(2.5, n) - 0.2  # some in underflow, some in overflow
    h.fill(x, **({} if weight is None else {"weight": rng.uniform(0, 2 * weight, n)}))
    return h


class Plain:
    """The protocol and nothing else, as another library may have it."""

    kind = "COUNT"

    def __init__(self, axes: list[Any], values: np.ndarray, variances: np.ndarray | None) -> None:
        self.axes, self._values, self._variances = axes, values, variances

    def values(self) -> np.ndarray:
        return self._values

    def variances(self) -> np.ndarray | None:
        return self._variances


def plain(h: Any) -> Plain:
    return Plain([list(pairwise(EDGES.tolist()))], h.values(), h.variances())


@pytest.mark.parametrize("storage", ["Double", "Int64", "Weight"])
@pytest.mark.parametrize("through", [lambda h: h, plain])
def test_counts(storage: str, through: Callable[[Any], Any]) -> None:
    """Poisson's deviance of the integrals over the bins; what lies outside of the bins does not count."""
    h = filled(getattr(hist.storage, storage)())
    cost = fx.Poisson(through(h), exponential())
    want = iminuit.cost.ExtendedBinnedNLL(h.values(), EDGES, integral)
    assert cost(THETA) == pytest.approx(want(*THETA), rel=1e-9)
    bins = fx.Bins(through(h), nodes=4)
    np.testing.assert_array_equal(bins.edges[0], EDGES)
    assert cost(THETA) == fx.Poisson(bins, h.values(), exponential())(THETA)


def test_weighted_contents_count_with_their_variances() -> None:
    """As in iminuit: value, minimum and errors."""
    h = filled(hist.storage.Weight(), weight=3.0)
    h[2] = (0.0, 0.0)  # an empty bin
    cost = fx.Poisson(h, exponential())
    want = iminuit.cost.ExtendedBinnedNLL(np.stack([h.values(), h.variances()], axis=-1), EDGES, integral)
    assert isinstance(cost.statistic.inner, WeightedPoissonLoss)
    assert cost(THETA) == pytest.approx(want(*THETA), rel=1e-9)
    reference = Minuit(want, *THETA).migrad().hesse()
    fit = exponential().fit(h, prior=None)
    assert fit.valid
    assert fit.fval == pytest.approx(reference.fval, abs=1e-4)
    np.testing.assert_allclose(fit.parameters, reference.values, atol=2e-3 * np.max(reference.errors))
    np.testing.assert_allclose(fit.errors, reference.errors, rtol=1e-3)


def test_a_common_weight_scales_the_density_alone() -> None:
    """Each event of weight 2: the same S, twice the density, and relative errors of the number of events."""
    one, two = filled(hist.storage.Weight()), filled(hist.storage.Weight())
    two[...] = np.stack([2 * one.values(), 4 * one.values()], axis=-1)
    fits = [exponential().fit(h, prior=None) for h in (one, two)]
    assert fits[1].fval == pytest.approx(fits[0].fval, rel=1e-6)
    np.testing.assert_allclose(fits[1].parameters - fits[0].parameters, [0, np.log(2)], atol=1e-5)
    np.testing.assert_allclose(fits[1].errors, fits[0].errors, rtol=1e-4)


@pytest.mark.parametrize("weight", [None, 1.7])
def test_two_dimensions(weight: float | None) -> None:
    rng = np.random.default_rng(3)
    h = hist.Hist(hist.axis.Regular(3, 0, 3), hist.axis.Variable([0, 1, 4]), storage=hist.storage.Weight())
    h.fill(*rng.exponential(2.0, (2, 300)), **({} if weight is None else {"weight": rng.uniform(0, weight, 300)}))
    a, c, b = -0.5, -0.3, 3.5
    x, y = (np.diff(integral(edges, slope, 0.0)) for edges, slope in ((np.arange(4.0), a), (np.array([0, 1, 4.0]), c)))
    expected = np.exp(b) * np.outer(x, y)
    s = h.values() / h.variances()
    want = iminuit.cost.poisson_chi2((s * h.values()).ravel(), (s * expected).ravel())
    model = fx.Model((2, 1), output="exp", backend="numpy", seed=1)
    cost = fx.Poisson(h, model)
    assert cost([a, c, b]) == pytest.approx(want, rel=1e-7)
    np.testing.assert_allclose(cost.prediction([a, c, b]), expected.ravel(), rtol=1e-6)
    mask = np.ones((3, 2), dtype=bool)
    mask[1, 0] = False
    s, n = s[mask], h.values()[mask]
    want = iminuit.cost.poisson_chi2(s * n, s * expected[mask])
    assert fx.Poisson(h, model, mask=mask)([a, c, b]) == pytest.approx(want, rel=1e-7)


def test_means_of_samples_are_averages_over_bins() -> None:
    """A profile histogram: least squares with the errors of the means, of a straight line."""
    rng = np.random.default_rng(4)
    h = hist.Hist(hist.axis.Variable(EDGES), storage=hist.storage.Mean())
    x = rng.uniform(0, 5, 400)
    h.fill(x, sample=1 + 2 * x + rng.normal(size=400))
    fit = fx.Model((1, 1), backend="numpy", seed=1).fit(h, prior=None)
    assert fit.n_data == 5  # one bin is empty
    middle, error = 0.5 * (EDGES[1:] + EDGES[:-1])[:5], np.sqrt(h.variances()[:5])
    M = np.stack([middle, np.ones(5)], axis=1) / error[:, None]
    np.testing.assert_allclose(fit.parameters, np.linalg.lstsq(M, h.values()[:5] / error, rcond=None)[0], rtol=1e-6)
    with pytest.raises(ValueError, match="means of samples, which are no counts"):
        fx.Poisson(h, exponential())


def test_least_squares_takes_the_variances_too() -> None:
    h = filled(hist.storage.Weight(), weight=3.0)
    error = np.sqrt(h.variances())
    want = fx.LeastSquares(fx.Bins(EDGES), h.values(), error, exponential())(THETA)
    assert fx.LeastSquares(h, None, None, exponential())(THETA) == want
    assert exponential().fit(h, loss="least_squares", restarts=1, prior=None).chi2 == pytest.approx(
        exponential().fit(fx.Bins(EDGES), h.values(), error, restarts=1, prior=None).chi2, rel=1e-9
    )


def test_replicas_of_a_histogram() -> None:
    h, model = filled(hist.storage.Weight(), weight=3.0), exponential()
    fit = model.fit(h, prior=None)
    toys = model.fit_replicas(h, number=400, seed=1)
    np.testing.assert_allclose(toys.parameters.std(axis=0), fit.errors, rtol=0.15)


def test_integer_axes_and_categories() -> None:
    counts = hist.Hist(hist.axis.Integer(3, 6))
    np.testing.assert_array_equal(edges_of(counts)[0], [3, 4, 5, 6])
    with pytest.raises(ValueError, match="axis 0 of the histogram has categories"):
        fx.Bins(hist.Hist(hist.axis.StrCategory(["a", "b"])))
    with pytest.raises(ValueError, match="gaps"):
        fx.Bins(Plain([[(0.0, 1.0), (2.0, 3.0)]], np.ones(2), None))


def test_what_is_refused() -> None:
    h, x = filled(hist.storage.Double()), np.arange(6.0)
    model = exponential()
    for arguments in ((h, h), (x, h), (fx.Bins(h), h)):
        with pytest.raises(TypeError, match=r"`y` must be an array, got a histogram: .* fit\(h\), .*h\.values\(\)"):
            model.fit(*arguments, loss="poisson", prior=None)
        with pytest.raises(TypeError, match="`y` must be an array, got a histogram"):
            fx.Poisson(*arguments, model)
    with pytest.raises(TypeError, match="`weights` must be an array, got a histogram"):
        model.fit(x, x, weights=h, prior=None)
    with pytest.raises(TypeError, match="got None: only a histogram"):
        model.fit(x, prior=None)
    with pytest.raises(TypeError, match="`model` is missing"):
        fx.Poisson(x, x)
    with pytest.raises(ValueError, match="counts, for loss='poisson', got 'binomial'"):
        model.fit(h, loss="binomial", prior=None)
    weighted = filled(hist.storage.Double(), weight=3.0)
    with pytest.raises(ValueError, match=r"sums of weights without their variances.*storage\.Weight"):
        model.fit(weighted, prior=None)
    negative = filled(hist.storage.Weight(), weight=3.0)
    negative[1] = (-1.0, 2.0)
    with pytest.raises(ValueError, match="merge such bins"):
        model.fit(negative, prior=None)
    negative[1] = (0.0, 0.0)
    with pytest.raises(ValueError, match="no entries"):
        model.fit(negative, mask=np.arange(6) == 1, prior=None)


def test_what_a_histogram_is() -> None:
    assert is_histogram(filled(hist.storage.Double()))
    pd = pytest.importorskip("pandas")
    for other in (None, 1.0, [1.0], np.ones(3), pd.DataFrame({"a": [1.0]}), {"kind": 1}, fx.Bins(EDGES)):
        assert not is_histogram(other)
    without = plain(filled(hist.storage.Double()))
    del without.axes
    assert not is_histogram(without)


def test_predictions_of_bins_are_contents() -> None:
    """The integrals, with errors by error propagation from their derivatives by hand; a histogram is its bins."""
    h = filled(hist.storage.Weight(), weight=3.0)
    model = exponential()
    fit = model.fit(h, prior=None)
    a, b = fit.parameters
    want = np.diff(integral(EDGES, a, b))
    for x in (h, fx.Bins(EDGES), plain(h)):
        np.testing.assert_allclose(model.predict(x), want, rtol=1e-6)
        np.testing.assert_allclose(model(x), want, rtol=1e-6)
    np.testing.assert_allclose(model(h, [a, b + 1.0]), np.e * want, rtol=1e-6)
    moments = np.diff(np.exp(a * EDGES + b) * (EDGES / a - 1 / a**2))
    J = np.stack([moments, want], axis=1)
    assert fit.covariance is not None
    mean, covariance = model.predict(h, return_cov=True)
    np.testing.assert_allclose(covariance, J @ fit.covariance @ J.T, rtol=1e-4)
    mean, std = model.predict(h, return_std=True)
    np.testing.assert_allclose(mean, want, rtol=1e-6)
    np.testing.assert_allclose(std, np.sqrt(np.diag(covariance)), rtol=1e-9)
    np.testing.assert_allclose(model.predict(fx.Bins(EDGES, average=True)), want / np.diff(EDGES), rtol=1e-6)
    with pytest.raises(ValueError, match="error of the fitted function"):
        model.predict(h, return_std=True, kind="prediction")
    for other in (fit.band, model.interval if model._predictive else fit.prior_share):
        with pytest.raises(TypeError, match=r"`x` must be points here, got Hist.*Bins\(edges\)\.centers"):
            other(h)


def test_contents_of_several_dimensions_and_outputs() -> None:
    model = fx.Model((2, 2), backend="numpy", seed=1)
    model.parameters = [1.0, 2.0, 3.0, 0.0, 0.0, 1.0]
    bins = fx.Bins([0.0, 1.0, 3.0], [0.0, 2.0])
    middle = np.array([[0.5, 1.0], [2.0, 1.0]])
    volume = np.array([2.0, 4.0])
    want = np.stack([volume * (middle @ [1.0, 2.0] + 3.0), volume], axis=1)
    np.testing.assert_allclose(model(bins), want)
    np.testing.assert_allclose(model.predict(bins), want)
