"""Round saddles: S is followed down from them, by single fits and by refits, and what hardly falls is a valley."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest

from ffnn_xp import Model
from ffnn_xp.fitting import batch_refit as toy_fits
from ffnn_xp.fitting.batch_refit import refit
from ffnn_xp.fitting.local_search import Descent, LocalMinimum
from ffnn_xp.minimizers import BatchResult, MinimizerResult, Tracker, batched_lbfgs, preconditioned_lbfgs
from ffnn_xp.minimizers import negative_curvature as saddles
from ffnn_xp.minimizers.ask_tell import AskTellHessian, HessianRequest, answered
from ffnn_xp.minimizers.base import rounding_error
from ffnn_xp.minimizers.negative_curvature import WORTH, escape_saddles, lower_point, lower_points
from ffnn_xp.model import ensemble
from ffnn_xp.objective.batch import Replicas
from ffnn_xp.uncertainty.covariance import Spectrum

A, B = 0.2, 50.0


class Bent:
    """S = -a t^2/2 + b (u - t^2)^2 + c t^4: on a line it falls by 5e-5, along u = t^2 by a^2 / 16 c."""

    errordef, epsilon = 1.0, float(np.finfo(float).eps)

    def __init__(self, c: float) -> None:
        self.c = c

    @property
    def depth(self) -> float:
        return A**2 / (16 * self.c)

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        t, u = theta
        off = u - t * t
        gradient = np.array([-A * t - 4 * B * off * t + 4 * self.c * t**3, 2 * B * off])
        return float(-A * t * t / 2 + B * off * off + self.c * t**4), gradient

    def hessian(self, theta: np.ndarray) -> np.ndarray:
        t, u = theta
        tt = -A - 4 * B * (u - 3 * t * t) + 12 * self.c * t * t
        return np.array([[tt, -4 * B * t], [-4 * B * t, 2 * B]])

    def gauss_newton(self, theta: np.ndarray) -> np.ndarray:
        t = theta[0]
        return np.array([[8 * B * t * t + 0.1, -4 * B * t], [-4 * B * t, 2 * B]])


class Lifted(Bent):
    """The same, 1,000 higher, in numbers of nine digits."""

    epsilon = 1e-9

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = super().value_and_gradient(theta)
        return value + 1e3, gradient


@pytest.mark.parametrize(("c", "falls"), [(0.05, True), (10.0, False)])
def test_s_is_followed_down_from_a_saddle(c: float, falls: bool) -> None:
    """Though it falls by next to nothing on a line; a fall that is little in the end is a valley's."""
    problem = Bent(c)
    assert (problem.depth > WORTH) is falls
    shape, beyond = Descent(problem, may_be_rough=False).shape_at(np.zeros(2))  # type: ignore[arg-type]
    if falls:
        assert shape.n_negative == 1
        assert beyond is not None
        assert problem.value_and_gradient(beyond)[0] == pytest.approx(-problem.depth, rel=1e-3)
    else:
        assert beyond is None
        assert (shape.n_negative, shape.n_unidentified) == (0, 1)


