r"""Histograms as measurements: bins, their contents, and the statistic of contents that are sums of weights.

Only bins with edges count: underflow and overflow are left out. Contents that are counts are Poisson distributed. A
content n of weighted events with the variance v is taken as :math:`s\,n` counts, :math:`s = n / v`, of which
:math:`s\,u` are expected, u being the integral of the network over the bin: they have the right mean and variance, and
nearly the right distribution (G. Bohm and G. Zech, Nucl. Instrum. Meth. A 748 (2014) 1), as in iminuit's costs
(H. Dembinski and A. Abdelmotteleb, Eur. Phys. J. C 82 (2022) 1043). Where a bin is empty, s is the others' median.

Fractions are fitted at the centres of bins: k of N, from histograms of passed and of all events or from one with a
boolean axis, and the shares of the categories of an axis. Bins without any event are left out.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from ffnn_xp._lib.typing import HostArray, Mask
from ffnn_xp.backends import host_floats
from ffnn_xp.data.bins import Bins
from ffnn_xp.data.measurements import Measurements
from ffnn_xp.data.points import array_shape
from ffnn_xp.data.records import Table
from ffnn_xp.data.uhi import edges_of, has_categories, is_histogram, names_of_axes
from ffnn_xp.losses import Loss, LossLike, WeightedPoissonLoss, get_loss

USUAL = "least_squares"  # the statistic where none is named, but for histograms of counts


def measurements_of(given: Measurements, loss: LossLike | None) -> tuple[Measurements, LossLike]:
    """Return measurements whose x is no histogram, and their statistic.

    Parameters
    ----------
    given : Measurements
        The user's arrays. A histogram as x alone is its bins with its contents as y; `trials` beside it may be one too.
    loss : str, Loss, callable or None
        The statistic as the user names it; None is "least_squares", or "poisson" for a histogram of counts.

    Raises
    ------
    TypeError
        If there are no measured values, or a histogram stands where an array belongs.
    ValueError
        If contents are sums of weights without variances, or the statistic does not fit.
    """
    for field in fields(given)[1:]:
        of_passed = field.name == "trials" and is_histogram(given.x)
        if is_histogram(getattr(given, field.name)) and not of_passed:
            raise TypeError(
                f"`{field.name}` must be an array, got a histogram: give a histogram as x alone, as in fit(h), which "
                f"has its contents with their errors, or give the contents, h.values(), as `{field.name}`"
            )
    if not is_histogram(given.x):
        if given.y is None and not getattr(given.x, "holds_y", False):
            raise TypeError(
                "`y` must be an array of numbers, got None: only histograms and EventFiles as x have measured values "
                "in them"
            )
        return given, USUAL if loss is None else loss
    h = given.x
    given = _flat(given, _cells(h))
    if given.y is not None:
        return replace(given, x=Bins(h)), USUAL if loss is None else loss
    means = str(getattr(h.kind, "value", h.kind)) == "MEAN"
    kind = get_loss(USUAL if means and loss is None else "poisson" if loss is None else loss).target_kind
    if means and kind != "real":
        raise ValueError(f"the histogram holds means of samples, which are no counts: leave loss={loss!r} out")
    if kind in ("successes", "class"):
        assert loss is not None
        return _fractions(given, h, get_loss(loss)), loss
    if kind == "real":
        return _with_errors(given, h, means=means), USUAL if loss is None else loss
    return _counted(given, h, "poisson" if loss is None else loss)


def _with_errors(given: Measurements, h: Any, *, means: bool) -> Measurements:
    """Return the contents as values with errors; means of too few samples, whose error is not known, are left out."""
    values, variances = _values(h), _variances(h)
    variances = values if variances is None else variances
    if means:
        known = np.isfinite(values) & (variances > 0) & np.isfinite(variances)
        given = replace(given, mask=_used(given, known, _cells(h)))
        values, variances = np.where(known, values, 0.0), np.where(known, variances, 1.0)
    error = np.sqrt(variances) if given.y_err is None and given.y_cov is None else given.y_err
    return replace(given, x=Bins(h, average=means), y=values, y_err=error)


def _counted(given: Measurements, h: Any, loss: LossLike) -> tuple[Measurements, LossLike]:
    """Return the contents as counts, scaled by their variances where they are sums of weights."""
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
    used = _used(given, filled, _cells(h))
    if not np.any(used):
        raise ValueError("the histogram has no entries in the bins to use")
    scale = np.where(filled, np.abs(values) / np.where(filled, variances, 1.0), 0.0)
    scale = np.where(scale > 0, scale, np.median(scale[used]))
    exposure = np.ravel(1.0 if given.exposure is None else host_floats(given.exposure, "exposure"))
    if exposure.size not in (1, scale.size):
        raise ValueError(f"`exposure` must be one number or have shape {_cells(h)}, got {np.shape(given.exposure)}")
    return replace(given, y=values * scale, exposure=scale * exposure), WeightedPoissonLoss()


def _fractions(given: Measurements, h: Any, loss: Loss) -> Measurements:
    """Return the counts of outcomes at the centres of bins: k of N, or counts of each category."""
    outcomes = [i for i, axis in enumerate(h.axes) if has_categories(axis)]
    rest = [axis for axis in h.axes if not has_categories(axis)]
    edges, cells, y = edges_of(rest), _cells(h), _counts(h)
    unfit = loss.target_kind == "class" and not outcomes
    if unfit or len(outcomes) != (given.trials is None) or not rest:
        raise ValueError(
            f"loss={loss.name!r} needs a histogram with bins and one axis of categories, or for 'binomial' one of the "
            "events that passed, and that of all as `trials`: fit(passed, trials=total, loss='binomial')"
        )
    trials = None if given.trials is None else _all_events(given.trials, edges, cells)
    if outcomes:
        categories = h.axes[outcomes[0]]
        y, names = np.moveaxis(y, outcomes[0], -1), list(categories)
        if loss.target_kind == "successes":
            if names != [False, True]:
                raise ValueError(
                    f"loss='binomial' needs an axis that is true or false, got the categories {names}: fit those that "
                    "passed, fit(passed, trials=total, loss='binomial'), or all by loss='multinomial'"
                )
            y, trials = y[..., 1], y.sum(axis=-1)
    filled = np.ravel(y.sum(axis=-1) > 0 if trials is None else (trials > 0) | (y > 0))
    mask = _used(given, filled, cells)
    x: Any = Bins(*edges).centers
    columns = names_of_axes(rest)
    x = x if columns is None else Table(columns, x)
    if trials is None:
        return replace(given, x=x, y=Table(tuple(names), y.reshape(-1, len(names))), mask=mask)
    return replace(given, x=x, y=y.ravel(), trials=np.where(filled, trials.ravel(), 1.0), mask=mask)


def _cells(h: Any) -> tuple[int, ...]:
    """Return the numbers of bins of the axes that have some, without those of categories."""
    return tuple(len(axis) for axis in h.axes if not has_categories(axis))


def _flat(given: Measurements, cells: tuple[int, ...]) -> Measurements:
    """Return the measurements with one value for each bin where arrays have the shape of the histogram."""
    arrays = {name: getattr(given, name) for name in ("y", "y_err", "exposure", "weights", "mask")}
    shaped = {name: a for name, a in arrays.items() if a is not None and array_shape(a) == cells}
    return replace(
        given, **{name: (a if hasattr(a, "reshape") else np.asarray(a)).reshape(-1) for name, a in shaped.items()}
    )


def _used(given: Measurements, filled: Mask, cells: tuple[int, ...]) -> Mask:
    """Return which bins to use, ``(n,)``: those of the mask that have entries."""
    use = np.ones_like(filled) if given.mask is None else np.asarray(given.mask)
    if use.dtype != np.bool_ or use.shape != filled.shape:
        got = f"{use.dtype} {use.shape}"
        raise ValueError(f"`mask` must be boolean with shape {cells}, True for bins to use, got {got}")
    return filled & use


def _all_events(trials: Any, edges: list[HostArray], cells: tuple[int, ...]) -> HostArray:
    """Return the number of all events in each cell, from a histogram with the same edges, or from an array."""
    if is_histogram(trials):
        if len(edges) != len(trials.axes) or not all(map(np.array_equal, edges, edges_of(trials.axes))):
            raise ValueError("`trials` must be a histogram with the bins of `x`: of all events, where x is of some")
        return _counts(trials)
    numbers = host_floats(trials, "trials")
    if numbers.size not in (1, np.prod(cells)):
        raise ValueError(f"`trials` must be a histogram, one number, or have shape {cells}, got {numbers.shape}")
    return np.broadcast_to(numbers.reshape(cells if numbers.size > 1 else ()), cells)


def _counts(h: Any) -> HostArray:
    """Return the contents in their shape; refuse sums of weights."""
    values, variances = np.asarray(h.values(), dtype=np.float64), h.variances()
    if not np.array_equal(values, np.round(values) if variances is None else variances):
        raise ValueError(
            "fractions need counts, and this histogram holds sums of weights, which are not binomial: fit the ratio "
            "with its errors, fit(Bins(h).centers, ratio, error)"
        )
    return values


def _values(h: Any) -> HostArray:
    return np.asarray(h.values(), dtype=np.float64).ravel()


def _variances(h: Any) -> HostArray | None:
    variances = h.variances()
    return None if variances is None else np.asarray(variances, dtype=np.float64).ravel()
