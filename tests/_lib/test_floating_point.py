"""Whatever `numpy.seterr` a program has set, the library computes the same."""

from __future__ import annotations

import inspect
import pickle
from functools import cached_property
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp._lib.floating_point import quiet

X = np.random.default_rng(0).normal(size=40)
FAR = np.array([-1e5, 0.0, 1e5])


@quiet
class Every:
    """A class with a member of each kind."""

    constant = 3.0

    def __init__(self) -> None:
        self.made = float(np.float64(1e200) ** 2)

    def __call__(self) -> float:
        return float(np.float64(1e200) ** 2)

    def __repr__(self) -> str:
        return str(np.float64(1e200) ** 2)

    def method(self, power: int = 2) -> float:
        """Compute a power that underflows."""
        return float(np.float64(1e-200) ** power)

    @property
    def own(self) -> float:
        return float(np.float64(1e200) ** 2)

    @own.setter
    def own(self, value: float) -> None:
        self.kept = float(np.float64(value) ** 2)

    @cached_property
    def once(self) -> float:
        return float(np.float64(1e200) ** 2)

    @classmethod
    def of_class(cls) -> float:
        return float(np.float64(1e200) ** 2)

    @staticmethod
    def of_none() -> float:
        return float(np.float64(0) / np.float64(0))


def test_members_of_every_kind() -> None:
    with np.errstate(all="raise"):
        one = Every()
        assert one.method(3) == 0.0
        assert repr(Every()) == "inf"
        assert np.isinf([one.made, one(), one.own, one.once, one.of_class()]).all()
        assert np.isnan(one.of_none())
        one.own = 1e200
        assert one.kept == np.inf
        assert np.geterr()["over"] == "raise"
    assert "once" in vars(one)
    assert Every.constant == 3.0
    assert Every.method.__doc__ == "Compute a power that underflows."
    assert str(inspect.signature(Every.method)) == "(self, power: 'int' = 2) -> 'float'"


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["tanh", "logistic", "softplus", "gelu", "exp"])
@pytest.mark.parametrize(
    ("loss", "output", "y"),
    [
        ("least_squares", "identity", np.tanh(X)),
        ("huber", "identity", np.tanh(X)),
        ("poisson", "exp", np.arange(40) % 4),
        ("binomial", "logistic", np.arange(40) % 2),
        ("multinomial", "softmax", np.arange(40) % 3),
    ],
)
def test_a_program_that_raises_floating_point_errors(activation: str, loss: str, output: str, y: Any) -> None:
    """The same numbers as without, from fit to bands, at inputs where exponentials overflow and underflow."""
    model = fx.Model((1, 2, 3 if output == "softmax" else 1), activation=activation, output=output, seed=1)

    def everything() -> list[Any]:
        found: list[Any] = [model(FAR), model.predict(FAR), model.canonical]
        fit = model.fit(X, y, 0.1 if loss == "least_squares" else None, loss=loss, prior=2.0, restarts=1, seed=1)
        found += [model(FAR), fit.covariance, fit.minuit.values, fit.log_evidence, repr(fit.report())]
        if not fit.valid:
            return found
        found += [*model.predict(FAR, return_std=True), fit.prior_share(FAR), fit.goodness(2, seed=1).pulls]
        band = fit.band(FAR)
        found += [band.low, band.high, repr(band)]
        if loss == "least_squares":
            found += [*model.interval(FAR), model.log_density(FAR, FAR), fit.coverage(number=3, seed=1).pointwise]
            found += [fx.LeastSquares(X, y, 0.1, model).pulls(fit.parameters)]
        if output in ("logistic", "softmax"):
            found += [model.classification(X, y).z]
        return found

    state = pickle.dumps(model)
    want = everything()
    model = pickle.loads(state)
    with np.errstate(all="raise"):
        for ours, theirs in zip(everything(), want, strict=True):
            np.testing.assert_array_equal(ours, theirs)
