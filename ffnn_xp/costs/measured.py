"""The part that the costs of all kinds of data have in common: what the user gave, which can be set again.

As in iminuit, arrays are those of all events, and the mask says which are in use: predictions are made for all, and the
pulls of the others are NaN. Setting one of them reads all of them again, by the rules of the constructor; if these
refuse it, the cost stays as it was.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import array_api_compat
import numpy as np

from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.typing import HostArray, Mask
from ffnn_xp._lib.validation import vector
from ffnn_xp.backends import host_floats, to_numpy
from ffnn_xp.data import (
    Bins,
    Measurements,
    host_resident_if_needed,
    in_order,
    is_histogram,
    measurements_of,
    points_of,
    read,
)
from ffnn_xp.losses import LossLike
from ffnn_xp.network import ModelLike
from ffnn_xp.objective import DataCost, GaussianPrior

ONLY_FOR = {
    "exposure": "it is for counts: see Poisson",
    "trials": "it is for k out of N: see Binomial",
    "y_err": "these values have the errors of their kind",
    "yerror": "these values have the errors of their kind",
    "y_cov": "it is for measured values: see LeastSquares",
    "x_err": "it is for measured values: see LeastSquares",
    "xerror": "it is for measured values: see LeastSquares",
    "loss": "the statistic belongs to the kind of data: see LeastSquares for others",
    "covariance": "MINUIT makes the covariance of a cost from second derivatives: Model.fit has the sandwich",
}


SPREAD_OVER = {"y_err": "y", "x_err": "x", "exposure": "y", "trials": "y"}
"""Arrays of which a number may stand for all values of another one."""


def given(field: str, about: str) -> Any:
    """Return a property of a cost: an array by its name in `Measurements`, which can be set to read the data again."""

    def get(cost: MeasuredCost) -> Any:
        return cost._array(field)

    def put(cost: MeasuredCost, value: Any) -> None:
        cost._set(**{field: value})

    return property(get, put, None, about)


@quiet
class MeasuredCost(DataCost):
    """Base class of the costs that users make of their arrays."""

    _cannot_be_set = ONLY_FOR
    _given: Measurements
    _loss: LossLike
    _all: Measurements
    """The arrays that were given, those of histograms among them."""

    x = given("x", "The inputs of all events, ``(n, d)``, or the centres of bins.")
    y = given("y", "The measured values of all events, in the shape in which they were given.")
    mask = given("mask", "True for the events in use, ``(n,)``; None where all are.")
    weights = given("weights", "The factors on the terms of all events, ``(n,)``; None without them.")

    def __init__(
        self,
        model: ModelLike,
        measurements: Measurements,
        loss: LossLike,
        *,
        prior: GaussianPrior | None = None,
        verbose: int = 0,
        name: Sequence[str] | None = None,
    ) -> None:
        self._read(model, measurements, loss, prior, verbose, name)

    def _read(
        self,
        model: ModelLike,
        given: Measurements,
        loss: LossLike,
        prior: GaussianPrior | None,
        verbose: int,
        name: Sequence[str] | None,
    ) -> None:
        """Check the data, complete the model's widths, and build the cost."""
        arrays, statistic = _arrays(given, loss, model)
        model = host_resident_if_needed(model, arrays)
        checked = read(model, arrays, statistic)
        data = checked.data
        model.build(int(data.x.shape[0]), checked.loss.outputs(int(data.y.shape[0])))
        model.name_inputs(data.input_names)
        used = None if arrays.mask is None else _booleans(arrays.mask)
        self._init(data, model, checked.loss, prior, verbose, name, used)
        self._given, self._loss = _copied(given), loss
        self._all = _arrays(self._given, loss, model)[0]

    def _set(self, loss: LossLike | None = None, **arrays: Any) -> None:
        """Read the data again with other arrays, or with another loss."""
        given = replace(self._given, **arrays)
        self._read(
            self.model, given, self._loss if loss is None else loss, self.prior, self.verbose, tuple(self._parameters)
        )

    def _array(self, field: str) -> Any:
        """Return an array of all events, on the host; None if there is none."""
        a = getattr(self._given if field in ("mask", "weights") else self._all, field)
        if not self.statistic.whole_counts and field in ("y", "exposure"):  # a histogram of sums of weights
            a = self._given.x.values() if field == "y" else self._given.exposure
            a = None if a is None else np.ravel(a)
        if a is None or field == "mask":
            return None if a is None else _booleans(a).copy()
        if field == "x":
            rows = a.centers if isinstance(a, Bins) else host_floats(a, field)
            return rows.reshape(-1, int(self.data.x.shape[0])).copy()
        values = np.array(host_floats(a, field))
        if field == "y":
            return self._in_shape_of_y(values.reshape(len(self._array("x")), -1))
        if field not in SPREAD_OVER:
            return values
        shape = self._array(SPREAD_OVER[field]).shape
        values = values[:, None] if values.shape == shape[:1] else values
        return np.broadcast_to(values, (shape[0], int(np.prod(shape[1:])))).reshape(shape).copy()

    def prediction(self, args: Sequence[float] | HostArray) -> HostArray:
        """Return the prediction of each measured value, ``(n,)`` or ``(n, k)``, for events that are masked too."""
        if self._used is None:
            return super().prediction(args)
        if np.ndim(args) == 2:
            return np.asarray(np.mean([self.prediction(theta) for theta in np.asarray(args)], axis=0))
        theta, points, backend = vector((args,), self.npar), points_of(self._all.x), self.model.backend
        rows = host_floats(points.x, "x")
        columns = np.ascontiguousarray(rows.reshape(len(rows), -1).T)
        predicted = self._rows(self._outputs(theta, backend.to_device(columns)))[:, : self.data.y.shape[0]]
        if points.node_weights is not None:
            w = points.node_weights
            predicted = np.sum(predicted.reshape(*w.shape, -1) * w[..., None], axis=1)
        return self._in_shape_of_y(predicted)


def values_and_model(x: Any, y: Any, model: ModelLike | None, call: str) -> tuple[Any, ModelLike]:
    """Return the measured values and the network: after a histogram, which has the values in it, the network alone."""
    if model is not None:
        return y, model
    if not is_histogram(x):
        raise TypeError(f"`model` is missing: write {call}, or {call.partition('(')[0]}(h, model) for a histogram h")
    return None, y


def _booleans(mask: Any) -> Mask:
    """Return a mask of any library on the host."""
    return np.asarray(to_numpy(mask) if array_api_compat.is_array_api_obj(mask) else mask)


def _arrays(given: Measurements, loss: LossLike, model: ModelLike) -> tuple[Measurements, LossLike]:
    """Return measurements whose x is no histogram and has the columns of the model's inputs, and their statistic."""
    arrays, statistic = measurements_of(given, loss)
    return replace(arrays, x=in_order(arrays.x, model.input_names)), statistic


def _copied(given: Measurements) -> Measurements:
    """Return measurements of their own, so that what is written into the user's arrays later does not count by half."""
    arrays = {f.name: getattr(given, f.name) for f in fields(given)}
    return replace(given, **{name: a if is_histogram(a) else copy.deepcopy(a) for name, a in arrays.items()})
