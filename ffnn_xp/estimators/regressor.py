"""`FFNNRegressor`: a network for measured values or counts, with errors of its predictions."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any, Literal, TypeVar

import numpy as np
from array_api_compat import array_namespace
from sklearn.base import RegressorMixin

from ffnn_xp._lib.typing import Array
from ffnn_xp.backends import to_numpy
from ffnn_xp.estimators.network_estimator import NetworkEstimator, validated
from ffnn_xp.losses import Loss, get_loss

Self = TypeVar("Self", bound="FFNNRegressor")


class FFNNRegressor(RegressorMixin, NetworkEstimator):
    """A network for regression in scikit-learn's pipelines, fitted by `ffnn_xp.Model` and certified by MINUIT.

    The options of `MLPRegressor` that have an equivalent are taken; others are refused with what to do.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
        Units of each hidden layer; ``()`` is a linear function. Ten, the default of `ffnn_xp.Model`, are enough for
        most curves and tables of some hundred rows, and a fit takes about a second.
    activation : str, Activation, or a sequence with one for each hidden layer
        "tanh", "logistic", "relu", "identity", as in scikit-learn, and all others of `ffnn_xp.Model`. The default is
        smooth, unlike "relu", so that a minimum can be certified.
    prior : float, "auto" or None
        Width of a Gaussian prior on the standardised weights: smaller is smoother. "auto" chooses it by rows that are
        held out, and predicts by an ensemble. Of fewer than ten distinct rows none can be held out: the width is 1. A
        linear function that has fewer parameters than there are values needs no prior, and has none.
    alpha : float, optional
        Penalty, as in scikit-learn, instead of `prior`, whose width is then ``alpha ** -0.5``; 0 is no prior.
    loss : str or Loss, optional
        "least_squares", the default, also called "squared_error"; "soft_l1", "huber", "student_t", "normal"; "poisson"
        for counts, with an exponential output.
    solver : str or Minimizer
        The minimizer of `ffnn_xp.Model.fit`: "auto", "lbfgs", "migrad", ...
    max_iter : int, optional
        Steps, or rounds of a few steps, at most of each minimization on the way to MINUIT's certificate; fewer are
        faster, and may end at a poorer minimum.
    backend : str or Backend
        The array library: "numpy", "torch", "cupy", "jax"; "auto" is a usable GPU, else NumPy, and for arrays on a
        device their own.
    restarts : int or "auto"
        Number of starts.
    random_state : int, RandomState or Generator, optional
        Seed of the starts, and of the rows that are held out.
    warm_start : bool
        Whether a fit starts from the parameters of the last one.
    verbose : bool
        Whether to show a progress bar, by tqdm.
    max_seconds : float, optional
        Time after which a fit ends with the best so far.

    Attributes
    ----------
    fit_ : FitResult
        The result, with all its studies. Its events are the distinct rows, sorted.
    model_ : Model
        The fitted network, in raw units.
    coefs_, intercepts_ : list of array
        Weights ``(inputs, units)`` and biases ``(units,)`` of each layer, in raw units.
    loss_ : float
        The cost at the minimum, prior included.
    n_iter_ : int
        Gradients that the fit computed, in units of all rows.
    n_layers_, n_outputs_, out_activation_
        As in scikit-learn.
    n_features_in_, feature_names_in_
        Number and names of the inputs.

    Notes
    -----
    Equal rows are one event with a weight, so that an integer `sample_weight` is the same as repeated rows. Without
    `y_err` a factor on all weights changes nothing. There is no `partial_fit`, since the minimum is that of all rows.

    Examples
    --------
    >>> import numpy as np
    >>> from ffnn_xp.estimators import FFNNRegressor
    >>> X = np.linspace(-2, 2, 60)[:, None]
    >>> y = np.tanh(2 * X[:, 0]) + 0.1 * np.random.default_rng(1).normal(size=60)
    >>> regressor = FFNNRegressor((4,), random_state=1).fit(X, y)
    >>> regressor.score(X, y) > 0.95
    True
    >>> mean, std = regressor.predict([[0.5]], return_std=True)
    >>> bool(abs(mean[0] - np.tanh(1)) < 3 * std[0])
    True
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = getattr(self.loss, "name", self.loss) == "poisson"
        return tags

    def fit(
        self: Self, X: Any, y: Any, sample_weight: Any = None, y_err: Any = None, executor: Executor | None = None
    ) -> Self:
        """Fit the network to rows.

        Parameters
        ----------
        X : array-like with shape (n, d)
            Inputs, in any units.
        y : array-like with shape (n,) or (n, k)
            Measured values.
        sample_weight : array-like with shape (n,), optional
            Weights; an integer is the same as repeated rows.
        y_err : float or array-like with shape (n,), (n, k) or (k,), optional
            Standard deviations of y. If None, they are estimated from the residuals.
        executor : concurrent.futures.Executor, optional
            Whose workers minimize from several starts, or the networks of several folds, at once; see `Model.fit`.

        Raises
        ------
        TypeError, ValueError
            If data or options cannot be used; the message says what to do.

        Warns
        -----
        FitConvergenceWarning
            If no minimum was certified.

        Examples
        --------
        >>> from ffnn_xp.estimators import FFNNRegressor
        >>> X = [[0.0], [1.0], [2.0], [3.0]]
        >>> line = FFNNRegressor((), prior=None).fit(X, [1.0, 3.0, 5.0, 7.0], y_err=0.1)
        >>> line.coefs_[0].round(6), line.intercepts_[0].round(6)
        (array([[2.]]), array([1.]))
        """
        loss = self._loss()
        x, values = validated(self, X, y, multi_output=True, y_numeric=True, ensure_min_samples=2)
        values = to_numpy(values)
        errors: Any = None if y_err is None else to_numpy(y_err)
        by_row = np.ndim(errors) > 0 and len(errors) == len(values)
        inputs, rows, weights = self._events(x, [values, errors] if by_row else [values], sample_weight)
        self._fit_network(
            inputs,
            values[rows],
            errors[rows] if by_row else errors,
            weights,
            loss=loss,
            output="exp" if loss.target_kind == "count" else "identity",
            backend=self._backend_for(x),
            executor=executor,
        )
        self._shape_of_y = values.shape[1:]
        return self

    def predict(
        self,
        X: Any,
        return_std: bool = False,
        return_cov: bool = False,
        kind: Literal["confidence", "prediction"] = "confidence",
    ) -> Any:
        """Return predictions, with their standard deviations or covariances if requested.

        Parameters
        ----------
        X : array-like with shape (m, d)
            Inputs.
        return_std : bool
            Whether to return the standard deviations too, in the shape of the predictions.
        return_cov : bool
            Whether to return the covariances of the predictions at all X too, with shape (m, m), or (m, m, k) for
            several outputs. After ``prior="auto"`` predictions and covariances are then those of the best network
            alone.
        kind : {"confidence", "prediction"}
            Whether standard deviations are those of the fitted function, or those of new measurements.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted, or the fit has no covariance.
        RuntimeError
            If both are requested.

        Examples
        --------
        >>> from ffnn_xp.estimators import FFNNRegressor
        >>> line = FFNNRegressor((), prior=None).fit([[0.0], [2.0]], [1.0, 5.0], y_err=1.0)
        >>> mean, covariance = line.predict([[0.0], [2.0]], return_cov=True)
        >>> covariance.round(3) + 0.0
        array([[1., 0.],
               [0., 1.]])
        """
        if return_std and return_cov:
            raise RuntimeError("`predict` returns standard deviations or covariances: request one of both")
        x = self._checked(X, "predict")
        found = self.model_.predict(x, return_std=return_std, return_cov=return_cov, kind=kind)
        if not (return_std or return_cov):
            return self._as(x, self._values(found))
        mean, error = found
        if return_cov:
            n = int(x.shape[0])
            error = np.einsum("iaja->ija", error.reshape(n, -1, n, error.shape[1] // n))
            error = error[:, :, : self.n_outputs_].reshape(n, n, *self._shape_of_y)
        else:
            error = self._as(x, self._values(error))
        return self._as(x, self._values(mean)), error

    def _values(self, outputs: Array) -> Array:
        """Return outputs in the shape of y, without the logarithms of widths that follow them for loss="normal"."""
        xp, n = array_namespace(outputs), outputs.shape[0]
        return xp.reshape(xp.reshape(outputs, (n, -1))[:, : self.n_outputs_], (n, *self._shape_of_y))

    def _loss(self) -> Loss:
        """Return the statistic of this name."""
        loss = get_loss("least_squares" if self.loss in (None, "squared_error") else self.loss)
        if loss.target_kind in ("successes", "class"):
            raise ValueError(f"loss {loss.name!r} is for classes: use FFNNClassifier")
        return loss
