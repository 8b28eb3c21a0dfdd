"""Kinds of x: arrays are their own points, bins have nodes, and a new kind is one function."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import ffnn_xp as fx
from ffnn_xp.data import Points, points_of


@dataclass
class Grid:
    """Equal steps from 0 to 1."""

    n: int


def test_arrays_and_bins() -> None:
    x = np.arange(6.0).reshape(3, 2)
    assert points_of(x).x is x
    assert (len(points_of(x)), points_of(x).n_inputs) == (3, 2)
    assert (len(points_of([1.0, 2.0])), points_of([1.0, 2.0]).n_inputs) == (2, 1)
    bins = fx.Bins([0.0, 1.0, 3.0], [0.0, 1.0], nodes=2)
    assert (len(points_of(bins)), points_of(bins).n_inputs, len(points_of(bins).x)) == (2, 2, 8)


def test_a_new_kind_of_input_is_one_function() -> None:
    points_of.register(Grid, lambda grid: Points(np.linspace(0, 1, grid.n)))
    y = np.linspace(1, 3, 12) ** 2
    one = fx.Model((1, 1), seed=1).fit(Grid(12), y, 0.1, prior=None)
    two = fx.Model((1, 1), seed=1).fit(np.linspace(0, 1, 12), y, 0.1, prior=None)
    np.testing.assert_array_equal(one.parameters, two.parameters)
    use = np.arange(12) % 3 > 0
    one = fx.Model((1, 1), seed=1).fit(Grid(12), y, 0.1, mask=use, prior=None)
    two = fx.Model((1, 1), seed=1).fit(np.linspace(0, 1, 12)[use], y[use], 0.1, prior=None)
    np.testing.assert_array_equal(one.parameters, two.parameters)
