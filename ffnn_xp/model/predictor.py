"""`Predictor`: a network whose predictions have errors."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ffnn_xp._lib.errors import NotFittedError, did_you_mean
from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.text import Page, Shown, counted, first_names, visible
from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp.backends import refuse_gradient
from ffnn_xp.data import Bins
from ffnn_xp.model.function import NetworkFunction
from ffnn_xp.network import evaluate
from ffnn_xp.uncertainty import LinearBand, MatrixFreeBand, Predictive

KINDS = ("confidence", "prediction")


@quiet
class Predictor(NetworkFunction, Shown):
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

    @property
    def ensemble_parameters(self) -> HostArray:
        """The parameters of the networks whose mean `predict` returns, ``(m, p)`` in raw units, on the host.

        After ``prior="auto"`` for measured values or classes they are those of the ensemble, else one row.

        Examples
        --------
        >>> import ffnn_xp as fx
        >>> fx.Model((1, 3, 1), seed=1).ensemble_parameters.shape
        (1, 10)
        """
        if self._ensemble is None:
            return self._backend.to_host(self.parameters)[None]
        return np.stack([member.band.parameters for member in self._ensemble.members])

    @property
    def _ensemble(self) -> Predictive | None:
        """The density of several networks; None if there is one network, or no density."""
        several = self._predictive is not None and len(self._predictive.members) > 1
        return self._predictive if several else None

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
            ensemble's mean it includes the scatter of its networks, and is nowhere larger than that of a new
            measurement. It is infinite where the fit does not determine the output. After a fit that formed no p x p
            matrices each output of each event takes a solve: request few at a time.
        return_cov : bool
            Whether to return the covariance of all outputs instead, ``(n, n)`` or event by event ``(n k, n k)``, on the
            host; it is NaN where the fit does not determine an output. It is that of the fitted function, after
            ``prior="auto"`` that of the best network alone.
        kind : {"confidence", "prediction"}
            Whether the standard deviation is that of the fitted function, or that of new measurements, of which only
            measured values have one. After ``loss="normal"`` the latter comes with the means alone, without the
            logarithms of widths.

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
        ensemble = self._ensemble
        on_host = ensemble is not None or kind == "prediction" or isinstance(self._band, MatrixFreeBand)
        if return_cov or (on_host and (return_std or ensemble is not None)):
            refuse_gradient(x, "x")
        if return_cov:
            return self._with_covariance(x, kind)
        if not return_std and ensemble is None:
            return self(x)
        if self._band is None and ensemble is None:
            raise NotFittedError(f"no error band: {self._no_band}")
        columns, shape = self._columns(x)
        at = (self.network, self._backend, columns)
        to = self._backend.to_device
        if ensemble is not None:
            mean = self._shaped(to(ensemble.mean(*at)), shape)
            if not return_std:
                return mean
            density = ensemble if kind == "confidence" else self._density()
            return mean, self._shaped(to(density.std(*at, with_y_error=kind == "prediction")), shape)
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
        if kind != "confidence" or self._ensemble is not None:
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

    def _page(self) -> Page:
        """Return the network in words, for notebooks."""
        pairs = [("name", self._name)] if self._name is not None else []
        named = (("inputs", self._input_names), ("outputs", self._target_names))
        pairs += [(key, visible(first_names(names))) for key, names in named if names is not None]
        pairs.append(("errors", "those of the fit" if self._band is not None else f"none: {self._no_band}"))
        if self._ensemble is not None:
            pairs.append(("predictions", f"those of {len(self._ensemble.members)} networks, the ensemble of the fit"))
        pairs.append(("backend", str(self._backend)))
        if self._network is None:
            widths = "-".join("?" if h is None else str(h) for h in self._widths)
            return Page("Model", f"{widths}, of which data complete the widths", pairs)
        rows = [("layer", "matrix", "parameters", "activation")]
        for l, ((r, c), f) in enumerate(zip(self._network.layout.shapes, self._activations, strict=True), start=1):
            rows.append((f"L{l} -> L{l + 1}", f"{r} x {c}", str(r * c), f.name))
        title = f"{self._network.description}, {counted(self.n_parameters, 'parameter')}"
        return Page("Model", title, pairs, rows)

    def _density(self) -> Predictive:
        if self._predictive is None or not self._predictive.has_density:
            why = self._no_band
            if self._band is not None or self._predictive is not None:
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
