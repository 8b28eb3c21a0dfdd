"""Each statistic against implementations that are not ours: iminuit, SciPy, scikit-learn, statsmodels.

First S at random parameters, and its gradient against differences of the oracle; then
networks without hidden layers against generalised linear models: parameters, errors, covariance. Largest relative
differences.

    python benchmarks/statistics_and_oracles.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import iminuit.cost
import numpy as np
import scipy.stats
import sklearn.metrics
import statsmodels.api as sm
from header import header

import ffnn_xp as fx
from ffnn_xp.objective import DataCost

N = 400
RNG = np.random.default_rng(1)
X = RNG.normal(size=(N, 2))
ETA = 0.5 * X[:, 0] - 0.3 * X[:, 1]
ERROR = RNG.uniform(0.1, 0.3, N)
VALUES = ETA + ERROR * RNG.normal(size=N)
EXPOSURE = RNG.uniform(1, 20, N)
COUNTS = RNG.poisson(EXPOSURE * np.exp(ETA))
TRIALS = RNG.integers(1, 30, N)
PART = RNG.binomial(TRIALS, 1 / (1 + np.exp(-ETA)))
LABELS = RNG.integers(0, 3, N)
X_ERROR = RNG.uniform(0.1, 0.3, (N, 2))


def by_iminuit(loss: str) -> Callable[[np.ndarray], float]:
    """Chi-square of predictions."""
    return lambda y: float(iminuit.cost.LeastSquares(np.arange(N), VALUES, ERROR, lambda _, a: y, loss=loss)(0.0))


def by_density(law: Any, data: np.ndarray, *first: Any, saturated: tuple[Any, ...]) -> Callable[..., float]:
    """-2 log of the likelihood over that of a perfect fit."""
    return lambda *p: float(-2 * np.sum(law(data, *first, *p) - law(data, *first, *saturated)))


def values() -> list[tuple[str, str, DataCost, Callable[[np.ndarray], float], int, str]]:
    """Name, oracle, cost, what the oracle says of predictions, outputs, output nonlinearity."""
    one = np.eye(3)[LABELS]
    counts = by_density(scipy.stats.poisson.logpmf, COUNTS, saturated=(COUNTS,))
    part = by_density(scipy.stats.binom.logpmf, PART, TRIALS, saturated=(PART / TRIALS,))

    def model(k: int = 1, output: str = "identity") -> fx.Model:
        return fx.Model((2, 5, k), output=output, seed=1)

    return [
        ("least squares", "iminuit", fx.LeastSquares(X, VALUES, ERROR, model()), by_iminuit("linear"), 1, "identity"),
        (
            "soft_l1",
            "iminuit",
            fx.LeastSquares(X, VALUES, ERROR, model(), loss="soft_l1"),
            by_iminuit("soft_l1"),
            1,
            "identity",
        ),
        (
            "huber",
            "SciPy",
            fx.LeastSquares(X, VALUES, ERROR, model(), loss="huber"),
            lambda y: float(2 * np.sum(scipy.special.huber(1.345, (y - VALUES) / ERROR))),
            1,
            "identity",
        ),
        (
            "student_t",
            "SciPy",
            fx.LeastSquares(X, VALUES, ERROR, model(), loss="student_t"),
            lambda y: float(-2 * np.sum(scipy.stats.t.logpdf((y - VALUES) / ERROR, 4) - scipy.stats.t.logpdf(0.0, 4))),
            1,
            "identity",
        ),
        (
            "normal",
            "SciPy",
            fx.Normal(X, VALUES, model(2)),
            lambda y: float(np.sum(-2 * scipy.stats.norm.logpdf(VALUES, y[:, 0], np.exp(y[:, 1])) - np.log(2 * np.pi))),
            2,
            "identity",
        ),
        (
            "poisson",
            "iminuit",
            fx.Poisson(X, COUNTS, model(1, "exp"), exposure=EXPOSURE),
            lambda y: float(iminuit.cost.poisson_chi2(COUNTS, EXPOSURE * y)),
            1,
            "exp",
        ),
        (
            "poisson",
            "SciPy",
            fx.Poisson(X, COUNTS, model(1, "exp"), exposure=EXPOSURE),
            lambda y: counts(EXPOSURE * y),
            1,
            "exp",
        ),
        ("binomial", "SciPy", fx.Binomial(X, PART, model(1, "logistic"), trials=TRIALS), part, 1, "logistic"),
        (
            "multinomial",
            "scikit-learn",
            fx.Multinomial(X, LABELS, model(3, "softmax")),
            lambda p: float(2 * sklearn.metrics.log_loss(one, p, normalize=False)),
            3,
            "softmax",
        ),
    ]


def effective_variance(t: np.ndarray) -> float:
    """Chi-square with the slopes of a network of five tanh units in closed form."""
    A, b = t[:15].reshape(5, 3), t[15:]
    hidden = np.tanh(X @ A[:, :2].T + A[:, 2])
    slopes = ((1 - hidden**2) * b[:5]) @ A[:, :2]
    variance = ERROR**2 + np.sum((slopes * X_ERROR) ** 2, axis=1)
    return float(np.sum((hidden @ b[:5] + b[5] - VALUES) ** 2 / variance))


def compared(name: str, oracle: str, cost: DataCost, there: Callable[[np.ndarray], float]) -> str:
    """A row: how far S and its gradient are from the oracle's."""
    theta = cost.start
    value = abs(cost(theta) / there(theta) - 1)
    steps = np.eye(len(theta)) * 6e-6
    slopes = np.array([(there(theta + h) - there(theta - h)) / 1.2e-5 for h in steps])
    g = cost.grad(theta)
    return f"| {name} | {oracle} | {value:.1e} | {np.max(np.abs(g - slopes)) / np.max(np.abs(g)):.1e} |"


