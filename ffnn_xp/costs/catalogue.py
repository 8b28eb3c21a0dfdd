r"""The costs for MINUIT, one for each kind of data.

| data | cost |
| --- | --- |
| measured values with errors | `LeastSquares`, also robust: ``loss="huber"`` |
| values whose width is predicted too | `Normal` |
| counts | `Poisson` |
| k out of N, yes or no | `Binomial` |
| one of k classes | `Multinomial` |

Each is an ordinary iminuit cost. In a sum put the network's cost first, ``cost + other``: then the sum has second
derivatives, and keeps the order of the parameters.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.data import Measurements, is_histogram, refuse
from ffnn_xp.losses import BinomialLoss, Loss, MultinomialLoss, NormalLoss, PoissonLoss, get_loss
from ffnn_xp.network import ModelLike
from ffnn_xp.objective import DataCost, GaussianPrior

ONLY_FOR = {
    "exposure": "it is for counts: see Poisson",
    "trials": "it is for k out of N: see Binomial",
    "y_err": "these values have the errors of their kind",
    "y_cov": "it is for measured values: see LeastSquares",
    "x_err": "it is for measured values: see LeastSquares",
    "xerror": "it is for measured values: see LeastSquares",
    "covariance": "MINUIT makes the covariance of a cost from second derivatives: Model.fit has the sandwich",
}


@quiet
class LeastSquares(DataCost):
    r"""Chi-square of a network and measured values, :math:`S = \sum_n \sum_k ((y_k(x_n) - t_{nk})/\sigma_{nk})^2`.

    The argument order is that of `iminuit.cost.LeastSquares`.

    Parameters
    ----------
    x : array-like with shape (n, d), or (n,) for d = 1; or Bins; or a histogram
        Inputs, events as rows. A histogram has contents and errors in it, ``LeastSquares(h, model)``.
    y : array-like with shape (n, k), or (n,) for k = 1
        Measured values.
    yerror : float or array-like with shape (n,), (n, k) or (k,), or None
        Their standard deviations, in units of y. With shape (n,), the outputs of an event share one.
    model : Model
        The network; widths that are None are read from the data.
    xerror : float or array-like with shape (n, d), (d,), or (n,) for d = 1, optional
        Standard deviations of x: the variance is then the effective one (`losses.EffectiveVarianceLoss`).
    weights : array-like with shape (n,), optional
        Factor on each event's term, as if its errors were smaller by the square root.
    mask : boolean array-like with shape (n,), optional
        True for events to use.
    y_cov : array-like with shape (n, n), (n k, n k) or (n, k, k), optional
        Covariance of the measured values, event by event, in place of `yerror`, which is then None.
    loss : {"least_squares", "soft_l1", "huber", "student_t"} or Loss
        Another function of the pull than its square, for data some of which are wrong.
    prior : GaussianPrior, optional
        A prior, which is added to S.
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
        yerror: Any = None,
        model: ModelLike | None = None,
        *,
        xerror: Any = None,
        weights: Any = None,
        mask: Any = None,
        y_cov: Any = None,
        loss: str | Loss = "least_squares",
        prior: GaussianPrior | None = None,
        verbose: int = 0,
        **others: Any,
    ) -> None:
        statistic = get_loss(loss)
        if statistic.auxiliary != "y_err":
            raise ValueError(f"`loss` must be a function of pulls for LeastSquares, got {statistic.name!r}")
        refuse(others, "LeastSquares", {name: ONLY_FOR[name] for name in ("exposure", "trials", "covariance")})
        y, model = _values_and_model(x, y, model, "LeastSquares(x, y, yerror, model)")
        if yerror is None and y_cov is None and not is_histogram(x):
            raise ValueError("`yerror` is needed: a chi-square has no meaning without errors (Model.fit can estimate)")
        measurements = Measurements(x, y, yerror, weights, mask, y_cov=y_cov, x_err=xerror)
        self._read(model, measurements, statistic, prior=prior, verbose=verbose)

    @property
    def yerror(self) -> HostArray | None:
        """The errors of y, in the shape of `y`; None if the values are correlated."""
        inverse = self.data.inverse_error
        return None if inverse is None else self._squeeze(1 / self._rows(inverse))


@quiet
class OwnErrors(DataCost):
    """Base class of the costs of values whose errors follow from the statistic, such as counts."""

    _of: ClassVar[Loss]
    _takes: ClassVar[tuple[str, ...]] = ()
    _values: ClassVar[str] = "y"

    def __init__(
        self,
        x: Any,
        y: Any,
        model: ModelLike | None = None,
        *,
        weights: Any = None,
        mask: Any = None,
        prior: GaussianPrior | None = None,
        verbose: int = 0,
        **others: Any,
    ) -> None:
        of = type(self).__name__
        y, model = _values_and_model(x, y, model, f"{of}(x, {self._values}, model)")
        own = {name: others.pop(name, None) for name in self._takes}
        refuse(others, of, {name: why for name, why in ONLY_FOR.items() if name not in self._takes})
        self._read(model, Measurements(x, y, weights=weights, mask=mask, **own), self._of, prior=prior, verbose=verbose)


