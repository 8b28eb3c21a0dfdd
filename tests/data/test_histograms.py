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
    np.testing.assert_array_equal(
        fx.Model((1, 1), seed=1).fit(h, mask=np.arange(6) > 1, prior=None).raw_cost.y, h.values()[2:5]
    )


def test_means_whose_error_is_not_known_are_left_out() -> None:
    """One sample has no variance, and samples that are all the same have the variance zero."""
    h = hist.Hist(hist.axis.Variable(EDGES), storage=hist.storage.Mean())
    h.fill([0.1, 0.7, 0.8, 1.2, 1.4, 2.2, 2.4, 3.3, 3.5], sample=[1.0, 2.0, 2.0, 1.0, 1.5, 2.0, 2.7, 3.0, 3.2])
    np.testing.assert_array_equal(fx.Model((1, 1), seed=1).fit(h, prior=1.0).raw_cost.y, h.values()[2:5])


@pytest.mark.parametrize("storage", ["Int64", "Weight", "Mean"])
def test_masks_are_boolean_and_have_a_value_for_each_bin(storage: str) -> None:
    h = hist.Hist(hist.axis.Variable(EDGES), storage=getattr(hist.storage, storage)())
    x = np.random.default_rng(5).exponential(2.0, 300)
    h.fill(x, **{"Int64": {}, "Weight": {"weight": 0.3 + x}, "Mean": {"sample": x}}[storage])
    model = fx.Model((1, 1), output="identity" if storage == "Mean" else "exp", seed=1)
    for mask in (np.arange(6) % 2, np.arange(3), np.ones(4, dtype=bool)):
        with pytest.raises(ValueError, match=r"`mask` must .*shape"):
            model.fit(h, mask=mask, prior=None)


@pytest.mark.parametrize("weight", [None, 0.7])
def test_arrays_beside_a_histogram_may_have_its_shape(weight: float | None) -> None:
    rng = np.random.default_rng(6)
    h = hist.Hist(hist.axis.Regular(3, 0, 3), hist.axis.Regular(4, 0, 3), storage=hist.storage.Weight())
    h.fill(*rng.uniform(0, 3, (2, 400)), **({} if weight is None else {"weight": rng.uniform(0, weight, 400)}))
    model, exposure = fx.Model((2, 1), output="exp", backend="numpy", seed=1), rng.uniform(1, 2, (3, 4))
    costs = [fx.Poisson(h, model, exposure=e) for e in (exposure, exposure.ravel(), np.ones(12), 2.0)]
    shaped, flat, ones, double = ([cost([0.1, -0.2, b]) for b in (2.0, 2.0 + np.log(2))] for cost in costs)
    assert shaped == flat
    assert double[0] == pytest.approx(ones[1])
    assert abs(shaped[0] - ones[0]) > 1
    with pytest.raises(ValueError, match=r"`exposure` must be one number"):
        fx.Poisson(h, model, exposure=np.ones(5))([0.1, -0.2, 2.0])
    error = rng.uniform(1, 2, (3, 4))
    line = fx.Model((2, 1), backend="numpy", seed=1)
    fits = [line.fit(h, y_err=e, loss="least_squares", prior=None) for e in (error, error.ravel())]
    assert fits[0].chi2 == fits[1].chi2


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
    np.testing.assert_array_equal(edges_of(counts.axes)[0], [3, 4, 5, 6])
    with pytest.raises(ValueError, match="axis 0 of the histogram has categories"):
        fx.Bins(hist.Hist(hist.axis.StrCategory(["a", "b"])))
    for axis in (hist.axis.IntCategory([0, 1]), hist.axis.Boolean()):
        with pytest.raises(ValueError, match="axis 1 of the histogram has categories, not bins: fit one of them"):
            fx.Bins(hist.Hist(hist.axis.Integer(3, 6), axis))
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
    with pytest.raises(TypeError, match="got None: only histograms and EventFiles as x have"):
        model.fit(x, prior=None)
    with pytest.raises(TypeError, match="`model` is missing"):
        fx.Poisson(x, x)
    with pytest.raises(ValueError, match="loss='binomial' needs a histogram with bins and one axis of categories"):
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


def passed_and_failed() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    x = rng.uniform(-1, 5, 2000)
    return x, rng.random(2000) < 1 / (1 + np.exp(-(x - 2)))


def sigmoid() -> fx.Model:
    return fx.Model((1, 1), output="logistic", backend="numpy", seed=1)


