"""The recipe from data to a certified result: its numbers, its words, and what it does when things go wrong."""

from __future__ import annotations

import io
import itertools
import re
import time
import warnings
from contextlib import redirect_stderr
from typing import Any

import iminuit
import numpy as np
import pytest
import scipy.optimize
from sklearn.linear_model import LinearRegression

import ffnn_xp as fx
from ffnn_xp._lib.limits import Watch
from ffnn_xp.backends import Backend
from ffnn_xp.fitting.search_result import SearchResult
from ffnn_xp.fitting.tuning import CertificationTuning, Tuning
from ffnn_xp.minimizers import Migrad
from ffnn_xp.network.sweeps import jacobian
from ffnn_xp.uncertainty.covariance import TOUCHES


def bends(n: int = 150, seed: int = 1, sigma: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.linspace(-2, 2, n)
    return x, np.tanh(2 * x - 0.5) - 0.7 * np.tanh(1.2 * x + 1) + sigma * rng.normal(size=n)


def teacher(activation: str, seed: int, n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """The lesson's widths with weights that use the nonlinearity, and noise 0.1."""
    rng = np.random.default_rng(seed)
    model = fx.Model((8, 7, 9, 6), activation=activation, backend="numpy", seed=seed)
    model.parameters = 1.5 * np.asarray(model.parameters)
    x = rng.normal(size=(n, 8))
    return x, model(x) + 0.1 * rng.normal(size=(n, 6))


def test_lesson_network_is_certified_at_195_parameters() -> None:
    x, y = teacher("tanh", 3)
    fit = fx.Model((8, 7, 9, 6), backend="numpy", seed=1).fit(x, y, 0.1, prior=None)
    assert fit.valid
    assert fit.edm < 2e-4
    assert abs(fit.chi2 / fit.ndof - 1) < 0.05
    assert fit.p_value > 1e-3
    assert fit.minuit.nfcn < 20
    assert fit.n_data == 12000
    assert fit.n_effective == 195


def in_directions_of_scaling(fit: fx.FitResult) -> np.ndarray:
    """Parameters that take part in scaling a hidden relu unit against the next layer, which changes no output.

    In the coordinates in which the Gauss-Newton matrix has a diagonal of one, as `Spectrum.undetermined` counts them.
    """
    theta, layout = fit.standardised, fit.layout
    diagonal = np.diag(fit.cost.gauss_newton(theta))
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    share = np.zeros(layout.n_parameters)
    of_layer = layout.matrices(np, np.arange(layout.n_parameters))
    for before, behind in itertools.pairwise(of_layer):
        for unit in range(len(before)):
            direction = np.zeros(layout.n_parameters)
            direction[before[unit]] = theta[before[unit]]
            direction[behind[:, unit]] = -theta[behind[:, unit]]
            direction *= scale
            share = np.maximum(share, direction**2 / np.sum(direction**2))
    return share > 2 * TOUCHES


@pytest.mark.slow
@pytest.mark.parametrize("output", ["identity", "relu"])
@pytest.mark.filterwarnings("ignore::ffnn_xp.FitWarning")
def test_relu_ends_at_kinks_and_is_certified_or_says_why_not(output: str) -> None:
    """At which kinks depends on the last digits of the processor's products: most ends can be certified, not each."""
    x, y = teacher("relu", 1)
    certified = 0
    for seed in (1, 2, 3, 4):
        model = fx.Model((8, 7, 9, 6), activation="relu", output=output, backend="numpy", seed=seed)
        fit = model.fit(x, y, 0.1, restarts=4, prior=None)
        if fit.valid:
            assert "Gauss-Newton" in fit.covariance_source
            assert fit.n_null >= 16  # each hidden relu unit can be scaled against the next layer
            scaled = in_directions_of_scaling(fit)
            assert np.sum(scaled) > 170  # of the 189 parameters before and behind hidden units
            assert np.all(np.isinf(fit.errors[scaled]))
        else:
            assert "S is not smooth" in fit.message
            assert np.all(np.isnan(fit.errors))
        certified += fit.valid
    assert certified


@pytest.mark.slow
def test_equal_on_every_backend(backend: Backend) -> None:
    x, y = bends()
    here = fx.Model((1, 2, 1), backend=backend, seed=3).fit(x, y, 0.1, seed=4, prior=None)
    numpy = fx.Model((1, 2, 1), backend="numpy", seed=3).fit(x, y, 0.1, seed=4, prior=None)
    assert here.valid
    assert here.fval == pytest.approx(numpy.fval, rel=1e-9)
    np.testing.assert_allclose(here.errors, numpy.errors, rtol=1e-4)


def test_independent_of_units() -> None:
    x, y = bends()
    plain = fx.Model((1, 2, 1), backend="numpy", seed=3).fit(x, y, 0.1, seed=4, prior=None)
    model = fx.Model((1, 2, 1), backend="numpy", seed=3)
    scaled = model.fit(1e6 + 1e3 * x, 5e-20 * y + 3e-19, 5e-21, seed=4, prior=None)
    assert scaled.valid
    assert scaled.fval == pytest.approx(plain.fval, rel=1e-6)
    a, b = np.array(model.parameters)[[0, 2]], np.array(model.parameters)[[1, 3]]
    hidden = np.tanh(np.outer(1e6 + 1e3 * x, a) + b)  # theta is raw: three lines of NumPy give the same numbers
    np.testing.assert_allclose(
        hidden @ np.array(model.parameters)[[4, 5]] + model.parameters[6], model(1e6 + 1e3 * x), rtol=1e-9
    )


def test_linear_network_is_linear_regression() -> None:
    rng = np.random.default_rng(2)
    x, sigma = rng.normal(size=(80, 3)) * [1, 10, 0.1] + [0, 5, 100], rng.uniform(0.5, 2, 80)
    y = x @ [1.0, -0.3, 4.0] + 7 + sigma * rng.normal(size=80)
    fit = fx.Model((3, 1), backend="numpy", seed=1).fit(x, y, sigma, prior=None)
    A = np.column_stack([x, np.ones(80)]) / sigma[:, None]
    np.testing.assert_allclose(fit.parameters, np.linalg.lstsq(A, y / sigma, rcond=None)[0], rtol=1e-7)
    np.testing.assert_allclose(fit.covariance, np.linalg.inv(A.T @ A), rtol=1e-7)
    np.testing.assert_allclose(fit.errors, np.sqrt(np.diag(np.linalg.inv(A.T @ A))), rtol=1e-7)
    reference = LinearRegression().fit(x, y, sample_weight=sigma**-2)
    np.testing.assert_allclose(fit.parameters[:3], reference.coef_, rtol=1e-7)


def test_unknown_errors_are_the_residuals_of_linear_regression() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 2))
    y = np.stack([x @ [1.0, 2.0] + 0.3 * rng.normal(size=60), x @ [5.0, 0.1] + 20 * rng.normal(size=60)], axis=1)
    fit = fx.Model((2, 2), backend="numpy", seed=1).fit(x, y, prior=None)
    A = np.column_stack([x, np.ones(60)])
    rss = np.sum((y - A @ np.linalg.lstsq(A, y, rcond=None)[0]) ** 2, axis=0)
    np.testing.assert_allclose(fit.y_error, np.sqrt(rss / (60 - 3)), rtol=1e-6)
    assert fit.chi2 == pytest.approx(fit.ndof, rel=1e-6)
    assert np.isnan(fit.p_value)
    assert "from the residuals" in repr(fit)
    covariance = np.linalg.inv(A.T @ A) * fit.y_error[0] ** 2
    np.testing.assert_allclose(fit.errors[:3], np.sqrt(np.diag(covariance)), rtol=1e-6)


