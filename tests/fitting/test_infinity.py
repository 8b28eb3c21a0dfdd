"""Minima at infinity are called so, and no others; whether there is one is asked of a linear programme."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.fitting.infinity import Infinity, minimum_at_infinity
from ffnn_xp.fitting.local_search import LocalSearchTuning
from ffnn_xp.fitting.tuning import DEFAULT_TUNING, Tuning
from ffnn_xp.minimizers import EDMBounds, MatrixFree, MinimizerResult, Status
from ffnn_xp.uncertainty import Spectrum
from tests.oracles.infinity import few_events

X = np.linspace(-1, 1, 40)
WIDE = np.linspace(-2, 2, 100)
GROUP = np.repeat([0.0, 1.0], 20)
RNG = np.random.default_rng(0)
PLANE = RNG.normal(size=(60, 2))
COUNTS = RNG.poisson(5.0, 40).astype(float)
OVERLAP = RNG.permutation(np.repeat([0.0, 1.0], 20))
COIN = (RNG.random(100) < 0.4).astype(float)
RATE = RNG.poisson(10 * np.exp(-(WIDE**2) / 4)).astype(float)
POISSON, BINOMIAL, CLASSES = {"loss": "poisson"}, {"loss": "binomial"}, {"loss": "multinomial"}
SEPARATED = np.digitize(X, [-0.3, 0.4])


class Case(NamedTuple):
    """Data whose minimum lies at infinity: what is said, and how many directions are determined nevertheless."""

    layers: tuple[int, ...]
    output: str
    x: np.ndarray
    y: np.ndarray
    options: dict[str, Any]
    why: str
    determined: int = 0

    def fit(self, prior: float | None = None, **model: Any) -> tuple[fx.Model, fx.FitResult]:
        network = fx.Model(self.layers, output=self.output, seed=1, **{"backend": "numpy", **model})
        return network, network.fit(self.x, self.y, prior=prior, **self.options)


INFINITE = {
    "empty bins": Case((1, 1), "exp", X, 0 * X, POISSON, "no counts at all 40 events"),
    "a group of empty bins": Case((1, 1), "exp", GROUP, COUNTS * (GROUP == 0), POISSON, "no counts at 20 of 40", 1),
    "one of two rates": Case(
        (1, 2), "exp", X, np.stack([COUNTS, 0 * X], axis=1), POISSON, "no counts at 40 of 80 values", 2
    ),
    "separated classes": Case((1, 1), "logistic", X, (X > 0.1) * 1.0, BINOMIAL, "classes are separated at all 40"),
    "separated in a plane": Case(
        (2, 1), "logistic", PLANE, (PLANE @ [1, 2] > 0.3) * 1.0, BINOMIAL, "classes are separated at all 60"
    ),
    "separated but for one x": Case(
        (1, 1),
        "logistic",
        np.where(np.abs(X) < 0.2, 0.0, X),
        np.where(np.abs(X) < 0.2, OVERLAP, X > 0),
        BINOMIAL,
        "classes are separated at 32 of 40",
        1,
    ),
    "one class": Case((1, 1), "logistic", X, 1 + 0 * X, BINOMIAL, "successes alone at all 40"),
    "no success": Case((1, 1), "logistic", X, 0 * X, BINOMIAL, "no successes at all 40"),
    "all trials": Case(
        (1, 1), "logistic", X, 5 + 0 * X, {**BINOMIAL, "trials": np.full(40, 5.0)}, "successes alone at all 40"
    ),
    "all or none of the trials": Case(
        (1, 1),
        "logistic",
        X,
        5.0 * (X > 0),
        {**BINOMIAL, "trials": np.full(40, 5.0)},
        "successes and failures are separated at all 40",
    ),
    "three classes": Case((1, 3), "softmax", X, SEPARATED, CLASSES, "classes are separated at all 40"),
    "one class elsewhere": Case(
        (1, 3), "softmax", X, np.where(X < -0.3, 0, 1 + (OVERLAP > 0)), CLASSES, "not all classes occur", 2
    ),
    "classes by hidden units": Case(
        (1, 3, 1), "logistic", WIDE, (np.abs(WIDE) < 1) * 1.0, BINOMIAL, "classes are separated at all 100"
    ),
    "a region without counts": Case((1, 3, 1), "exp", WIDE, RATE * (WIDE < 0.5), POISSON, "no counts at 38 of 100", 6),
    "zeros of an exponential": Case(
        (1, 2, 1), "exp", X, np.where(X > 0, 1 + X, 0.0), {"y_err": 0.1}, "20 of 40 values lie at", 5
    ),
    "ones of a tanh": Case((1, 1), "tanh", X, np.sign(X), {"y_err": 0.1}, "all 40 values lie at"),
    "beyond a tanh": Case((1, 1), "tanh", X, 1.02 * np.sign(X), {"y_err": 0.1}, "all 40 values lie at"),
    "correlated": Case((1, 1), "tanh", X, np.sign(X), {"y_cov": 0.01 * np.eye(40)}, "all 40 values lie at"),
    "errors of x": Case((1, 1), "tanh", X, np.sign(X), {"y_err": 0.1, "x_err": 0.01}, "all 40 values lie at"),
    "robust": Case((1, 1), "logistic", X, (X > 0) * 1.0, {"y_err": 0.1, "loss": "student_t"}, "all 40 values lie at"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", INFINITE)
def test_it_is_said_in_the_first_line_with_its_cause(kind: str) -> None:
    case = INFINITE[kind]
    with pytest.warns(fx.FitWarning, match="minimum lies at infinity"):
        model, fit = case.fit()
    assert fit.valid == (case.determined > 0)
    first = repr(fit).splitlines()[0]
    assert "the minimum lies at infinity, since" in first
    assert case.why in first
    assert case.why in fit._repr_html_()
    assert fit.message.startswith("The minimum lies at infinity, since")
    assert "use prior=1.0" in fit.message
    p = len(fit.parameters)
    assert p - fit.n_null == case.determined
    assert fit.n_effective <= case.determined
    assert fit.names[int(np.flatnonzero(~np.isfinite(fit.errors))[0])] in fit.message
    if not fit.valid:
        assert np.isnan(fit.errors).all()
        with pytest.raises(fx.NotFittedError, match="minimum lies at infinity"):
            model.predict(case.x, return_std=True)
        return
    assert np.isinf(fit.errors).any()
    assert f"along the other {case.determined} of {p} directions" in fit.message
    _, std = model.predict(case.x, return_std=True)
    band = fit.band(case.x)
    assert np.isinf(std).any()
    np.testing.assert_array_equal(np.isinf(std), band.status != "")


@pytest.mark.parametrize("kind", INFINITE)
def test_with_a_prior_it_is_a_fit_like_others(kind: str) -> None:
    model, fit = INFINITE[kind].fit(prior=1.0)
    assert fit.valid
    assert not fit.n_null
    assert "infinity" not in fit.message
    std = model.predict(INFINITE[kind].x, return_std=True)[1]
    assert np.isfinite(std).all()
    assert (std > 0).all()


def test_the_rate_without_counts_has_an_error_of_the_right_size_with_a_prior() -> None:
    """Without counts the upper end of a 68 % interval of the expected total is 0.5, where 2 times it is 1."""
    model, _ = INFINITE["empty bins"].fit(prior=1.0)
    mean, std = model.predict(X, return_std=True)
    assert 0.1 < float(np.sum(mean + std)) < 1.0


def test_what_is_determined_is_what_the_other_events_say() -> None:
    """C. J. Geyer (2009): in the limit the events on their way to infinity count no more."""
    case = INFINITE["a group of empty bins"]
    model, fit = case.fit()
    mean, std = model.predict([0.0, 1.0], return_std=True)
    total = case.y.sum()
    assert mean[0] == pytest.approx(total / 20, rel=1e-6)
    assert std[0] == pytest.approx(np.sqrt(total) / 20, rel=1e-6)
    assert mean[1] < 1e-6
    assert np.isinf(std[1])
    assert fit.ndof == 39
    case = INFINITE["separated but for one x"]
    model, _ = case.fit()
    mean, std = model.predict([-0.5, 0.0, 0.5], return_std=True)
    mixed = case.y[case.x == 0]
    assert mean == pytest.approx([0.0, mixed.mean(), 1.0], abs=1e-6)
    assert std[1] == pytest.approx(np.sqrt(mixed.mean() * (1 - mixed.mean()) / len(mixed)), rel=1e-5)
    assert np.isinf(std[[0, 2]]).all()


def test_a_class_that_is_absent_leaves_the_others_determined() -> None:
    model, _ = INFINITE["one class elsewhere"].fit()
    _, std = model.predict([-0.8, 0.8], return_std=True)
    assert np.isinf(std[0]).all()
    assert np.isinf(std[1, 0])
    assert np.isfinite(std[1, 1:]).all()
    assert (std[1, 1:] > 0.01).all()


@pytest.mark.parametrize("kind", ["a group of empty bins", "three classes"])
def test_on_each_library(kind: str, backend: fx.Backend) -> None:
    case = INFINITE[kind]
    _, fit = case.fit(backend=backend)
    assert case.why in fit.message
    assert len(fit.parameters) - fit.n_null == case.determined


@pytest.mark.parametrize("kind", ["separated classes", "separated but for one x", "a group of empty bins"])
def test_of_a_model_in_single_precision(kind: str) -> None:
    assert INFINITE[kind].why in INFINITE[kind].fit(dtype="float32")[1].message


@pytest.mark.parametrize("minimizer", ["migrad", "lbfgs", "levenberg_marquardt"])
@pytest.mark.parametrize("kind", ["separated classes", "a group of empty bins", "ones of a tanh"])
def test_wherever_a_minimizer_stops(kind: str, minimizer: str) -> None:
    case = INFINITE[kind]
    case = case._replace(options={**case.options, "minimizer": minimizer})
    assert case.why in case.fit()[1].caution


def test_where_no_matrices_are_formed() -> None:
    case = INFINITE["classes by hidden units"]
    _, fit = case._replace(options={**case.options, "tuning": Tuning(matrix_limit=5)}).fit()
    assert not fit.valid
    assert case.why in fit.message


def test_of_bins() -> None:
    bins = fx.Bins(np.linspace(0, 1, 41))
    y = COUNTS * (np.arange(40) < 20)
    fit = fx.Model((1, 3, 1), output="exp", backend="numpy", seed=1).fit(bins, y, loss="poisson", prior=None)
    assert "no counts at 20 of 40 events" in fit.caution
    assert fx.Model((1, 1), output="exp", seed=1).fit(bins, 0 * y, loss="poisson", prior=1.0).caution == ""


def test_with_weights_and_a_sandwich() -> None:
    case = INFINITE["a group of empty bins"]
    for more in ({"weights": np.full(40, 1e-3)}, {"covariance": "sandwich"}):
        assert case.why in case._replace(options={**case.options, **more}).fit()[1].caution


def test_an_output_whose_bias_has_no_prior_is_advised_against() -> None:
    """A prior holds biases where the data give them an origin; elsewhere another output nonlinearity does."""
    fit = fx.Model((1, 1), output="softplus", backend="numpy", seed=1).fit(X, 0 * X, loss="poisson", prior=1.0)
    assert "use output='exp', whose bias has a prior too" in fit.message
    fit = fx.Model((1, 1), output="exp", backend="numpy", seed=1).fit(X, 0 * X, 0.1, prior=1.0)
    assert "use an output nonlinearity whose range holds the data" in fit.message


@pytest.mark.parametrize("kind", ["empty bins", "a group of empty bins"])
def test_a_report_says_it_too(kind: str) -> None:
    _, fit = INFINITE[kind].fit()
    report = repr(fit.report()).splitlines()
    assert report[1].split(maxsplit=1) == ["but", fit.caution]
    assert "but" not in repr(INFINITE[kind].fit(prior=1.0)[1].report())


def test_toys_of_a_rate_without_counts_are_no_band_of_nothing() -> None:
    _, fit = INFINITE["a group of empty bins"].fit()
    band = fit.band([0.0, 1.0], method="replicas", number=50, seed=1)
    assert 0 < band.low[0] < band.high[0] < np.inf
    assert band.low[1] == 0
    assert band.high[1] == np.inf


REGULAR = {
    "half of the bins are empty, and the slope is determined": Case(
        (1, 1), "exp", X, RNG.poisson(3 * np.exp(-4 * (X + 1))) * (X < 0), POISSON, "", 2
    ),
    "classes that overlap": Case((1, 1), "logistic", X, OVERLAP, BINOMIAL, "", 2),
    "one event on the wrong side": Case((1, 1), "logistic", X, np.where(X < 1, X > 0.1, 0.0), BINOMIAL, "", 2),
    "far tail": Case((1, 1), "exp", 20 * (X + 1), RNG.poisson(50 * np.exp(-20 * (X + 1))), POISSON, "", 2),
    "far tail of small weights": Case(
        (1, 1),
        "exp",
        20 * (X + 1),
        RNG.poisson(50 * np.exp(-20 * (X + 1))),
        {**POISSON, "weights": np.full(40, 1e-6)},
        "",
        2,
    ),
    "near the edge": Case((1, 1), "tanh", X, np.tanh(5 * X) + RNG.normal(0, 0.1, 40), {"y_err": 0.1}, "", 2),
    "small weights": Case((1, 1), "exp", X, COUNTS, {**POISSON, "weights": np.full(40, 1e-6)}, "", 2),
    "small exposures": Case((1, 1), "exp", X, COUNTS, {**POISSON, "exposure": np.full(40, 1e-6)}, "", 2),
    "three classes that overlap": Case((1, 3), "softmax", X, np.arange(40) % 3, CLASSES, "", 4),
}


@pytest.mark.parametrize("kind", REGULAR)
def test_ordinary_minima_are_not_called_so(kind: str) -> None:
    case = REGULAR[kind]
    model, fit = case.fit()
    assert fit.valid
    assert fit.caution == ""
    assert "infinity" not in fit.message
    assert len(fit.parameters) - fit.n_null == case.determined
    assert np.isfinite(model.predict(case.x, return_std=True)[1]).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_weakly_determined_minima_are_not_called_so(seed: int) -> None:
    """More units than the data need: some become steps between events, which is said, and is no lack of data."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(-2, 2, 200))
    fit = fx.Model((1, 10, 1), seed=seed).fit(x, np.sin(2 * x) + rng.normal(0, 0.1, 200), 0.1, prior=None)
    assert fit.valid
    assert fit.caution == ""