@pytest.mark.parametrize(("c", "status"), [(0.05, "minimum behind 1 saddle"), (10.0, "minimum")])
def test_a_single_fit_goes_on_from_there(c: float, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the saddle itself; where it may go round none it says so."""
    problem = Bent(c)
    descent = Descent(problem, may_be_rough=False)  # type: ignore[arg-type]
    end = descent.descend(Tracker(problem), np.zeros(2))  # type: ignore[arg-type]
    assert end is not None
    assert end.status == status
    assert end.value == pytest.approx(-problem.depth, rel=1e-3)
    assert end.shape is not None
    assert end.shape.n_negative == 0
    monkeypatch.setattr("ffnn_xp.fitting.local_search.SADDLES", 0)
    end = descent.descend(Tracker(problem), np.zeros(2))  # type: ignore[arg-type]
    assert end is not None
    assert end.status == "saddle"


def test_a_way_that_is_hopeless_behind_a_saddle_is_given_up() -> None:
    problem, seen = Bent(0.05), []

    def hopeless(theta: np.ndarray, gain: float) -> bool:
        seen.append(theta)
        return bool(abs(theta[0]) > 1e-3)

    assert Descent(problem, may_be_rough=False).descend(Tracker(problem), np.zeros(2), hopeless) is None  # type: ignore[arg-type]
    assert abs(seen[0][0]) > 1e-3


class Scripted(Bent):
    """Curves down everywhere along t; is lower near by, or not."""

    def __init__(self, lower: bool) -> None:
        super().__init__(1.0)
        self.lower, self.matrices = lower, 0

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        return -99.0 if self.lower else 9.0, np.zeros(2)

    def hessian(self, theta: np.ndarray) -> np.ndarray:
        self.matrices += 1
        return np.diag([-1.0, 2.0])


def descended(
    monkeypatch: pytest.MonkeyPatch, values: list[float], *, lower: bool = True, hopeless: bool = False
) -> tuple[LocalMinimum | None, int, int]:
    """Where a descent ends whose walks come to these values, how many it walked, and the matrices that it asked for."""
    problem, walked = Scripted(lower), 0

    def steps(theta: np.ndarray, **options: object) -> AskTellHessian[MinimizerResult]:
        nonlocal walked
        walked += 1
        last = walked == len(values)
        yield theta
        return MinimizerResult(theta, values[walked - 1], 1.0, converged=False, hopeless=hopeless and last)

    monkeypatch.setattr("ffnn_xp.fitting.local_search.preconditioned_steps", steps)
    end = Descent(problem, may_be_rough=False).descend(Tracker(problem), np.zeros(2))  # type: ignore[arg-type]
    return end, walked, problem.matrices


@pytest.mark.parametrize(("values", "lower"), [([9.0, 9.0 - 0.9 * WORTH, 0.0], True), ([9.0, 0.0], False)])
def test_where_s_hardly_falls_directions_are_undetermined(
    values: list[float], lower: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Followed, and where nothing lower is near."""
    end, walked, _ = descended(monkeypatch, values, lower=lower)
    assert end is not None
    assert end.shape is not None
    assert (end.status, walked) == ("in a valley", len(values) - 1)
    assert (end.shape.n_negative, end.shape.n_unidentified) == (0, 1)


def test_a_descent_goes_round_so_many_saddles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ffnn_xp.fitting.local_search.SADDLES", 3)
    end, walked, _ = descended(monkeypatch, [9.0, 8.0, 7.0, 6.0, 5.0])
    assert end is not None
    assert (end.status, end.value, walked) == ("saddle", 6.0, 4)


def test_what_is_hopeless_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    assert descended(monkeypatch, [9.0], hopeless=True) == (None, 1, 0)
    assert descended(monkeypatch, [9.0, 8.0], hopeless=True) == (None, 2, 1)


def test_at_kinks_too_a_hopeless_way_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the steps of Levenberg and Marquardt, which are all that there is."""

    def steps(walk: Tracker, theta: np.ndarray, *, edm_goal: float, hopeless: Callable[..., bool]) -> MinimizerResult:
        return MinimizerResult(theta, 9.0, 1.0, converged=False, hopeless=hopeless(theta, 1.0))

    monkeypatch.setattr("ffnn_xp.fitting.local_search.levenberg_marquardt", steps)
    problem = Scripted(lower=False)
    descent = Descent(problem, smooth=False, may_be_rough=False)  # type: ignore[arg-type]
    assert descent.descend(Tracker(problem), np.zeros(2), lambda theta, gain: True) is None  # type: ignore[arg-type]
    end = descent.descend(Tracker(problem), np.zeros(2), lambda theta, gain: False)  # type: ignore[arg-type]
    assert end is not None
    assert (end.status, problem.matrices) == ("at kinks", 0)


@pytest.mark.parametrize("hidden", [4, 25])
def test_refits_are_told_where_hessians_curve_down(hidden: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether steps by matrices go before or not."""
    told: list[np.ndarray] = []

    def noted(*args: object, negative_directions: Callable[[np.ndarray], np.ndarray], **options: object) -> BatchResult:
        told.append(negative_directions(np.diag([4.0, -9.0, 1.0])))
        return batched_lbfgs(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(toy_fits, "batched_lbfgs", noted)
    x = np.linspace(-1, 1, 60)
    Model((1, hidden, 1), backend="numpy", seed=1).fit_replicas(x, x**2, 0.1, prior=2.0, number=2, seed=1)
    (down,) = told
    assert down.shape == (3, 1)
    np.testing.assert_allclose(np.abs(down[:, 0]), [0.0, 1 / 3, 0.0], atol=1e-12)


def test_the_lowest_point_counts() -> None:
    problem = Bent(0.05)
    down = np.eye(2)[:, :1]
    found = lower_point(problem, np.zeros(2), 0.0, down)  # type: ignore[arg-type]
    assert found is not None
    tried = [problem.value_and_gradient(s * np.array([t, 0.0]))[0] for t in saddles.STEPS for s in (1, -1)]
    assert problem.value_and_gradient(found)[0] == min(tried) < 0
    assert lower_point(problem, np.zeros(2), 0.0, down, fall=1e-3) is None  # type: ignore[arg-type]
    assert lower_point(problem, np.zeros(2), 0.0, np.eye(2)[:, 1]) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("side", [-1.0, 1.0])
@pytest.mark.parametrize("lowest", saddles.STEPS)
def test_either_way_and_at_any_step(side: float, lowest: float) -> None:
    """S falls on one side only, to a lowest point among the lower ones."""

    def answer(theta: np.ndarray) -> tuple[float, np.ndarray]:
        t = side * float(theta[0])
        return (-1 / (1 + abs(np.log(t / lowest))) if t > 0 else 1.0), theta

    found = answered(lower_points(np.zeros(1), 0.0, np.array([[3.0]]), 1e-9), answer)
    assert found == pytest.approx([side * lowest])


def test_where_a_walk_was_cut_short_no_hessian_was_seen() -> None:
    """The last one was seen before the last round."""
    problem = Bent(0.05)
    start = np.array([2.0, 4.0])
    assert np.linalg.eigvalsh(problem.hessian(start))[0] > 0
    assert not preconditioned_lbfgs(problem, start, edm_goal=1e-9, max_rounds=1).no_saddle  # type: ignore[arg-type]
    assert preconditioned_lbfgs(problem, start, edm_goal=1e-9).no_saddle  # type: ignore[arg-type]
    assert not preconditioned_lbfgs(problem, np.zeros(2), edm_goal=1e-9).no_saddle  # type: ignore[arg-type]


class Shifted(Bent):
    """A Hessian that is positive definite only when shifted, by less than is taken; nothing to be gained."""

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        return 1.0, np.full(2, 1e-6)

    def hessian(self, theta: np.ndarray) -> np.ndarray:
        return np.array([[1.0, 1 + 1e-5], [1 + 1e-5, 1.0]])


def test_a_shifted_hessian_shows_no_minimum() -> None:
    assert not preconditioned_lbfgs(Shifted(1.0), np.zeros(2), edm_goal=1e-9).no_saddle  # type: ignore[arg-type]


def test_a_fall_within_rounding_is_none() -> None:
    """Of S = 1e6 some 2e-8 are rounding."""

    def answer(fall: float) -> np.ndarray | None:
        steps = lower_points(np.zeros(1), 1e6, np.ones((1, 1)), rounding_error(Bent.epsilon, 1e6))
        return answered(steps, lambda t: (1e6 - fall, t))

    assert answer(1e-8) is None
    assert answer(1e-7) is not None
    assert lower_point(Lifted(0.05), np.zeros(2), 1e3, np.eye(2)[:, :1]) is None  # type: ignore[arg-type]


MOST = 4


class Told(NamedTuple):
    value: float
    gone: int
    at_saddle: bool
    walks: int
    matrices: int


def told(values: list[float], *, last_is_minimum: bool, negative_directions: bool = True, flat_from: int = 99) -> Told:
    """Where a walk over saddles of these values ends, what it says, and how many walks and matrices that took."""
    walks, matrices = 0, 0

    def walk(theta: np.ndarray) -> AskTellHessian[MinimizerResult]:
        nonlocal walks
        value, walks = values[walks], walks + 1
        yield theta
        return MinimizerResult(theta, value, 0.0, True, no_saddle=last_is_minimum and walks == len(values))

    def answer(question: np.ndarray | HessianRequest) -> object:
        nonlocal matrices
        if isinstance(question, HessianRequest):
            assert question.exact
            matrices += 1
            return -np.eye(1)
        return values[min(walks, len(values) - 1)] - 1.0, question

    down = (lambda H: np.ones((1, int(walks < flat_from)))) if negative_directions else None
    way = escape_saddles(walk, np.zeros(1), down, most=MOST, errordef=2.0, epsilon=1e-16)
    end, gone, at_saddle = answered(way, answer)
    return Told(end.value, gone, at_saddle, walks, matrices)


def test_walks_go_on_round_saddles() -> None:
    assert told([9.0, 5.0, 3.0], last_is_minimum=True) == Told(3.0, 2, False, walks=3, matrices=2)
    assert told([9.0], last_is_minimum=True) == Told(9.0, 0, False, walks=1, matrices=0)  # what is seen already
    assert told([9.0, 5.0], last_is_minimum=False, negative_directions=False) == Told(
        9.0, 0, False, walks=1, matrices=0
    )
    assert told([9.0, 5.0, 3.0], last_is_minimum=False, flat_from=2) == Told(5.0, 1, False, walks=2, matrices=2)
    assert told([np.inf, 5.0], last_is_minimum=False) == Told(np.inf, 0, False, walks=1, matrices=0)  # there is none


def test_a_walk_that_hardly_falls_is_in_a_valley() -> None:
    flat, falls = 9.0 - 1.9 * WORTH, 9.0 - 2.1 * WORTH  # errordef is 2
    assert told([9.0, flat, 0.0], last_is_minimum=True) == Told(flat, 0, False, walks=2, matrices=1)
    assert told([9.0, falls, 0.0], last_is_minimum=True) == Told(0.0, 2, False, walks=3, matrices=2)


def test_saddles_without_end_are_given_up_and_told() -> None:
    values = list(np.arange(2.0 * MOST, 0.0, -1.0))
    assert told(values, last_is_minimum=False) == Told(values[MOST], MOST, True, walks=MOST + 1, matrices=MOST + 1)
    arrived = told(values[: MOST + 1], last_is_minimum=True)  # by the last one
    assert arrived == Told(values[MOST], MOST, False, walks=MOST + 1, matrices=MOST)
    arrived = told(values, last_is_minimum=False, flat_from=MOST + 1)  # where nothing is known but that nothing falls
    assert arrived == Told(values[MOST], MOST, False, walks=MOST + 1, matrices=MOST + 1)


NOISE, NUMBER = 0.1, 20


def toys(monkeypatch: pytest.MonkeyPatch, *, look: bool) -> tuple[Replicas, BatchResult]:
    """Refits of a curve with more units than it needs: at the fit's minimum several are copies of each other."""
    caught: list[tuple[Replicas, BatchResult]] = []

    def watched(problem: Replicas, *args: object) -> BatchResult:
        caught.append((problem, refit(problem, *args)))  # type: ignore[arg-type]
        return caught[-1][1]

    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 1))
    model = Model((1, 10, 1), backend="numpy", seed=1)
    y = (model(x) + NOISE * rng.normal(size=(200, 1)))[:, 0]
    model.fit(x, y, NOISE, prior=3.0)
    with monkeypatch.context() as patched:
        patched.setattr(ensemble, "refit", watched)
        if not look:
            patched.setattr(toy_fits, "batched_lbfgs", partial(_without, batched_lbfgs))
        model.fit_replicas(x, y, NOISE, prior=3.0, number=NUMBER, seed=1)
    return caught[0]


