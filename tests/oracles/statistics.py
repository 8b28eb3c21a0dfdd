"""S of a `RandomFit` with its exact derivatives, by textbook formulas in Taylor arithmetic."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import scipy

import ffnn_xp as fx

from . import taylor
from .random_fits import RandomFit
from .taylor import Taylor


def numbers(a: Any) -> np.ndarray:
    return np.asarray(a, dtype=float)


def statistic(call: RandomFit, model: fx.Model, fit: fx.FitResult) -> tuple[Taylor, np.ndarray]:
    """S of the standardised parameters, prior included, and the outputs of all events ``(n, k)`` in raw units."""
    o, s = call.options, fit.scaling
    widths, names = fit.layout.widths, tuple(a.name for a in model.activations)
    bins = call.x if isinstance(call.x, fx.Bins) else None
    x = (numbers(call.x) if bins is None else bins.x).reshape(-1, widths[0])
    n = len(x) if bins is None else len(bins)
    theta = Taylor.variables(fit.standardised)

    def outputs(x: np.ndarray) -> tuple[Taylor, Taylor, Taylor]:
        standard = taylor.network(theta, widths, names, (x - s.x_mean) / s.x_scale)
        z = standard * s.y_scale + s.y_mean
        return standard, z, z if names[-1] == "softmax" else taylor.ACTIVATIONS[names[-1]](z)

    standard, z, u = outputs(x)
    predicted = u.value if names[-1] != "softmax" else scipy.special.softmax(z.value, axis=1)
    if bins is not None:
        _, w = np.polynomial.legendre.leggauss(4)
        half = np.diff(bins.edges[0]) / 2
        u = (u.reshape(n, 4) * (half[:, None] * w)).sum(1).reshape(n, 1)
    k = u.value.shape[1] // (2 if o.get("loss") == "normal" else 1)
    use = np.ones(n, dtype=bool) if o.get("mask") is None else np.asarray(o["mask"])
    weights = np.ones(n) if o.get("weights") is None else numbers(o["weights"])
    use = use & (weights != 0)

    def each(a: Any) -> np.ndarray:
        a = numbers(a)
        return np.broadcast_to(a[:, None] if a.shape == (n,) and a.shape != (k,) else a, (n, k))

    def residual(y: np.ndarray) -> Taylor:
        """Predictions minus y; without the offset, which costs digits, where both are standardised."""
        if names[-1] != "identity" or bins is not None:
            return u - y
        return (standard - (y - s.y_mean) / s.y_scale) * s.y_scale

    y = numbers(call.y)
    if call.options.get("loss") == "multinomial":
        counts = (y.reshape(n)[:, None] == np.arange(k)).astype(float) if y.ndim == 1 else y
        top = z.value.max(axis=1, keepdims=True)
        norm = ((z - top).of(taylor.exp)).sum(1).of(taylor.log).reshape(n, 1) + top
        total = counts.sum(axis=1, keepdims=True)
        terms = ((norm - z) * counts + xlogy(counts, counts / total)) * 2.0
    elif call.options.get("loss") == "binomial":
        N = each(o.get("trials", 1))
        y = y.reshape(n, k)
        constant = xlogy(y, y / N) + xlogy(N - y, (N - y) / N)
        terms = (taylor.softplus(-z) * y + taylor.softplus(z) * (N - y) + constant) * 2.0
    elif call.options.get("loss") == "poisson":
        expected, y = u * each(o.get("exposure", 1)), y.reshape(n, k)
        log = (z + np.log(each(o.get("exposure", 1)))) if names[-1] == "exp" and bins is None else None
        log = expected.of(taylor.log) if log is None else log
        terms = (expected - log * y + (xlogy(y, y) - y)) * 2.0
        if log.value is not None and np.any(y == 0):
            zero = (y == 0)[..., None]
            plain = expected * 2.0
            terms = Taylor(
                np.where(y == 0, plain.value, terms.value),
                np.where(zero, plain.first, terms.first),
                np.where(zero[..., None], plain.second, terms.second),
            )
    elif call.options.get("loss") == "normal":
        y = y.reshape(n, k)
        log_width = u[:, k:]
        pull = (u[:, :k] - y) * (-log_width).of(taylor.exp)
        terms = pull * pull + log_width * 2.0
    elif o.get("y_cov") is not None:
        y, V = y.reshape(n, k), numbers(o["y_cov"])
        if V.ndim == 3:
            C = np.linalg.inv(np.linalg.cholesky(V))
            pull = (residual(y).reshape(n, 1, k) * C).sum(2)
            terms = pull * pull
        else:
            at = np.flatnonzero(np.repeat(use, k))
            C = np.linalg.inv(np.linalg.cholesky(V[np.ix_(at, at)]))
            pull = ((residual(y).reshape(n * k)[at]).reshape(1, len(at)) * C).sum(1)
            terms, use, weights = (pull * pull).reshape(len(at), 1), np.ones(len(at), bool), np.ones(len(at))
    else:
        y = y.reshape(n, k)
        error = each(fit.y_error if o.get("y_err") is None else o["y_err"])
        if o.get("y_err") is None and o.get("weights") is not None:
            weights = weights / np.mean(weights[use])
        if o.get("x_err") is not None and np.any(numbers(o["x_err"]) > 0):
            slopes = []
            for j in range(widths[0]):
                sigma = np.broadcast_to(numbers(o["x_err"]), (n, widths[0]))[:, j]
                step = 1e-4 * sigma[:, None] * np.eye(widths[0])[j]
                slopes.append((outputs(x + step)[-1] - outputs(x - step)[-1]) * 0.5e4)
            unit = 1 / np.sqrt(error**2 + sum(slope.value**2 for slope in slopes))  # so that no square overflows
            V, pull = 0 * u + (error * unit) ** 2, residual(y) * unit
            for slope in slopes:
                V = V + slope * unit * slope * unit
            terms = pull * pull * V.of(taylor.inverse)
        else:
            pull = residual(y) * (1 / error)
            loss = fit.statistic
            square = pull * pull
            if loss.name == "soft_l1":
                terms = ((square + 1.0).of(taylor.root) - 1.0) * 2.0
            elif loss.name == "huber":
                terms = pull.of(taylor.huber)
            elif loss.name == "student_t":
                terms = pull.of(partial(taylor.student_t, nu=loss.nu))
            else:
                terms = square
    terms = terms.sum(1)
    S = (terms[use] * weights[use]).sum()
    if fit.problem.prior is not None:
        precision = fit.problem.prior.precision
        if not isinstance(o["prior"], str):
            precision = prior_precision(widths, float(o["prior"]), (o.get("loss"), names[-1]))
        S = S + (theta * theta * precision).sum()
    return S, predicted


HELD = {("poisson", "exp"), ("binomial", "logistic"), ("multinomial", "softmax")}
"""Statistics and outputs whose arguments, logarithms of rates and logits, may go to infinity."""


def prior_precision(widths: tuple[int, ...], tau: float, statistic: tuple[object, str]) -> np.ndarray:
    """A width tau of each unit's input, shared by its weights; output biases have a width of 10 or are free."""
    parts = []
    for l, (below, h) in enumerate(pairwise(widths)):
        bias = 1 / tau**2 if l < len(widths) - 2 else 0.01 if statistic in HELD else 0.0
        parts += [np.append(np.full(below, below / tau**2), bias)] * h
    return np.concatenate(parts)


def xlogy(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.where(a > 0, a * np.log(np.where(a > 0, b, 1.0)), 0.0)
