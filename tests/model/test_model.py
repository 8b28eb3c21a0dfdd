from __future__ import annotations

from typing import Any

import iminuit
import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import Backend, Model, NotFittedError, to_numpy

from ..oracles import lesson

X2 = np.linspace(-1, 1, 10).reshape(5, 2)


def test_the_lessons_network(backend: Backend) -> None:
    model = Model((8, 7, 9, 6), activation="relu", output="relu", backend=backend, seed=1)
    assert model.n_parameters == 195
    assert model.names[0] == "a_L1_L2[0,0]"
    assert model.names[-1] == "b_L3_L4[5]"
    assert model.layers == (8, 7, 9, 6)
    assert [f.name for f in model.activations] == ["relu"] * 3
    assert tuple(model.parameters.shape) == (195,)
    assert [tuple(A.shape) for A in model.matrices] == [(7, 9), (9, 8), (6, 10)]
    assert backend.owns(model.parameters)


def test_starts_are_glorots() -> None:
    """Uniform within sqrt(6/(h_below + h)), biases too: the largest of thousands comes close."""
    model = Model((60, 50, 40), backend="numpy", seed=1)
    for A, width in zip(model.matrices, (110, 90), strict=True):
        bound = np.sqrt(6 / width)
        assert 0.9985 * bound < np.max(np.abs(A)) <= bound
        assert 0.8 * bound < np.max(np.abs(A[:, -1]))
        assert np.std(A) == pytest.approx(bound / np.sqrt(3), rel=0.05)


@pytest.mark.parametrize("form", ["pairs", "columns", "augmented", "lists", "device"])
def test_from_matrices(backend: Backend, form: str) -> None:
    augmented = [np.hstack([a, b[:, None]]) for a, b in lesson.PAIRS]
    given: Any = {
        "pairs": lesson.PAIRS,
        "columns": [(a, b[:, None]) for a, b in lesson.PAIRS],
        "augmented": augmented,
        "lists": [(a.tolist(), b.tolist()) for a, b in lesson.PAIRS],
        "device": [backend.to_device(A) for A in augmented],
    }[form]
    model = Model.from_matrices(given, activation="relu", output="relu", backend=backend)
    assert model.layers == (8, 7, 9, 6)
    for found, want in zip(model.matrices, augmented, strict=True):
        np.testing.assert_array_equal(to_numpy(found), want)
    theta = dict(zip(model.names, to_numpy(model.parameters), strict=True))
    assert theta["a_L1_L2[3,2]"] == lesson.a_L1_L2[3, 2] == -0.44096821
    assert theta["b_L1_L2[3]"] == lesson.b_L1_L2[3] == -1.32976663


@pytest.mark.parametrize("wide", [(2, 3), (1, 2)])
def test_two_augmented_rows_are_no_pair(wide: tuple[int, int]) -> None:
    """A list of two rows is one matrix; only a matrix with a vector is a pair."""
    rows = np.arange(1.0, 1 + np.prod(wide)).reshape(wide)
    model = Model.from_matrices([rows.tolist()], backend="numpy")
    np.testing.assert_array_equal(model.matrices[0], rows)


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        ([], "`matrices` is empty"),
        ([np.ones((3, 3)), np.ones((1, 3))], r"matrix 2 must have 3 columns and a bias .*, got shape \(1, 3\)"),
        ([(np.ones((3, 2)), np.ones(2))], r"bias 1 must have shape \(3,\) for a matrix \(3, 2\), got \(2,\)"),
        ([np.ones(3)], r"matrix 1 must have shape \(h, d \+ 1\) with the bias as last column, got \(3,\)"),
        ([np.ones((3, 1))], r"matrix 1 must have shape \(h, d \+ 1\)"),
        ([[[1.0, np.nan]]], "matrix 1 has values that are not finite"),
    ],
)
def test_matrices_that_do_not_fit(matrices: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Model.from_matrices(matrices)


SHAPES = [
    ((2, 3), (5, 2), (5, 3)),
    ((2, 3), (1, 2), (1, 3)),
    ((2, 3), (2,), (3,)),
    ((2, 3), (0, 2), (0, 3)),
    ((2, 1), (5, 2), (5,)),
    ((2, 1), (2,), (1,)),
    ((2, 1), (0, 2), (0,)),
    ((1, 3), (5,), (5, 3)),
    ((1, 3), (5, 1), (5, 3)),
    ((1, 3), (1,), (1, 3)),
    ((1, 3), (), (3,)),
    ((1, 1), (5,), (5,)),
    ((1, 1), (5, 1), (5,)),
    ((1, 1), (), (1,)),
]


@pytest.mark.parametrize(("widths", "shape", "expected"), SHAPES)
def test_shapes_out(backend: Backend, widths: tuple[int, ...], shape: Any, expected: Any) -> None:
    model = Model(widths, backend=backend, seed=1)
    x = np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)
    for y in (model(x), model.predict(x), model(x, model.parameters)):
        assert tuple(y.shape) == expected
        assert backend.owns(y)
    assert model(x, to_numpy(model.parameters)).shape == expected


