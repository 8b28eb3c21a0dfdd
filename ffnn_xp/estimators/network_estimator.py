"""`NetworkEstimator`: the common part of the estimators, from checked arrays to a fitted `Model`."""

from __future__ import annotations

import math
import warnings
from concurrent.futures import Executor
from typing import Any, TypeVar

import numpy as np
import sklearn.exceptions
from array_api_compat import device
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ffnn_xp._lib.errors import FitWarning, outside_the_package
from ffnn_xp._lib.typing import Array, HostArray, Rows
from ffnn_xp.backends import Backend, get_backend, library_of, refuse_lazy, to_numpy
from ffnn_xp.estimators.options import minimizer_of, prior_of, refusing_others, tuning_of
from ffnn_xp.estimators.rows import distinct_rows
from ffnn_xp.fitting import FEWEST_TO_CHOOSE
from ffnn_xp.losses import Loss
from ffnn_xp.model import FitResult, Model

Self = TypeVar("Self", bound="NetworkEstimator")


class FitConvergenceWarning(FitWarning, sklearn.exceptions.ConvergenceWarning):
    """A fit of an estimator ended at no certified minimum; filters of either library's warning catch it."""


def validated(estimator: NetworkEstimator, X: Any, y: Any = "no_validation", **options: Any) -> Any:
    """Return inputs, and targets if there are some, as scikit-learn checks them; nothing of Dask is computed."""
    refuse_lazy(X, "X")
    refuse_lazy(y, "y")
    return validate_data(estimator, X, y, **options)


def _library_name(x: Any) -> str:
    """Return the name of the library of an array."""
    library = library_of(x)
    return "numpy" if library is None else library.name


class NetworkEstimator(BaseEstimator):
    """A network with scikit-learn's interface; `FFNNRegressor` and `FFNNClassifier` are public."""

    fit_: FitResult
    model_: Model
    n_features_in_: int

    @refusing_others
    def __init__(
        self,
        hidden_layer_sizes: Any = (10,),
        activation: Any = "tanh",
        *,
        prior: Any = "auto",
        alpha: float | None = None,
        loss: str | Loss | None = None,
        solver: Any = "auto",
        max_iter: int | None = None,
        backend: str | Backend = "auto",
        restarts: Any = "auto",
        random_state: Any = None,
        warm_start: bool = False,
        verbose: bool = False,
        max_seconds: float | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.prior = prior
        self.alpha = alpha
        self.loss = loss
        self.solver = solver
        self.max_iter = max_iter
        self.backend = backend
        self.restarts = restarts
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.max_seconds = max_seconds

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        return tags

    def _events(self, x: Any, columns: list[Array], sample_weight: Any) -> tuple[Any, Rows, HostArray]:
        """Return the inputs of the distinct rows, by name where they have names, the rows' indices and their weights.

        Parameters
        ----------
        x : array with shape (n, d)
            Checked inputs.
        columns : list of array with shape (n,) or (n, m)
            What else makes rows differ.
        sample_weight : array-like with shape (n,) or None
        """
        host = to_numpy(x)
        given = np.ones(len(host)) if sample_weight is None else to_numpy(sample_weight)
        every = _check_sample_weight(given, host, dtype=np.float64, ensure_non_negative=True)
        if not np.any(every):
            raise ValueError("`sample_weight` is zero for all rows: a fit needs at least one with a weight above zero")
        table = np.column_stack([host, *columns]).astype(np.float64, copy=False)
        rows, weights = distinct_rows(table, every)
        names = getattr(self, "feature_names_in_", None)
        return host[rows] if names is None else dict(zip(names.tolist(), host[rows].T, strict=True)), rows, weights

    def _fit_network(
        self,
        x: Any,
        y: Array,
        y_err: Any,
        weights: HostArray,
        *,
        loss: Loss,
        output: str,
        backend: Backend | str,
        executor: Executor | None,
    ) -> None:
        """Fit a network to events, from the parameters of the last fit if `warm_start` says so."""
        k = 1 if y.ndim == 1 else y.shape[1]
        if loss.target_kind == "class":
            k = int(y.max()) + 1
        hidden = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object)).tolist()
        layers = (self.n_features_in_, *hidden, loss.outputs(k))
        model = Model(layers, activation=self.activation, output=output, backend=backend, seed=self.random_state)
        undetermined = len(layers) > 2 or model.n_parameters >= y.size
        too_few = len(y) < FEWEST_TO_CHOOSE and undetermined
        start: Any = "random"
        if self.warm_start and hasattr(self, "model_"):
            start = to_numpy(self.model_.parameters)
            if (self.model_.layers, self.model_.activations) != (model.layers, model.activations):
                raise ValueError(
                    f"warm_start goes on from the network of the last fit, {self.model_.layers}, which is no start for "
                    f"{model.layers}: set warm_start=False"
                )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)  # it is said below, in scikit-learn's category as well
            fit = model.fit(
                x,
                y,
                y_err,
                loss=loss,
                weights=None if np.all(weights == 1) else weights,
                prior=prior_of(self.prior, self.alpha, too_few=too_few),
                restarts=self.restarts,
                start=start,
                minimizer=minimizer_of(self.solver, self.max_iter),
                progress=bool(self.verbose),
                max_seconds=self.max_seconds,
                executor=executor,
                tuning=tuning_of(self.max_iter),
            )
        self.model_, self.fit_ = model, fit
        self.n_outputs_ = k
        self.n_layers_ = len(layers)
        self.out_activation_ = output
        self.loss_ = fit.fval
        chosen = 0.0 if fit.recipe is None else fit.recipe.gradients
        self.n_iter_ = math.ceil(chosen + sum(start.calls for start in fit.restarts))
        if not fit.valid:
            warnings.warn(
                f"the fit is not valid. {fit.message}", FitConvergenceWarning, stacklevel=outside_the_package()
            )

    def _backend_for(self, x: Any) -> Backend | str:
        """Return the backend of a fit: the one that was asked for, or by "auto" that of an array on a device."""
        self._library = _library_name(x)
        if self.backend != "auto" or isinstance(x, np.ndarray):
            return self.backend
        return get_backend(self._library, device=device(x))

    def _checked(self, X: Any, method: str) -> Any:
        """Return inputs for a prediction as an array, of the library of X where scikit-learn's dispatch is on."""
        check_is_fitted(self, "model_")
        x = validated(self, X, reset=False)
        if (found := _library_name(x)) != self._library:
            raise ValueError(
                f"{type(self).__name__}.{method}() and fit must use the same namespace: X is an array of {found}, and "
                f"that of the fit was one of {self._library}"
            )
        return x

    @staticmethod
    def _as(x: Any, result: Array) -> Any:
        """Return a result as a host array where the inputs are one."""
        return to_numpy(result) if isinstance(x, np.ndarray) else result

    @property
    def coefs_(self) -> list[HostArray]:
        """The weights of each layer, ``(inputs, units)`` in raw units of X and y."""
        return [to_numpy(A)[:, :-1].T for A in self.model_.matrices]

    @property
    def intercepts_(self) -> list[HostArray]:
        """The biases of each layer, ``(units,)`` in raw units."""
        return [to_numpy(A)[:, -1] for A in self.model_.matrices]
