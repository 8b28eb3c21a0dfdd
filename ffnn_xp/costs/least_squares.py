r"""The cost of measured values with errors: chi-square, or another function of pulls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ffnn_xp._lib.floating_point import quiet
from ffnn_xp.costs.measured import ONLY_FOR, MeasuredCost, given, values_and_model
from ffnn_xp.data import Measurements, is_histogram, refuse
from ffnn_xp.losses import LossLike, get_loss
from ffnn_xp.network import ModelLike
from ffnn_xp.objective import GaussianPrior


@quiet
class LeastSquares(MeasuredCost):
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
    loss : {"linear", "soft_l1", "huber", "student_t"}, Loss, or callable
        Another function of the pull than its square, for data some of which are wrong; "linear" is the square. A
        callable takes the squared pulls, an array of the model's library, and returns an array of this shape, as in
        iminuit; its derivatives are differences (`losses.CallableLoss`).
    prior : GaussianPrior, optional
        A prior, which is added to S.
    verbose : int
        1 prints every call; can be set.
    name : sequence of str, optional
        Names of the parameters, one for each, in place of the network's. In a sum, parameters of the same name are the
        same.

    Attributes
    ----------
    x, y, yerror, xerror, weights, mask, y_cov, loss
        What was given, which can be set: then the data are read again. The arrays are those of all events, the mask
        says which are in use; None takes it away.

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

    The last value is wrong by many sigma, as a robust loss shows:

    >>> cost.y, cost.loss = [1.0, 3.0, 9.0], "soft_l1"
    >>> m = Minuit(cost, cost.start).migrad()
    >>> cost.mask = [True, True, False]
    >>> cost.ndata, cost.pulls([2.0, 1.0])
    (2, array([ 0.,  0., nan]))
    """

    yerror = given("y_err", "The errors of y, in its shape; None if the values are correlated.")
    xerror = given("x_err", "The errors of x, ``(n, d)``; None without them.")
    y_cov = given("y_cov", "The covariance of y as it was given; None if the values are independent.")

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
        loss: LossLike = "linear",
        prior: GaussianPrior | None = None,
        verbose: int = 0,
        name: Sequence[str] | None = None,
        **others: Any,
    ) -> None:
        refuse(others, "LeastSquares", {name: ONLY_FOR[name] for name in ("exposure", "trials", "covariance")})
        y, model = values_and_model(x, y, model, "LeastSquares(x, y, yerror, model)")
        if yerror is None and y_cov is None and not is_histogram(x):
            raise ValueError("`yerror` is needed: a chi-square has no meaning without errors (Model.fit can estimate)")
        measurements = Measurements(x, y, yerror, weights, mask, y_cov=y_cov, x_err=xerror)
        super().__init__(model, measurements, _of_pulls(loss), prior=prior, verbose=verbose, name=name)

    @property
    def loss(self) -> LossLike:
        """The function of the pull, as it was given."""
        return self._loss

    @loss.setter
    def loss(self, loss: LossLike) -> None:
        self._set(_of_pulls(loss))


def _of_pulls(loss: LossLike) -> LossLike:
    """Return what was given as `loss` if it is a function of pulls."""
    if get_loss(loss).auxiliary != "y_err":
        raise ValueError(f"`loss` must be a function of pulls for LeastSquares, got {get_loss(loss).name!r}")
    return loss
