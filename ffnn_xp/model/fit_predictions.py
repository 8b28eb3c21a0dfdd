"""The studies of a fit's predictions, as methods: bands, their coverage, functions of predictions, histograms."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import numpy as np

from ffnn_xp._lib.errors import NotFittedError
from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.journal import keeping, recorded_seed
from ffnn_xp._lib.limits import deadline_of, interruptible
from ffnn_xp._lib.progress import showing
from ffnn_xp._lib.typing import Array, HostArray, PathLike
from ffnn_xp._lib.validation import level, seed_numbers, whole_number
from ffnn_xp.backends import refuse_gradient
from ffnn_xp.data import Bins, in_order, input_rows
from ffnn_xp.fitting import FitRecord, Workers, identity_of, seeds_of
from ffnn_xp.studies import (
    Coverage,
    FittedProblem,
    Interval,
    find_band_method,
    histogram_of,
    measure_coverage,
    prior_share,
    propagate_predictions,
)
from ffnn_xp.uncertainty import LinearBand, MatrixFreeBand


@quiet
class FitPredictions(FitRecord):
    """A fit with studies of its predictions."""

    def band(
        self,
        x: Any,
        *,
        cl: float = 0.683,
        method: str = "linear",
        number: int | None = None,
        seed: Any = None,
        progress: bool | None = None,
        max_seconds: float | None = None,
        executor: Executor | None = None,
    ) -> Interval:
        """Return the band of the fitted function: linear, by profiles, by toys, or by other minima.

        After ``prior="auto"`` the function is that of the best network; `Model.predict` has the ensemble's mean.

        Parameters
        ----------
        x : array-like with shape (n, d), or (n,) for d = 1
            Inputs.
        cl : float
            Confidence level.
        method : {"linear", "profile", "replicas", "mixture"}
            The kind of band; see `studies.bands`. A profile takes some tenths of a second for each end at 31 parameters
            (`benchmarks/bands.py`), each toy a refit. Only "mixture" includes other minima, in which random starts may
            end. With ``covariance="sandwich"`` only "linear" is right, and others are refused.
        number : int, optional
            Toys of "replicas" (200), or starts of "mixture" (8, this fit's included).
        seed : int, sequence of int, SeedSequence, Generator or RandomState, optional
            Seed of the toys or starts.
        progress : bool, optional
            Whether to show a progress bar, as in `Model.fit`.
        max_seconds : float, optional
            Time after which the band is made of what there is: the toys, starts or ends so far. The band's `stopped`
            says how many. In an interactive session Ctrl-C does the same; a script ends.
        executor : concurrent.futures.Executor, optional
            Whose workers share the toys, starts or ends; see `Model.fit_replicas`.

        Raises
        ------
        NotFittedError
            If the fit is not valid.
        ValueError
            If the level is not between 0 and 1, or the method is unknown, or a profile would need matrices that were
            not formed, or there was no time for any band.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(-2, 2, 50)
        >>> fit = fx.Model((1, 2, 1), seed=1).fit(x, np.tanh(2 * x), 0.1, prior=3.0)
        >>> linear, profile = (fit.band([0.0], method=method) for method in ("linear", "profile"))
        >>> bool(np.isclose(linear.high[0], profile.high[0], rtol=0.1))
        True
        """
        band = find_band_method(method)
        cl, workers = level(cl), self._workers(executor, max_seconds)
        with showing(progress), interruptible() as stop:
            found = band(
                self._fitted,
                self._known_band(),
                self._columns(x),
                cl=cl,
                number=number,
                seed=seed_numbers(seed),
                workers=workers,
            )
            stop.reason = found.stopped
        return found

    def propagate(self, function: Callable[[HostArray], Any], x: Any) -> tuple[HostArray, HostArray]:
        """Return a function of predictions, such as an average, a ratio or an integral, and its covariance.

        Parameters
        ----------
        function : callable
            A function of the predictions at all x, in the shape of `Model.predict`; it returns a number or a vector
            (m,).
        x : array-like with shape (n, d), or (n,) for d = 1
            Inputs.

        Returns
        -------
        value : array with shape () or (m,)
        covariance : array with shape () or (m, m)
            Linear error propagation from the covariance J Sigma J^T of the predictions, with all correlations.

        Raises
        ------
        NotFittedError
            If the fit is not valid, or formed no covariance.
        ValueError
            If a prediction depends on a direction that the fit does not determine.

        Examples
        --------
        The slope of a straight line from two predictions, and the integral between them:

        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(0, 1, 50)
        >>> fit = fx.Model((1, 1), seed=1).fit(x, 2 * x + 1, 0.1)
        >>> slope, variance = fit.propagate(lambda y: y[1] - y[0], [0.0, 1.0])
        >>> round(float(slope), 6), bool(np.isclose(variance, fit.errors[0] ** 2))
        (2.0, True)
        >>> area, variance = fit.propagate(lambda y: np.trapezoid(y, dx=0.1), np.linspace(0, 1, 11))
        >>> round(float(area), 6), round(float(np.sqrt(variance)), 4)
        (2.0, 0.0141)
        """
        known = self._known_band()
        if not isinstance(known, LinearBand):
            raise NotFittedError("no covariance of predictions: matrices were not formed")
        return propagate_predictions(self._fitted, known, function, self._columns(x))

    def to_hist(self, bins: Any = None) -> Any:
        """Return a histogram of the fitted function: its integral over each bin, with the variance of that.

        Parameters
        ----------
        bins : Bins or histogram, optional
            The bins; by default those of the fit, also those that a mask left out.

        Returns
        -------
        hist.Hist
            Its axes are those of the histogram that was fitted, or of the edges. Its contents are ``model.predict`` of
            the bins, without exposures; variances are NaN where the fit does not determine the contents.

        Raises
        ------
        ImportError
            If `hist` is not installed.
        NotFittedError
            If the fit is not valid, or formed no covariance.
        TypeError
            If the fit was not to bins, and none are given.
        ValueError
            If the network has several outputs, or not as many inputs as the bins have dimensions.

        Examples
        --------
        >>> import hist
        >>> import ffnn_xp as fx
        >>> h = hist.Hist.new.Reg(4, 0, 2, name="t").Int64()
        >>> h[...] = [100, 60, 36, 22]
        >>> fit = fx.Model((1, 1), output="exp", seed=1).fit(h, prior=None)
        >>> of_fit = fit.to_hist()
        >>> of_fit.axes.name, of_fit.values().round(1), (of_fit.variances() ** 0.5).round(1)
        (('t',), array([99.8, 60.1, 36.2, 21.8]), array([9.1, 4.1, 3.6, 3.4]))
        """
        given = self.problem.data.bins if bins is None else Bins.of(bins)
        if given is None:
            raise TypeError(
                "`bins` must be ffnn_xp.Bins(edges) or a histogram: this fit was not to the contents of any"
            )
        d = self.layout.widths[0]
        if len(given.edges) != d:
            raise ValueError(f"`bins` must have {d} dimensions as the network has inputs, got {len(given.edges)}")
        known = self._known_band()
        if not isinstance(known, LinearBand):
            raise NotFittedError("no covariance of contents: matrices were not formed")
        return histogram_of(self._fitted, known, given)

    @cached_property
    def _fitted(self) -> FittedProblem:
        """The problem and its minimum, for studies."""
        return FittedProblem(self.problem, self.cost, self.parameters, self.chi2, self.ndof, self.p_value)

    @staticmethod
    def _workers(executor: Executor | None, max_seconds: float | None) -> Workers:
        """Return those who work at a study that begins now."""
        return Workers(executor, deadline_of(max_seconds, time.monotonic()))

    def _keeping(self, checkpoint: PathLike | None, call: str, **options: Any) -> AbstractContextManager[None]:
        """Return the block of a study that is kept in a file, which belongs to this fit and these options."""
        return keeping(checkpoint, lambda: identity_of(self.problem, call, parameters=self.parameters, **options))

    def _columns(self, x: Any) -> Array:
        """Check inputs and return them as columns on the device."""
        refuse_gradient(x, "x")
        backend = self.problem.model.backend
        with backend.context():
            x = in_order(x, self.problem.data.input_names)
            return backend.xp.matrix_transpose(input_rows(backend, x, self.layout.widths[0])[0])

    def _known_band(self) -> LinearBand | MatrixFreeBand:
        if self.error_band is None:
            raise NotFittedError(f"no error band: {self.message}")
        return self.error_band

    def coverage(
        self,
        x: Any = None,
        *,
        cl: float | Sequence[float] = (0.683, 0.954),
        number: int = 200,
        seed: Any = None,
        progress: bool | None = None,
        max_seconds: float | None = None,
        executor: Executor | None = None,
        checkpoint: PathLike | None = None,
    ) -> Coverage:
        """Measure the coverage of the linear band by toys around this fit, and their bias and spread.

        Parameters
        ----------
        x : array-like with shape (m, d), or (m,) for d = 1, optional
            Inputs; by default at most 200 of the data's.
        cl : float or sequence of float
            Nominal coverages: confidence levels.
        number : int
            Number of toys.
        seed : int, sequence of int, SeedSequence, Generator or RandomState, optional
            Seed of the toys.
        progress : bool, optional
            Whether to show a progress bar, as in `Model.fit`.
        max_seconds : float, optional
            Time after which there are no further toys; `stopped` says how many there are. In an interactive session
            Ctrl-C does the same; a script ends.
        executor : concurrent.futures.Executor, optional
            Whose workers share the toys; see `Model.fit_replicas`.
        checkpoint : path-like, optional
            File that keeps the toys that are done, so that the same call goes on from there, as in `Model.fit`.

        Raises
        ------
        NotFittedError
            If the fit is not valid.
        ValueError
            If levels are not between 0 and 1, or fewer than two toys have a band.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(-2, 2, 50)
        >>> fit = fx.Model((1, 2, 1), seed=1).fit(x, np.tanh(2 * x), 0.1, prior=3.0)
        >>> measured = fit.coverage(number=100, seed=1)
        >>> measured.n_toys > 90, bool(abs(measured.averaged[0] - 0.683) < 0.1)
        (True, True)
        """
        if not self.valid or not self.with_matrices:
            raise NotFittedError(f"no error band: {self.message}")
        levels = np.atleast_1d(np.asarray(cl, dtype=np.float64))
        if levels.ndim != 1 or not np.all((levels > 0) & (levels < 1)):
            raise ValueError(f"`cl` must lie between 0 and 1, got {cl!r}")
        number, workers = whole_number(number, "number", 2), self._workers(executor, max_seconds)
        backend = self.problem.model.backend
        with backend.context():
            if x is None:
                columns = self.problem.data.measured_x(backend.xp)[:, :: -(-self.problem.data.n // 200)]
            else:
                columns = self._columns(x)
        if not columns.shape[-1]:
            raise ValueError("`x` holds no events: a coverage is measured at one point at least")
        seed, points = seed_numbers(seed), backend.to_host(columns)
        keep = self._keeping(checkpoint, "coverage", x=points, cl=levels, number=number, seed=seed)
        with showing(progress), interruptible() as stop:
            with keep:
                seeds = seeds_of(recorded_seed(seed), number)
                found = measure_coverage(self._fitted, columns, levels, seeds, workers)
            stop.reason = found.stopped
        return found

    def prior_share(self, x: Any) -> HostArray:
        r"""Return the prior's share of each prediction's posterior precision, from 0, the data alone, to 1.

        The precision of the parameters is G from the data (the Gauss-Newton matrix) plus P from the prior; a prediction
        with derivatives j has the variance :math:`v = j^T A j`, :math:`A = (G + P)^{-1}`, and the share is
        :math:`j^T A P A j / v`.

        Parameters
        ----------
        x : array-like with shape (n, d), or (n,) for d = 1
            Inputs.

        Returns
        -------
        array with shape (n,) or (n, k)
            The shares, in the shape of `Model.predict`; zeros without a prior.

        Raises
        ------
        NotFittedError
            If the fit is not valid, or formed no matrices.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(-1, 1, 50)
        >>> fit = fx.Model((1, 3, 1), seed=1).fit(x, np.tanh(2 * x), 0.1, prior=1.0)
        >>> near, far = fit.prior_share([0.0, 4.0])
        >>> bool(0 < near < far < 1)
        True
        """
        known = self._known_band()
        if not isinstance(known, LinearBand):
            raise NotFittedError("the prior's share of a prediction needs matrices, which were not formed")
        share = prior_share(self._fitted, known, self._columns(x))
        return share[0] if len(share) == 1 else share.T