def test_a_unit_that_becomes_a_step_is_named() -> None:
    y = np.sign(X - 0.013) + np.random.default_rng(2).normal(0, 0.1, 40)
    fit = fx.Model((1, 1, 1), backend="numpy", seed=1).fit(X, y, 0.1, prior=None)
    assert "2 of 4 directions are not determined by the data (steps between events: unit 0 of layer L2)" in fit.message
    assert np.isinf(fit.errors[:2]).all()
    assert np.isfinite(fit.errors[2:]).all()


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["poisson", "binomial", "multinomial"])
def test_as_a_linear_programme_says(loss: str) -> None:
    """Random data, so few that many have their minimum at infinity: each one is told from the others."""
    seen = {True: 0, False: 0}
    for seed in range(50):
        events = few_events(loss, seed, most_trials=2)
        model = fx.Model((events.x.shape[1], events.k), output=events.output, backend="numpy", seed=seed)
        fit = model.fit(events.x, events.y, loss=loss, prior=None, **events.options)
        assert ("infinity" in fit.caution) == events.recedes, (seed, fit.message)
        seen[events.recedes] += 1
    assert min(seen.values()) >= 5


def at(case: Case, theta: list[float], edm: float) -> Infinity | None:
    """Ask for the minimum at infinity from raw parameters."""
    _, fit = case.fit()
    standard = fit.problem.scaling.to_standard(np.array(theta))
    spectrum = Spectrum.of_hessian(fit.cost.hessian(standard), fit.cost.errordef)
    return minimum_at_infinity(fit.problem, fit.cost, standard, edm, spectrum)


