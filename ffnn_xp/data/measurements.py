"""`Measurements`: the user's arrays by name, unchecked, in one object that every entry point makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ffnn_xp._lib.errors import did_you_mean
from ffnn_xp.data.records import as_table


@dataclass(frozen=True, eq=False)
class Measurements:
    """Inputs and measured values with their errors, weights and masks, as the user gave them; `data.read` checks them.

    Records of any kind become tables here (`data.records`).

    Attributes
    ----------
    x : array-like with shape (n, d), or (n,) for d = 1; or another kind of input, such as Bins
    y : array-like with shape (n, k), or (n,) for k = 1
    y_err : float or array-like with shape (n,), (n, k) or (k,), optional
        Standard deviations of y.
    weights : array-like with shape (n,), optional
        Factor on the term of each event.
    mask : boolean array-like with shape (n,), optional
        True for events to use.
    exposure : float or array-like with shape (n,) or (n, k), optional
        Factor on the expected counts.
    trials : int or array-like with shape (n,) or (n, k), optional
        N of the binomial k.
    y_cov : array-like with shape (n, n), (n k, n k) or (n, k, k), optional
        Covariance of y.
    x_err : float or array-like with shape (n, d), (d,), or (n,) for d = 1, optional
        Standard deviations of x.
    """

    x: Any
    y: Any
    y_err: Any = None
    weights: Any = None
    mask: Any = None
    exposure: Any = None
    trials: Any = None
    y_cov: Any = None
    x_err: Any = None

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, as_table(getattr(self, field.name), field.name))

    @property
    def auxiliaries(self) -> dict[str, Any]:
        """The arrays that some statistics need beside y, by their names (`Loss.auxiliary`)."""
        return {"exposure": self.exposure, "trials": self.trials, "y_cov": self.y_cov}


def refuse(options: Mapping[str, Any], of: str, reasons: Mapping[str, str]) -> None:
    """Raise a TypeError for options that `of` does not take, with the reason.

    Examples
    --------
    >>> refuse({"weights": [1, 2]}, "log_density", {"weights": "it is that of single events"})
    Traceback (most recent call last):
    TypeError: `weights` has no place in log_density: it is that of single events
    """
    for name, value in options.items():
        if name not in reasons:
            known = [
                *Measurements.__dataclass_fields__,
                *(r for r in reasons if r not in Measurements.__dataclass_fields__),
            ]
            raise TypeError(f"{of} has no option `{name}`: {did_you_mean(name, known)}")
        if value is not None:
            raise TypeError(f"`{name}` has no place in {of}: {reasons[name]}")