def test_covariance_and_band_against_curve_fit() -> None:
    x, y = bends()
    model = fx.Model((1, 2, 1), backend="numpy", seed=3)
    fit = model.fit(x, y, 0.1, prior=None)

    def curve(x: np.ndarray, *theta: float) -> np.ndarray:
        return np.asarray(model(x, np.array(theta)))

    best, covariance = scipy.optimize.curve_fit(
        curve, x, y, p0=fit.parameters, sigma=np.full(150, 0.1), absolute_sigma=True
    )
    np.testing.assert_allclose(best, fit.parameters, atol=0.02 * np.max(fit.errors))
    gauss_newton = 2 * np.linalg.inv(fx.LeastSquares(x, y, 0.1, model).gauss_newton(fit.parameters))
    np.testing.assert_allclose(covariance, gauss_newton, rtol=0.05)
    mean, std = model.predict(x[::10], return_std=True)
    J = jacobian(model.network, np, np.array(model.parameters), x[None, ::10])[0]
    np.testing.assert_allclose(std, np.sqrt(np.einsum("ni,ij,nj->n", J, fit.covariance, J)), rtol=1e-8)
    np.testing.assert_allclose(mean, model(x[::10]))


@pytest.mark.slow
def test_band_covers_what_it_claims() -> None:
    """68.3 % of 100 toys, averaged over x; the standard error of that average is about 2 points."""
    rng = np.random.default_rng(11)
    x, _ = bends(60)
    model = fx.Model((1, 2, 1), backend="numpy", seed=3)
    truth = np.tanh(2 * x - 0.5) - 0.7 * np.tanh(1.2 * x + 1)
    start = (
        fx.Model((1, 2, 1), backend="numpy", seed=3)
        .fit(x, truth + 0.1 * rng.normal(size=60), 0.1, prior=None)
        .parameters
    )
    covered = []
    for _ in range(100):
        model.parameters = start
        if model.fit(x, truth + 0.1 * rng.normal(size=60), 0.1, prior=None).valid:
            mean, std = model.predict(x, return_std=True)
            covered.append(np.mean(np.abs(mean - truth) < std))
    assert len(covered) > 90
    assert np.mean(covered) == pytest.approx(0.683, abs=0.07)


