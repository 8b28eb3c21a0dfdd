"""Predictions are part of the derivatives that PyTorch and JAX compute, or say that they are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.network.activations import ACTIVATIONS

X = np.random.default_rng(0).normal(size=(40, 2))
AT = np.random.default_rng(1).normal(size=(5, 2))


def fitted(backend: str) -> tuple[fx.Model, fx.FitResult]:
    model = fx.Model((2, 3, 1), seed=1, backend=backend)
    return model, model.fit(X, np.tanh(X[:, 0]), 0.1, prior=3.0, restarts=1)


@pytest.mark.slow
@pytest.mark.parametrize("output", ["identity", "exp", "softmax"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_pytorch_differentiates_outputs(activation: str, output: str) -> None:
    """In x and in theta, against its own finite differences."""
    torch = pytest.importorskip("torch")
    model = fx.Model((2, 3, 3, 2), activation=activation, output=output, backend="torch", seed=1)
    x, theta = torch.tensor(AT, requires_grad=True), model.parameters.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: model(x), (x,))
    assert torch.autograd.gradcheck(lambda theta: model(x.detach(), theta), (theta,))
    assert not model(AT).requires_grad


@pytest.mark.slow
def test_pytorch_differentiates_the_band() -> None:
    torch = pytest.importorskip("torch")
    model, _ = fitted("torch")
    x = torch.tensor(AT, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: model.predict(x, return_std=True), (x,))
    with torch.no_grad():
        assert not model.predict(x, kind="prediction", return_std=True)[1].requires_grad


@pytest.mark.slow
def test_jax_differentiates_and_compiles() -> None:
    jax = pytest.importorskip("jax")
    model, _ = fitted("jax")
    x, step = jax.numpy.asarray(AT), 1e-6

    def std(x: Any) -> Any:
        return model.predict(x, return_std=True)[1]

    functions: tuple[Callable[[Any], Any], ...] = (model, std)
    for f in functions:
        gradient = jax.grad(lambda x, f=f: f(x).sum())(x)
        for i in np.ndindex(AT.shape):
            change = np.zeros_like(AT)
            change[i] = step
            slope = (f(AT + change).sum() - f(AT - change).sum()) / (2 * step)
            np.testing.assert_allclose(gradient[i], slope, rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(jax.jit(f)(x), f(AT), rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(lambda row: model(row)[0])(x), model(AT), rtol=1e-12)
    of_theta = jax.grad(lambda theta: model(x, theta).sum())(model.parameters)
    np.testing.assert_allclose(of_theta[-1], len(AT), rtol=1e-12)  # the bias of the output


@pytest.mark.slow
@pytest.mark.parametrize("library", ["torch", "jax"])
def test_gradients_that_would_be_lost_are_refused(library: str) -> None:
    library_ = pytest.importorskip(library)
    model, fit = fitted(library)
    other, _ = fitted("numpy")
    asks: list[Callable[[Any], Any]] = [
        lambda x: model.predict(x, return_std=True, kind="prediction")[1],
        lambda x: model.predict(x, return_cov=True)[0],
        lambda x: model.interval(x)[0],
        lambda x: model.log_density(x, AT[:, 0]),
        lambda x: model(x, np.zeros(13)),
        lambda x: fit.band(x).high,
        lambda x: fit.propagate(np.sum, x),
        lambda x: model.fit(x, AT[:, 0], 0.1, prior=None),
        lambda x: model.fit(AT, x[:, 0], 0.1, prior=None),
        lambda x: fx.LeastSquares(x, AT[:, 0], 0.1, model),
        lambda x: other(x),
    ]

    def differentiate(ask: Callable[[Any], Any]) -> None:
        if library == "torch":
            ask(library_.tensor(AT, requires_grad=True))
        else:
            library_.grad(lambda x: ask(x).sum())(library_.numpy.asarray(AT))

    for ask in asks:
        with pytest.raises(TypeError, match="needs a gradient, which is not passed on here"):
            differentiate(ask)
    if library == "torch":
        with library_.no_grad():
            model.interval(library_.tensor(AT, requires_grad=True))
