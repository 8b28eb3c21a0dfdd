r"""Tests of predicted probabilities: how well they separate classes, and whether they are calibrated.

The ROC curve shows how well classes are separated: the true positive rate against the false positive rate for each cut
on the probability, and the area under it, AUC, the probability that a positive event has a larger probability than a
negative one (J. A. Hanley and B. J. McNeil, Radiology 143 (1982) 29); its error is that of this mean over pairs
(E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson, Biometrics 44 (1988) 837). Probabilities are calibrated if of all
events with probability p the share p is positive. Spiegelhalter's z is standard normal then, and tests errors in both
directions (D. J. Spiegelhalter, Statistics in Medicine 5 (1986) 421):

.. math:: z = \frac{\sum_n (t_n - p_n)(1 - 2 p_n)}{\sqrt{\sum_n (1 - 2 p_n)^2\, p_n (1 - p_n)}}
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.optional import require
from ffnn_xp._lib.text import Page, Shown, visible, with_error
from ffnn_xp._lib.typing import HostArray, Mask
from ffnn_xp.studies.class_pictures import draw_calibration, draw_roc

BINS = 10  # bins of the calibration; with fewer events, each is a bin


@quiet
@dataclass(frozen=True, repr=False)
class Classification(Shown):
    """The result of `Model.classification`, with an entry for each of k classes or outputs.

    Attributes
    ----------
    log_loss : float
        Mean of -log of the probability of the true class.
    brier : float
        Mean squared difference of probability and 0 or 1, summed over classes.
    auc : array with shape (k,)
        Area under the ROC curve, of each class against the rest; NaN where all events are of one kind. It needs
        scikit-learn.
    auc_error : array with shape (k,)
        Standard deviation of the area; NaN where there are fewer than two events of a kind.
    z : array with shape (k,)
        Spiegelhalter's z.
    p_values : array with shape (k,)
        Probability of a larger absolute z if the probabilities are calibrated.
    roc : list of array with shape (m, 3)
        For each class: cuts on the probability, decreasing; false positive rates; true positive rates. It needs
        scikit-learn.
    calibration : list of array with shape (b, 4)
        For each class, in bins of equal content: mean predicted probability, observed share, its standard deviation if
        probabilities are calibrated, number of events.
    probabilities, truth : array with shape (k, n)
        The predicted probabilities, and 0 or 1.
    names : tuple of str or None
        The names of the classes, where the measured values of the fit were columns of a table.
    """

    log_loss: float
    brier: float
    z: HostArray
    p_values: HostArray
    calibration: list[HostArray]
    probabilities: HostArray
    truth: HostArray
    names: tuple[str, ...] | None = None

    @cached_property
    def roc(self) -> list[HostArray]:
        """The ROC curves, by scikit-learn."""
        metrics = _metrics()
        curves = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # rates without any event are NaN
            for p, t in zip(self.probabilities, self.truth, strict=True):
                no, yes, cuts = metrics.roc_curve(t, p, drop_intermediate=False)
                curves.append(np.stack([cuts, no, yes], axis=1))
        return curves

    @cached_property
    def auc(self) -> HostArray:
        """The areas under the ROC curves, by scikit-learn."""
        score = _metrics().roc_auc_score
        pairs = zip(self.truth, self.probabilities, strict=True)
        return np.array([float(score(t, p)) if 0 < np.sum(t) < len(t) else np.nan for t, p in pairs])

    @cached_property
    def auc_error(self) -> HostArray:
        """The standard deviations of the areas under the ROC curves."""
        return np.array([_auc_error(p, t > 0) for p, t in zip(self.probabilities, self.truth, strict=True)])

    def plot_calibration(self, axes: Any = None) -> Any:
        """Draw the observed shares over the predicted probabilities (a reliability diagram), and return the axes.

        The points are the bins of `calibration`. Their errors are binomial, those of calibrated probabilities, so that
        shares of 0 and 1 have one too: two thirds of the points should touch the diagonal.

        Parameters
        ----------
        axes : matplotlib axes, optional
            The panel; by default that of a new figure of pyplot.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> p, t = np.array([[0.1, 0.4, 0.6, 0.9]]), np.array([[0.0, 1.0, 0.0, 1.0]])
        >>> axes = score_probabilities(p, t, exclusive=False).plot_calibration(Figure().subplots())
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['calibrated', 'z = 0.22, p-value 0.83']
        """
        tests = [f"z = {z:.2f}, p-value {p:.2g}" for z, p in zip(self.z, self.p_values, strict=True)]
        return draw_calibration(self.calibration, self._entries(tests), axes)

    def plot_roc(self, axes: Any = None) -> Any:
        """Draw the ROC curve of each class with its area and the area's error, and return the axes.

        Parameters
        ----------
        axes : matplotlib axes, optional
            The panel; by default that of a new figure of pyplot.

        Raises
        ------
        ImportError
            If matplotlib or scikit-learn is not installed.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> p, t = np.array([[0.1, 0.4, 0.6, 0.9]]), np.array([[0.0, 1.0, 0.0, 1.0]])
        >>> axes = score_probabilities(p, t, exclusive=False).plot_roc(Figure().subplots())
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['by chance', 'AUC = 0.75 ± 0.35']
        """
        areas = [f"AUC = {area}" for area in self._areas()]
        return draw_roc(self.roc, self._entries(areas), axes)

    def _areas(self) -> list[str]:
        """Write the areas with their errors."""
        pairs = zip(self.auc, self.auc_error, strict=True)
        return ["nan, all events are of one kind" if np.isnan(a) else with_error(a, e) for a, e in pairs]

    def _classes(self) -> list[str]:
        """Return what each class is called."""
        k = len(self.z)
        return [f"class {i}" if k > 1 else "class" for i in range(k)] if self.names is None else list(self.names)

    def _entries(self, numbers: list[str]) -> list[str]:
        """Return the entries of a legend: numbers, after the names of several classes."""
        pairs = zip(self._classes(), numbers, strict=True)
        return numbers if len(numbers) == 1 else [f"{visible(name)}: {number}" for name, number in pairs]

    def _page(self) -> Page:
        title, pairs = f"log-loss {self.log_loss:.4g}, Brier score {self.brier:.4g}", []
        try:
            areas = [f"AUC {area}; " for area in self._areas()]
            missing = []
        except ImportError as error:
            areas, missing = [""] * len(self.z), [str(error)]
        columns = (self._classes(), areas, self.z, self.p_values, self.calibration)
        for name, area, z, p, table in zip(*columns, strict=True):
            pairs.append((visible(name), f"{area}calibration z = {z:.2f}, p-value {p:.2g}"))
            pairs.append(("predicted", "  ".join(f"{row[0]:.3f}" for row in table)))
            pairs.append(("observed", "  ".join(f"{row[1]:.3f}" for row in table)))
        return Page("Classification", title, pairs, notes=missing)


def score_probabilities(
    p: HostArray, t: HostArray, *, exclusive: bool, names: tuple[str, ...] | None = None
) -> Classification:
    """Test probabilities of k classes.

    Parameters
    ----------
    p : array with shape (k, n)
        Predicted probabilities.
    t : array with shape (k, n)
        True classes, 0 or 1.
    exclusive : bool
        Whether each event is of exactly one of the k classes.
    names : tuple of str, optional
        The names of the classes.

    Examples
    --------
    >>> p, t = np.array([[0.1, 0.4, 0.6, 0.9]]), np.array([[0.0, 1.0, 0.0, 1.0]])
    >>> round(score_probabilities(p, t, exclusive=False).brier, 3)
    0.185
    """
    tiny = np.finfo(np.float64).tiny
    log_likelihood = t * np.log(np.maximum(p, tiny))
    if not exclusive:
        log_likelihood = log_likelihood + (1 - t) * np.log(np.maximum(1 - p, tiny))
    variance = np.sum((1 - 2 * p) ** 2 * p * (1 - p), axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.sum((t - p) * (1 - 2 * p), axis=1) / np.sqrt(variance)
    return Classification(
        log_loss=-float(np.mean(np.sum(log_likelihood, axis=0))),
        brier=float(np.mean(np.sum((p - t) ** 2, axis=0))),
        z=z,
        p_values=2 * scipy.special.ndtr(-np.abs(z)),
        calibration=[_calibration(*pair) for pair in zip(p, t, strict=True)],
        probabilities=p,
        truth=t,
        names=names,
    )


def _metrics() -> Any:
    return require("sklearn.metrics", "sklearn", "the ROC curve")


def _auc_error(p: HostArray, yes: Mask) -> float:
    """Compute the standard deviation of the area under the ROC curve, from ranks."""
    m, n = int(np.sum(yes)), int(np.sum(~yes))
    if min(m, n) < 2:
        return float("nan")
    rank = scipy.stats.rankdata
    below = (rank(p)[yes] - rank(p[yes])) / n  # the share of negative events below each positive one
    above = 1 - (rank(p)[~yes] - rank(p[~yes])) / m
    return float(np.sqrt(np.var(below, ddof=1) / m + np.var(above, ddof=1) / n))


def _calibration(p: HostArray, t: HostArray) -> HostArray:
    """Compare probability and frequency in bins of equal content, a row for each."""
    order = np.argsort(p, kind="stable")
    rows = []
    for part in np.array_split(order, min(BINS, len(p))):
        share = float(np.mean(t[part]))
        nominal = float(np.mean(p[part]))
        rows.append([nominal, share, float(np.sqrt(np.mean(p[part] * (1 - p[part])) / len(part))), float(len(part))])
    return np.array(rows)