@pytest.mark.slow
def test_prior_makes_a_large_network_determined() -> None:
    x, y = bends(60)
    fit = fx.Model((1, 20, 1), backend="numpy", seed=1).fit(x, y, 0.1, prior=1.0)
    assert fit.valid
    assert fit.n_null == 0
    assert fit.fval > fit.chi2
    assert 2 < fit.n_effective < 20
    assert "prior included" in fit.covariance_source
    strong = fx.Model((1, 20, 1), backend="numpy", seed=1).fit(x, y, 0.1, prior=0.1)
    assert strong.n_effective < fit.n_effective
    assert strong.chi2 > fit.chi2


def test_prior_is_ridge_regression_for_a_linear_network() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(50, 3)) * [1, 10, 0.1] + 5
    y = x @ [1.0, 0.2, 3.0] + rng.normal(size=50)
    fit = fx.Model((3, 1), backend="numpy", seed=1).fit(x, y, 1.0, prior=0.5)
    z, t = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    precision = 3 / 0.5**2  # the width is shared among the three inputs
    w = np.linalg.solve(z.T @ z * y.std() ** 2 + precision * np.eye(3), z.T @ t * y.std() ** 2)
    np.testing.assert_allclose(fit.parameters[:3], w * y.std() / x.std(0), rtol=1e-6)
    assert fit.fval == pytest.approx(fit.chi2 + precision * np.sum(w**2), rel=1e-9)


@pytest.mark.slow
def test_too_large_a_network_is_not_called_valid() -> None:
    x, y = bends(60)
    model = fx.Model((1, 20, 1), backend="numpy", seed=1)
    fit = model.fit(x, y, 0.1, restarts=2, prior=None)
    assert not fit.valid or fit.n_null > 0
    if not fit.valid:
        assert "prior" in fit.message
        assert fit.covariance is None
        with pytest.raises(fx.NotFittedError, match=re.escape(f"no error band: {fit.message}")):
            model.predict(x, return_std=True)


