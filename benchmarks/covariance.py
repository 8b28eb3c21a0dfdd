"""The covariance of a fit against one that shares nothing with it: JAX's Hessian of the chi-square, inverted.

Teachers' events with errors 0.1, inputs of mean 0 and width 1. Printed: the condition number of the Hessian after its
diagonal was scaled to 1, what that times the rounding of a float64 lets two inverses differ by, and by how much they
do: the largest difference of an element over the product of the two standard deviations.

    OPENBLAS_NUM_THREADS=1 python benchmarks/covariance.py
"""

from __future__ import annotations

import argparse
import warnings

import jax
import numpy as np
from header import header

import ffnn_xp as fx

NOISE = 0.1
CASES = (((1, 5, 1), 1000, 3.0), ((8, 7, 9, 6), 2000, None), ((8, 20, 20, 6), 2000, None), ((8, 20, 20, 6), 2000, 2.0))


def by_jax(model: fx.Model, fit: fx.FitResult, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Second derivative of chi-square, prior included, in raw units."""
    jnp, layout = jax.numpy, model.network.layout

    def chi2(theta):  # type: ignore[no-untyped-def]
        a = jnp.asarray(x.T)
        for l, A in enumerate(layout.matrices(jnp, theta)):
            z = A[:, :-1] @ a + A[:, -1:]
            a = jnp.tanh(z) if l + 1 < layout.n_layers else z
        return jnp.sum(((a - y.T) / NOISE) ** 2)

    H = np.asarray(jax.hessian(chi2)(jnp.asarray(fit.parameters)))
    if fit.cost.prior is not None:
        half = fit.scaling.inverse_transpose(fit.cost.prior.hessian())
        H = H + fit.scaling.inverse_transpose(half.T)
    return H


def row(widths: tuple[int, ...], n: int, prior: float | None) -> str:
    rng = np.random.default_rng(1)
    teacher = fx.Model(widths, backend="numpy", seed=1)
    teacher.parameters = 1.5 * teacher.parameters
    x = rng.normal(size=(n, widths[0]))
    y = teacher(x).reshape(n, -1) + NOISE * rng.normal(size=(n, widths[-1]))
    model = fx.Model(widths, backend="numpy", seed=5)
    fit = model.fit(x, y, NOISE, prior=prior, progress=False)
    H = by_jax(model, fit, x, y)
    scale = 1 / np.sqrt(np.diag(H))
    condition = np.linalg.cond(H * np.outer(scale, scale))
    theirs = 2 * scale[:, None] * np.linalg.inv(H * np.outer(scale, scale)) * scale
    sigma = np.sqrt(np.diag(theirs))
    assert fit.covariance is not None
    difference = np.max(np.abs(fit.covariance - theirs) / np.outer(sigma, sigma))
    return (
        f"| {'-'.join(map(str, widths))} | {len(H)} | {prior} | {fit.valid} | {condition:.1e} "
        f"| {condition * 2.2e-16:.1e} | {difference:.1e} |"
    )


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    jax.config.update("jax_enable_x64", True)
    warnings.simplefilter("ignore", fx.FitWarning)
    print("# Covariance against JAX\n")
    print(header())
    print("\n| widths | parameters | prior | valid | condition | condition x rounding | largest difference |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for case in CASES:
        print(row(*case), flush=True)


if __name__ == "__main__":
    main()