def linear() -> list[tuple[str, fx.FitResult, Any]]:
    """Fits of networks without hidden layers, and statsmodels' of the same data."""
    A = np.column_stack([X, np.ones(N)])
    scale = {"cov_type": "fixed scale", "cov_kwds": {"scale": 1.0}}
    poisson, binomial = sm.families.Poisson(), sm.families.Binomial()
    exact = {"tol": 1e-14}
    return [
        (
            "Gaussian",
            fx.Model((2, 1), seed=1).fit(X, VALUES, ERROR),
            sm.WLS(VALUES, A, weights=1 / ERROR**2).fit(**scale),
        ),
        (
            "Gaussian, sandwich (HC0)",
            fx.Model((2, 1), seed=1).fit(X, VALUES, ERROR, covariance="sandwich"),
            sm.WLS(VALUES, A, weights=1 / ERROR**2).fit(cov_type="HC0"),
        ),
        (
            "Poisson",
            fx.Model((2, 1), output="exp", seed=1).fit(X, COUNTS, loss="poisson", exposure=EXPOSURE),
            sm.GLM(COUNTS, A, family=poisson, exposure=EXPOSURE).fit(**exact),
        ),
        (
            "Poisson, sandwich (HC0)",
            fx.Model((2, 1), output="exp", seed=1).fit(
                X, COUNTS, loss="poisson", exposure=EXPOSURE, covariance="sandwich"
            ),
            sm.GLM(COUNTS, A, family=poisson, exposure=EXPOSURE).fit(cov_type="HC0", **exact),
        ),
        (
            "binomial",
            fx.Model((2, 1), output="logistic", seed=1).fit(X, PART, loss="binomial", trials=TRIALS),
            sm.GLM(np.column_stack([PART, TRIALS - PART]), A, family=binomial).fit(**exact),
        ),
    ]


def main() -> None:
    """Print both tables."""
    print(f"# Statistics against oracles, {N} events\n\n{header()}\n")
    print("| statistic | oracle | value | gradient, central differences of the oracle |")
    print("| --- | --- | --- | --- |")
    for name, oracle, cost, says, k, output in values():
        model = fx.Model((2, 5, k), output=output, seed=1)

        def there(t: np.ndarray, says: Any = says, model: fx.Model = model) -> float:
            return float(says(np.asarray(model(X, t))))

        print(compared(name, oracle, cost, there))
    uncertain = fx.LeastSquares(X, VALUES, ERROR, fx.Model((2, 5, 1), seed=1), xerror=X_ERROR)
    print(compared("least squares, errors in x", "NumPy by hand", uncertain, effective_variance))
    print("\n| network without hidden layers, against statsmodels | parameters | errors | covariance |")
    print("| --- | --- | --- | --- |")
    for name, fit, oracle in linear():
        assert fit.covariance is not None
        V = oracle.cov_params()
        print(
            f"| {name} | {np.max(np.abs(fit.parameters / oracle.params - 1)):.1e} "
            f"| {np.max(np.abs(fit.errors / oracle.bse - 1)):.1e} "
            f"| {np.max(np.abs(fit.covariance - V)) / np.max(np.abs(V)):.1e} |"
        )


if __name__ == "__main__":
    main()