def test_a_column_of_targets_comes_back_as_a_column(backend: Backend) -> None:
    x, y = np.linspace(-1, 1, 30), np.linspace(0, 1, 30)
    model = Model((1, 1), backend=backend)
    for target, expected in ((y[:, None], (30, 1)), (y, (30,))):
        model.fit(x, target, 0.1, restarts=1, prior=None)
        assert tuple(model.predict(x).shape) == expected
        assert [tuple(a.shape) for a in model.predict(x, return_std=True)] == [expected] * 2
        assert fx.LeastSquares(x, target, 0.1, model).prediction(np.ones(2)).shape == expected


def test_many_events_are_one_event_many_times(backend: Backend, rng: np.random.Generator) -> None:
    """More than one block."""
    model = Model((2, 3, 2), backend=backend, seed=1)
    x = rng.normal(size=(20_000, 2))
    y = to_numpy(model(x))
    for i in (0, 8191, 8192, 16_384, 19_999):
        np.testing.assert_allclose(y[i], to_numpy(model(x[i])), rtol=1e-13)


class TestTheta:
    model = Model((2, 3, 1), backend="numpy", seed=1)
    theta = np.linspace(-1, 1, 13)

    def test_as_iminuit_calls_it(self, backend: Backend) -> None:
        """NumPy in, NumPy out: one vector, or its numbers one by one."""
        model = Model((2, 3, 1), backend=backend, seed=1)
        found = model(X2, self.theta)
        assert type(found) is np.ndarray
        np.testing.assert_allclose(found, self.model(X2, self.theta), rtol=1e-13)
        np.testing.assert_array_equal(model(X2, *self.theta), found)
        np.testing.assert_array_equal(model(X2, self.theta.tolist()), found)
        np.testing.assert_array_equal(to_numpy(model(X2, backend.to_device(self.theta))), found)
        assert not np.allclose(to_numpy(model(X2)), found)

    def test_in_iminuits_own_cost(self, rng: np.random.Generator) -> None:
        """Its parameters get the names; its chi-square is ours."""
        y = rng.normal(size=5)
        theirs = iminuit.cost.LeastSquares(X2.T, y, 0.5, lambda x, *theta: self.model(x.T, *theta),
                                           name=self.model.names)  # fmt: skip
        ours = fx.LeastSquares(X2, y, 0.5, self.model)
        assert theirs(*self.theta) == pytest.approx(ours(*self.theta), rel=1e-13)
        one = Model((1, 2, 1), backend="numpy", seed=1)
        direct = iminuit.cost.LeastSquares(X2[:, 0], y, 0.5, one)
        assert tuple(iminuit.Minuit(direct, *np.ones(7)).parameters) == one.names
        assert direct(*np.ones(7)) == pytest.approx(fx.LeastSquares(X2[:, 0], y, 0.5, one)(*np.ones(7)), rel=1e-13)

    @pytest.mark.parametrize("wrong", [np.ones(12), np.ones(14), np.ones((2, 13)), [1.0], 1.0])
    def test_of_the_wrong_length(self, backend: Backend, wrong: Any) -> None:
        model = Model((2, 3, 1), backend=backend, seed=1)
        with pytest.raises(ValueError, match="expected 13 parameters"):
            model(X2, wrong)
        if isinstance(wrong, np.ndarray):
            with pytest.raises(ValueError, match="expected 13 parameters"):
                model(X2, backend.to_device(wrong))

    @pytest.mark.parametrize("wrong", [["a"] * 13, np.ones(13) * 1j, "theta"])
    def test_of_the_wrong_type(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match="`theta` must"):
            self.model(X2, wrong)

    def test_integers(self, backend: Backend) -> None:
        model = Model((2, 3, 1), backend=backend)
        np.testing.assert_array_equal(model(X2, np.ones(13, int)), model(X2, np.ones(13)))


class TestParameters:
    def test_set_and_get(self, backend: Backend) -> None:
        model = Model((2, 3, 1), backend=backend, seed=1)
        theta = np.linspace(-1, 1, 13)
        for value in (theta, theta.tolist(), backend.to_device(theta)):
            model.parameters = value
            assert backend.owns(model.parameters)
            np.testing.assert_array_equal(to_numpy(model.parameters), theta)
        theta[:] = 0
        assert to_numpy(model.parameters)[-1] == 1

    @pytest.mark.parametrize("wrong", [np.ones(12), np.full(13, np.nan), np.full(13, np.inf)])
    def test_wrong_values(self, wrong: Any) -> None:
        model = Model((2, 3, 1), backend="numpy", seed=1)
        before = model.parameters.copy()
        with pytest.raises(ValueError, match=r"expected 13 parameters|parameters must be finite, got (nan|inf)"):
            model.parameters = wrong
        np.testing.assert_array_equal(model.parameters, before)

    def test_setting_them_ends_the_band(self) -> None:
        model = Model((1, 1), backend="numpy")
        assert model.fit([0.0, 1, 2], [0.0, 1, 2], 0.1, prior=None).valid
        model.predict([1.0], return_std=True)
        model.parameters = [1.0, 0.0]
        with pytest.raises(NotFittedError, match="no error band: the parameters were set by hand"):
            model.predict([1.0], return_std=True)