def test_on_the_way_the_limit_says_what_is_determined() -> None:
    """Only class 0 at -1, never at 1, where the odds of classes 1 and 2 are determined, as by 20 tosses."""
    x, y = np.repeat([-1.0, 1.0], 20), np.r_[np.zeros(20), np.tile([1, 2], 10)]
    infinity = at(Case((1, 3), "softmax", x, y, CLASSES, ""), [-12, 0, 0, 0, 0, 0], np.inf)
    assert infinity is not None
    assert infinity.spectrum is not None
    assert infinity.spectrum.factor.shape == (6, 1)
    odds = np.array([0, 0, 1, 1, -1, -1]) @ infinity.spectrum.factor
    assert odds**2 == pytest.approx(1 / (20 * 0.25), rel=1e-3)


def test_where_edm_is_not_known_few_events_still_matter() -> None:
    case = Case((1, 1), "logistic", np.array([-1.0, -1.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0]), BINOMIAL, "")
    assert at(case, [0.0, 0.0], np.inf) is None


def test_events_that_matter_little_each_may_matter_together() -> None:
    counts = np.tile([4.0, 6.0], 20)
    for weight, matters in ((5e-10, True), (1e-12, False)):
        case = Case((1, 1), "exp", X, counts, {**POISSON, "weights": np.full(40, weight)}, "")
        assert (at(case, [0.0, np.log(5.0)], 0.0) is None) == matters


