"""Derivatives of a `Case` by automatic differentiation of PyTorch's and JAX's own nonlinearities."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pytest

from .loops import Case


def _derived(case: Case, value: Any, gradient: Any, hessian: Any, J: np.ndarray) -> dict[str, np.ndarray]:
    """J is ``(n, k, p)``."""
    H = np.asarray(hessian, dtype=float)
    G = np.einsum("nki,nk,nkj->ij", J, case.second, J)
    return {
        "value": np.asarray(value, dtype=float),
        "gradient": np.asarray(gradient, dtype=float),
        "hessian": H,
        "gauss_newton": G,
        "hessian_product": H @ case.direction,
        "gauss_newton_product": G @ case.direction,
        "jacobian": np.moveaxis(J, 0, 1),
    }


@cache
def torch_derivatives(case: Case) -> dict[str, np.ndarray]:
    """By PyTorch's automatic differentiation."""
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    functions = {
        "identity": lambda z: z,
        "relu": torch.relu,
        "leaky_relu": F.leaky_relu,
        "tanh": torch.tanh,
        "logistic": torch.sigmoid,
        "softplus": lambda z: torch.logaddexp(z, torch.zeros_like(z)),
        "silu": F.silu,
        "gelu": F.gelu,
        "elu": F.elu,
        "sine": torch.sin,
        "exp": torch.exp,
    }
    x, t, error, theta = (torch.from_numpy(a) for a in (case.x, case.y, case.error, case.theta))
    weights = torch.ones(case.n, dtype=torch.float64) if case.weights is None else torch.from_numpy(case.weights)

    def outputs(theta: Any) -> Any:
        a, at = x, 0
        for below, h, name in zip(case.widths, case.widths[1:], case.names, strict=False):
            W, b = theta[at : at + h * (below + 1)].reshape(h, below + 1).split([below, 1], dim=1)
            a, at = functions[name](a @ W.T + b[:, 0]), at + h * (below + 1)
        return a

    def statistic(theta: Any) -> Any:
        return (weights[:, None] * ((outputs(theta) - t) / error) ** 2).sum()

    tools = torch.autograd.functional
    gradient = tools.jacobian(statistic, theta)
    return _derived(
        case, statistic(theta), gradient, tools.hessian(statistic, theta), tools.jacobian(outputs, theta).numpy()
    )


@cache
def jax_derivatives(case: Case) -> dict[str, np.ndarray]:
    """By JAX's automatic differentiation."""
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jnp, nn = jax.numpy, jax.nn
    functions = {
        "identity": lambda z: z,
        "relu": nn.relu,
        "leaky_relu": lambda z: nn.leaky_relu(z, 0.01),
        "tanh": jnp.tanh,
        "logistic": nn.sigmoid,
        "softplus": nn.softplus,
        "silu": nn.silu,
        "gelu": lambda z: nn.gelu(z, approximate=False),
        "elu": nn.elu,
        "sine": jnp.sin,
        "exp": jnp.exp,
    }

    weights = np.ones(case.n) if case.weights is None else case.weights

    def outputs(theta: Any) -> Any:
        a, at = jnp.asarray(case.x), 0
        for below, h, name in zip(case.widths, case.widths[1:], case.names, strict=False):
            A = theta[at : at + h * (below + 1)].reshape(h, below + 1)
            a, at = functions[name](a @ A[:, :-1].T + A[:, -1]), at + h * (below + 1)
        return a

    def statistic(theta: Any) -> Any:
        return jnp.sum(weights[:, None] * ((outputs(theta) - case.y) / case.error) ** 2)

    quick = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # it runs once

    @partial(jax.jit, compiler_options=quick)
    def everything(theta: Any) -> Any:
        return statistic(theta), jax.grad(statistic)(theta), jax.hessian(statistic)(theta), jax.jacobian(outputs)(theta)

    value, gradient, H, J = everything(jnp.asarray(case.theta))
    return _derived(case, value, gradient, H, np.asarray(J))


AUTODIFF: dict[str, Callable[[Case], dict[str, np.ndarray]]] = {"torch": torch_derivatives, "jax": jax_derivatives}
