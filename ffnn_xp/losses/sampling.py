"""New measurements around a prediction, as each statistic says that measurements scatter.

All arrays are on the host, ``(..., k, n)``, predictions in raw units.
"""

from __future__ import annotations

import math
from functools import singledispatch

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.losses import (
    BinomialLoss,
    BlockCorrelatedLoss,
    CorrelatedLoss,
    EffectiveVarianceLoss,
    HuberLoss,
    IntegratedLoss,
    LeastSquaresLoss,
    Loss,
    MultinomialLoss,
    NormalLoss,
    Poisson,
    SoftL1Loss,
    StudentTLoss,
)


@singledispatch
def draw(loss: Loss, rng: np.random.Generator, y: HostArray, auxiliary: HostArray) -> HostArray:
    """New measurements around predictions y.

    Parameters
    ----------
    loss : Loss
        Says how they scatter.
    rng : numpy.random.Generator
        The source of chance.
    y : array with shape (..., k, n)
        Predictions.
    extra : array that broadcasts to them
        Inverse errors, exposures, numbers of trials.

    Raises
    ------
    TypeError
        For a loss that does not say.

    Examples
    --------
    >>> from ffnn_xp.losses import PoissonLoss
    >>> draw(PoissonLoss(), np.random.default_rng(1), np.full((1, 3), 4.0), np.ones((1, 1)))
    array([[5., 3., 5.]])
    """
    raise TypeError(f"of loss {loss.name!r} no toys can be drawn: register a function for it with toys.draw.register")


@draw.register
def _(loss: LeastSquaresLoss, rng: np.random.Generator, y: HostArray, auxiliary: HostArray) -> HostArray:
    return np.asarray(y + rng.normal(size=y.shape) / auxiliary)


@draw.register
def _(loss: SoftL1Loss, rng: np.random.Generator, y: HostArray, auxiliary: HostArray) -> HostArray:
    """From the density exp(-rho / 2), a hyperbolic one: normal with a generalised inverse Gaussian variance.

    (O. Barndorff-Nielsen, Proc. R. Soc. A 353 (1977) 401.)
    """
    variance = scipy.stats.geninvgauss.rvs(1.0, 1.0, size=y.shape, random_state=rng)
    return np.asarray(y + np.sqrt(variance) * rng.normal(size=y.shape) / auxiliary)


@draw.register
def _(loss: HuberLoss, rng: np.random.Generator, y: HostArray, auxiliary: HostArray) -> HostArray:
    """From the density exp(-rho / 2): normal inside delta, exponential outside."""
    d = loss.delta
    inside = math.sqrt(2 * math.pi) * math.erf(d / math.sqrt(2))
    outside = 2 / d * math.exp(-(d**2) / 2)
    core = scipy.stats.truncnorm.rvs(-d, d, size=y.shape, random_state=rng)
    tail = rng.choice([-1.0, 1.0], size=y.shape) * (d + rng.exponential(1 / d, size=y.shape))
    z = np.where(rng.uniform(size=y.shape) * (inside + outside) < inside, core, tail)
    return np.asarray(y + z / auxiliary)


@draw.register
def _(loss: StudentTLoss, rng: np.random.Generator, y: HostArray, auxiliary: HostArray) -> HostArray:
    return np.asarray(y + rng.standard_t(loss.nu, size=y.shape) / auxiliary)


@draw.register
def _(loss: NormalLoss, rng: np.random.Generator, y: HostArray, auxiliary: HostArray) -> HostArray:
    m = y.shape[-2] // 2
    mean, log_width = y[..., :m, :], y[..., m:, :]
    return np.asarray(mean + np.exp(log_width) * rng.normal(size=mean.shape))


@draw.register
def _(loss: Poisson, rng: np.random.Generator, y: HostArray, auxiliary: HostArray) -> HostArray:
    return rng.poisson(np.maximum(y * auxiliary, 0.0)).astype(np.float64)


@draw.register
def _(loss: BinomialLoss, rng: np.random.Generator, y: HostArray, auxiliary: HostArray) -> HostArray:
    return rng.binomial(auxiliary.astype(np.int64), np.clip(y, 0.0, 1.0)).astype(np.float64)


@draw.register
def _(loss: MultinomialLoss, rng: np.random.Generator, y: HostArray, auxiliary: HostArray) -> HostArray:
    events = np.moveaxis(y, -2, -1)
    p = events / events.sum(axis=-1, keepdims=True)
    trials = np.broadcast_to(np.moveaxis(auxiliary, -2, -1)[..., 0], p.shape[:-1]).astype(np.int64)
    return np.moveaxis(rng.multinomial(trials, p).astype(np.float64), -1, -2)


@draw.register
def _(loss: IntegratedLoss, rng: np.random.Generator, y: HostArray, auxiliary: HostArray) -> HostArray:
    return draw(loss.of, rng, y, auxiliary)


@draw.register
def _(loss: EffectiveVarianceLoss, rng: np.random.Generator, y: HostArray, auxiliary: HostArray) -> HostArray:
    """y are outputs and slopes: what x scatters by is seen in the measured values, x itself stays."""
    width = loss.width(np, y, auxiliary)
    return np.asarray(y[..., : width.shape[-2], :] + width * rng.normal(size=width.shape))


@draw.register
def _(loss: CorrelatedLoss, rng: np.random.Generator, y: HostArray, auxiliary: HostArray) -> HostArray:
    k, n = y.shape[-2:]
    z = rng.normal(size=(*y.shape[:-2], n * k)) @ np.linalg.inv(auxiliary).T
    return np.asarray(y + np.swapaxes(z.reshape(*y.shape[:-2], n, k), -1, -2))


@draw.register
def _(loss: BlockCorrelatedLoss, rng: np.random.Generator, y: HostArray, auxiliary: HostArray) -> HostArray:
    k, n = y.shape[-2:]
    factors = np.linalg.inv(np.moveaxis(auxiliary.reshape(k, k, n), -1, 0))
    return np.asarray(y + np.einsum("nij,...jn->...in", factors, rng.normal(size=y.shape)))
