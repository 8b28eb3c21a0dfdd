r"""Histograms as measurements: bins, their contents, and the statistic of contents that are sums of weights.

Contents that are counts are Poisson distributed. A content n of weighted events with the variance v is taken as
:math:`s\,n` counts, :math:`s = n / v`, of which :math:`s\,u` are expected, u being the integral of the network over the
bin: they have the right mean and variance, and nearly the right distribution (G. Bohm and G. Zech, Nucl. Instrum. Meth.
A 748 (2014) 1). Where a bin is empty, s is the median of the others, as in iminuit's costs.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.data.bins import Bins
from ffnn_xp.data.measurements import Measurements
from ffnn_xp.data.uhi import is_histogram
from ffnn_xp.losses import Loss, WeightedPoissonLoss, get_loss

USUAL = "least_squares"  # the statistic where none is named, but for histograms of counts


def measurements_of(given: Measurements, loss: str | Loss | None) -> tuple[Measurements, str | Loss]:
    """Return measurements whose x is no histogram, and their statistic.

    Parameters
    ----------
    given : Measurements
        The user's arrays. A histogram as x alone is its bins with its contents as y.
    loss : str, Loss or None
        The statistic as the user names it; None is "least_squares", or "poisson" for a histogram of counts.

    Raises
    ------
    TypeError
        If there are no measured values, or a histogram stands where an array belongs.
    ValueError
        If contents are sums of weights without variances, or the statistic does not fit.
    """
    for field in fields(given)[1:]:
        if is_histogram(getattr(given, field.name)):
            raise TypeError(
                f"`{field.name}` must be an array, got a histogram: give a histogram as x alone, as in fit(h), which "
                f"has its contents with their errors, or give the contents, h.values(), as `{field.name}`"
            )
    if not is_histogram(given.x):
        if given.y is None:
            raise TypeError(
                "`y` must be an array of numbers, got None: only a histogram as x has its measured values in it"
            )
        return given, USUAL if loss is None else loss
    h = given.x
    if given.y is not None:
        return replace(given, x=Bins(h)), USUAL if loss is None else loss
    mask = None if given.mask is None else np.asarray(given.mask)
    if mask is not None and mask.shape == np.shape(h.values()):
        given = replace(given, mask=mask.ravel())
    means = str(getattr(h.kind, "value", h.kind)) == "MEAN"
    if get_loss(USUAL if means and loss is None else "poisson" if loss is None else loss).target_kind == "real":
        return _with_errors(given, h, means=means), USUAL if loss is None else loss
    if means:
        raise ValueError(f"the histogram holds means of samples, which are no counts: leave loss={loss!r} out")
    return _counted(given, h, "poisson" if loss is None else loss)


def _with_errors(given: Measurements, h: Any, *, means: bool) -> Measurements:
    """Return the contents as values with errors; means of too few samples, whose error is not known, are left out."""
    values, variances = _values(h), _variances(h)
    variances = values if variances is None else variances
    if means:
        known = np.isfinite(values) & (variances > 0) & np.isfinite(variances)
        given = replace(given, mask=known if given.mask is None else known & np.asarray(given.mask, dtype=bool))
        values, variances = np.where(known, values, 0.0), np.where(known, variances, 1.0)
    error = np.sqrt(variances) if given.y_err is None and given.y_cov is None else given.y_err
    return replace(given, x=Bins(h, average=means), y=values, y_err=error)


def _counted(given: Measurements, h: Any, loss: str | Loss) -> tuple[Measurements, str | Loss]:
    """Return the contents as counts, scaled by their variances where they are sums of weights."""
    if get_loss(loss).target_kind != "count":
        raise ValueError(f"the contents of a histogram are counts, for loss='poisson', got {get_loss(loss).name!r}")
    values, variances = _values(h), _variances(h)
    given = replace(given, x=Bins(h), y=values)
    if variances is None and not np.array_equal(values, np.round(values)):
        raise ValueError(
            "the histogram holds sums of weights without their variances: fill one with a storage of weights, such as "
            "hist.storage.Weight()"
        )
    if variances is None or np.array_equal(values, variances):
        return given, loss
    filled = variances > 0
    used = filled if given.mask is None else filled & np.asarray(given.mask, dtype=bool)
    if not np.any(used):
        raise ValueError("the histogram has no entries in the bins to use")
    scale = np.where(filled, np.abs(values) / np.where(filled, variances, 1.0), 0.0)
    scale = np.where(scale > 0, scale, np.median(scale[used]))
    exposure = scale if given.exposure is None else scale * np.ravel(given.exposure)
    return replace(given, y=values * scale, exposure=exposure), WeightedPoissonLoss()


def _values(h: Any) -> HostArray:
    return np.asarray(h.values(), dtype=np.float64).ravel()


def _variances(h: Any) -> HostArray | None:
    variances = h.variances()
    return None if variances is None else np.asarray(variances, dtype=np.float64).ravel()
