"""The model: the user's object, and the results of its fits.

- `function`, `predictor`, `new_measurements`, `files`, `model`: `Model` in five steps, a function of x, predictions
  with errors, densities of new measurements and tests of probabilities, files and fits.
- `result`, `fit_predictions`, `summary`: `FitResult`, its studies, and its text and HTML.
- `pictures`: what results and models draw, as methods.
- `ensemble`: `Ensemble`, fits of many replicas in one batch.
- `state`: the parts of a fitted model that its file keeps.
"""

from ffnn_xp.model.ensemble import Ensemble
from ffnn_xp.model.model import Model, load
from ffnn_xp.model.result import FitResult

__all__ = [
    "Ensemble",
    "FitResult",
    "Model",
    "load",
]