@pytest.mark.parametrize("through", ["two histograms", "boolean axis", "plain"])
def test_efficiency(through: str) -> None:
    """Deviance of k of N at the centres of bins: against iminuit's multinomial deviance of each bin."""
    x, ok = passed_and_failed()
    h = hist.Hist.new.Var(EDGES, name="pt").Bool(name="passed").Int64().fill(pt=x, passed=ok)
    k, total = h.values()[:, 1], h.values().sum(axis=1)
    assert total[-1] == 0  # a bin without events has no efficiency, and is left out
    theta = np.array([0.9, -1.8])
    used = total > 0
    p = 1 / (1 + np.exp(-(theta[0] * 0.5 * (EDGES[1:] + EDGES[:-1]) + theta[1])))
    parts = np.stack([k, total - k], axis=1)[used], (total[:, None] * np.stack([p, 1 - p], axis=1))[used]
    want = sum(map(iminuit.cost.multinomial_chi2, *parts))
    arguments: tuple[Any, dict[str, Any]] = {
        "two histograms": (h[:, True], {"trials": h[:, sum]}),
        "boolean axis": (h, {}),
        "plain": (plain(h[:, True]), {"trials": total}),
    }[through]
    given, more = arguments
    cost = fx.Binomial(given, sigmoid(), **more)
    assert cost(theta) == pytest.approx(want, rel=1e-9)
    model = sigmoid()
    fit = model.fit(given, loss="binomial", prior=None, **more)
    reference = Minuit(fx.Binomial(cost.x[used], k[used], sigmoid(), trials=total[used]), theta).migrad()
    assert fit.n_data == used.sum()
    assert fit.fval == pytest.approx(reference.fval, abs=1e-4)
    np.testing.assert_allclose(fit.errors, reference.errors, rtol=1e-3)
    assert model.input_names == (None if through == "plain" else ("pt",))
    mask = np.arange(6) > 1
    masked = fx.Binomial(given, sigmoid(), mask=mask, **more)(theta)
    assert masked == pytest.approx(
        fx.Binomial(cost.x[used], k[used], sigmoid(), trials=total[used], mask=mask[used])(theta)
    )


def test_shares_of_categories() -> None:
    x, ok = passed_and_failed()
    h = hist.Hist.new.StrCat(["low", "high"], name="kind").Reg(6, -1, 5, name="t").Double()
    h.fill(kind=np.where(ok, "high", "low"), t=x)
    model = fx.Model((1, 2), output="softmax", backend="numpy", seed=1)
    fit = model.fit(h, loss="multinomial", prior=1.0)
    counts = h.values().T
    assert (model.input_names, model.target_names) == (("t",), ("low", "high"))
    cost, direct = fx.Multinomial(h, model), fx.Multinomial(np.arange(-0.5, 5), counts, model)
    assert cost(fit.parameters) == pytest.approx(direct(fit.parameters), rel=1e-9)


