r"""The costs of each kind of data, for MINUIT; and which to use.

| data | cost |
| --- | --- |
| measured values with errors | `LeastSquares`, also robust: ``loss="huber"`` |
| values whose width is predicted too | `Normal` |
| counts | `Poisson` |
| k out of N, yes or no | `Binomial` |
| one of k classes | `Multinomial` |

Each is an ordinary iminuit cost. In a sum put the network's cost first, ``cost + other``: then the sum knows the second
derivatives, and keeps the order of the parameters.
"""

from __future__ import annotations

from typing import Any

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.losses import BinomialLoss, Loss, Measured, MultinomialLoss, NormalLoss, PoissonLoss
from ffnn_xp.losses import loss as find_loss
from ffnn_xp.network import ModelLike
from ffnn_xp.objective import DataCost, GaussianPrior


class LeastSquares(DataCost):
    r"""Chi-square of a network and measured values, :math:`S = \sum_n \sum_k ((y_k(x_n) - t_{nk})/\sigma_{nk})^2`.

    The argument order is that of `iminuit.cost.LeastSquares`.

    Parameters
    ----------
    x : array-like with shape (n, d), or (n,) for d = 1
        Inputs, events as rows.
    y : array-like with shape (n, k), or (n,) for k = 1
        Measured values.
    yerror : float or array-like with shape (n,), (n, k) or (k,)
        Their standard deviations, in units of y. Of shape (n,): one per event, shared by its outputs.
    model : Model
        The network; widths it left open are read from the data.
    xerror : float or array-like with shape (n, d), (d,), or (n,) for d = 1, optional
        Standard deviations of x: the variance is then the effective one (`losses.EffectiveVarianceLoss`).
    weights : array-like with shape (n,), optional
        Factor on each event's term, as if its errors were smaller by the square root.
    loss : {"least_squares", "soft_l1", "huber", "student_t"} or Loss
        Another function of the pull than its square, for data some of which are wrong.
    prior : GaussianPrior, optional
        Added to S.
    verbose : int
        1 prints every call.

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit, values are not finite or errors not positive; the message names row and column.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> from iminuit import Minuit
    >>> model = fx.Model((1, 1), seed=1)
    >>> cost = fx.LeastSquares([0.0, 1.0, 2.0], [1.0, 3.0, 5.0], 0.1, model)
    >>> m = Minuit(cost, cost.start).migrad()
    >>> m.valid, [round(v, 6) for v in m.values]
    (True, [2.0, 1.0])
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        yerror: Any,
        model: ModelLike,
        *,
        xerror: Any = None,
        weights: Any = None,
        loss: str | Loss = "least_squares",
        prior: GaussianPrior | None = None,
        verbose: int = 0,
    ) -> None:
        statistic = find_loss(loss)
        if not isinstance(statistic, Measured):
            raise ValueError(f"`loss` must be a function of pulls for LeastSquares, got {statistic.name!r}")
        if yerror is None:
            raise ValueError("`yerror` is needed: a chi-square has no meaning without errors (Model.fit can estimate)")
        data = {"y_err": yerror, "x_error": xerror, "weights": weights}
        self._read(x, y, model, statistic, **data, prior=prior, verbose=verbose)

    @property
    def yerror(self) -> HostArray:
        """Errors, in the shape of `y`."""
        return self._squeeze(1 / self._rows(self.data.inverse_error))


class Poisson(DataCost):
    r"""Counts, :math:`S = 2 \sum_n (\lambda_n - t_n + t_n \log(t_n/\lambda_n))` with :math:`\lambda = e\,y(x)`.

    S. Baker and R. D. Cousins, Nucl. Instrum. Meth. 221 (1984) 437, eq. 6: a chi-square where counts are large.

    Parameters
    ----------
    x : array-like with shape (n, d), or (n,) for d = 1
        Inputs.
    n : array-like with shape (n,) or (n, k)
        Counts.
    model : Model
        The network, best with ``output="exp"``.
    exposure : float or array-like with shape (n,) or (n, k), optional
        What the output is multiplied by to give the expected count: a time, a volume, a bin's width.
    weights, prior, verbose
        As for `LeastSquares`.

    Raises
    ------
    TypeError, ValueError
        If counts are negative or not integers, or shapes do not fit.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> from iminuit import Minuit
    >>> model = fx.Model((1, 1), output="exp", seed=1)
    >>> cost = fx.Poisson([0.0, 1.0], [10, 20], model)
    >>> m = Minuit(cost, cost.start).migrad()
    >>> m.valid, [round(v, 3) for v in m.values]  # log 2 and log 10
    (True, [0.693, 2.303])
    """

    def __init__(
        self,
        x: Any,
        n: Any,
        model: ModelLike,
        *,
        exposure: Any = None,
        weights: Any = None,
        prior: GaussianPrior | None = None,
        verbose: int = 0,
    ) -> None:
        self._read(x, n, model, PoissonLoss(), auxiliary=exposure, weights=weights, prior=prior, verbose=verbose)


class Binomial(DataCost):
    r"""k of N with probability y(x), -2 log of the likelihood over that of a perfect fit; yes and no without N.

    Parameters
    ----------
    x : array-like with shape (n, d), or (n,) for d = 1
        Inputs.
    k : array-like with shape (n,) or (n, k)
        Successes.
    model : Model
        A network with ``output="logistic"``.
    trials : int or array-like with shape (n,) or (n, k), optional
        Out of how many; 1 if not given.
    weights, prior, verbose
        As for `LeastSquares`.

    Raises
    ------
    TypeError, ValueError
        If k is negative, no integer, or larger than N; or the output has another range.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> from iminuit import Minuit
    >>> model = fx.Model((1, 1), output="logistic", seed=1)
    >>> cost = fx.Binomial([0.0, 1.0], [50, 75], model, trials=100)
    >>> m = Minuit(cost, cost.start).migrad()
    >>> m.valid, [round(abs(v), 3) for v in m.values]  # logit(3/4) = log 3, and logit(1/2) = 0
    (True, [1.099, 0.0])
    """

    def __init__(
        self,
        x: Any,
        k: Any,
        model: ModelLike,
        *,
        trials: Any = None,
        weights: Any = None,
        prior: GaussianPrior | None = None,
        verbose: int = 0,
    ) -> None:
        self._read(x, k, model, BinomialLoss(), auxiliary=trials, weights=weights, prior=prior, verbose=verbose)


class Multinomial(DataCost):
    r"""Counts of k classes, or labels, with probabilities y(x); -2 log of the likelihood over that of a perfect fit.

    Parameters
    ----------
    x : array-like with shape (n, d), or (n,) for d = 1
        Inputs.
    y : array-like with shape (n,) or (n, k)
        Labels 0 ... k-1, or counts of each class.
    model : Model
        A network with ``output="softmax"``.
    weights, prior, verbose
        As for `LeastSquares`.

    Raises
    ------
    TypeError, ValueError
        If y is neither, or the output is no softmax.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> model = fx.Model((1, 3), output="softmax", seed=1)
    >>> cost = fx.Multinomial([0.0, 1.0, 2.0], [0, 1, 2], model)
    >>> round(cost([0.0] * 6), 3)  # 6 log 3
    6.592
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        model: ModelLike,
        *,
        weights: Any = None,
        prior: GaussianPrior | None = None,
        verbose: int = 0,
    ) -> None:
        self._read(x, y, model, MultinomialLoss(), weights=weights, prior=prior, verbose=verbose)


class Normal(DataCost):
    r"""-2 log L of normal values with a predicted width, :math:`S = \sum ((t - \mu)/\sigma)^2 + 2\log\sigma`.

    Parameters
    ----------
    x : array-like with shape (n, d), or (n,) for d = 1
        Inputs.
    y : array-like with shape (n,) or (n, m)
        Measured values.
    model : Model
        A network with 2 m outputs: the means, then the logarithms of the widths.
    weights, prior, verbose
        As for `LeastSquares`.

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> model = fx.Model((1, 2), seed=1)
    >>> round(fx.Normal([0.0, 1.0], [1.0, 3.0], model)([2.0, 1.0, 0.0, 0.0]), 12)
    0.0
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        model: ModelLike,
        *,
        weights: Any = None,
        prior: GaussianPrior | None = None,
        verbose: int = 0,
    ) -> None:
        self._read(x, y, model, NormalLoss(), weights=weights, prior=prior, verbose=verbose)