class TestWidths:
    def test_open_ends_wait_for_the_data(self, backend: Backend) -> None:
        model = Model(backend=backend, seed=1)
        assert model.layers == (None, 10, None)
        for ask in (lambda: model.parameters, lambda: model.n_parameters, lambda: model(X2), lambda: model.names):
            with pytest.raises(NotFittedError, match=r"completed by the first fit: call fit\(x, y\)"):
                ask()
        cost = fx.LeastSquares(X2, np.ones((5, 3)), 0.1, model)
        assert model.layers == (2, 10, 3)
        assert cost.npar == model.n_parameters == 63
        with pytest.raises(ValueError, match="since the network has 3 outputs"):
            fx.LeastSquares(X2, np.ones(5), 0.1, model)

    def test_bad_data_leave_them_open(self) -> None:
        model = Model(backend="numpy")
        with pytest.raises(ValueError, match="`y`"):
            model.fit(X2, np.ones(4), 0.1, prior=None)
        assert model.layers == (None, 10, None)

    @pytest.mark.parametrize(
        ("layers", "error", "message"),
        [
            (5, TypeError, "`layers` must be a sequence of widths"),
            ("8-7", TypeError, "`layers` must be a sequence of widths"),
            ({}, ValueError, "needs at least inputs and outputs"),
            ((5,), ValueError, "needs at least inputs and outputs"),
            ((), ValueError, "needs at least inputs and outputs"),
            ((5, None, 1), ValueError, "only the first and last width can be None"),
            ((5, 0, 1), ValueError, "widths must be at least 1, got 0"),
            ((-5, 1), ValueError, "widths must be at least 1, got -5"),
            ((5.0, 1), TypeError, "widths must be integers, got 5.0"),
            ((True, 1), TypeError, "widths must be integers, got True"),
            (("5", 1), TypeError, "widths must be integers, got '5'"),
        ],
    )
    def test_wrong_ones(self, layers: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            Model(layers)

    def test_numpy_integers(self) -> None:
        model = Model(np.array([2, 3, 1]), backend="numpy")
        assert model.layers == (2, 3, 1)
        assert all(type(h) is int for h in model.layers)


class TestActivations:
    def test_one_for_each_hidden_layer(self) -> None:
        model = Model((2, 3, 3, 1), activation=["relu", "tanh"], output="exp", backend="numpy")
        assert [f.name for f in model.activations] == ["relu", "tanh", "exp"]

    @pytest.mark.parametrize("wrong", [["relu"], ["relu"] * 3, []])
    def test_another_number_of_them(self, wrong: Any) -> None:
        with pytest.raises(ValueError, match="or 2, one per hidden layer; got"):
            Model((2, 3, 3, 1), activation=wrong)

    @pytest.mark.parametrize("where", ["activation", "output"])
    def test_unknown(self, where: str) -> None:
        with pytest.raises(ValueError, match="unknown activation 'rleu': did you mean 'relu'"):
            Model((2, 3, 1), **{where: "rleu"})
        with pytest.raises(TypeError, match="an activation must be a name or an"):
            Model((2, 3, 1), **{where: np.tanh})


def test_text(backend: Backend) -> None:
    text = repr(Model((2, 3, 1), activation="relu", backend=backend))
    assert "(2, 3, 1)" in text
    assert "'relu'" in text
    assert "13 parameters" in text
    assert backend.name in text
    assert "None, 10, None" in repr(Model((None, 10, None), backend=backend))
    assert repr(Model(backend=backend)).startswith("Model(None, activation='tanh'")


def test_in_place_changes_of_what_it_hands_out_do_not_reach_it() -> None:
    """`model.parameters` is a value; whoever wants other ones assigns them."""
    model = Model((2, 3, 1), backend="numpy", seed=1)
    before = model(X2)
    for handed_out in (model.parameters, model.matrices[0]):
        try:
            handed_out[...] = 0
        except ValueError:  # read-only is fine too
            continue
    np.testing.assert_array_equal(model(X2), before)


def test_contents_of_bins_that_the_fit_leaves_open_have_an_infinite_error() -> None:
    """As values at points have; their covariance is NaN."""
    bins = fx.Bins([0.0, 1.0])
    model = fx.Model((1, 3, 1), backend="numpy", seed=1)
    fit = model.fit(bins, [10.0], loss="poisson", prior=None)
    assert fit.valid
    far = fx.Bins([5.0, 6.0, 7.0])
    mean, std = model.predict(far, return_std=True)
    assert np.all(np.isfinite(mean))
    assert np.all(np.isposinf(std))
    assert np.all(np.isnan(model.predict(far, return_cov=True)[1]))
