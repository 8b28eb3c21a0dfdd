"""Calls of `Model.fit` of each kind, for tests that compare events in parts with the same events in memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import ffnn_xp as fx


class Case(NamedTuple):
    """A network, the arrays of a fit, and its other options."""

    layers: tuple[int, ...]
    arrays: dict[str, Any]
    options: dict[str, Any]
    output: str = "identity"

    def fit(self, backend: Any = "numpy", **arrays: Any) -> fx.FitResult:
        """Fit these arrays, or others in their place, from one start."""
        model = fx.Model(self.layers, output=self.output, seed=1, backend=backend)
        return model.fit(**{**self.arrays, **arrays}, **{"prior": 3.0, "restarts": 1, **self.options})


def cases() -> dict[str, Case]:
    rng = np.random.default_rng(4)
    n = 300
    x = rng.normal(size=(n, 2))
    mean = np.tanh(x[:, 0] - x[:, 1]) + 0.5 * np.tanh(2 * x[:, 1] + 0.4)
    y = mean + 0.1 * rng.normal(size=n)
    two = np.stack([y, x[:, 0] + 0.2 * rng.normal(size=n)], axis=1)
    trials = rng.integers(1, 9, size=n)
    time = rng.uniform(1, 3, size=n)
    labels = (x @ rng.normal(size=(2, 3)) + rng.gumbel(size=(n, 3))).argmax(axis=1)
    weights = rng.uniform(0.5, 2, size=n)
    net, of_two = (2, 2, 1), (2, 2, 2)
    return {
        "errors known": Case(net, {"x": x, "y": y, "y_err": 0.1}, {}),
        "errors of each": Case(of_two, {"x": x, "y": two, "y_err": rng.uniform(0.1, 0.2, size=(n, 2))}, {}),
        "errors of each output": Case(of_two, {"x": x, "y": two, "y_err": [0.1, 0.2]}, {}),
        "errors unknown": Case(of_two, {"x": x, "y": two}, {}),
        "one input": Case((1, 1, 1), {"x": x[:, 0], "y": (y + x[:, 1])[:, None]}, {}),
        "no prior": Case(net, {"x": x, "y": y, "y_err": 0.1}, {"prior": None}),
        "prior chosen": Case(net, {"x": x, "y": y, "y_err": 0.1}, {"prior": "auto"}),
        "weights": Case(net, {"x": x, "y": y, "weights": weights}, {}),
        "signed weights": Case(
            net, {"x": x, "y": y, "y_err": 0.1, "weights": weights - 0.6}, {"covariance": "sandwich"}
        ),
        "mask": Case(net, {"x": x, "y": y, "y_err": 0.1, "mask": x[:, 0] > -0.5}, {}),
        "errors of x": Case(net, {"x": x, "y": y, "y_err": 0.1, "x_err": np.array([0.05, 0.0])}, {}),
        "robust": Case(net, {"x": x, "y": y, "y_err": 0.1}, {"loss": "soft_l1"}),
        "width": Case(of_two, {"x": x, "y": y}, {"loss": "normal", "prior": 0.5}),
        "counts": Case(
            net, {"x": x, "y": rng.poisson(3 * np.exp(mean) * time), "exposure": time}, {"loss": "poisson"}, "exp"
        ),
        "successes": Case(
            net,
            {"x": x, "y": rng.binomial(trials, 1 / (1 + np.exp(-mean))), "trials": trials},
            {"loss": "binomial"},
            "logistic",
        ),
        "classes": Case((2, 2, 3), {"x": x, "y": labels}, {"loss": "multinomial"}, "softmax"),
        "starts that compete": Case(net, {"x": x, "y": y, "y_err": 0.1}, {"restarts": 10}),
        "a large network": Case((2, 30, 1), {"x": x, "y": y, "y_err": 0.1}, {"prior": 0.5, "restarts": 2}),
    }


CASES = cases()


def is_same(found: fx.FitResult, expected: fx.FitResult) -> bool:
    """Tell whether two fits end in the same minimum, with the same errors, apart from rounding."""
    assert found.valid == expected.valid
    assert found.n_data == expected.n_data
    np.testing.assert_allclose(found.fval, expected.fval, rtol=1e-10, atol=1e-6)  # EDM is as small
    np.testing.assert_allclose(found.chi2, expected.chi2, rtol=1e-7)
    np.testing.assert_allclose(found.errors, expected.errors, rtol=1e-4)
    np.testing.assert_allclose(found.parameters, expected.parameters, rtol=0, atol=1e-3 * np.min(expected.errors))
    if expected.y_error is not None:
        np.testing.assert_allclose(found.y_error, expected.y_error, rtol=1e-7)
    return True
