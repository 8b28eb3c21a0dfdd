"""L-BFGS preconditioned by the Hessian: its shifts, its rounds, and when it says that the Hessian is positive."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import scipy.optimize

from ffnn_xp.minimizers import AskTell, Budget, PreconditionedLBFGS, QuasiNewton, Status, evaluate_request, run_ask_tell
from ffnn_xp.minimizers.preconditioned_lbfgs import _Preconditioner

from .problems import Bent, Quadratic, Residuals

OPTIONS = PreconditionedLBFGS()


def preconditioner() -> _Preconditioner:
    return _Preconditioner(OPTIONS, 1e-12, OPTIONS.first_shift)


def test_large_residuals_need_the_exact_hessian() -> None:
    """Where residuals are large, Gauss-Newton steps converge slowly or not at all; Newton's do."""
    x = np.linspace(0, 1, 40)
    y = np.cos(9 * x)

    def r(t: np.ndarray) -> np.ndarray:
        return t[0] * np.exp(-t[1] * x) - y

    def jacobian(t: np.ndarray) -> np.ndarray:
        e = np.exp(-t[1] * x)
        return np.stack([e, -t[0] * x * e], axis=1)

    def second(t: np.ndarray) -> np.ndarray:
        e = np.exp(-t[1] * x)
        cross = 2 * r(t) @ (-x * e)
        return np.array([[0.0, cross], [cross, 2 * r(t) @ (t[0] * x * x * e)]])

    with np.errstate(over="ignore"):  # of a trial step
        end = PreconditionedLBFGS(edm_goal=1e-12).run(Residuals(r, jacobian, second), np.array([1.0, 1.0]))
        reference = scipy.optimize.least_squares(r, [1.0, 1.0], jacobian, xtol=1e-15, ftol=1e-15, gtol=1e-15)
    assert end.converged
    np.testing.assert_allclose(end.theta, reference.x, rtol=1e-5)


def test_a_hessian_that_was_refused_is_not_asked_for_at_once() -> None:
    """Where no mu makes it positive definite: after 1, 2, 4 rounds, with the Gauss-Newton matrix in between.

    In round 7 it is, and counting begins anew: after 1, 1, 2, 4, 8 rounds, not more.
    """
    asked: list[int] = []

    class Saddle(Residuals):
        def hessian(self, theta: np.ndarray) -> np.ndarray:
            asked.append(rounds)
            return np.eye(len(theta)) * (2e-6 if rounds == 7 else -1.0)

    problem = Saddle(lambda t: 1e-3 * t, lambda t: 1e-3 * np.eye(len(t)))
    coordinates = preconditioner()
    theta = np.ones(2)
    for rounds in range(34):
        C, edm, mu = run_ask_tell(
            coordinates.at(theta, problem.value_and_gradient(theta)[1]), partial(evaluate_request, problem)
        )
        shift = 1e-12 if rounds == 7 else OPTIONS.gauss_newton_shift
        np.testing.assert_allclose(C @ C.T, 2e-6 * (1 + shift) * np.eye(2), rtol=1e-12)
        assert edm == pytest.approx(1e-6 * theta @ theta)
        assert mu == (1e-12 if rounds == 7 else np.inf)
    assert asked == [0, 1, 3, 7, 8, 9, 11, 15, 23, 31]


def test_a_hessian_gets_the_least_shift_that_makes_it_positive_definite() -> None:
    """In powers of ten from a tenth of the last one on; none, as soon as none is needed."""
    lowest = 0.0

    class Narrow(Residuals):
        def hessian(self, theta: np.ndarray) -> np.ndarray:
            return np.array([[1.0, 1.0 - lowest], [1.0 - lowest, 1.0]])  # eigenvalues 2 - lowest and lowest

    coordinates, g, problem = preconditioner(), np.array([1.0, 1.0]), Narrow(lambda t: t, lambda t: np.eye(len(t)))
    for lowest, expected in [
        (-3e-5, 1e-4),
        (-3e-6, 1e-5),
        (-3e-9, 1e-6),  # a tenth will do, nothing will not
        (-3e-9, 1e-7),
        (1e-6, 1e-12),
        (-3e-9, 1e-8),
        (-3e-4, 1e-3),
        (-3e-3, np.inf),
    ]:
        C, edm, mu = run_ask_tell(coordinates.at(np.zeros(2), g), partial(evaluate_request, problem))
        assert mu == pytest.approx(expected, rel=1e-9)
        assert edm == pytest.approx(0.5, rel=2e-3)  # of curvature 2, along g; 1 for each of two residuals
        coordinates.wait = 0
        if mu < np.inf:
            np.testing.assert_allclose(C @ C.T - (1 + mu) * np.eye(2), (1 - lowest) * np.eye(2)[::-1], atol=1e-9)