def test_the_numbers_are_in_the_tuning() -> None:
    """Where no event may be on its way to infinity, none is found: the minimum is certified as it was."""
    tuning = Tuning(certification=type(DEFAULT_TUNING.certification)(unnoticed=0.0, most_unnoticed=0.0))
    case = INFINITE["a group of empty bins"]
    _, fit = case._replace(options={**case.options, "tuning": tuning}).fit()
    assert fit.caution == ""


@pytest.mark.parametrize(
    ("activation", "prior", "slope", "said"),
    [
        ("tanh", None, 1000.0, True),
        ("tanh", 1e9, 1000.0, False),  # ends it somewhere
        ("tanh", None, 150.0, False),  # S rises as the unit gets steeper
        ("relu", None, 1000.0, False),  # its unit is no step
    ],
)
def test_a_fit_that_is_stopped_names_units_whose_weights_grow(
    activation: str, prior: float | None, slope: float, said: bool
) -> None:
    """The first unit is a step that is not as steep as that of the data, or steeper; the second is none."""
    model = fx.Model((1, 2, 1), activation=activation, backend="numpy", seed=1)
    step = [slope, -0.02 * slope, 1.0, 0.1, 1.0, 0.1, 0.0]
    data, start = model(X, np.array(step)), [200.0, -4.0, *step[2:]]
    with pytest.warns(fx.FitWarning, match="max_seconds"):
        fit = model.fit(X, data, 0.1, prior=prior, start=start, max_seconds=1e-6)
    assert ("S falls as the weights of 1 unit grow (unit 0 of layer L2)" in fit.message) == said
    assert "unit 1" not in fit.message


@pytest.mark.parametrize(("edm", "said"), [(1.0, True), (1e-9, False)])
def test_without_matrices_too(edm: float, said: bool) -> None:
    """A minimization that ends with a step says so, and nothing where it converged."""
    step = np.array([350.0, -8.0, 1.0, 0.1, 0.9, 0.1, 0.0])

    class There(MatrixFree):
        def run(self, problem: Any, theta: np.ndarray, budget: object = None) -> MinimizerResult:
            bounds = EDMBounds(np.zeros(7), lower=edm, upper=edm, iterations=1)
            return MinimizerResult(step, problem.value_and_gradient(step)[0], edm, Status.NO_GAIN, bounds=bounds)

    y = np.sign(X - 0.013) + np.random.default_rng(2).normal(0, 0.1, 40)
    tuning = Tuning(matrix_limit=5, local_search=LocalSearchTuning(matrix_free=There()))
    fit = fx.Model((1, 2, 1), backend="numpy", seed=1).fit(X, y, 0.1, prior=None, restarts=1, tuning=tuning)
    assert ("S falls as the weights of 1 unit grow (unit 0 of layer L2)" in fit.message) == said
