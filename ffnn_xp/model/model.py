"""`Model`, the user's object: a network that can be fitted to data, predict with errors, and be saved."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, Literal

import numpy as np

from ffnn_xp._lib.errors import FitWarning, did_you_mean, outside_the_package
from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.limits import interruptible
from ffnn_xp._lib.progress import showing
from ffnn_xp._lib.typing import HostArray, PathLike
from ffnn_xp._lib.validation import seed_numbers
from ffnn_xp.backends import host_floats
from ffnn_xp.data import Measurements, measurements_of
from ffnn_xp.fitting import DEFAULT_TUNING, FitOptions, ReplicaOptions, Tuning
from ffnn_xp.fitting import fit as run_fit
from ffnn_xp.losses import LossLike
from ffnn_xp.minimizers import Migrad, Minimizer
from ffnn_xp.model.ensemble import Ensemble, fit_replicas
from ffnn_xp.model.files import SavablePredictor
from ffnn_xp.model.pictures import NetworkPicture
from ffnn_xp.model.result import FitResult
from ffnn_xp.model.single_precision import checked_in

STARTS = ("auto", "random", "current")


@quiet
class Model(NetworkPicture, SavablePredictor):
    r"""A feed-forward network, :math:`y = f_L(A_L \cdot (\ldots f_1(A_1 \cdot (x, 1)) \ldots, 1))`.

    Parameters
    ----------
    layers : sequence of int, optional
        At least two widths: inputs, hidden layers, outputs; None as first or last is read from the data. Without them
        a first fit with ``prior="auto"`` takes one hidden layer of 10 units or two of 16, by held-out data; others 10.
    activation : str, Activation, or a sequence with one for each hidden layer
        relu, leaky_relu, tanh, logistic, softplus, silu, gelu, elu, sine, identity, exp, or your own `Activation`.
    output : str or Activation
        Nonlinearity of the last layer: identity, or exp, softplus, logistic, relu where outputs have a range; softmax
        for the probabilities of classes.
    backend, device, dtype, fallback, threads
        The backend; see `get_backend`.
    seed : int, sequence of int, SeedSequence, Generator or RandomState, optional
        Seed of the random start; it gives the same network on every backend. A generator gives its next number, which
        the model keeps.
    name : str, optional
        Name of the network, for costs of several networks in one sum: its parameters are then called
        ``name.a_L1_L2[0,0]``.

    Raises
    ------
    TypeError, ValueError
        For widths that are not positive integers, and unknown names.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> model = fx.Model((8, 7, 9, 6), activation="relu", output="relu", seed=1)
    >>> model.n_parameters, model.names[0]
    (195, 'a_L1_L2[0,0]')
    >>> model([1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]).shape, model([[0.0] * 8] * 5).shape
    ((6,), (5, 6))
    """

    def fit(
        self,
        x: Any,
        y: Any = None,
        y_err: Any = None,
        *,
        loss: LossLike | None = None,
        weights: Any = None,
        mask: Any = None,
        exposure: Any = None,
        trials: Any = None,
        y_cov: Any = None,
        x_err: Any = None,
        covariance: Literal["hessian", "sandwich"] = "hessian",
        prior: float | Literal["auto"] | None = "auto",
        restarts: int | Literal["auto"] = "auto",
        start: str | Any = "auto",
        minimizer: str | Minimizer = "auto",
        seed: Any = None,
        progress: bool | None = None,
        callback: Callable[[Any], bool | None] | None = None,
        max_seconds: float | None = None,
        executor: Executor | None = None,
        checkpoint: PathLike | None = None,
        tuning: Tuning = DEFAULT_TUNING,
    ) -> FitResult:
        """Fit the network to data and certify the minimum with MINUIT; the parameters become those of the best fit.

        Parameters
        ----------
        x : array-like with shape (n, d), or (n,) for d = 1; or Bins; or a histogram
            Inputs, events as rows, in any units: the fit standardises them. Tables and records (`data.records`), such
            as a dict of columns, have names, by which later ones are read. With ``ffnn_xp.Bins(edges)`` the network is
            a density, and y are its integrals over the bins. A histogram of `hist`, `boost_histogram` or `uproot` is
            its bins and their contents, counts or sums of weights with their variances; y is then left out. With
            ``loss="binomial"`` a histogram with a boolean axis is an efficiency at the bins' centres, and one of the
            events that passed too, with that of all as `trials`.
        y : array-like with shape (n, k), or (n,) for k = 1
            Measured values.
        y_err : float or array-like with shape (n,), (n, k) or (k,), optional
            Standard deviations of y. If None, one for each output is estimated from the residuals.
        loss : str, Loss or callable, optional
            The statistic: "least_squares", the default except for a histogram of counts; "soft_l1", "huber",
            "student_t", or a function of squared pulls as iminuit takes one, where some values are wrong by many sigma;
            "normal" for a network with 2 k outputs, means and logarithms of widths; "poisson" for counts, with
            ``output="exp"``; "binomial" for k out of N, or yes and no, with ``output="logistic"``; "multinomial" for
            labels 0 ... k-1 or counts of classes, with ``output="softmax"``. Other labels have to be numbered first, by
            ``classes, y = numpy.unique(y, return_inverse=True)``; output i is then the probability of ``classes[i]``.
        weights : array-like with shape (n,), optional
            Factor on each event's term, such as the number of times that it was measured. If y_err is None, only the
            weights' ratios matter. Monte-Carlo weights, which may be negative, need ``covariance="sandwich"``.
        mask : boolean array-like with shape (n,), optional
            True for events to use.
        exposure : float or array-like with shape (n,) or (n, k), optional
            Factor from the output to the expected counts, such as a time, a volume or a bin width.
        trials : int, array-like with shape (n,) or (n, k), or histogram, optional
            N of the binomial k.
        y_cov : array-like with shape (n, n), (n k, n k) or (n, k, k), optional
            Covariance of the measured values, instead of `y_err`: of all values, event by event, or of the values of
            each event.
        x_err : float or array-like with shape (n, d), (d,), or (n,) for d = 1, optional
            Standard deviations of x, zero for inputs that are known exactly, for least squares with `y_err`. The
            variance of y grows by the square of x_err times the slope of the network (`losses.EffectiveVarianceLoss`),
            which is right if the network is nearly straight over x_err.
        covariance : {"hessian", "sandwich"}
            "hessian" is right if the statistic is the likelihood. "sandwich" takes the gradients' variance from the
            data, for weighted events, wrong errors and outliers (`uncertainty.sandwich`). The predictive density after
            ``prior="auto"`` is calibrated by held-out data in either case.
        prior : "auto", float or None
            "auto" chooses the width of a Gaussian prior by cross-validation along a path from strong to weak, and makes
            an ensemble of networks with a calibrated predictive density (`prior_selection`); `predict`, `log_density`
            and `interval` are then the ensemble's, and the model itself is its best network. It chooses none for
            networks without hidden units (with more values than parameters), for fewer than ten events, and where
            none can be held out (`y_cov`, bins); the result's text says so. A number is the width on the standardised
            weights (`prior.layer_precision`), smaller is smoother. None is no prior: MINUIT's own chi-square, which
            overfits unless the data determine all parameters.
        restarts : int or "auto"
            Number of starts, one by default where a start is given or comes from ``prior="auto"``. Otherwise "auto"
            takes sixty of a network of up to 64 parameters; a larger network's, ten at most, are minimized one after
            another until chi-square says that a fit is as good as it can be, or three to sixteen where the errors of y
            are unknown. From eight starts on those of a small network compete, and basin hopping goes on from the best
            (`fitting.basin_hopping`). Of very many events all other random starts see a sample first, drawn with the
            seed, if there is a prior, and the best goes on with all events.
        start : {"auto", "random", "current"} or array with shape (p,)
            The first start: random; the model's current parameters, as after an interrupted fit; or these parameters.
            Further ones are random. "auto" is random, but for MIGRAD alone the parameters that were set, loaded or
            fitted before, as in the lesson.
        minimizer : str or Minimizer
            "auto" is multi-start minimization with methods made for networks. "migrad" is MIGRAD alone. "lbfgs",
            "levenberg_marquardt", "preconditioned_lbfgs", "kronecker_lbfgs" and "matrix_free" minimize from each start
            by this method, and so does an object of your own with a method ``run(problem, theta, budget)`` that returns
            a `minimizers.MinimizerResult`. Where that ends at no minimum, the last steps are those of "auto". MINUIT
            certifies in any case.
        seed : int, sequence of int, SeedSequence, Generator or RandomState, optional
            Seed of the starts; by default the model's own.
        progress : bool, optional
            Whether to show a progress bar, by tqdm. By default in a terminal or notebook, if tqdm is installed, for a
            fit that takes more than a second; True shows it in any case.
        callback : callable, optional
            Called with a `FitState` at each improvement; return True to stop with the best so far.
        max_seconds : float, optional
            Time after which the fit ends with the best so far, which is certified if there was time for that.
        executor : concurrent.futures.Executor, optional
            Whose workers minimize from several starts, or the networks of several folds, at once; see `fit_replicas`.
            Small networks, which are minimized in one batch, stay in this process.
        checkpoint : path-like, optional
            File that keeps what is done, written every few seconds: after a crash, or the end of a batch job, the same
            call goes on from there. It belongs to these data and options, and is refused with others.
        tuning : Tuning
            The tuned numbers of all algorithms, `ffnn_xp.fitting.Tuning`, for experts.

        Returns
        -------
        FitResult
            The result, on the host.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C in a script, at the next evaluation, with the best so far in the model. In an interactive
            session the best so far is returned, marked as not valid. A second Ctrl-C ends the fit at once.
        TypeError, ValueError
            If data cannot be used; the message says which value, and what to do.

        Warns
        -----
        FitWarning
            If the result is not valid, its minimum lies at infinity, or it does not describe the data.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(-2, 2, 50)
        >>> fit = fx.Model((1, 3, 1), seed=1).fit(x, np.tanh(2 * x), 0.1)
        >>> fit.valid, bool(fit.edm < 2e-4)
        (True, True)
        """
        with showing(progress), self._backend.single_threaded_blas(), interruptible() as stop:
            given = Measurements(x, y, y_err, weights, mask, exposure, trials, y_cov, x_err)
            measurements, loss = measurements_of(given, loss)
            options = FitOptions(
                loss=loss,
                prior=prior,
                covariance=covariance,
                restarts=restarts,
                minimizer=minimizer,
                seed=self._seed if seed is None else seed_numbers(seed),
                start=self._start_of_fit(start, minimizer),
                callback=callback,
                max_seconds=max_seconds,
                executor=executor,
                checkpoint=checkpoint,
                tuning=tuning,
            )
            record = checked_in(self._backend, run_fit(self, measurements, options))
            stop.reason = record.message
            self.parameters = record.parameters
            data = record.problem.data
            self._column, self._input_names = data.y_was_column, data.input_names
            self._target_names = data.target_names if len(data.target_names or ()) == self.layers[-1] else None
            chosen = record.problem.prior
            precision = None if chosen is None else chosen.precision
            self._set_uncertainty(record.error_band, record.message, record.predictive, precision)
        if not record.valid or record.caution:
            state = "valid, but take care" if record.valid else "not valid"
            warnings.warn(f"the fit is {state}. {record.message}", FitWarning, stacklevel=outside_the_package())
        return FitResult.of(record)

    def fit_replicas(
        self,
        x: Any,
        y: Any = None,
        y_err: Any = None,
        *,
        kind: Literal["toys", "bootstrap"] = "toys",
        number: int = 200,
        loss: LossLike | None = None,
        weights: Any = None,
        mask: Any = None,
        exposure: Any = None,
        trials: Any = None,
        y_cov: Any = None,
        x_err: Any = None,
        covariance: Literal["hessian", "sandwich"] = "hessian",
        prior: float | Sequence[float] | Literal["auto"] | None = "auto",
        seed: Any = None,
        progress: bool | None = None,
        max_seconds: float | None = None,
        executor: Executor | None = None,
        checkpoint: PathLike | None = None,
        tuning: Tuning = DEFAULT_TUNING,
    ) -> Ensemble:
        """Fit many replicas of the data, all from the model's parameters; the model stays as it is.

        Parameters
        ----------
        x : array-like with shape (n, d), or (n,) for d = 1; or Bins; or a histogram
            Inputs; a histogram has y in it, as in `fit`.
        y : array-like with shape (n, k), or (n,) for k = 1; or (r, n, k)
            Measured values. With a leading axis they are the replicas themselves; `kind` and `number` are not used.
        y_err : float or array-like with shape (n,), (n, k) or (k,), optional
            Standard deviations of y. If None, one for each output is estimated from the model's residuals.
        kind : {"toys", "bootstrap"}
            Toys are new measurements around the model's prediction, drawn from the statistic's distribution: normal
            with width `y_err`, Poisson, binomial, ...; bootstrap copies draw events with replacement.
        number : int
            Number of replicas.
        loss, weights, mask, exposure, trials, y_cov, x_err
            As in `fit`. Weights may be negative in bootstrap copies.
        covariance : {"hessian", "sandwich"}
            As in `fit`. A sandwich takes errors from the scatter of the data, as bootstrap copies do and toys do not.
        prior : "auto", float, sequence of float, or None
            "auto" is that of the fit which the model's parameters come from, none if they were set by hand. Others as
            in `fit`; a sequence makes one replica for each prior, all with the same data.
        seed : int, sequence of int, SeedSequence, Generator or RandomState, optional
            Seed of toys and bootstrap copies; by default the model's own. Toy i is drawn by the generator
            ``numpy.random.default_rng(numpy.random.SeedSequence(seed).spawn(number)[i])``.
        progress, tuning
            As in `fit`.
        max_seconds : float, optional
            Time after which the minimization stops, with the best so far.
        executor : concurrent.futures.Executor, optional
            Whose workers share the replicas: ``ProcessPoolExecutor()``, Dask's ``client.get_executor()``,
            ``mpi4py.futures.MPIPoolExecutor()``, ... The result is the same to the last bit, whatever their number.
        checkpoint : path-like, optional
            File that keeps the replicas that are done, so that the same call goes on from there, as in `fit`.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C in a script; in an interactive session the best so far is returned, and `stopped` says so.
        NotFittedError
            If the model has no parameters yet.
        TypeError, ValueError
            If data cannot be used.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(-2, 2, 50)
        >>> model = fx.Model((1, 2, 1), seed=1)
        >>> fit = model.fit(x, np.tanh(2 * x), 0.1, prior=3.0)
        >>> ensemble = model.fit_replicas(x, np.tanh(2 * x), 0.1, prior=3.0, number=20, seed=1)
        >>> len(ensemble), ensemble(x).shape
        (20, (20, 50))
        """
        with showing(progress), self._backend.single_threaded_blas(), interruptible() as stop:
            given = Measurements(x, y, y_err, weights, mask, exposure, trials, y_cov, x_err)
            measurements, loss = measurements_of(given, loss)
            options = ReplicaOptions(
                kind=kind,
                number=number,
                loss=loss,
                prior=prior,
                covariance=covariance,
                seed=self._seed if seed is None else seed_numbers(seed),
                max_seconds=max_seconds,
                executor=executor,
                checkpoint=checkpoint,
                tuning=tuning,
            )
            ensemble = fit_replicas(self, measurements, options, self._prior, self._predictive)
            stop.reason = ensemble.stopped
        return ensemble

    def _start_of_fit(self, start: str | Any, minimizer: str | Minimizer) -> HostArray | None:
        """Return the first start of a fit, raw parameters ``(p,)`` on the host, or None for random starts alone."""
        if isinstance(start, str):
            if start not in STARTS:
                raise ValueError(f"unknown start {start!r}: {did_you_mean(start, STARTS)}, or an array of parameters")
            alone = minimizer == "migrad" or isinstance(minimizer, Migrad)
            if start == "random" or (start == "auto" and not (alone and self._chosen)):
                return None
            return self._backend.to_host(self.parameters)
        theta = host_floats(self._backend.to_host(start) if self._backend.owns(start) else start, "start")
        if theta.ndim != 1 or not np.all(np.isfinite(theta)):
            raise ValueError(f"`start` must be a name or finite parameters with shape (p,), got {start!r}")
        return theta


load = Model.load