@pytest.mark.parametrize(
    ("lowest", "known"),
    [
        (1e-5, True),
        (-0.5, True),  # EDM of the Gauss-Newton matrix
        (-1e-5, False),  # with the shift EDM is too small
    ],
)
def test_an_end_is_one_without_a_shift(lowest: float, known: bool) -> None:
    """A shifted Hessian prunes no start for its small EDM, and ends none as converged, not even at gradient 0."""
    gains: list[float] = []

    def prune(theta: np.ndarray, gain: float) -> bool:
        gains.append(gain)
        return True

    H = np.array([[1.0, 1.0 - lowest], [1.0 - lowest, 1.0]])
    minimizer = PreconditionedLBFGS(edm_goal=1e-9)
    result = minimizer.run(Quadratic(H), np.array([1.0, 0.5]), Budget(prune=prune))
    assert result.status is Status.PRUNED
    assert np.isfinite(gains).tolist() == [known]
    assert minimizer.run(Quadratic(H), np.zeros(2)).converged == known


def test_the_exact_hessians_coordinates_lead_on_once() -> None:
    """They lead from the goal to `fine_goal`, or to where rounding is in the way: that is the end all the same."""
    asked: list[int] = []

    class Counted(Quadratic):
        def hessian(self, theta: np.ndarray) -> np.ndarray:
            asked.append(1)
            return super().hessian(theta)

    for fine, matrices in ((1e-20, 2), (0.0, 2), (1e-9, 1), (None, 1)):
        asked.clear()
        minimizer = PreconditionedLBFGS(edm_goal=1e-9, fine_goal=fine)
        end = minimizer.run(Counted(np.diag([1.0, 2.0])), np.array([1e-5, 0.0]))
        assert end.converged
        assert (end.edm < 1e-20) == (matrices == 2)
        assert len(asked) == matrices


@pytest.mark.slow
@pytest.mark.parametrize(("p", "steps"), [(10, OPTIONS.min_steps), (2000, 250)])
def test_rounds_are_longer_where_matrices_are_dear(p: int, steps: int) -> None:
    rounds: list[int] = []

    class Ended(QuasiNewton):
        def steps(self, W, theta, value, g, keep_going) -> AskTell[tuple[np.ndarray, float, np.ndarray]]:  # type: ignore[no-untyped-def]
            rounds.append(keep_going.most)
            yield from ()
            return theta, value, g

    minimizer = PreconditionedLBFGS(edm_goal=1e-9, max_rounds=1, quasi_newton=Ended())
    minimizer.run(Quadratic(np.eye(p)), np.ones(p))
    assert rounds == [steps] == [minimizer.steps_per_round(p)]


@pytest.mark.parametrize(("share", "rounds"), [(0.9, 3), (1.1, 20)])
def test_rounds_that_gain_less_than_their_steps_should_are_the_last(share: float, rounds: int) -> None:
    at, values = np.ones(10), [5.0]

    class Scripted(QuasiNewton):
        def steps(self, *_: object) -> AskTell[tuple[np.ndarray, float, np.ndarray]]:  # type: ignore[override]
            values.append(values[-1] - share * OPTIONS.min_steps * OPTIONS.min_gain)
            yield from ()
            return at, values[-1], at

    minimizer = PreconditionedLBFGS(edm_goal=1e-9, max_rounds=20, quasi_newton=Scripted())
    end = minimizer.run(Quadratic(np.eye(10)), at)
    assert len(values) == 1 + rounds
    assert end.status is (Status.NO_GAIN if share < 1 else Status.BUDGET_USED_UP)


def test_where_it_was_cut_short_the_hessian_may_be_anything() -> None:
    """The last one was seen before the last round."""
    problem = Bent(0.05)
    start = np.array([2.0, 4.0])
    assert np.linalg.eigvalsh(problem.hessian(start))[0] > 0
    assert not PreconditionedLBFGS(edm_goal=1e-9, max_rounds=1).run(problem, start).hessian_is_positive
    assert PreconditionedLBFGS(edm_goal=1e-9).run(problem, start).hessian_is_positive
    assert not PreconditionedLBFGS(edm_goal=1e-9).run(problem, np.zeros(2)).hessian_is_positive


class Shifted(Bent):
    """A Hessian that is positive definite only when shifted, by less than is taken; nothing to be gained."""

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        return 1.0, np.full(2, 1e-6)

    def hessian(self, theta: np.ndarray) -> np.ndarray:
        return np.array([[1.0, 1 + 1e-5], [1 + 1e-5, 1.0]])


def test_a_shifted_hessian_shows_no_minimum() -> None:
    assert not PreconditionedLBFGS(edm_goal=1e-9).run(Shifted(1.0), np.zeros(2)).hessian_is_positive
