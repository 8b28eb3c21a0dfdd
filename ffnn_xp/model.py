"""`Model`, the user's object: it holds parameters and a backend, checks what comes in, and delegates."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, cast

import numpy as np

from ._typing import Array, HostArray
from .activations import Activation
from .activations import activation as find_activation
from .backends import Backend, get_backend
from .bands import covariance_root
from .canonical import canonical
from .checks import host_floats
from .classification import Classification, classification
from .cost_sum import vector
from .ensemble import Ensemble, fit_replicas
from .errors import FitWarning, NotFittedError, did_you_mean
from .fit import fit as run_fit
from .inputs import dataset, input_rows
from .layout import Layout
from .losses import Loss
from .losses import loss as find_loss
from .network import Network
from .prediction import Band, evaluate
from .predictive import Predictive
from .product_band import ProductBand
from .result import FitResult
from .starts import glorot

Widths = Sequence[int | None]
KINDS = ("confidence", "prediction")


class Model:
    r"""A feed-forward network, :math:`y = f_L(A_L \cdot (\ldots f_1(A_1 \cdot (x, 1)) \ldots, 1))`.

    Parameters
    ----------
    layers : sequence of int
        Widths: inputs, hidden layers, outputs. None as first or last is read from the data. At least two.
    activation : str, Activation, or a sequence with one for each hidden layer
        relu, leaky_relu, tanh, logistic, softplus, silu, gelu, elu, sine, identity, exp, or your own `Activation`.
    output : str or Activation
        Nonlinearity of the last layer: identity, or exp, softplus, logistic, relu where outputs have a range; softmax
        for the probabilities of classes.
    backend, device, dtype, fallback, threads
        Where to compute; see `get_backend`.
    seed : int, optional
        Of the random start; the same seed gives the same network on every backend.

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

    def __init__(
        self,
        layers: Widths = (None, 10, None),
        *,
        activation: str | Activation | Sequence[str | Activation] = "tanh",
        output: str | Activation = "identity",
        backend: str | Backend = "auto",
        device: Any = None,
        dtype: str = "float64",
        seed: int | None = None,
        fallback: bool | None = None,
        threads: int | None = None,
    ) -> None:
        self._widths = _check_widths(layers)
        self._activations = (*_hidden(activation, len(self._widths) - 2), find_activation(output, output=True))
        self._backend = get_backend(backend, device=device, dtype=dtype, fallback=fallback, threads=threads)
        self._seed = seed
        self._network: Network | None = None
        self._theta: Array | None = None
        self._chosen = False
        self._fits = 0
        self._column = False
        self._band: Band | ProductBand | None = None
        self._no_band = "the model has not been fitted"
        self._predictive: Predictive | None = None
        if None not in self._widths:
            self.build(cast(int, self._widths[0]), cast(int, self._widths[-1]))

    @classmethod
    def from_matrices(cls, matrices: Sequence[Any], **options: Any) -> Model:
        """A model with these matrices.

        Parameters
        ----------
        matrices : sequence
            Of pairs (a, b) with shapes (h, d) and (h,), or of augmented matrices with shape (h, d + 1), bias last.
        **options
            As of `Model`, without `layers` and `seed`.

        Raises
        ------
        ValueError
            If a matrix does not fit to the one before it.

        Examples
        --------
        >>> import ffnn_xp as fx
        >>> fx.Model.from_matrices([([[2.0]], [1.0])])([3.0])
        array([7.])
        """
        if not len(matrices):
            raise ValueError("`matrices` is empty: give at least one matrix")
        augmented = [_augmented(item, l) for l, item in enumerate(matrices, start=1)]
        for l, (below, above) in enumerate(pairwise(augmented), start=2):
            if above.shape[1] != below.shape[0] + 1:
                raise ValueError(
                    f"matrix {l} must have {below.shape[0]} columns and a bias to follow matrix {l - 1} with "
                    f"{below.shape[0]} rows, got shape {above.shape} with the bias"
                )
        widths = (augmented[0].shape[1] - 1, *(A.shape[0] for A in augmented))
        model = cls(widths, **options)
        model.parameters = np.concatenate([A.ravel() for A in augmented])
        return model

    def build(self, d: int, k: int) -> None:
        """Fill in widths that were left open and draw the start parameters; does nothing if all is known."""
        if self._network is None:
            self._network = self.network_for(d, k)
            start = glorot(self._network.layout, np.random.default_rng(self._seed))
            self._theta = self._backend.to_device(start)

    def network_for(self, d: int, k: int) -> Network:
        """The network that this would be for d inputs and k outputs; changes nothing."""
        if self._network is not None:
            return self._network
        return Network(Layout((d, *cast("tuple[int, ...]", self._widths[1:-1]), k)), self._activations)

    @property
    def network(self) -> Network:
        """Widths and activations.

        Raises
        ------
        NotFittedError
            If widths were left to the data and there were none yet.
        """
        if self._network is None:
            raise NotFittedError(
                f"the widths {self._widths} are completed by the first fit: call fit(x, y), or give all widths"
            )
        return self._network

    def shape_of_data(self) -> tuple[int | None, int | None]:
        """Number of inputs and outputs, None where the data decide."""
        widths = self._widths if self._network is None else self._network.layout.widths
        return widths[0], widths[-1]

    @property
    def backend(self) -> Backend:
        """Array library, device and dtype; `reason` says why NumPy stands in, if it does."""
        return self._backend

    @property
    def layers(self) -> tuple[int | None, ...]:
        """The widths."""
        return self._widths if self._network is None else self._network.layout.widths

    @property
    def activations(self) -> tuple[Activation, ...]:
        """One for each layer, the output's last."""
        return self._activations

    @property
    def n_parameters(self) -> int:
        """Length p of theta."""
        return self.network.layout.n_parameters

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters in the order of theta."""
        return self.network.layout.names

    @property
    def _parameters(self) -> dict[str, None]:
        """The signature that iminuit reads: x, then the parameters by name."""
        return dict.fromkeys(("x", *self.names))

    @property
    def parameters(self) -> Array:
        """Theta, ``(p,)`` on the device: augmented matrices row by row, bias last, layer after layer, raw units.

        A copy: to change the model, assign.
        """
        _ = self.network
        with self._backend.context():
            return self._backend.xp.asarray(self._theta, copy=True)

    @parameters.setter
    def parameters(self, theta: Any) -> None:
        host = self._host_theta((theta,))
        if not np.all(np.isfinite(host)):
            raise ValueError(f"parameters must be finite, got {host[~np.isfinite(host)][0]}")
        self._theta = self._backend.to_device(host)
        self._chosen = True
        self._band, self._no_band = None, "the parameters were set by hand"
        self._predictive = None

    @property
    def matrices(self) -> list[Array]:
        """The augmented matrices, ``(h_l, h_{l-1} + 1)`` on the device, bias in the last column."""
        return self.network.layout.matrices(self._backend.xp, self.parameters)

    @property
    def canonical(self) -> HostArray:
        """The parameters ``(p,)`` of the same function with order, signs and scales of hidden units fixed, on the host.

        So that two fits can be compared; see `canonical.canonical`, and `canonical.same_minimum` for near-ties.

        Examples
        --------
        >>> import ffnn_xp as fx
        >>> model = fx.Model.from_matrices([([[3.0], [-2.0]], [0.0, 1.0]), ([[5.0, 7.0]], [0.5])])
        >>> model.canonical
        array([ 2. , -1. ,  3. ,  0. , -7. ,  5. ,  0.5])
        """
        return canonical(self.network, self._backend.to_host(self.parameters))

    def __call__(self, x: Any, *theta: Any) -> Array:
        """The network's output.

        Parameters
        ----------
        x : array-like with shape (n, d), (n,) for d = 1, or (d,) for one event
            Inputs.
        *theta : array-like with shape (p,), or p floats, optional
            Parameters to use instead of the model's: the signature of `iminuit.cost.LeastSquares`.

        Returns
        -------
        array with shape (n, k), (n,) for k = 1, or (k,) for one event
            On the model's device; on the host if theta was given from there.
        """
        columns, kind = self._columns(x)
        if not theta:
            return self._shaped(evaluate(self.network, self._backend, self._theta, columns), kind)
        on_device = len(theta) == 1 and self._backend.owns(theta[0]) and theta[0].shape == (self.n_parameters,)
        on_device = on_device and self._backend.xp.isdtype(theta[0].dtype, "real floating")
        values = self._backend.adopt(theta[0]) if on_device else self._backend.to_device(self._host_theta(theta))
        y = self._shaped(evaluate(self.network, self._backend, values, columns), kind)
        return y if on_device else self._backend.to_host(y)

    def fit(
        self,
        x: Any,
        y: Any,
        y_err: Any = None,
        *,
        loss: str | Loss = "least_squares",
        weights: Any = None,
        mask: Any = None,
        exposure: Any = None,
        trials: Any = None,
        y_cov: Any = None,
        x_err: Any = None,
        covariance: Literal["hessian", "sandwich"] = "hessian",
        prior: float | Literal["auto"] | None = None,
        restarts: int | Literal["auto"] = "auto",
        minimizer: Literal["auto", "migrad"] = "auto",
        seed: int | None = None,
        progress: bool | None = None,
        callback: Callable[[Any], bool | None] | None = None,
        max_seconds: float | None = None,
    ) -> FitResult:
        """Fit the network to data and certify the minimum with MINUIT; the parameters become those of the best fit.

        Parameters
        ----------
        x : array-like with shape (n, d), or (n,) for d = 1; or Bins
            Inputs, events as rows; any units, they are standardised inside. With ``ffnn_xp.Bins(edges)`` the network is
            a density, and y are its integrals over the bins.
        y : array-like with shape (n, k), or (n,) for k = 1
            Measured values.
        y_err : float or array-like with shape (n,), (n, k) or (k,), optional
            Standard deviations of y. If None, one for each output is estimated from the residuals.
        loss : str or Loss
            The statistic: "least_squares"; "soft_l1", "huber", "student_t" where some values are wrong by many sigma;
            "normal" for a network with 2 k outputs, means and logarithms of widths; "poisson" for counts, with
            ``output="exp"``; "binomial" for k out of N, or yes and no, with ``output="logistic"``; "multinomial" for
            labels 0 ... k-1 or counts of classes, with ``output="softmax"``.
        weights : array-like with shape (n,), optional
            Factor on each event's term: how often it was seen, or as if its errors were smaller by the square root. If
            y_err is None, only the weights' ratios matter. Monte-Carlo weights, which may be negative, need
            ``covariance="sandwich"``.
        mask : boolean array-like with shape (n,), optional
            True for events to use.
        exposure : float or array-like with shape (n,) or (n, k), optional
            Of counts: the time, volume or bin width that the output is multiplied by.
        trials : int or array-like with shape (n,) or (n, k), optional
            N of the binomial k.
        y_cov : array-like with shape (n, n), (n k, n k) or (n, k, k), optional
            Covariance of the measured values, in place of `y_err`: of all of them, event by event, or of those of each
            event.
        x_err : float or array-like with shape (n, d), (d,), or (n,) for d = 1, optional
            Standard deviations of x, zero for inputs that are known: the variance of y grows by the square of x_err
            times the slope of the network (`losses.EffectiveVarianceLoss`). For least squares with `y_err`. It is right
            while the network is nearly straight over x_err.
        covariance : {"hessian", "sandwich"}
            "hessian" is right if the statistic is the likelihood. "sandwich" takes the gradients' variance from the
            data: for weighted events, errors that are not the true ones, outliers (`uncertainty.sandwich`).
        prior : float or "auto", optional
            Width of a Gaussian prior on the standardised weights (`prior.layer_precision`): smaller is smoother. None
            is no prior. "auto" is the whole recipe: a strength chosen by held-out data along a path from strong to
            weak, a mixture of networks, a calibrated predictive density (`recipe`); `predict`, `log_density` and
            `interval` are then the mixture's, and the model itself its best network. It is not saved.
        restarts : int or "auto"
            Upper limit of random starts. The walk ends earlier if chi-square says that a fit is as good as it can be.
            Parameters that were set, loaded or fitted before are the first start.
        minimizer : {"auto", "migrad"}
            "migrad" is MIGRAD alone from the model's parameters, as in the lesson.
        seed : int, optional
            Of the starts; by default the model's own.
        progress : bool, optional
            Show a progress line. By default in a terminal.
        callback : callable, optional
            Called with a `FitState` at each improvement; return True to stop with the best so far.
        max_seconds : float, optional
            Stop the walk after this time, with the best so far.

        Returns
        -------
        FitResult
            On the host. Ctrl-C returns the best so far, marked as not valid.

        Raises
        ------
        TypeError, ValueError
            If data cannot be used; the message says where and what to do.

        Warns
        -----
        FitWarning
            If the result is not valid.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(-2, 2, 50)
        >>> fit = fx.Model((1, 3, 1), seed=1).fit(x, np.tanh(2 * x), 0.1)
        >>> fit.valid, bool(fit.edm < 2e-4)
        (True, True)
        """
        with self._backend.calm():
            outcome = run_fit(
                self,
                x,
                y,
                y_err,
                loss=loss,
                weights=weights,
                mask=mask,
                exposure=exposure,
                trials=trials,
                y_cov=y_cov,
                x_err=x_err,
                covariance=covariance,
                prior=prior,
                restarts=restarts,
                minimizer=minimizer,
                seed=self._next_seed() if seed is None else seed,
                start=self._backend.to_host(self.parameters)
                if self._chosen or (minimizer == "migrad" and self._network is not None)
                else None,
                progress=progress,
                callback=callback,
                max_seconds=max_seconds,
            )
        self.parameters = outcome.result.parameters
        self._fits += 1
        self._column = outcome.y_was_column
        self._band, self._no_band = outcome.band, outcome.no_band
        self._predictive = outcome.predictive
        if not outcome.result.valid:
            warnings.warn(f"the fit is not valid. {outcome.result.message}", FitWarning, stacklevel=2)
        return outcome.result

    def fit_replicas(
        self,
        x: Any,
        y: Any,
        y_err: Any = None,
        *,
        kind: Literal["toys", "bootstrap"] = "toys",
        number: int = 200,
        loss: str | Loss = "least_squares",
        weights: Any = None,
        exposure: Any = None,
        trials: Any = None,
        y_cov: Any = None,
        x_err: Any = None,
        prior: float | Sequence[float] | None = None,
        seed: int | None = None,
        max_seconds: float | None = None,
    ) -> Ensemble:
        """Fit many replicas of the data in one batch, all from the model's parameters; the model stays as it is.

        Parameters
        ----------
        x : array-like with shape (n, d), or (n,) for d = 1
            Inputs.
        y : array-like with shape (n, k), or (n,) for k = 1; or (r, n, k)
            Measured values. With a leading axis they are the replicas themselves, and `kind` and `number` do not count.
        y_err : float or array-like with shape (n,), (n, k) or (k,), optional
            Standard deviations of y. If None, one for each output is estimated from the model's residuals.
        kind : {"toys", "bootstrap"}
            Toys are new measurements around the model's prediction, as the statistic says: normal with width `y_err`,
            Poisson, binomial, ...; bootstrap copies draw events with replacement.
        number : int
            How many.
        loss, weights, exposure, trials, y_cov, x_err
            As in `fit`.
        prior : float or sequence of float, optional
            As in `fit`. A sequence makes one replica of each, all with the data as they are.
        seed : int, optional
            Of toys and bootstrap copies; by default the model's own.
        max_seconds : float, optional
            Stop after this time, with what there is.

        Raises
        ------
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
        with self._backend.calm():
            return fit_replicas(
                self,
                x,
                y,
                y_err,
                kind=kind,
                number=number,
                loss=loss,
                weights=weights,
                x_err=x_err,
                extras={"exposure": exposure, "trials": trials, "y_cov": y_cov},
                prior=prior,
                seed=self._seed if seed is None else seed,
                max_seconds=max_seconds,
            )

    def _next_seed(self) -> int | list[int] | None:
        """The model's seed for its first fit, and others, reproducible ones, for those that go on from there."""
        return self._seed if self._seed is None or not self._fits else [self._seed, self._fits]

    def predict(
        self,
        x: Any,
        *,
        return_std: bool = False,
        return_cov: bool = False,
        kind: Literal["confidence", "prediction"] = "confidence",
    ) -> Any:
        """The network's output, with its standard deviation if asked for; after ``prior="auto"`` the mixture's.

        Parameters
        ----------
        x : array-like with shape (n, d), (n,) for d = 1, or (d,) for one event
            Inputs.
        return_std : bool
            Also return the 68 % half-width, linear in the parameters' covariance, in units of y. Infinite where the fit
            does not determine it. Of a fit that formed no p x p matrices each output of each event takes a solve: ask
            for few at a time.
        return_cov : bool
            Return the covariance of all outputs instead, ``(n, n)`` or event by event ``(n k, n k)``, on the host; not
            a number where the fit does not determine it. Of the fitted function, and after ``prior="auto"`` of the best
            network alone.
        kind : {"confidence", "prediction"}
            Half-width of the fitted function, or of new measurements, whose errors are added.

        Raises
        ------
        NotFittedError
            If there is no valid covariance; the message says why.
        ValueError
            If the kind is unknown.

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
        if return_cov:
            return self._with_covariance(x, kind)
        mixture = self._predictive is not None and len(self._predictive.members) > 1
        if not return_std and not mixture:
            return self(x)
        if self._band is None and not mixture:
            raise NotFittedError(f"no error band: {self._no_band}")
        columns, shape = self._columns(x)
        ask = (self.network, self._backend, columns)
        to = self._backend.to_device
        if mixture:
            assert self._predictive is not None
            mean = self._shaped(to(self._predictive.mean(*ask)), shape)
            if not return_std:
                return mean
            return mean, self._shaped(to(self._predictive.std(*ask, noise=kind == "prediction")), shape)
        assert self._band is not None
        mean = self._shaped(evaluate(self.network, self._backend, self._theta, columns), shape)
        if kind == "confidence":
            return mean, self._shaped(self._band.std(*ask), shape)
        return mean, self._shaped(to(self._density().std(*ask, noise=True)), shape)

    def _with_covariance(self, x: Any, kind: str) -> tuple[Array, HostArray]:
        if kind != "confidence":
            raise ValueError("new measurements are independent: add their variances to the diagonal yourself")
        if not isinstance(self._band, Band):
            raise NotFittedError(f"no covariance of predictions: {self._no_band}")
        A = covariance_root(self.network, self._band, self._backend, self._columns(x)[0])
        A[~np.isfinite(A)] = np.nan
        return self(x), A @ A.T

    def log_density(self, x: Any, y: Any) -> HostArray:
        """Logarithm of the predictive density of each event, in units of y.

        Parameters
        ----------
        x : array-like with shape (n, d), or (n,) for d = 1
            Inputs.
        y : array-like with shape (n, k), or (n,) for k = 1
            New measurements.

        Returns
        -------
        array with shape (n,)
            On the host; of several outputs together.

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
        density = self._density()
        with self._backend.context():
            data = dataset(self._backend, x, y, d=self.network.layout.widths[0], k=self.network.layout.widths[-1])
        return density.log_density(self.network, self._backend, data.x, self._backend.to_host(data.y))

    def interval(self, x: Any, *, cl: float = 0.9) -> tuple[Array, Array]:
        """The central interval of a new measurement, ``(low, high)``, each in the shape of `predict`.

        Parameters
        ----------
        x : array-like with shape (n, d), (n,) for d = 1, or (d,) for one event
            Inputs.
        cl : float
            Content, between 0 and 1.

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
        if not 0 < cl < 1:
            raise ValueError(f"`cl` must lie between 0 and 1, got {cl!r}")
        density = self._density()
        columns, shape = self._columns(x)
        ends = (density.quantile(self.network, self._backend, columns, q) for q in ((1 - cl) / 2, (1 + cl) / 2))
        low, high = (self._shaped(self._backend.to_device(end), shape) for end in ends)
        return low, high

    def classification(self, x: Any, y: Any) -> Classification:
        """How well probabilities tell classes apart, and whether they are true: log-loss, ROC, calibration.

        Parameters
        ----------
        x : array-like with shape (n, d), or (n,) for d = 1
            Inputs: of events that the fit has not seen, or the answer is too good.
        y : array-like with shape (n,) or (n, k)
            Yes or no as 1 or 0, or labels 0 ... k-1 of a softmax.

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
        output = self._activations[-1].name
        kinds = {"logistic": "binomial", "softmax": "multinomial"}
        if output not in kinds:
            raise ValueError(f"only a logistic or a softmax output predicts probabilities, not {output!r}")
        widths = self.network.layout.widths
        with self._backend.context():
            loss = find_loss(kinds[output])
            data = dataset(self._backend, x, y, d=widths[0], k=widths[-1], loss=loss)
        t = self._backend.to_host(data.y)
        if not np.all((t == 0) | (t == 1)):
            raise ValueError("`y` must be 0 or 1 for each event and class: counts have no ROC curve")
        p = self._backend.to_host(evaluate(self.network, self._backend, self.parameters, data.x))
        return classification(p, t, exclusive=output == "softmax")

    def _density(self) -> Predictive:
        if self._predictive is None:
            why = self._no_band if self._band is None else "the statistic is not one of measured values at known inputs"
            raise NotFittedError(f"no predictive density: {why}")
        return self._predictive

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        band: bool | None = None,
        fit: FitResult | None = None,
        input_names: Sequence[str] | None = None,
        target_names: Sequence[str] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write the network to a safetensors file, for `ffnn_xp.load` or any other reader of that format.

        The file holds host numbers, whatever the backend. An existing one is replaced only when the new one is whole.

        Parameters
        ----------
        path : path-like
            Where to write, customarily ``*.safetensors``.
        band : bool, optional
            Whether to keep the error band, 8 p^2 bytes, and the predictive density. By default up to p = 2000
            parameters, which is 32 MB; the networks of a mixture (``prior="auto"``) and their bands at any size.
            Without them the file predicts as the best network does.
        fit : FitResult, optional
            What `fit` returned: a summary goes into the header.
        input_names, target_names : sequence of str, optional
            The columns that inputs and outputs mean.
        metadata : mapping of str to str, optional
            Anything else; `ffnn_xp.files.read_header` gives it back.

        Raises
        ------
        NotFittedError
            If widths were left to the data and there were none yet.
        OSError
            If the file cannot be written; the message says why.
        ImportError
            If safetensors is not installed.

        Examples
        --------
        >>> import tempfile
        >>> import ffnn_xp as fx
        >>> model = fx.Model((8, 7, 6), seed=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/net.safetensors")
        ...     same = fx.load(f"{folder}/net.safetensors")
        >>> bool((same.parameters == model.parameters).all())
        True
        """
        from .files import save

        save(
            self,
            path,
            band=band,
            fit=fit,
            input_names=input_names,
            target_names=target_names,
            metadata=metadata,
        )

    def __repr__(self) -> str:
        names = [a.name for a in self._activations]
        hidden = names[0] if len(set(names[:-1])) == 1 else tuple(names[:-1])
        p = f", {self.n_parameters} parameters" if self._network is not None else ""
        return f"Model({self.layers}, activation={hidden!r}, output={names[-1]!r}){p}, {self._backend}"

    def _columns(self, x: Any) -> tuple[Array, str]:
        with self._backend.context():
            rows, kind = input_rows(self._backend, x, self.network.layout.widths[0])
            return self._backend.xp.matrix_transpose(rows), kind

    def _shaped(self, columns: Array, kind: str) -> Array:
        if kind == "event":
            return columns[:, 0]
        rows = self._backend.xp.matrix_transpose(columns)
        return rows[:, 0] if rows.shape[1] == 1 and not self._column else rows

    def _host_theta(self, theta: Sequence[Any]) -> HostArray:
        if len(theta) == 1:
            if self._backend.name != "numpy" and self._backend.owns(theta[0]):
                theta = (self._backend.to_host(theta[0]),)
            return vector((host_floats(theta[0], "theta"),), self.n_parameters)
        return vector(theta, self.n_parameters)


def _check_widths(layers: Widths) -> tuple[int | None, ...]:
    if isinstance(layers, int | str) or not hasattr(layers, "__len__"):
        raise TypeError(f"`layers` must be a sequence of widths such as (8, 7, 9, 6), got {layers!r}")
    if len(layers) < 2:
        raise ValueError(f"`layers` needs at least inputs and outputs, got {tuple(layers)}")
    for i, h in enumerate(layers):
        if h is None and i not in (0, len(layers) - 1):
            raise ValueError(f"only the first and last width can be None, read from the data; got {tuple(layers)}")
        if h is not None and (isinstance(h, bool) or not isinstance(h, int | np.integer)):
            raise TypeError(f"widths must be integers, got {h!r} in {tuple(layers)}")
        if h is not None and h < 1:
            raise ValueError(f"widths must be at least 1, got {h} in {tuple(layers)}")
    return tuple(None if h is None else int(h) for h in layers)


def _hidden(spec: str | Activation | Sequence[str | Activation], layers: int) -> tuple[Activation, ...]:
    if isinstance(spec, str | Activation):
        return (find_activation(spec),) * layers
    if not hasattr(spec, "__len__"):
        find_activation(cast(Any, spec))  # raises the TypeError that says what is wanted
    if len(spec) != layers:
        raise ValueError(f"`activation` must name one nonlinearity, or {layers}, one per hidden layer; got {len(spec)}")
    return tuple(find_activation(s) for s in spec)


def _augmented(item: Any, l: int) -> HostArray:
    """One augmented matrix of a pair (a, b) or of itself."""
    if isinstance(item, tuple | list) and len(item) == 2 and np.ndim(host_floats(item[0], f"matrix {l}")) == 2:
        a, b = host_floats(item[0], f"matrix {l}"), host_floats(item[1], f"bias {l}")
        if b.shape not in ((a.shape[0],), (a.shape[0], 1)):
            raise ValueError(f"bias {l} must have shape ({a.shape[0]},) for a matrix {a.shape}, got {b.shape}")
        A = np.hstack([a, b.reshape(-1, 1)])
    else:
        A = host_floats(item, f"matrix {l}")
    if A.ndim != 2 or A.shape[1] < 2:
        raise ValueError(f"matrix {l} must have shape (h, d + 1) with the bias as last column, got {A.shape}")
    if not np.all(np.isfinite(A)):
        raise ValueError(f"matrix {l} has values that are not finite")
    return A
