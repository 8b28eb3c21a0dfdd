"""The costs behave as those of iminuit do, which stand beside them on a line or an exponential."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import boost_histogram as bh
import iminuit.cost
import numpy as np
import pytest
from iminuit import Minuit
from iminuit.util import describe

import ffnn_xp as fx
from ffnn_xp.losses import CallableLoss

RNG = np.random.default_rng(1)
X = np.linspace(0, 2, 25)
ERROR = RNG.uniform(0.1, 0.3, 25)
Y = 1 + 2 * X + ERROR * RNG.normal(size=25)
Y[3] += 3.0  # for robust losses
MASK = np.arange(25) != 3
AT = [1.7, 1.2]


def straight(x: np.ndarray, slope: float, const: float) -> np.ndarray:
    return const + slope * x


def network(output: str = "identity", k: int = 1, backend: str = "numpy", name: str | None = None) -> fx.Model:
    return fx.Model((1, k), output=output, backend=backend, seed=1, name=name)


def ours(**options: Any) -> fx.LeastSquares:
    return fx.LeastSquares(X, Y, ERROR, network(), **options)


def theirs(**options: Any) -> iminuit.cost.LeastSquares:
    return iminuit.cost.LeastSquares(X, Y, ERROR, straight, **options)


def cauchy(z: np.ndarray) -> np.ndarray:
    return np.log1p(z)


LOSSES = ["linear", "soft_l1", cauchy]


@pytest.mark.parametrize("loss", LOSSES)
def test_value_minimum_and_errors(loss: Any) -> None:
    mine, other = ours(loss=loss), theirs(loss=loss)
    assert mine.loss == other.loss == loss
    assert mine(*AT) == pytest.approx(other(*AT), rel=1e-13)
    a, b = Minuit(mine, *AT), Minuit(other, *AT)
    for m in (a, b):
        m.tol = 1e-4
        m.migrad()
        m.hesse()
    assert a.valid
    assert a.fval == pytest.approx(b.fval, rel=1e-10)
    np.testing.assert_allclose(a.values, b.values, atol=1e-4 * min(b.errors))
    np.testing.assert_allclose(a.covariance, b.covariance, rtol=2e-4)  # theirs is numerical
    assert (a.ndof, mine.ndata, mine.npar) == (b.ndof, other.ndata, other.npar)
    assert mine.errordef == other.errordef == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
def test_derivatives_of_a_callable_are_those_in_closed_form(name: str) -> None:
    library = pytest.importorskip({"jax": "jax.numpy"}.get(name, name))
    x, y = X - 1, Y - 1.5
    net = fx.Model((1, 3, 1), backend=name, seed=1)

    def soft(z: Any) -> Any:
        return 2 * (library.sqrt(1 + z) - 1)

    numerical, exact = (fx.LeastSquares(x, y, ERROR, net, loss=loss) for loss in (soft, "soft_l1"))
    theta = exact.start
    assert numerical(theta) == pytest.approx(exact(theta), rel=1e-13)
    scale = np.abs(exact.hessian(theta)).max()
    np.testing.assert_allclose(numerical.grad(theta), exact.grad(theta), atol=1e-11 * np.abs(exact.grad(theta)).max())
    np.testing.assert_allclose(numerical.hessian(theta), exact.hessian(theta), atol=1e-8 * scale)
    np.testing.assert_allclose(numerical.gauss_newton(theta), exact.gauss_newton(theta), atol=1e-8 * scale)


def test_derivatives_of_a_callable_at_and_near_zero() -> None:
    z = np.array([0.0, 1e-12, 1e-7, 1e-3, 1.0, 30.0, 1e4])
    loss, data = CallableLoss(cauchy), (np.zeros(7), np.ones(7))
    value, first = loss.value_and_first(np, z, data)
    np.testing.assert_allclose(value, np.log1p(z**2))
    np.testing.assert_allclose(first, 2 * z / (1 + z**2), rtol=1e-8, atol=1e-15)
    np.testing.assert_allclose(loss.second(np, z, data), 2 * (1 - z**2) / (1 + z**2) ** 2, rtol=1e-5, atol=1e-8)
    falls = CallableLoss(lambda u: np.exp(-u))
    assert np.all(falls.fisher(np, z, data) == 0)


def test_a_fit_takes_a_callable_too() -> None:
    fit = network().fit(X, Y, ERROR, loss=cauchy, prior=None)
    reference = Minuit(theirs(loss=cauchy), *AT).migrad()
    assert fit.valid
    np.testing.assert_allclose(fit.parameters, reference.values, atol=1e-2 * min(reference.errors))
    with pytest.raises(TypeError, match="no toys can be drawn of loss 'callable'"):
        fit.goodness(10)


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        ("linar", ValueError, "did you mean 'linear'"),
        ("poisson", ValueError, "a function of pulls for LeastSquares, got 'poisson'"),
        (3, TypeError, "a function of squared pulls, got 3"),
        (lambda z: np.sum(z), ValueError, r"the shape of the squared pulls, \(1, 25\), one value for each, got \(\)"),
    ],
)
def test_other_losses_are_refused(loss: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ours(loss=loss)(AT)


def test_a_callable_of_another_library_is_refused() -> None:
    pytest.importorskip("jax")
    cost = fx.LeastSquares(X, Y, ERROR, network(backend="jax"), loss=cauchy)
    with pytest.raises(TypeError, match="must compute with arrays of the model's library, such as jax"):
        cost(AT)


@pytest.mark.parametrize("loss", ["linar", "poisson", 3])
def test_other_losses_cannot_be_set(loss: Any) -> None:
    cost = ours(loss="soft_l1")
    before = cost(AT)
    with pytest.raises((TypeError, ValueError), match="loss"):
        cost.loss = loss
    assert (cost.loss, cost(AT)) == ("soft_l1", before)


def test_the_mask_can_be_set_and_taken_away() -> None:
    mine, other = ours(), theirs()
    whole = mine(AT)
    assert mine.mask is None
    for cost in (mine, other):
        cost.mask = MASK
    assert mine.ndata == other.ndata == 24
    assert mine(AT) == pytest.approx(other(*AT))
    assert mine(AT) < whole
    np.testing.assert_array_equal(mine.mask, MASK)
    np.testing.assert_allclose(mine.pulls(AT), other.pulls(AT))  # NaN where the mask is false
    np.testing.assert_allclose(mine.prediction(AT), other.prediction(AT))  # for all events
    for name in ("y", "yerror"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(other, name))
    np.testing.assert_array_equal(mine.x[:, 0], other.x)
    assert np.isnan(mine.standard_deviations(AT)[3])
    np.testing.assert_allclose(mine.grad(AT), ours(mask=MASK).grad(AT))
    np.testing.assert_allclose(mine.hessian(AT), ours(mask=MASK).hessian(AT))
    mine.mask = None
    assert (mine.ndata, mine(AT)) == (25, whole)
    with pytest.raises(ValueError, match=r"`mask` must have shape \(25,\)"):
        mine.mask = MASK[:5]
    with pytest.raises(ValueError, match="`mask` must be boolean"):
        mine.mask = [1, 2]
    assert (mine.ndata, mine(AT)) == (25, whole)  # as it was before


def test_a_value_that_is_not_known_is_masked() -> None:
    y = np.where(MASK, Y, np.nan)
    with pytest.raises(ValueError, match="`y` must be finite"):
        fx.LeastSquares(X, y, ERROR, network())
    cost = fx.LeastSquares(X, y, ERROR, network(), mask=MASK)
    assert Minuit(cost, cost.start).migrad().valid
    np.testing.assert_array_equal(np.isnan(cost.pulls(AT)), ~MASK)
    with pytest.raises(ValueError, match="`y` must be finite"):
        cost.mask = None
    cost.y = Y
    cost.mask = None
    assert cost(AT) == ours()(AT)


@pytest.mark.parametrize("name", ["x", "y", "yerror"])
def test_arrays_can_be_set(name: str) -> None:
    mine, other, before = ours(), theirs(), ours()(AT)
    for cost in (mine, other):
        setattr(cost, name, 0.5 * getattr(cost, name))
    assert mine(AT) == pytest.approx(other(*AT), rel=1e-12)
    assert mine(AT) != before
    np.testing.assert_allclose(mine.pulls(AT), other.pulls(AT))
    after = mine(AT)
    bad = {"x": "events of `x`", "y": r"`y` must have shape \(25, 1\)", "yerror": "`y_err` must be one number"}
    with pytest.raises(ValueError, match=bad[name]):
        setattr(mine, name, np.ones(7))
    with pytest.raises(ValueError, match="finite"):
        setattr(mine, name, np.full(25, np.nan))
    assert mine(AT) == after


def test_one_error_for_all_and_errors_of_x() -> None:
    cost = fx.LeastSquares(X, Y, 0.2, network(), xerror=0.1)
    np.testing.assert_array_equal(cost.yerror, np.full(25, 0.2))
    np.testing.assert_array_equal(cost.xerror, np.full((25, 1), 0.1))
    cost.xerror = None
    assert cost.xerror is None
    cost.yerror = ERROR
    assert cost(AT) == ours()(AT)
    several = fx.LeastSquares(X, np.stack([Y, Y], 1), [0.1, 0.2], network(k=2))
    np.testing.assert_array_equal(several.yerror, np.tile([0.1, 0.2], (25, 1)))
    several.yerror = ERROR[:, None] * [1, 2]
    np.testing.assert_array_equal(several.yerror, ERROR[:, None] * [1, 2])
    correlated = fx.LeastSquares(X, Y, None, network(), y_cov=np.diag(ERROR**2))
    assert correlated(AT) == pytest.approx(ours()(AT), rel=1e-12)
    correlated.y_cov = np.diag(4 * ERROR**2)
    assert correlated(AT) == pytest.approx(ours()(AT) / 4, rel=1e-12)


def test_what_a_cost_has_not_cannot_be_set() -> None:
    counts = fx.Poisson(X, np.arange(25), network("exp"))
    for cost, name in ((ours(), "trials"), (counts, "yerror"), (counts, "y_cov"), (counts, "trials")):
        with pytest.raises(
            AttributeError, match=f"`{name}` has no place in {type(cost).__name__}: it is for|errors of"
        ):
            setattr(cost, name, 1.0)
    with pytest.raises(AttributeError):
        counts.loss = "linear"  # type: ignore[misc]


def test_costs_of_other_kinds_can_be_set() -> None:
    n = np.arange(25.0)
    counts = fx.Poisson(X, n, network("exp"), exposure=2.0)
    counts.n, counts.exposure, counts.mask = n + 1, np.linspace(1, 2, 25), MASK
    want = fx.Poisson(X[MASK], n[MASK] + 1, network("exp"), exposure=np.linspace(1, 2, 25)[MASK])
    assert counts(AT) == pytest.approx(want(AT))
    np.testing.assert_array_equal(counts.n, n + 1)
    np.testing.assert_array_equal(counts.y, n + 1)
    some = fx.Binomial(X, n, network("logistic"), trials=30)
    np.testing.assert_array_equal(some.trials, np.full(25, 30.0))
    some.k = n // 2
    some.trials = 15
    assert some(AT) == fx.Binomial(X, n // 2, network("logistic"), trials=15)(AT)
    classes = fx.Multinomial(X, n % 3, network("softmax", 3))
    np.testing.assert_array_equal(classes.y, n % 3)
    classes.y = (n + 1) % 3
    assert classes(np.ones(6)) == pytest.approx(2 * 25 * math.log(3))
    width = fx.Normal(X, Y, network(k=2), weights=np.full(25, 2.0))
    twice = width(np.ones(4))
    width.weights = None
    assert width(np.ones(4)) == pytest.approx(twice / 2)


def test_what_is_written_into_arrays_later_changes_nothing() -> None:
    x, y = X.copy(), Y.tolist()
    cost = fx.LeastSquares(x, y, ERROR, network())
    before = cost(AT)
    x[0], y[0] = 99.0, 99.0
    cost.y[1] = 99.0  # a copy
    cost.mask = np.ones(25, dtype=bool)  # reads all again
    assert cost(AT) == before


def test_verbose_prints_calls(capsys: pytest.CaptureFixture[str]) -> None:
    cost = ours()
    cost(AT)
    assert capsys.readouterr().out == ""
    cost.verbose = 1
    value = cost(*AT)
    assert capsys.readouterr().out == f"{tuple(AT)} -> {value}\n"
    cost.mask = MASK
    assert cost.verbose == 1
    assert (cost + cost).verbose == 1


def test_names_of_parameters() -> None:
    assert describe(ours(name=("slope", "const"))) == describe(theirs()) == ["slope", "const"]
    cost = ours(name=("slope", "const"))
    cost.loss = "soft_l1"  # the names stay
    m = Minuit(cost, slope=1.0, const=0.0).migrad()
    assert m.valid
    assert m.parameters == ("slope", "const")
    for name, message in ((("a",), "`name` must have 2 names"), (("a", "a"), "2 different names")):
        with pytest.raises(ValueError, match=message):
            ours(name=name)
    with pytest.raises(TypeError, match="a sequence of names"):
        ours(name="ab")
    assert describe(fx.Poisson(X, np.arange(25), network("exp"), name=["a", "b"])) == ["a", "b"]
    bump = fx.PlusFunction(cost, lambda x, height: height * x**2, height=0.0)
    assert describe(bump) == ["slope", "const", "height"]


@pytest.mark.parametrize("change", [copy.deepcopy, lambda cost: pickle.loads(pickle.dumps(cost))])
def test_copies_can_be_set_too(change: Callable[[Any], Any]) -> None:
    cost = ours(loss="soft_l1", mask=MASK)
    before = cost(AT)
    same = change(cost)
    assert same(AT) == before
    same.loss, same.mask = "linear", None
    assert same(AT) == ours()(AT)
    assert cost(AT) == before


def histogram(weighted: bool) -> tuple[bh.Histogram, np.ndarray]:
    """Return events of an exponential, and the contents as iminuit takes them."""
    rng = np.random.default_rng(4)
    values = rng.exponential(1.0, 3000)
    storage = bh.storage.Weight() if weighted else bh.storage.Double()
    h = bh.Histogram(bh.axis.Regular(12, 0, 3), storage=storage)
    h.fill(values, weight=rng.uniform(0.2, 2.0, len(values)) if weighted else None)
    n = np.stack([h.values(), h.variances()], axis=1) if weighted else h.values()
    return h, n


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_histograms_as_extended_binned_nll(weighted: bool, masked: bool) -> None:
    h, n = histogram(weighted)

    def integral(x: np.ndarray, slope: float, log_height: float) -> np.ndarray:
        return np.exp(log_height) * np.expm1(slope * x) / slope

    mine = fx.Poisson(h, network("exp"), name=("slope", "log_height"))
    other = iminuit.cost.ExtendedBinnedNLL(n, h.axes[0].edges, integral)
    if masked:
        mine.mask = other.mask = np.arange(12) != 5
    at = [-0.8, 6.5]
    assert mine.ndata == other.ndata == 12 - masked
    assert mine(*at) == pytest.approx(other(*at), rel=1e-8)  # by four nodes in each bin
    np.testing.assert_allclose(mine.prediction(at), other.prediction(at), rtol=1e-8)
    np.testing.assert_allclose(mine.y, h.values())
    a, b = Minuit(mine, *at), Minuit(other, *at)
    for m in (a, b):
        m.tol = 1e-4
        m.migrad()
        m.hesse()
    assert a.fval == pytest.approx(b.fval, rel=1e-6)
    assert a.ndof == b.ndof
    np.testing.assert_allclose(a.values, b.values, atol=2e-4 * min(b.errors))
    np.testing.assert_allclose(a.errors, b.errors, rtol=1e-3)


def test_a_weighted_histogram_as_a_template_of_its_own() -> None:
    """With weights of one size the minimum is that of counts, and S and errors scale as they do in iminuit."""
    h, _ = histogram(False)
    scaled = bh.Histogram(h.axes[0], storage=bh.storage.Weight())
    scaled[...] = np.stack([3 * h.values(), 9 * h.values()], axis=-1)
    counts, weights = (fx.Poisson(a, network("exp")) for a in (h, scaled))
    assert weights([-0.8, 6.5 + math.log(3)]) == pytest.approx(counts([-0.8, 6.5]), rel=1e-12)
