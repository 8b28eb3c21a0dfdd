r"""The costs of values whose errors follow from the statistic, one for each kind of data.

| data | cost |
| --- | --- |
| measured values with errors | `least_squares.LeastSquares`, also robust |
| values whose width is predicted too | `Normal` |
| counts | `Poisson` |
| k out of N, yes or no | `Binomial` |
| one of k classes | `Multinomial` |

Each is an ordinary iminuit cost. In a sum put the network's cost first, ``cost + other``: then the sum has second
derivatives, and keeps the order of the parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ffnn_xp._lib.floating_point import quiet
from ffnn_xp.costs.measured import ONLY_FOR, MeasuredCost, given, values_and_model
from ffnn_xp.data import Measurements, refuse
from ffnn_xp.losses import BinomialLoss, Loss, MultinomialLoss, NormalLoss, PoissonLoss
from ffnn_xp.network import ModelLike
from ffnn_xp.objective import GaussianPrior


@quiet
class OwnErrors(MeasuredCost):
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
        name: Sequence[str] | None = None,
        **others: Any,
    ) -> None:
        of = type(self).__name__
        y, model = values_and_model(x, y, model, f"{of}(x, {self._values}, model)")
        own = {key: others.pop(key, None) for key in self._takes}
        refuse(others, of, {key: why for key, why in ONLY_FOR.items() if key not in self._takes})
        measurements = Measurements(x, y, weights=weights, mask=mask, **own)
        super().__init__(model, measurements, self._of, prior=prior, verbose=verbose, name=name)


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
    weights, mask, prior, verbose, name
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
    n = given("y", "The counts of all events; the same as `y`.")
    exposure = given("exposure", "The exposures, in the shape of the counts; None without them.")

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
    weights, mask, prior, verbose, name
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
    k = given("y", "The successes of all events; the same as `y`.")
    trials = given("trials", "The numbers of trials, in the shape of the successes; None without them.")

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
    weights, mask, prior, verbose, name
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
    weights, mask, prior, verbose, name
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
