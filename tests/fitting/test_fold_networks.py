"""The networks of folds: which fold each joins, how far it is minimized, and how many there are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.fitting.fold_networks import FoldNetworks
from ffnn_xp.fitting.folds import CostBatch, Fold
from ffnn_xp.fitting.held_out import held_out_error, hold_out
from ffnn_xp.fitting.hidden_layers import Followed
from ffnn_xp.fitting.regularization_path import PathMinimizer

X = np.linspace(-1, 1, 12)
NOISE = np.random.default_rng(1).normal(size=12)
START = np.array([7.0, 7.0])


@dataclass
class Recorded(PathMinimizer):
    """Moves each network by one, and writes down the events, the start, the precision and the number of gradients."""

    calls: list[list[tuple[Any, ...]]] = field(default_factory=list)

    def minimize(self, costs: CostBatch, thetas: Any, precision: np.ndarray, evaluations: int) -> list[np.ndarray]:
        own = [(o.events.x[0].tobytes(), tuple(a)) for o, a in zip(costs.objectives, thetas, strict=True)]
        self.calls.append([(*pair, tuple(precision), evaluations) for pair in own])
        return [a + 1.0 for a in thetas]


def followed(leaders: int, y_error: float | None = 1.0) -> tuple[Followed, np.ndarray]:
    """A straight line in three folds, the first of which have followed a path of two strengths."""
    fit = fx.Model((1, 1), backend="numpy", seed=1).fit(X, X + NOISE, y_error, prior=None)
    problem = replace(fit.problem, prior=None, y_error=np.ones(1))
    fold, whole = np.arange(12) % 3, problem.cost()
    parts = [Fold.of(whole, fold, f) for f in range(leaders)]
    networks = [np.array([float(f), 0.0]) for f in range(leaders)]
    strengths = np.array([2.0, 1.0, 0.5])
    return Followed(
        problem, whole, np.ones(2), 1.0, strengths, parts, repeat(START), 1, [3.0, 1.0, 2.0], networks
    ), fold


@pytest.mark.parametrize(("leaders", "everywhere"), [(3, True), (1, True), (1, False)])
def test_networks_join_one_fold_after_another_along_the_path(leaders: int, everywhere: bool) -> None:
    path, (of_path, fold) = Recorded(), followed(leaders)
    folds = FoldNetworks.of(of_path, fold, path, everywhere=everywhere)
    found = folds.ensemble(5, 5, 1.0, minimized=False)
    number = 3 if everywhere or leaders == 3 else 1
    inside = [Fold.of(of_path.whole, fold, i % number).inside.events.x[0].tobytes() for i in range(leaders, 5)]
    assert [[event for event, *_ in call] for call in path.calls] == [inside, inside]  # at strengths 2 and 1
    assert [call[0][2:] for call in path.calls] == [((s, s), path.tuning.evaluations) for s in (2.0, 1.0)]
    assert [len(networks) for _, networks in folds.of_folds()] == ([2, 2, 1] if number == 3 else [5])
    np.testing.assert_array_equal(found, [*of_path.thetas, *[START + 2] * (5 - leaders)])
    np.testing.assert_array_equal(folds.precision, [1.0, 1.0])


def test_each_network_is_minimized_once_with_the_events_of_its_fold() -> None:
    path, (of_path, fold) = Recorded(), followed(3)
    folds = FoldNetworks.of(of_path, fold, path, everywhere=True)
    folds.minimize()
    folds.minimize()
    (call,) = path.calls
    inside = [part.inside.events.x[0].tobytes() for part in of_path.parts]
    assert [pair[:2] for pair in call] == list(zip(inside, map(tuple, of_path.thetas), strict=True))
    assert all(pair[2:] == ((1.0, 1.0), path.tuning.last_evaluations) for pair in call)
    folds.join(5)
    folds.minimize()
    assert [pair[1] for pair in path.calls[-1]] == [tuple(START + 2)] * 2
    np.testing.assert_array_equal(folds.networks, [*(a + 1 for a in of_path.thetas), *[START + 3] * 2])
    for f, (_, networks) in enumerate(folds.of_folds()):
        np.testing.assert_array_equal(networks, folds.networks[f::3])


def test_there_are_as_many_networks_as_their_scatter_asks_for() -> None:
    """Lines that differ by 2 in height: their variance is 2 at each event; the rest is the mean's, less half of it."""
    of_path, path = followed(3)[0], Recorded()
    line = of_path.problem.scaling.to_standard(np.array([1.0, 0.0]))
    up = np.array([0.0, 1.0 / of_path.problem.scaling.y_scale[0]])
    networks = [*[line + up] * 3, *[line - up] * 3]
    folds = FoldNetworks(of_path, of_path.parts, networks, path)
    assert np.mean(NOISE**2) < 1.0  # by chance: so that the scatter is all that is known
    assert folds.wanted(0.5) == 10**6
    half = FoldNetworks(of_path, of_path.parts, [*[line + up / 2] * 3, *[line - up / 2] * 3], path)
    assert half.wanted(0.1) == np.ceil(0.5 / (0.1 * (np.mean(NOISE**2) - 0.25)))
    assert half.ensemble(6, 8, 1e-3, minimized=True)[0].shape == (2,)
    assert len(half.networks) == 8
    for few in (networks[:3], [line] * 6, [np.array([np.nan, np.nan])] * 6):
        assert FoldNetworks(of_path, of_path.parts, few, path).wanted(0.1) == 0  # nothing is known, or none scatters


def test_no_network_joins_when_time_is_up() -> None:
    path, (of_path, fold) = Recorded(stopped="it is late"), followed(1)
    folds = FoldNetworks.of(of_path, fold, path, everywhere=True)
    np.testing.assert_array_equal(folds.ensemble(5, 9, 0.1, minimized=True), of_path.thetas)
    assert not path.calls


def test_folds_with_other_numbers_of_networks_count_by_these() -> None:
    """A pair and a single network, both scaled to an ensemble of three by the variance that the pair shows."""
    of_path, fold = followed(2, y_error=0.5)
    line = of_path.problem.scaling.to_standard(np.array([1.0, 0.0]))
    up = np.array([0.0, 0.1 / of_path.problem.scaling.y_scale[0]])
    found = hold_out(
        of_path.problem, [(of_path.parts[0], [line + up, line - up]), (of_path.parts[1], [line])], np.ones(2)
    )
    plain = np.concatenate([NOISE[fold == 0], NOISE[fold == 1]]) / 0.5
    variance = 2 * (0.1 / 0.5) ** 2
    expected = [
        np.sqrt(1 - variance * (1 / m - 1 / 3) / np.mean(part**2)) * part
        for m, part in ((2, plain[:4]), (1, plain[4:]))
    ]
    np.testing.assert_allclose(found.residuals[0], np.concatenate(expected), rtol=1e-6)
    np.testing.assert_allclose(found.scatter, 0.1 * np.sqrt(2), rtol=1e-9)


def test_errors_are_those_of_the_first_network_of_each_fold() -> None:
    of_path, fold = followed(2, y_error=None)
    scale = float(of_path.problem.scaling.y_scale[0])
    line = of_path.problem.scaling.to_standard(np.array([1.0, 0.0]))
    found = held_out_error(of_path.problem, [(part, [line, START]) for part in of_path.parts])
    np.testing.assert_allclose(found, np.sqrt(np.mean(NOISE[fold < 2] ** 2)) / scale, rtol=1e-6)
