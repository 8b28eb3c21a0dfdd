"""`MeasurementPredictor`: the density of new measurements, and the test of predicted probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp._lib.validation import level
from ffnn_xp.backends import refuse_gradient
from ffnn_xp.data import Measurements, in_order, read, refuse
from ffnn_xp.losses import LOSSES
from ffnn_xp.model.predictor import Predictor
from ffnn_xp.network import evaluate
from ffnn_xp.studies import Classification, score_probabilities

_OF_FITS = "it belongs to the fit, whose density this is"
NOT_OF_A_DENSITY = {
    "y_err": "new measurements are as uncertain as those of the fit",
    "weights": "it is that of single events: weight what it returns",
    "covariance": _OF_FITS,
    "loss": _OF_FITS,
    "exposure": "it is for measured values, not for counts",
    "trials": "it is for measured values, not for counts",
    "y_cov": "new measurements are independent, with the errors of those of the fit",
    "x_err": "it is for measured values at known inputs",
}
NOT_OF_A_CLASSIFICATION = {
    "y_err": "yes or no has no error",
    "weights": "each event counts once in a ROC curve: repeat events, or select them by `mask`",
    "covariance": "it compares probabilities with observations, and needs no errors of parameters",
    "loss": "it follows from the output",
    "exposure": "yes or no has no exposure",
    "trials": "counts have no ROC curve: give 0 or 1 for each event",
    "y_cov": "yes or no has no covariance",
    "x_err": "the probability is that at the measured x",
}


@quiet
class MeasurementPredictor(Predictor):
    """A network that says what new measurements will be, the part of `Model` that compares predictions with them."""

    def log_density(self, x: Any, y: Any, *, mask: Any = None, **others: Any) -> HostArray:
        """Return the logarithm of the predictive density of each event, in units of y.

        Parameters
        ----------
        x : array-like with shape (n, d), or (n,) for d = 1
            Inputs.
        y : array-like with shape (n, k), or (n,) for k = 1
            New measurements.
        mask : boolean array-like with shape (n,), optional
            True for events to use.
        **others
            Options of `fit` that have no place here are refused, with the reason.

        Returns
        -------
        array with shape (n,)
            The logarithms, on the host, for all outputs of an event together.

        Raises
        ------
        NotFittedError
            If there is no density: no valid fit, or a statistic that is not of measured values.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(-2, 2, 50)
        >>> model = fx.Model((1, 3, 1), seed=1)
        >>> fit = model.fit(x, np.tanh(2 * x), 0.1, prior=3.0)
        >>> model.log_density([0.0, 0.0], [0.0, 1.0]).round(0)
        array([  1., -42.])
        """
        refuse(others, "log_density", NOT_OF_A_DENSITY)
        density = self._density()
        loss = "normal" if density.predicts_width else "least_squares"
        data = read(self, self._by_name(x, y, mask), loss, to_fit=False).data
        return density.log_density(self.network, self._backend, data.x, self._backend.to_host(data.y))

    def interval(self, x: Any, *, cl: float = 0.9) -> tuple[Array, Array]:
        """Return the central interval of a new measurement, ``(low, high)``, each in the shape of `predict`.

        Parameters
        ----------
        x : array-like with shape (n, d), (n,) for d = 1, or (d,) for one event
            Inputs.
        cl : float
            Content of the interval, between 0 and 1.

        Raises
        ------
        NotFittedError
            If there is no density: no valid fit, or a statistic that is not of measured values.
        ValueError
            If the content is not between 0 and 1.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(-2, 2, 50)
        >>> model = fx.Model((1, 3, 1), seed=1)
        >>> fit = model.fit(x, np.tanh(2 * x), 0.1, prior=3.0)
        >>> low, high = model.interval(x)
        >>> bool((low < np.tanh(2 * x)).all() and (high > np.tanh(2 * x)).all())
        True
        """
        cl = level(cl)
        density = self._density()
        refuse_gradient(x, "x")
        columns, shape = self._columns(x)
        ends = (density.quantile(self.network, self._backend, columns, q) for q in ((1 - cl) / 2, (1 + cl) / 2))
        low, high = (self._shaped(self._backend.to_device(end), shape) for end in ends)
        return low, high

    def classification(self, x: Any, y: Any, *, mask: Any = None, **others: Any) -> Classification:
        """Compare predicted probabilities with observed classes: log-loss, ROC, calibration.

        Parameters
        ----------
        x : array-like with shape (n, d), or (n,) for d = 1
            Inputs of events that were not in the fit; with events of the fit the result is too good.
        y : array-like with shape (n,) or (n, k)
            Yes or no as 1 or 0, or labels 0 ... k-1 for a softmax, of which some may be missing.
        mask : boolean array-like with shape (n,), optional
            True for events to use.
        **others
            Options of `fit` that have no place here are refused, with the reason.

        Raises
        ------
        ValueError
            If the output is neither logistic nor softmax, or y is something else.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> rng = np.random.default_rng(1)
        >>> x = rng.normal(size=400)
        >>> y = rng.random(400) < 1 / (1 + np.exp(-2 * x))
        >>> model = fx.Model((1, 1), output="logistic", seed=1)
        >>> fit = model.fit(x[:200], y[:200], loss="binomial")
        >>> print(model.classification(x[200:], y[200:]).auc.round(2))
        [0.84]
        """
        refuse(others, "classification", NOT_OF_A_CLASSIFICATION)
        output = self._activations[-1].name
        losses = {loss.link: loss for loss in LOSSES.values() if loss.target_kind in ("successes", "class")}
        if output not in losses:
            raise ValueError(f"only a logistic or a softmax output predicts probabilities, not {output!r}")
        data = read(self, self._by_name(x, y, mask), losses[output], to_fit=False).data
        if not data.n:
            raise ValueError("`x` holds no events: a test of probabilities needs at least one")
        t = self._backend.to_host(data.y)
        if not np.all((t == 0) | (t == 1)):
            raise ValueError("`y` must be 0 or 1 for each event and class: counts have no ROC curve")
        network, backend = self.network, self._backend
        thetas = [backend.to_device(theta) for theta in self.ensemble_parameters]
        p = np.mean([backend.to_host(evaluate(network, backend, theta, data.x)) for theta in thetas], axis=0)
        exclusive = losses[output].target_kind == "class"
        return score_probabilities(p, t, exclusive=exclusive, names=self.target_names)

    def _by_name(self, x: Any, y: Any, mask: Any) -> Measurements:
        """Return measurements whose columns are those of the fit, where they have names."""
        return Measurements(in_order(x, self.input_names), in_order(y, self.target_names, "y"), mask=mask)