class Poisson(OwnErrors):
    r"""Deviance of counts, :math:`S = 2 \sum_n (\lambda_n - t_n + t_n \log(t_n/\lambda_n))`, :math:`\lambda = e\,y(x)`.

    It is a chi-square where counts are large (S. Baker and R. D. Cousins, Nucl. Instrum. Meth. 221 (1984) 437, eq. 6).

    Parameters
    ----------
    x : array-like with shape (n, d), or (n,) for d = 1; or Bins; or a histogram
        Inputs. A histogram of `hist`, `boost_histogram` or `uproot` has the counts in it, ``Poisson(h, model)``; its
        weighted contents count with their variances (`losses.WeightedPoissonLoss`).
    n : array-like with shape (n,) or (n, k)
        Counts; left out after a histogram.
    model : Model
        The network, best with ``output="exp"``.
    exposure : float or array-like with shape (n,) or (n, k), optional
        Factor from the output to the expected count: a time, a volume, a bin's width.
    weights, mask, prior, verbose
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

    _of = PoissonLoss()
    _takes = ("exposure",)
    _values = "n"

    def __init__(self, x: Any, n: Any, model: ModelLike | None = None, *, exposure: Any = None, **options: Any) -> None:
        super().__init__(x, n, model, exposure=exposure, **options)


class Binomial(OwnErrors):
    r"""Deviance of k successes in N trials with probability y(x); without N, y is yes or no.

    It is -2 log of the likelihood over that of a perfect fit.

    Parameters
    ----------
    x : array-like with shape (n, d), or (n,) for d = 1; or a histogram
        Inputs. A histogram of the events that passed goes with that of all, ``Binomial(passed, model, trials=total)``,
        and one with a boolean axis alone, ``Binomial(h, model)``: the network is the efficiency at the bins' centres.
    k : array-like with shape (n,) or (n, k)
        Successes; left out after a histogram.
    model : Model
        A network with ``output="logistic"``.
    trials : int or array-like with shape (n,) or (n, k), optional
        Number of trials N; 1 if not given.
    weights, mask, prior, verbose
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

    _of = BinomialLoss()
    _takes = ("trials",)
    _values = "k"

    def __init__(self, x: Any, k: Any, model: ModelLike | None = None, *, trials: Any = None, **options: Any) -> None:
        super().__init__(x, k, model, trials=trials, **options)


class Multinomial(OwnErrors):
    r"""Deviance of counts of k classes, or of labels, with probabilities y(x).

    It is -2 log of the likelihood over that of a perfect fit.

    Parameters
    ----------
    x : array-like with shape (n, d), or (n,) for d = 1; or a histogram
        Inputs. A histogram with an axis of categories has the counts in it, ``Multinomial(h, model)``.
    y : array-like with shape (n,) or (n, k)
        Labels 0 ... k-1, or counts of each class; left out after a histogram.
    model : Model
        A network with ``output="softmax"``.
    weights, mask, prior, verbose
        As for `LeastSquares`.

    Raises
    ------
    TypeError, ValueError
        If y are neither labels nor counts, or the output is no softmax.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> model = fx.Model((1, 3), output="softmax", seed=1)
    >>> cost = fx.Multinomial([0.0, 1.0, 2.0], [0, 1, 2], model)
    >>> round(cost([0.0] * 6), 3)  # 6 log 3
    6.592
    """

    _of = MultinomialLoss()


class Normal(OwnErrors):
    r"""-2 log L of normal values with a predicted width, :math:`S = \sum ((t - \mu)/\sigma)^2 + 2\log\sigma`.

    Parameters
    ----------
    x : array-like with shape (n, d), or (n,) for d = 1
        Inputs.
    y : array-like with shape (n,) or (n, m)
        Measured values.
    model : Model
        A network with 2 m outputs: the means, then the logarithms of the widths.
    weights, mask, prior, verbose
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

    _of = NormalLoss()


def _values_and_model(x: Any, y: Any, model: ModelLike | None, call: str) -> tuple[Any, ModelLike]:
    """Return the measured values and the network: after a histogram, which has the values in it, the network alone."""
    if model is not None:
        return y, model
    if not is_histogram(x):
        raise TypeError(f"`model` is missing: write {call}, or {call.partition('(')[0]}(h, model) for a histogram h")
    return None, y
