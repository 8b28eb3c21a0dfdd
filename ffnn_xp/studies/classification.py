r"""What predicted probabilities are worth: how well they tell classes apart, and whether they are true.

Apart: the ROC curve, the share of yes that is kept over the share of no that is, cut by cut, and the area below it (J.
A. Hanley and B. J. McNeil, Radiology 143 (1982) 29). True: of all events with probability p the share p should be yes.
Spiegelhalter's z, standard normal if they are, tells of both kinds of error (D. J. Spiegelhalter, Statistics in
Medicine 5 (1986) 421):

.. math:: z = \frac{\sum_n (t_n - p_n)(1 - 2 p_n)}{\sqrt{\sum_n (1 - 2 p_n)^2\, p_n (1 - p_n)}}
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.typing import HostArray

BINS = 10


@dataclass(frozen=True, repr=False)
class Classification:
    """What `Model.classification` returns; one entry for each of k classes, or outputs (one for a yes or no).

    Attributes
    ----------
    log_loss : float
        Mean of -log of the probability of what was seen.
    brier : float
        Mean squared difference of probability and 0 or 1, of all classes.
    auc : array with shape (k,)
        Area below the ROC curve, of each class against the rest; NaN where only one of both was seen.
    z : array with shape (k,)
        Spiegelhalter's.
    p_values : array with shape (k,)
        Chance of so large an absolute z if probabilities are true.
    roc : list of array with shape (m, 3)
        For each: cuts on the probability, downwards; share of no, and share of yes, that are not below.
    calibration : list of array with shape (b, 4)
        For each, in bins of equal content: mean probability, share of yes, its standard deviation if probabilities are
        true, number of events.
    """

    log_loss: float
    brier: float
    auc: HostArray
    z: HostArray
    p_values: HostArray
    roc: list[HostArray]
    calibration: list[HostArray]

    def __repr__(self) -> str:
        lines = [f"Classification: log-loss {self.log_loss:.4g}, Brier score {self.brier:.4g}"]
        for i, (area, z, p, table) in enumerate(zip(self.auc, self.z, self.p_values, self.calibration, strict=True)):
            name = "" if len(self.auc) == 1 else f" {i}"
            lines.append(f"  class{name}  area below ROC {area:.4f}; calibration z = {z:.2f}, p-value {p:.2g}")
            lines.append("    claimed   " + "  ".join(f"{row[0]:.3f}" for row in table))
            lines.append("    measured  " + "  ".join(f"{row[1]:.3f}" for row in table))
        return "\n".join(lines)


def classification(p: HostArray, t: HostArray, *, exclusive: bool) -> Classification:
    """Of probabilities and 0 or 1, both ``(k, n)``; `exclusive` if each event is of just one of the k classes.

    Examples
    --------
    >>> classification(np.array([[0.1, 0.4, 0.6, 0.9]]), np.array([[0.0, 1.0, 0.0, 1.0]]), exclusive=False).auc
    array([0.75])
    """
    tiny = np.finfo(np.float64).tiny
    seen = t * np.log(np.maximum(p, tiny))
    if not exclusive:
        seen = seen + (1 - t) * np.log(np.maximum(1 - p, tiny))
    variance = np.sum((1 - 2 * p) ** 2 * p * (1 - p), axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.sum((t - p) * (1 - 2 * p), axis=1) / np.sqrt(variance)
    curves = [_roc(*pair) for pair in zip(p, t, strict=True)]
    return Classification(
        -float(np.mean(np.sum(seen, axis=0))),
        float(np.mean(np.sum((p - t) ** 2, axis=0))),
        np.array([float(np.trapezoid(curve[:, 2], curve[:, 1])) for curve in curves]),
        z,
        2 * scipy.special.ndtr(-np.abs(z)),
        curves,
        [_calibration(*pair) for pair in zip(p, t, strict=True)],
    )


def _roc(p: HostArray, t: HostArray) -> HostArray:
    """Cuts, and shares of no and yes above each; events of equal probability go together."""
    order = np.argsort(-p, kind="stable")
    p, t = p[order], t[order]
    last = np.append(np.flatnonzero(np.diff(p)), len(p) - 1)
    yes, no = np.cumsum(t)[last], np.cumsum(1 - t)[last]
    with np.errstate(invalid="ignore"):
        shares = np.stack([no / no[-1], yes / yes[-1]])
    return np.concatenate([[[np.inf, 0.0, 0.0]], np.stack([p[last], *shares], axis=1)])


def _calibration(p: HostArray, t: HostArray) -> HostArray:
    order = np.argsort(p, kind="stable")
    rows = []
    for part in np.array_split(order, min(BINS, len(p))):
        share = float(np.mean(t[part]))
        claimed = float(np.mean(p[part]))
        rows.append([claimed, share, float(np.sqrt(np.mean(p[part] * (1 - p[part])) / len(part))), float(len(part))])
    return np.array(rows)
