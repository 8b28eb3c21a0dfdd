"""Studies of a fit, after the minimum is found. Each takes a `FittedProblem`.

- `bands`: bands of predictions; a kind of band is one object in `BAND_METHODS`, add one there.
- `profiles`, `mixture_minima`: the ends of profiles, and other minima, for bands.
- `coverage`: the coverage of bands, by toys.
- `goodness`: goodness of fit.
- `identifiability`: directions that data and prior determine, and units that contribute nothing.
- `histograms`: contents of bins with their variances.
- `propagation`: functions of predictions with their covariance.
- `profile_cost`, `other_parameters`: MINUIT on some of the parameters, the others profiled.
- `classification`: how well predicted probabilities separate classes, and whether they are calibrated.
"""

from ffnn_xp.studies.bands import BAND_METHODS, BandMethod, BandRequest, Interval, find_band_method
from ffnn_xp.studies.classification import Classification, score_probabilities
from ffnn_xp.studies.coverage import Coverage, measure_coverage
from ffnn_xp.studies.fitted_problem import FittedProblem
from ffnn_xp.studies.goodness import Goodness, assess_goodness
from ffnn_xp.studies.histograms import histogram_of
from ffnn_xp.studies.identifiability import Report, prior_share, report
from ffnn_xp.studies.profile_cost import Others, minuit_of_subset
from ffnn_xp.studies.propagation import propagate, propagate_predictions

__all__ = [
    "BAND_METHODS",
    "BandMethod",
    "BandRequest",
    "Classification",
    "Coverage",
    "FittedProblem",
    "Goodness",
    "Interval",
    "Others",
    "Report",
    "assess_goodness",
    "find_band_method",
    "histogram_of",
    "measure_coverage",
    "minuit_of_subset",
    "prior_share",
    "propagate",
    "propagate_predictions",
    "report",
    "score_probabilities",
]
