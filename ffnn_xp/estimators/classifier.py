"""`FFNNClassifier`: a network for the probabilities of classes."""

from __future__ import annotations

import math
from concurrent.futures import Executor
from typing import Any, TypeVar

import numpy as np
from array_api_compat import array_namespace, device
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from ffnn_xp._lib.typing import Array
from ffnn_xp.backends import to_numpy
from ffnn_xp.estimators.network_estimator import NetworkEstimator, validated
from ffnn_xp.losses import Loss, get_loss
from ffnn_xp.model import Model

Self = TypeVar("Self", bound="FFNNClassifier")


class FFNNClassifier(ClassifierMixin, NetworkEstimator):
    """A network for classification in scikit-learn's pipelines, fitted by `ffnn_xp.Model` and certified by MINUIT.

    Two classes have one logistic output and the binomial likelihood, more have a softmax and the multinomial one. The
    options of `MLPClassifier` that have an equivalent are taken; others are refused with what to do.

    Parameters
    ----------
    hidden_layer_sizes, activation, alpha, solver, max_iter, backend, restarts, random_state
        As in `FFNNRegressor`.
    prior : float, "auto" or None
        As in `FFNNRegressor`: after "auto" probabilities are the mean of those of an ensemble.
    loss : {"binomial", "multinomial"}, optional
        The likelihood, by default by the number of classes; "multinomial" has two outputs for two classes.
    warm_start, verbose, max_seconds
        As in `FFNNRegressor`.

    Attributes
    ----------
    classes_ : array with shape (k,)
        The labels, sorted.
    fit_, model_, coefs_, intercepts_, loss_, n_iter_, n_layers_, n_outputs_, out_activation_
        As in `FFNNRegressor`.
    n_features_in_, feature_names_in_
        Number and names of the inputs.

    Notes
    -----
    An integer `sample_weight` is the same as repeated rows. There is no `partial_fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from ffnn_xp.estimators import FFNNClassifier
    >>> X = np.random.default_rng(1).normal(size=(200, 2))
    >>> y = np.where(np.hypot(X[:, 0], X[:, 1]) < 1.2, "in", "out")
    >>> classifier = FFNNClassifier((4,), random_state=1).fit(X, y)
    >>> classifier.predict([[0.0, 0.0], [2.0, 2.0]])
    array(['in', 'out'], dtype='<U3')
    >>> classifier.predict_proba([[0.0, 0.0]]).shape
    (1, 2)
    """

    def fit(self: Self, X: Any, y: Any, sample_weight: Any = None, executor: Executor | None = None) -> Self:
        """Fit the network to rows.

        Parameters
        ----------
        X : array-like with shape (n, d)
            Inputs, in any units.
        y : array-like with shape (n,)
            Labels of at least two classes: text, integers or booleans.
        sample_weight : array-like with shape (n,), optional
            Weights; an integer is the same as repeated rows.
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
        >>> from ffnn_xp.estimators import FFNNClassifier
        >>> X, y = [[0.0], [1.0], [1.0], [2.0], [2.0], [3.0]], [False, False, True, False, True, True]
        >>> FFNNClassifier((), prior=None).fit(X, y).predict_proba([[1.5]]).round(6)
        array([[0.5, 0.5]])
        """
        x, labels = validated(self, X, y)
        labels = column_or_1d(to_numpy(labels), warn=True)
        check_classification_targets(labels)
        _, codes = np.unique(labels, return_inverse=True)
        inputs, rows, weights = self._events(x, [codes], sample_weight)
        classes, codes = np.unique(labels[rows], return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"`y` holds one class only, {classes.tolist()[0]!r}: a classifier needs at least two")
        loss = self._loss(len(classes))
        self._fit_network(
            inputs,
            codes,
            None,
            weights,
            loss=loss,
            output=str(loss.link),
            backend=self._backend_for(x),
            executor=executor,
        )
        self.classes_ = _labels_like(x, classes)
        return self

    def decision_function(self, X: Any) -> Any:
        """Return the logit ``(m,)`` of the second of two classes, or the logarithms of the probabilities ``(m, k)``.

        Parameters
        ----------
        X : array-like with shape (m, d)
            Inputs.
        """
        x = self._checked(X, "decision_function")
        log = self._log_probabilities(x)
        return self._as(x, log[:, 1] - log[:, 0] if self.classes_.shape[0] == 2 else log)

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithms of the probabilities of the classes ``(m, k)``, exact where they are small.

        Parameters
        ----------
        X : array-like with shape (m, d)
            Inputs.
        """
        x = self._checked(X, "predict_log_proba")
        return self._as(x, self._log_probabilities(x))

    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities of the classes ``(m, k)``, in the order of `classes_`.

        Parameters
        ----------
        X : array-like with shape (m, d)
            Inputs.
        """
        x = self._checked(X, "predict_proba")
        log = self._log_probabilities(x)
        return self._as(x, array_namespace(log).exp(log))

    def predict(self, X: Any) -> Any:
        """Return the most probable label of each row ``(m,)``.

        Parameters
        ----------
        X : array-like with shape (m, d)
            Inputs.
        """
        x = self._checked(X, "predict")
        log = self._log_probabilities(x)
        best = to_numpy(array_namespace(log).argmax(log, axis=1))
        return _labels_like(x, to_numpy(self.classes_)[best])

    def _log_probabilities(self, x: Any) -> Array:
        """Compute the logarithm of the mean probability of each class ``(m, k)`` by the networks that predict.

        Each network ends before its nonlinearity, so that there is no difference of large numbers.
        """
        *hidden, _ = self.model_.activations
        straight = Model(self.model_.layers, activation=hidden, backend=self.model_.backend)
        each = []
        for theta in self.model_.ensemble_parameters:
            straight.parameters = theta
            logits = straight(x)
            xp = array_namespace(logits)
            logits = logits if logits.ndim == 2 else xp.stack([xp.zeros_like(logits), logits], axis=1)
            each.append(logits - _log_sum_exp(xp, logits, 1))
        return _log_sum_exp(xp, xp.stack(each, axis=0), 0)[0, :, :] - math.log(len(each))

    def _loss(self, n_classes: int) -> Loss:
        """Return the statistic of so many classes."""
        loss = get_loss(("binomial" if n_classes == 2 else "multinomial") if self.loss is None else self.loss)
        if loss.target_kind not in ("successes", "class"):
            raise ValueError(f"loss {loss.name!r} is for measured values: use FFNNRegressor")
        if loss.target_kind == "successes" and n_classes > 2:
            raise ValueError(f"loss {loss.name!r} is for two classes, got {n_classes}: use 'multinomial'")
        return loss


def _log_sum_exp(xp: Any, a: Array, axis: int) -> Array:
    """Compute the logarithm of the sum of exponentials along an axis, which stays."""
    top = xp.max(a, axis=axis, keepdims=True)
    return top + xp.log(xp.sum(xp.exp(a - top), axis=axis, keepdims=True))


def _labels_like(x: Any, labels: Array) -> Array:
    """Return labels from the host as an array of the library of x, but for text, which stays on the host."""
    if isinstance(x, np.ndarray) or labels.dtype.kind not in "biuf":
        return labels
    return array_namespace(x).asarray(labels, device=device(x))