def test_fractions_that_are_refused() -> None:
    x, ok = passed_and_failed()
    h = hist.Hist.new.Reg(6, -1, 5).Bool().Int64().fill(x, ok)
    passed, total, model = h[:, True], h[:, sum], sigmoid()
    text = hist.Hist.new.Reg(6, -1, 5).StrCat(["fail", "pass"]).Int64().fill(x, np.where(ok, "pass", "fail"))
    weighted = hist.Hist.new.Reg(6, -1, 5).Weight().fill(x, weight=2.0)
    coarse = hist.Hist.new.Reg(3, -1, 5).Int64().fill(x)
    means = hist.Hist.new.Reg(6, -1, 5).Mean().fill(x, sample=x)
    double, hole = hist.Hist.new.Reg(6, -1, 5).Double().fill(x, weight=0.7), total.copy()
    hole[2] = 0
    for given, trials, message in (
        (passed, None, r"fit\(passed, trials=total, loss='binomial'\)"),
        (text, None, r"an axis that is true or false, got the categories \['fail', 'pass'\]"),
        (h, total, "needs a histogram with bins and one axis of categories"),
        (passed, coarse, "`trials` must be a histogram with the bins of `x`"),
        (passed, h, "`trials` must be a histogram with the bins of `x`"),
        (total, passed, "`y` must be at most the number of `trials`"),
        (passed, hole, r"`trials` must be a number: 1, 2, .* got 0.0 in row 2"),
        (passed, [100, 100], r"`trials` must be a histogram, one number, or have shape \(6,\), got \(2,\)"),
        (double, total, "fractions need counts"),
        (weighted, weighted, "fractions need counts, and this histogram holds sums of weights"),
        (means, total, "means of samples, which are no counts"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(given, trials=trials, loss="binomial", prior=None)
    with pytest.raises(ValueError, match=r"`mask` must be boolean with shape \(6,\).*got bool \(2,\)"):
        model.fit(h, loss="binomial", mask=[True, False], prior=None)
    for given, trials in ((text, total), (passed, None), (passed, total)):
        with pytest.raises(
            ValueError, match="loss='multinomial' needs a histogram with bins and one axis of categories"
        ):
            fx.Model((1, 2), output="softmax", seed=1).fit(given, trials=trials, loss="multinomial", prior=None)
    with pytest.raises(TypeError, match="`trials` must be an array, got a histogram"):
        model.fit(x, ok, trials=total, loss="binomial", prior=None)


def test_costs_take_a_histogram_and_the_model() -> None:
    h = filled(hist.storage.Weight(), weight=3.0)
    assert fx.LeastSquares(h, exponential())(THETA) == fx.LeastSquares(h, None, None, exponential())(THETA)
    for cost, call in ((fx.LeastSquares, "x, y, yerror"), (fx.Binomial, "x, k"), (fx.Multinomial, "x, y")):
        with pytest.raises(TypeError, match=rf"write {cost.__name__}\({call}, model\), or {cost.__name__}\(h, model\)"):
            cost([1.0], [1.0])


def test_names_of_axes_are_those_of_inputs() -> None:
    named = hist.Hist.new.Reg(4, 0, 2, name="t").Reg(3, 0, 1, name="U").Double()
    named[...] = np.arange(1.0, 13).reshape(4, 3)
    model = fx.Model((2, 1), output="exp", backend="numpy", seed=1)
    fit = model.fit(named, prior=None)
    assert model.input_names == fit.to_hist().axes.name == ("t", "U")
    assert model({"U": [0.5], "t": [1.0]}) == model([[1.0, 0.5]])
    half = hist.Hist.new.Reg(4, 0, 2, name="t").Reg(3, 0, 1).Double()
    assert fx.Bins(half).columns is None  # not all axes have a name


def test_flow_bins_are_left_out() -> None:
    """Of the fit, of the bins, and of the histogram that comes back."""
    h = filled(hist.storage.Double())
    assert h.values(flow=True)[[0, -1]].min() > 0
    fit = exponential().fit(h, prior=None)
    assert fit.n_data == len(EDGES) - 1
    back = fit.to_hist()
    assert not back.values(flow=True)[[0, -1]].any()
    assert back.axes == h.axes


@pytest.mark.parametrize("through", [lambda h: h, plain, lambda h: __import__("boost_histogram").Histogram(h)])
def test_a_fit_comes_back_as_a_histogram(through: Callable[[Any], Any]) -> None:
    """With the integrals as contents, and their variances by hand, also of bins that were masked."""
    h = through(filled(hist.storage.Weight(), weight=3.0))
    fit = exponential().fit(h, prior=None, mask=np.arange(6) != 2)
    a, b = fit.parameters
    want = np.diff(integral(EDGES, a, b))
    J = np.stack([np.diff(np.exp(a * EDGES + b) * (EDGES / a - 1 / a**2)), want], axis=1)
    back = fit.to_hist()
    assert isinstance(back, hist.Hist)
    np.testing.assert_array_equal(back.axes[0].edges, EDGES)
    np.testing.assert_allclose(back.values(), want, rtol=1e-6)
    assert fit.covariance is not None
    np.testing.assert_allclose(back.variances(), np.einsum("ni,ij,nj->n", J, fit.covariance, J), rtol=1e-4)
    finer = fit.to_hist(fx.Bins(np.linspace(0, 8, 17)))
    np.testing.assert_allclose(finer.values().sum(), want.sum(), rtol=1e-6)


def test_a_fit_of_several_dimensions_comes_back() -> None:
    h = hist.Hist.new.Reg(4, 0, 2).Var([0, 1, 4]).Double()
    h[...] = np.arange(1.0, 9).reshape(4, 2)
    model = fx.Model((2, 1), output="exp", backend="numpy", seed=1)
    back = model.fit(h, prior=None).to_hist()
    mean, std = model.predict(h, return_std=True)
    np.testing.assert_allclose(back.values().ravel(), mean, rtol=1e-12)
    np.testing.assert_allclose(back.variances().ravel(), std**2, rtol=1e-9)
    assert back.axes == h.axes


def test_what_has_no_histogram(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.linspace(0, 1, 20)
    fit = fx.Model((1, 1), backend="numpy", seed=1).fit(x, x, 0.1, prior=None)
    with pytest.raises(TypeError, match=r"`bins` must be ffnn_xp.Bins\(edges\) or a histogram: this fit was not to"):
        fit.to_hist()
    with pytest.raises(ValueError, match="`bins` must have 1 dimensions as the network has inputs, got 2"):
        fit.to_hist(fx.Bins([0, 1], [0, 1]))
    two = fx.Model((1, 2), backend="numpy", seed=1).fit(x, np.stack([x, x], axis=1), 0.1, prior=None)
    with pytest.raises(ValueError, match="a histogram is of one output, and this network has 2"):
        two.to_hist(fx.Bins([0, 1]))
    monkeypatch.setitem(__import__("sys").modules, "hist", None)
    with pytest.raises(ImportError, match=r"to_hist needs hist: pip install 'ffnn_xp\[root\]'"):
        fit.to_hist(fx.Bins([0, 1]))


def test_histograms_of_root_files(tmp_path: Any) -> None:
    uproot = pytest.importorskip("uproot")
    h = filled(hist.storage.Weight(), weight=3.0)
    with uproot.recreate(tmp_path / "h.root") as file:
        file["h"] = h
    with uproot.open(tmp_path / "h.root") as file:
        read = file["h"]
    assert fx.Poisson(read, exponential())(THETA) == fx.Poisson(h, exponential())(THETA)
    np.testing.assert_array_equal(exponential().fit(read, prior=None).to_hist().axes[0].edges, EDGES)