def _without(
    walk: Callable[..., BatchResult], *args: object, negative_directions: object, **options: object
) -> BatchResult:
    return walk(*args, **options)


def test_refits_leave_the_saddles_where_units_are_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """No gradient shows them, since it keeps copies what they are; S fell by up to 0.25 from some of these 20 toys."""
    problem, end = toys(monkeypatch, look=True)
    before = toys(monkeypatch, look=False)[1]
    assert before.converged.sum() >= NUMBER - 1
    assert end.converged.sum() >= NUMBER - 1
    assert np.all(end.value < before.value + 1e-4)
    assert np.sum(end.value < before.value - 0.02) >= 3
    H = problem.numbers(problem.hessian(end.theta, np.arange(NUMBER)))
    H_before = problem.numbers(problem.hessian(before.theta, np.arange(NUMBER)))
    assert sum(Spectrum.of_hessian(h, 1.0).n_negative > 0 for h in H_before) >= 3
    assert sum(Spectrum.of_hessian(h, 1.0).n_negative > 0 for h in H) <= 1


def test_a_saddle_that_is_not_left_is_no_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such replicas are neither valid nor have an EDM."""
    from_saddle = MinimizerResult(np.zeros(31), 1.0, 0.0, True), 8, True

    def stays(*args: object, **options: object) -> AskTellHessian[tuple[MinimizerResult, int, bool]]:
        yield np.zeros(31)
        return from_saddle

    monkeypatch.setattr(sys.modules[batched_lbfgs.__module__], "escape_saddles", stays)
    _, end = toys(monkeypatch, look=True)
    assert end.status == ["saddle"] * NUMBER
    assert not end.converged.any()
    assert np.all(np.isinf(end.edm))