def test_saddle_of_a_split_unit_is_left() -> None:
    """A unit split into two equal ones is stationary; of the two ways to split it, one makes a saddle.

    K. Fukumizu and S. Amari, Neural Networks 13 (2000) 317, theorem 3. Gradients alone would never leave it.
    """
    x, y = bends()
    one = fx.Model((1, 1, 1), backend="numpy", seed=1).fit(x, y, 0.1, prior=None)
    a, b, v, c = one.parameters
    statuses = []
    for share in (0.5, 1.5):
        model = fx.Model((1, 2, 1), backend="numpy")
        model.parameters = [a, b, a, b, share * v, (1 - share) * v, c]
        assert np.max(np.abs(fx.LeastSquares(x, y, 0.1, model).grad(model.parameters))) < 1e-2
        fit = model.fit(x, y, 0.1, start="current", restarts=1, prior=None)
        statuses.append(fit.restarts[0].status)
        if "behind" in statuses[-1]:
            assert fit.valid
            assert fit.chi2 < one.chi2 - 10
    assert any("behind" in status for status in statuses)


def test_undetermined_parameters_and_predictions_are_infinite() -> None:
    """A relu unit that is off on all data: nothing is known of it, nor of predictions where it would be on."""
    x = np.linspace(0.0, 1.0, 40)
    model = fx.Model.from_matrices([[[1.0, 0.5], [1.0, -3.0]], [[1.0, 1.0, 0.0]]], activation="relu", backend="numpy")
    fit = model.fit(
        x, 2 * x + 1 + 0.1 * np.random.default_rng(1).normal(size=40), 0.1, start="current", restarts=1, prior=None
    )
    assert fit.valid
    assert "unit 1 of layer L2" in fit.message
    assert np.all(np.isinf(fit.errors[[2, 3, 5]]))
    _, std = model.predict([0.5, 10.0], return_std=True)
    assert np.isfinite(std[0])
    assert np.isinf(std[1])


@pytest.mark.slow
def test_bad_description_is_said() -> None:
    x, y = bends(sigma=0.1)
    fit = fx.Model((1, 1, 1), backend="numpy", seed=1).fit(x, y, 0.01, prior=None)
    assert "does not describe the data" in fit.message


def test_migrad_alone_starts_from_the_models_parameters() -> None:
    x, y = bends()
    model = fx.Model((1, 2, 1), backend="numpy", seed=3)
    best = model.fit(x, y, 0.1, prior=None).fval
    model.parameters = np.array(model.parameters) * 1.05
    fit = model.fit(x, y, 0.1, minimizer="migrad", prior=None)
    assert fit.valid
    assert fit.fval == pytest.approx(best, abs=1e-2)
    assert fit.minuit.fmin.algorithm == "Migrad"
    assert len(fit.restarts) == 1
    unknown = model.fit(x, y, minimizer="migrad", prior=None)
    assert unknown.y_error == pytest.approx([0.1], rel=0.15)


def test_minuit_stays_live() -> None:
    x, y = bends()
    fit = fx.Model((1, 2, 1), backend="numpy", seed=3).fit(x, y, 0.1, prior=None)
    assert isinstance(fit.minuit, iminuit.Minuit)
    np.testing.assert_array_equal(fit.parameters, np.array(fit.minuit.values))
    hesse = np.array(fit.minuit.hesse().covariance)
    np.testing.assert_allclose(fit.covariance, hesse, rtol=1e-4, atol=1e-6 * np.max(hesse))
    fit.minuit.minos("b_L2_L3[0]")
    assert fit.minuit.merrors["b_L2_L3[0]"].is_valid


def test_a_fit_goes_on_from_the_current_parameters() -> None:
    x, y = bends()
    model = fx.Model((1, 2, 1), backend="numpy", seed=3)
    first = model.fit(x, y, 0.1, prior=None)
    second = model.fit(x, y, 0.1, start="current", restarts=1, prior=None)
    assert len(second.restarts) == 1
    assert second.restarts[0].calls < 10
    assert second.fval == pytest.approx(first.fval, rel=1e-9)


