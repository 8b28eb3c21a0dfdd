"""`Predictor`: a network whose predictions have errors."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ffnn_xp._lib.errors import NotFittedError, did_you_mean
from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp._lib.validation import level
from ffnn_xp.backends import refuse_gradient
from ffnn_xp.data import Bins, Measurements, in_order, read, refuse
from ffnn_xp.losses import LOSSES
from ffnn_xp.model.function import NetworkFunction
from ffnn_xp.network import evaluate
from ffnn_xp.studies import Classification, score_probabilities
from ffnn_xp.uncertainty import LinearBand, MatrixFreeBand, Predictive

KINDS = ("confidence", "prediction")
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
class Predictor(NetworkFunction):
    """A network with errors, densities and intervals of its predictions, the part of `Model` that a fit completes."""

    _band: LinearBand | MatrixFreeBand | None = None
    _no_band: str = "the model has not been fitted"
    _predictive: Predictive | None = None
    _prior: HostArray | None = None

    def _changed(self) -> None:
        self._set_uncertainty(None, "the parameters were set by hand", None)

    def _set_uncertainty(
        self,
        band: LinearBand | MatrixFreeBand | None,
        no_band: str,
        predictive: Predictive | None,
        prior: HostArray | None = None,
    ) -> None:
        """Set what belongs to the parameters: the band or why there is none, the density, the prior's precisions."""
        self._band, self._no_band, self._predictive, self._prior = band, no_band, predictive, prior

    @property
    def uncertainty(self) -> tuple[LinearBand | MatrixFreeBand | None, str, Predictive | None]:
        """The error band of the parameters, or the reason why there is none, and the density of new measurements."""
        return self._band, self._no_band, self._predictive

    def predict(
        self,
        x: Any,
        *,
        return_std: bool = False,
        return_cov: bool = False,
        kind: Literal["confidence", "prediction"] = "confidence",
    ) -> Any:
        """Return the network's output, or the ensemble's mean after ``prior="auto"``, with its error if requested.

        Parameters
        ----------
        x : array-like with shape (n, d), (n,) for d = 1, or (d,) for one event; or Bins, or a histogram
            Inputs; of bins the integral over each is returned, with its error.
        return_std : bool
            Whether to return the standard deviation too, linear in the parameters' covariance, in units of y; of an
            ensemble's mean it includes the scatter of its networks. It is
            infinite where the fit does not determine the output. After a fit that formed no p x p matrices each output
            of each event takes a solve: request few at a time.
        return_cov : bool
            Whether to return the covariance of all outputs instead, ``(n, n)`` or event by event ``(n k, n k)``, on the
            host; it is NaN where the fit does not determine an output. It is that of the fitted function, after
            ``prior="auto"`` that of the best network alone.
        kind : {"confidence", "prediction"}
            Whether the standard deviation is that of the fitted function, or that of new measurements. After
            ``loss="normal"`` the latter comes with the means alone, without the logarithms of widths.

        Raises
        ------
        NotFittedError
            If there is no valid covariance; the message says why.
        ValueError
            If the kind is unknown, or bins are asked for the scatter of new contents.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(-2, 2, 50)
        >>> model = fx.Model((1, 3, 1), seed=1)
        >>> fit = model.fit(x, np.tanh(2 * x), 0.1, prior=3.0)
        >>> mean, std = model.predict(0.5, return_std=True, kind="prediction")
        >>> bool(std > 0.1)
        True
        """
        if kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}: {did_you_mean(kind, KINDS)}")
        bins = Bins.of(x)
        if bins is not None:
            return self._contents(bins, return_std=return_std, return_cov=return_cov, kind=kind)
        ensemble = self._predictive is not None and len(self._predictive.members) > 1
        if return_cov or ensemble or (return_std and (kind == "prediction" or isinstance(self._band, MatrixFreeBand))):
            refuse_gradient(x, "x")
        if return_cov:
            return self._with_covariance(x, kind)
        if not return_std and not ensemble:
            return self(x)
        if self._band is None and not ensemble:
            raise NotFittedError(f"no error band: {self._no_band}")
        columns, shape = self._columns(x)
        at = (self.network, self._backend, columns)
        to = self._backend.to_device
        if ensemble:
            assert self._predictive is not None
            mean = self._shaped(to(self._predictive.mean(*at)), shape)
            if not return_std:
                return mean
            return mean, self._shaped(to(self._predictive.std(*at, with_y_error=kind == "prediction")), shape)
        assert self._band is not None
        outputs = evaluate(self.network, self._backend, self._theta, columns)
        if kind == "confidence":
            return self._shaped(outputs, shape), self._shaped(self._band.std(*at), shape)
        std = to(self._density().std(*at, with_y_error=True))
        return self._shaped(outputs[: std.shape[0], :], shape), self._shaped(std, shape)

    def _contents(self, bins: Bins, *, return_std: bool, return_cov: bool, kind: str) -> Any:
        """Return the integrals over bins, with their errors if requested."""
        mean = bins.contents(self.predict(bins.x))
        if not (return_std or return_cov):
            return mean
        if kind != "confidence" or (self._predictive is not None and len(self._predictive.members) > 1):
            raise ValueError("contents of bins have the error of the fitted function of one network only")
        root = self._covariance_root(bins.x)
        A = bins.contents(root.reshape(len(bins.x), -1, root.shape[-1]))
        if return_cov:
            return mean, _covariance(A.reshape(-1, A.shape[-1]))
        return mean, self._backend.to_device(np.sqrt(np.sum(A * A, axis=-1)).reshape(tuple(mean.shape)))

    def _with_covariance(self, x: Any, kind: str) -> tuple[Array, HostArray]:
        if kind != "confidence":
            raise ValueError("new measurements are independent: add their variances to the diagonal yourself")
        return self(x), _covariance(self._covariance_root(x))

    def _covariance_root(self, x: Any) -> HostArray:
        """Return A ``(n k, r)`` with A A^T the covariance of the outputs, infinite where the fit leaves one open."""
        if not isinstance(self._band, LinearBand):
            raise NotFittedError(f"no covariance of predictions: {self._no_band}")
        columns = self._columns(x)[0]
        return self._backend.to_host(self._band.covariance_root(self.network, self._backend, columns))

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
        p = self._backend.to_host(evaluate(self.network, self._backend, self.parameters, data.x))
        return score_probabilities(p, t, exclusive=losses[output].target_kind == "class")

    def _by_name(self, x: Any, y: Any, mask: Any) -> Measurements:
        """Return measurements whose columns are those of the fit, where they have names."""
        return Measurements(in_order(x, self.input_names), in_order(y, self.target_names, "y"), mask=mask)

    def _density(self) -> Predictive:
        if self._predictive is None:
            why = self._no_band
            if self._band is not None:
                why = (
                    "the statistic has none of independent values at known inputs, as least squares, student_t and "
                    "normal have, or the file has not kept it"
                )
            raise NotFittedError(f"no predictive density: {why}")
        return self._predictive


def _covariance(A: HostArray) -> HostArray:
    """Return A A^T, NaN in the rows and columns of infinite rows of A."""
    A = np.where(np.isfinite(A), A, np.nan)
    return np.asarray(A @ A.T)
