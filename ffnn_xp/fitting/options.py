"""TODO."""

from __future__ import annotations

import numpy as np

from ffnn_xp._lib.errors import did_you_mean

MINIMIZERS = ("auto", "migrad")


COVARIANCES = ("hessian", "sandwich")


def check_options(
    prior: object, restarts: int | str, minimizer: str, covariance: str, max_seconds: float | None
) -> None:
    if covariance not in COVARIANCES:
        raise ValueError(f"unknown covariance {covariance!r}: {did_you_mean(covariance, COVARIANCES)}")
    if minimizer not in MINIMIZERS:
        raise ValueError(f"unknown minimizer {minimizer!r}: {did_you_mean(minimizer, MINIMIZERS)}")
    is_number = isinstance(prior, int | float | np.number) and not isinstance(prior, bool)
    if isinstance(prior, str) and prior != "auto":
        hint = did_you_mean(prior, ["auto"])
        raise ValueError(f"`prior` must be a positive width, None or 'auto', got {prior!r}: {hint}")
    if prior not in (None, "auto") and not (is_number and 0 < prior < np.inf):  # type: ignore[operator]
        raise ValueError(f"`prior` must be a positive width of the standardised weights, or None, got {prior!r}")
    if restarts != "auto" and (isinstance(restarts, bool | str) or int(restarts) != restarts or restarts < 1):
        raise ValueError(f"`restarts` must be 'auto' or a positive integer, got {restarts!r}")
    if max_seconds is not None and not max_seconds > 0:
        raise ValueError(f"`max_seconds` must be positive, got {max_seconds!r}")