@pytest.mark.slow
def test_seeds_are_reproducible() -> None:
    x, y = bends()
    fits = [fx.Model((1, 3, 1), backend="numpy").fit(x, y, 0.1, seed=5, prior=3.0) for _ in range(2)]
    np.testing.assert_array_equal(fits[0].parameters, fits[1].parameters)


def test_repr_is_short_at_any_size() -> None:
    x, y = teacher("tanh", 3, n=300)
    fit = fx.Model((8, 30, 30, 6), backend="numpy", seed=1).fit(x, y, 0.1, restarts=1, max_seconds=0.2, prior=None)
    for text in (repr(fit), fit._repr_html_()):
        assert len(text) < 3000
    assert len(repr(fit).splitlines()) < 20


@pytest.mark.slow
def test_html_escapes_and_tells_the_same() -> None:
    x, y = bends()
    fit = fx.Model((1, 2, 1), backend="numpy", seed=3).fit(x, y, 0.1, prior=None)
    html = fit._repr_html_()
    assert "Valid minimum" in html
    assert fit.message in html
    assert html.count("<table>") == html.count("</table>") == 2


class TestStops:
    """Whatever ends a minimization early, the best so far comes back, is not called valid, and can be gone on from."""

    def check(self, fit: fx.FitResult, reason: str) -> None:
        assert not fit.valid
        assert reason in fit.message
        assert np.all(np.isfinite(fit.parameters))
        assert fit.covariance is None
        assert np.all(np.isnan(fit.errors))
        assert "NOT VALID" in repr(fit)

    @pytest.mark.slow
    def test_max_seconds(self) -> None:
        x, y = teacher("relu", 2)
        model = fx.Model((8, 30, 30, 6), activation="relu", backend="numpy", seed=1)
        began = time.monotonic()
        fit = model.fit(x, y, 0.1, max_seconds=0.5, prior=None)
        assert time.monotonic() - began < 5
        self.check(fit, "max_seconds")
        assert model.fit(x, y, 0.1, start="current", max_seconds=0.5, prior=None).fval < fit.fval

    def test_no_time_at_all(self) -> None:
        x, y = bends()
        self.check(
            fx.Model((1, 2, 1), backend="numpy", seed=1).fit(x, y, 0.1, max_seconds=1e-9, prior=None), "max_seconds"
        )

    def test_callback_returns_true(self) -> None:
        x, y = bends()
        seen: list[fx.FitState] = []

        def enough(state: fx.FitState) -> bool:
            seen.append(state)
            return len(seen) == 5

        fit = fx.Model((1, 2, 1), backend="numpy", seed=1).fit(x, y, 0.1, callback=enough, prior=None)
        self.check(fit, "callback")
        assert len(seen) == 5
        assert fit.fval == pytest.approx(seen[-1].best)
        assert seen[-1].best < seen[0].best

    def test_unknown_errors(self) -> None:
        x, y = bends()
        fit = fx.Model((1, 2, 1), backend="numpy", seed=1).fit(
            x, y, callback=lambda state: state.calls == 10, prior=None
        )
        self.check(fit, "callback")
        assert fit.chi2 == pytest.approx(150 - 7, rel=1e-6)  # the errors are those of the residuals so far
        assert fit.y_error is not None
        assert fit.y_error[0] < 2 * np.std(y)

    def test_what_was_certified_before_counts(self) -> None:
        x, y = bends()
        fit = fx.Model((1, 1, 1), backend="numpy", seed=1).fit(
            x,
            y,
            0.1,
            restarts=3,
            callback=lambda state: state.start == 3,
            prior=None,
        )
        assert not fit.valid or "Other starts were not tried" in fit.message

    def test_control_c(self) -> None:
        x, y = bends()

        def interrupt(state: fx.FitState) -> None:
            if state.calls == 10:
                raise KeyboardInterrupt

        model = fx.Model((1, 2, 1), backend="numpy", seed=1)
        with Watch():
            self.check(model.fit(x, y, 0.1, callback=interrupt, prior=None), "interrupted")

    def test_control_c_while_minuit_runs(self) -> None:
        class Interrupted(Migrad):
            def certify(self, *args: object) -> Any:
                raise KeyboardInterrupt

        model, tuning = fx.Model((1, 2, 1), backend="numpy", seed=1), CertificationTuning(migrad=Interrupted())
        with Watch():
            self.check(model.fit(*bends(), 0.1, prior=None, tuning=Tuning(certification=tuning)), "interrupted")

    def test_callback_that_raises_leaves_the_model_as_it_was(self) -> None:
        def fail(state: fx.FitState) -> None:
            raise ZeroDivisionError("mine")

        model = fx.Model((1, 2, 1), backend="numpy", seed=1)
        before = np.array(model.parameters)
        with pytest.raises(ZeroDivisionError, match="mine"):
            model.fit(*bends(), 0.1, callback=fail, prior=None)
        np.testing.assert_array_equal(model.parameters, before)


def test_progress_line_goes_to_the_terminal_only() -> None:
    pytest.importorskip("tqdm")
    with redirect_stderr(io.StringIO()) as stream:
        fx.Model((1, 2, 1), backend="numpy", seed=1).fit(*bends(), 0.1, prior=None)
    assert stream.getvalue() == ""


def test_beyond_matrices_products_have_to_do() -> None:
    model = fx.Model((1, 2, 1), backend="numpy", seed=3)
    fit = model.fit(*bends(), 0.1, prior=3.0, tuning=Tuning(matrix_limit=5))
    assert fit.valid
    assert "matrices of 7 x 7 are not formed" in fit.message
    assert fit.chi2 / fit.ndof < 1.3


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"loss": "least_square"}, "did you mean 'least_squares'"),
        ({"minimizer": "migrat"}, "did you mean 'migrad'"),
        ({"restarts": 0}, "`restarts` must be"),
        ({"restarts": "many"}, "`restarts` must be"),
        ({"prior": 0.0}, "`prior` must be a positive width"),
        ({"prior": -1.0}, "`prior` must be a positive width"),
        ({"prior": float("nan")}, "`prior` must be a positive width"),
        ({"max_seconds": 0}, "`max_seconds` must be positive"),
    ],
)
def test_options_are_checked(options: dict[str, object], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        fx.Model((1, 2, 1), backend="numpy").fit(*bends(), 0.1, **options)  # type: ignore[arg-type]


def test_more_parameters_than_values_cannot_give_errors() -> None:
    with pytest.raises(ValueError, match="cannot be estimated from 5 values with 31 parameters"):
        fx.Model((1, 10, 1), backend="numpy").fit(np.arange(5.0), np.arange(5.0), prior=None)


def test_extreme_data_end_in_words() -> None:
    x = np.linspace(0, 1, 20)
    for y, y_err in ((x * 1e300, 1e-300), (np.zeros(20), 1.0), (np.full(20, 3.0), 1.0)):
        model = fx.Model((1, 2, 1), backend="numpy", seed=1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", fx.FitWarning)  # zeros and constants are no data that a network describes
            try:
                fit = model.fit(x, y, y_err, prior=None)
            except ValueError as error:
                assert "cannot be standardised" in str(error)  # noqa: PT017
            else:
                assert np.all(np.isfinite(fit.parameters))


def test_perfect_data() -> None:
    x = np.linspace(-1, 1, 50)
    fit = fx.Model((1, 1), backend="numpy", seed=1).fit(x, 3 * x + 1, prior=None)
    np.testing.assert_allclose(fit.parameters, [3.0, 1.0], atol=1e-6)


def test_search_keeps_the_best_of_its_starts() -> None:
    x, y = bends()
    fit = fx.Model((1, 2, 1), backend="numpy", seed=3).fit(x, y, restarts=6, prior=None)
    assert len(fit.restarts) == 6
    assert isinstance(fit.restarts[0].fval, float)
    best = min(fit.restarts, key=lambda row: row.fval)
    assert best.status.startswith("minimum")
    assert SearchResult().value == np.inf


class TestHonesty:
    """Numbers that look right and are not: each of these was once called valid."""

    @pytest.mark.slow
    def test_errors_far_too_small(self) -> None:
        """chi2 of 1e11: MIGRAD's own arithmetic gives up, and what it hands back is no certificate."""
        x = np.arange(1990, 2021.0)
        fit = fx.Model((1, 6, 1), backend="numpy", seed=1).fit(
            x, 3 + 0.1 * (x - 2005) + np.sin((x - 1990) / 3), 1e-9, prior=None
        )
        assert not fit.valid or fit.edm < 2e-3

    @pytest.mark.slow
    @pytest.mark.parametrize(("offset", "width"), [(59000, 5), (2005, 15), (1.7e9, 86400)])
    def test_inputs_far_from_zero(self, offset: float, width: float) -> None:
        rng = np.random.default_rng(3)
        u = np.linspace(-1, 1, 60)
        y = np.sin(2 * u) + 0.1 * rng.normal(size=60)
        near = fx.Model((1, 3, 1), backend="numpy", seed=1).fit(u, y, 0.1, prior=3.0)
        model = fx.Model((1, 3, 1), backend="numpy", seed=1)
        far = model.fit(offset + width * u, y, 0.1, prior=3.0)
        assert far.valid
        assert far.edm < 2e-4
        assert far.fval == pytest.approx(near.fval, rel=1e-6)
        assert np.all(np.isfinite(model.predict(offset + width * u, return_std=True)[1]))

    @pytest.mark.slow
    @pytest.mark.parametrize("sigma", [1e-3, 1e-4, 1e-5])
    def test_precise_data_of_unknown_errors(self, sigma: float) -> None:
        """One round of estimation stops at 1e-3: the minimization of the first round knows only errors of order 1."""
        rng = np.random.default_rng(4)
        x = np.linspace(-2, 2, 200)
        y = np.tanh(2 * x - 0.5) - 0.7 * np.tanh(1.2 * x + 1) + 0.5 * np.tanh(3 * x + 2) + sigma * rng.normal(size=200)
        fit = fx.Model((1, 3, 1), backend="numpy", seed=3).fit(x, y, prior=None)
        assert fit.valid
        assert fit.y_error == pytest.approx([sigma], rel=0.1)
        assert fit.chi2 == pytest.approx(fit.ndof, rel=1e-3)

    @pytest.mark.slow
    def test_effective_parameters_never_exceed_the_values(self) -> None:
        rng = np.random.default_rng(5)
        fit = fx.Model((1, 20, 1), backend="numpy", seed=1).fit(
            np.linspace(0, 1, 20), rng.normal(size=20), 0.1, prior=None
        )
        assert fit.n_effective <= 20
        assert fit.ndof > 0 or not fit.valid or "chi2 says nothing" in fit.message

    def test_overfitting_is_said(self) -> None:
        rng = np.random.default_rng(6)
        x = rng.normal(size=(400, 20))
        fit = fx.Model((20, 6, 1), backend="numpy", seed=1).fit(
            x, x[:, 0] + 0.1 * rng.normal(size=400), 0.5, prior=None
        )
        assert "overfits" in fit.message

    @pytest.mark.slow
    def test_only_ratios_of_weights_matter_where_errors_are_unknown(self) -> None:
        x, y = bends()
        w = np.random.default_rng(1).uniform(0.5, 2, 150)
        models = [fx.Model((1, 2, 1), backend="numpy", seed=3) for _ in range(5)]
        factors = (1.0, 1 / 64, 64.0, 0.01, 100.0)  # the powers of two leave every bit of the ratios as it is
        fits = [model.fit(x, y, weights=c * w, prior=None) for model, c in zip(models, factors, strict=True)]
        bands = [model.predict(x, return_std=True) for model in models]
        for fit, (mean, std) in zip(fits, bands, strict=True):
            assert fit.y_error == pytest.approx(fits[0].y_error, rel=1e-3)
            assert fit.fval == pytest.approx(fits[0].fval, rel=1e-3)
            np.testing.assert_allclose(mean, bands[0][0], atol=1e-3)
            np.testing.assert_allclose(std, bands[0][1], rtol=0.02)
        for fit in fits[:3]:
            np.testing.assert_allclose(fit.errors, fits[0].errors, rtol=0.02)

    @pytest.mark.slow
    def test_weights_are_inverse_variances(self) -> None:
        x, y = bends()
        w = np.random.default_rng(1).uniform(0.5, 2, 150)
        weighted = fx.Model((1, 2, 1), backend="numpy", seed=3).fit(x, y, 0.1, weights=w, prior=None)
        plain = fx.Model((1, 2, 1), backend="numpy", seed=3).fit(x, y, 0.1 / np.sqrt(w), prior=None)
        assert weighted.fval == pytest.approx(plain.fval, rel=1e-9)
        np.testing.assert_allclose(weighted.errors, plain.errors, rtol=1e-3)
        assert np.isnan(weighted.p_value)

    def test_a_network_that_is_off_everywhere(self) -> None:
        x = np.linspace(0, 1, 30)
        fit = fx.Model((1, 6, 1), output="relu", backend="numpy", seed=1).fit(x, -1 - x, 0.05, restarts=2, prior=None)
        assert not fit.valid
        assert "No parameter has any influence" in fit.message
        assert fit.covariance is None

    def test_what_is_not_valid_is_warned_of(self) -> None:
        with pytest.warns(fx.FitWarning, match="the fit is not valid"):
            fx.Model((1, 2, 1), backend="numpy", seed=1).fit(*bends(), 0.1, max_seconds=1e-9, prior=None)

    @pytest.mark.slow
    def test_a_refused_fit_leaves_the_widths_open(self) -> None:
        model = fx.Model(backend="numpy")
        with pytest.raises(ValueError, match="cannot be estimated"):
            model.fit(np.ones((5, 3)), np.arange(5.0), prior=None)
        assert model.layers == (None, 10, None)
        model.fit(*bends(), 0.1, prior=3.0)
        assert model.layers == (1, 10, 1)

    def test_another_seed_tries_other_starts(self) -> None:
        x, y = bends()
        model = fx.Model((1, 3, 1), backend="numpy", seed=3)
        first, second = (model.fit(x, y, restarts=4, seed=seed, prior=None) for seed in (1, 2))
        values = {round(row.fval, 6) for row in first.restarts}
        assert any(round(row.fval, 6) not in values for row in second.restarts[1:])


def test_hesse_is_an_independent_witness() -> None:
    """MINUIT's own inverse of the exact Hessian gives our errors; where it does not, the difference says so."""
    x, y = bends()
    fit = fx.Model((1, 2, 1), backend="numpy", seed=3).fit(x, y, 0.1, prior=3.0)
    assert fit.valid
    assert fit.hesse_difference < 1e-8
    assert "HESSE's errors agree" in repr(fit)
    assert fit.edm_newton == pytest.approx(fit.edm, rel=0.1, abs=1e-12)


@pytest.mark.slow
def test_no_witness_where_directions_are_open() -> None:
    x, y = bends()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.FitWarning)
        fit = fx.Model((1, 12, 1), backend="numpy", seed=3).fit(x, y, 0.1, restarts=1, prior=None)
    assert fit.n_null > 0 or not fit.valid
    assert np.isnan(fit.hesse_difference)
    assert "HESSE" not in repr(fit)


@pytest.mark.slow
def test_the_local_search_goes_on_where_migrad_finds_a_way_down() -> None:
    """The local search takes it for weakly determined, MIGRAD goes down it, and S falls further from there."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, 2000)
    rng.uniform(-0.9, 0.9, 50)
    for _ in range(86):
        y = np.sin(3 * x) + 0.1 * rng.normal(size=2000)
    fit = fx.Model((1, 10, 1), seed=85).fit(x, y, 0.1, prior=3.0)
    assert fit.valid
    assert fit.edm < 1e-3
