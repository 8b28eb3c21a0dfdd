from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import Backend, Model, get_backend
from ffnn_xp.data import Measurements, read
from ffnn_xp.data.validation import check_resolved

X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
Y = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])


def model_22(backend: Any = "numpy") -> Model:
    return Model((2, 3, 2), backend=backend, seed=1)


def cost_of(x: Any = X, y: Any = Y, error: Any = 0.1, model: Model | None = None, **options: Any) -> fx.LeastSquares:
    return fx.LeastSquares(x, y, error, model or model_22(), **options)


def changed(a: np.ndarray, index: Any, value: Any) -> np.ndarray:
    a = a.copy()
    a[index] = value
    return a


def masked(a: np.ndarray, mask: Any) -> np.ma.MaskedArray:
    return np.ma.MaskedArray(a, mask=mask)


def read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


SAME: dict[str, Callable[[np.ndarray], Any]] = {
    "nested lists": lambda a: a.tolist(),
    "tuple of arrays": tuple,
    "read-only": read_only,
    "Fortran order": np.asfortranarray,
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every second column": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed strides": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "transposed": lambda a: a.T.copy().T,
    "zero strides": lambda a: np.broadcast_to(a, (1, *a.shape))[0],
    "objects": lambda a: a.astype(object),
    "big endian": lambda a: a.astype(">f8"),
    "long double": lambda a: a.astype(np.longdouble),
    "nothing masked": lambda a: masked(a, False),
}


@pytest.mark.parametrize("how", sorted(SAME))
def test_the_same_numbers_in_another_form(backend: Backend, how: str) -> None:
    make = SAME[how]
    x, y = make(X), make(Y)
    theta = np.linspace(-1, 1, 17)
    want = cost_of(model=model_22(backend))
    found = cost_of(x, y, make(Y), model_22(backend))
    np.testing.assert_array_equal(found.x, X)
    np.testing.assert_array_equal(found.y, Y)
    np.testing.assert_allclose(found.yerror, Y, rtol=1e-15)
    np.testing.assert_array_equal(found.prediction(theta), want.prediction(theta))
    np.testing.assert_array_equal(fx.to_numpy(model_22(backend)(x)), fx.to_numpy(model_22(backend)(X)))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "uint64", "float16", "float32"])
def test_other_numbers(backend: Backend, dtype: str) -> None:
    x = np.array([[0, 1], [1, 1], [1, 0]], dtype)
    found = cost_of(x, x, np.ones((3, 2), dtype), model_22(backend))
    np.testing.assert_array_equal(found.x, x.astype(float))
    y = fx.to_numpy(model_22(backend)(x))
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, fx.to_numpy(model_22(backend)(x.astype(float))))


def test_a_large_integer_keeps_its_digits(backend: Backend) -> None:
    found = cost_of(np.array([[2**53 - 1, 1]]), np.zeros((1, 2)), 1.0, model_22(backend))
    assert found.x[0, 0] == 2.0**53 - 1


def test_data_frames_and_series() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["mass", "pt"], index=[7, 8, 9])
    target = pandas.DataFrame(Y, columns=["a", "b"], index=[7, 8, 9])
    np.testing.assert_array_equal(cost_of(frame, target, target).x, X)
    np.testing.assert_array_equal(model_22()(frame), model_22()(X))
    one = Model((1, 1), backend="numpy", seed=1)
    np.testing.assert_array_equal(one(frame["pt"]), one(X[:, 1]))
    nullable = frame.convert_dtypes()
    np.testing.assert_array_equal(model_22()(nullable), model_22()(X))


@pytest.mark.parametrize(
    ("index", "value", "message"),
    [
        ((1, 0), np.nan, r"`x` must be finite, got nan in row 1, column 0 \(mass\): leave such events out"),
        ((2, 1), np.inf, r"`x` must be finite, got inf in row 2, column 1 \(pt\)"),
        ((slice(1, 3), 1), -np.inf, r"got -inf in row 1, column 1 \(pt\) \(and 1 more\)"),
    ],
)
def test_what_is_not_finite_is_found_by_row_and_name(index: Any, value: float, message: str) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(changed(X, index, value), columns=["mass", "pt"], index=[7, 8, 9])
    for use in (lambda: cost_of(frame), lambda: model_22().fit(frame, Y, 0.1, prior=None)):
        with pytest.raises(ValueError, match=message):
            use()


def test_targets_and_errors_are_named_too() -> None:
    pandas = pytest.importorskip("pandas")
    bad = pandas.DataFrame(changed(Y, (1, 0), np.nan), columns=["energy", "time"])
    with pytest.raises(ValueError, match=r"`y` must be finite, got nan in row 1, column 0 \(energy\)"):
        cost_of(y=bad)
    with pytest.raises(ValueError, match=r"`y_err` must be .*row 1, column 0 \(energy\)"):
        cost_of(error=bad)


def test_not_finite_on_every_backend(backend: Backend) -> None:
    bad = backend.to_device(changed(X, (1, 0), np.nan))
    for x in (changed(X, (1, 0), np.nan), bad):
        with pytest.raises(ValueError, match="`x` must be finite, got nan in row 1, column 0"):
            cost_of(x, model=model_22(backend))
    with pytest.raises(ValueError, match="`y` must be finite, got inf in row 2, column 1"):
        cost_of(y=changed(Y, (2, 1), np.inf), model=model_22(backend))


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_errors_and_weights_are_positive(backend: Backend, value: float) -> None:
    where = r"must be positive and finite, got .* in row 2, column 1: "
    with pytest.raises(ValueError, match=f"`y_err` {where}give the true error of this value"):
        cost_of(error=changed(Y, (2, 1), value), model=model_22(backend))
    with pytest.raises(ValueError, match=r"`y_err` must be positive and finite, got .* in "):
        cost_of(error=value, model=model_22(backend))
    with pytest.raises(ValueError, match=r"`weights` must be positive and finite, got .* in row 1: leave"):
        cost_of(weights=[1.0, value, 1.0], model=model_22(backend))


BAD_TYPES: dict[str, tuple[Any, str]] = {
    "complex": (X + 0j, "must be real, got complex"),
    "complex objects": ((X + 1j).astype(object), "must hold numbers|must be real"),
    "strings": (X.astype(str), "must hold numbers, got dtype <U32: convert"),
    "bytes": (X.astype("S8"), "must hold numbers"),
    "text objects": (np.array([["1", "2"], ["3", "four"], ["5", "6"]], object), "must hold numbers, got"),
    "numbers as text objects": (np.array([["1", "2"], ["3", "4"], ["5", "6"]], object), "must hold numbers, got '1'"),
    "dates": (np.array([["2026-01-01", "2026-01-02"]] * 3, "datetime64[D]"), "must hold numbers, got dtype datetime64"),
    "date objects": ([[datetime.date(2026, 1, 1), 2.0]] * 3, "must hold numbers, got datetime.date"),
    "durations": (np.ones((3, 2), "timedelta64[s]"), "must hold numbers, got dtype timedelta64"),
    "records with text": (
        np.zeros(3, [("a", float), ("b", "U4")]),
        r"must hold numbers, got '' in row 0, column 1 \(b\)",
    ),
    "an empty dictionary": ({}, "must hold numbers, got"),
    "a function": (np.sin, "must hold numbers, got"),
    "None": (None, "must hold numbers|must be|`x` is"),
}


@pytest.mark.parametrize("what", sorted(BAD_TYPES))
def test_what_is_no_number(what: str) -> None:
    value, message = BAD_TYPES[what]
    for name, use in (
        ("x", lambda: cost_of(x=value)),
        ("y", lambda: cost_of(y=value)),
        ("x", lambda: model_22()(value)),
    ):
        with pytest.raises(TypeError, match=f"`{name}` ({message})"):
            use()


def test_ragged_rows() -> None:
    with pytest.raises(ValueError, match="`x` must be a rectangular array of numbers"):
        cost_of(x=[[1.0, 2.0], [3.0], [5.0, 6.0]])


def test_masked_values_are_not_filled_in_silence() -> None:
    with pytest.raises(ValueError, match="`x` has masked values: leave those events out"):
        cost_of(x=masked(X, [[0, 0], [1, 0], [0, 0]]))
    with pytest.raises(ValueError, match="`y` has masked values"):
        cost_of(y=masked(Y, [[0, 0], [1, 0], [0, 0]]))


SHAPES: list[tuple[dict[str, Any], str]] = [
    ({"x": X.T}, r"`x` must have shape \(n, 2\), got \(2, 3\) \(events are rows here: did you mean x\.T\?\)"),
    ({"x": np.ones((3, 5))}, r"`x` must have shape \(n, 2\), got \(3, 5\)$"),
    ({"x": np.ones((3, 2, 1))}, r"`x` must have shape \(n, 2\), events as rows, got \(3, 2, 1\)"),
    ({"x": np.ones(3)}, r"`x` must have shape \(n, 2\), or \(2,\) for one event, got \(3,\)"),
    ({"x": np.ones((0, 2)), "y": np.ones((0, 2))}, "`x` holds no events: a fit needs at least one row"),
    ({"x": []}, r"`x` "),
    ({"y": Y[:2]}, r"`y` must have shape \(3, 2\) to match the 3 events of `x`, got \(2, 2\)"),
    ({"y": Y.T}, r"`y` must have shape \(3, 2\) to match the 3 events of `x`, got \(2, 3\)"),
    ({"y": Y[:, :1]}, r"`y` must have shape \(3, 2\) since the network has 2 outputs, got \(3, 1\)"),
    ({"y": Y[:, 0]}, r"`y` must have shape \(3, 2\)"),
    ({"y": Y[None]}, r"`y` must have shape \(3, 2\)"),
    ({"y": 1.0}, r"`y` must have shape \(3, 2\)"),
    ({"error": np.ones(4)}, r"`y_err` must be one number, \(3,\) for one per event, or \(3, 2\) for one per value"),
    ({"error": np.ones((2, 3))}, r"`y_err` must be one number"),
    ({"weights": np.ones(2)}, r"`weights` must have shape \(3,\), one per event, got \(2,\)"),
    ({"weights": 2.0}, r"`weights` must have shape \(3,\), one per event, got \(\)"),
    ({"weights": np.ones((3, 1))}, r"`weights` must have shape \(3,\), one per event, got \(3, 1\)"),
]


@pytest.mark.parametrize(("arguments", "message"), SHAPES)
def test_wrong_shapes(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cost_of(**arguments)


def test_errors_broadcast() -> None:
    """One number; one per event; one per output; one per value. With n = k it has to be said which."""
    np.testing.assert_allclose(cost_of(error=0.5).yerror, np.full((3, 2), 0.5))
    np.testing.assert_allclose(cost_of(error=[1.0, 2.0, 4.0]).yerror, [[1, 1], [2, 2], [4, 4]])
    np.testing.assert_allclose(cost_of(error=[1.0, 2.0]).yerror, [[1, 2]] * 3)
    np.testing.assert_allclose(cost_of(error=[[1.0], [2.0], [4.0]]).yerror, [[1, 1], [2, 2], [4, 4]])
    np.testing.assert_allclose(cost_of(X[:2], Y[:2], [[1.0], [2.0]]).yerror, [[1, 1], [2, 2]])
    with pytest.raises(ValueError, match=r"could be one per event or one per output: give it as \(2, 2\)"):
        cost_of(X[:2], Y[:2], [1.0, 2.0])


def test_one_event(backend: Backend) -> None:
    cost = cost_of(X[:1], Y[:1], 0.1, model_22(backend))
    assert (cost.ndata, cost.x.shape, cost.y.shape) == (2, (1, 2), (1, 2))
    assert cost_of(X[0], Y[0], 0.1, model_22(backend)).x.tolist() == [[1, 2]]


def test_columns_lie_in_memory_as_columns() -> None:
    """Products over events read each row of ``(d, n)`` in order; that is what the layout is for."""
    data = read(model_22(), Measurements(X, Y, Y)).data
    for a in (data.x, data.y, data.inverse_error):
        assert a.flags.c_contiguous


def test_arrays_that_come_in_are_never_written_to(backend: Backend) -> None:
    arrays = {"x": X.copy(), "y": Y.copy(), "error": Y.copy(), "weights": np.ones(3)}
    before = {name: a.copy() for name, a in arrays.items()}
    cost = cost_of(**arrays, model=model_22(backend))
    cost.hessian(np.ones(17))
    cost.model.fit(arrays["x"], arrays["y"], arrays["error"], weights=arrays["weights"], prior=1.0, restarts=1)
    cost.model(arrays["x"])
    for name, a in arrays.items():
        np.testing.assert_array_equal(a, before[name], err_msg=name)


def test_changing_the_data_afterwards_changes_no_cost(backend: Backend) -> None:
    device = [backend.to_device(a) for a in (X, Y)]
    host = [X.copy(), Y.copy()]
    for x, y in (host, device):
        cost = cost_of(x, y, 0.1, model_22(backend))
        before = cost.prediction(np.ones(17))
        with contextlib.suppress(TypeError):  # JAX has no assignment
            x[...], y[...] = 9.0, 9.0
        np.testing.assert_array_equal(cost.prediction(np.ones(17)), before)
        np.testing.assert_array_equal(cost.y, Y)


def test_a_mask_selects_arrays_of_every_library(backend: Backend) -> None:
    use = np.array([True, False, True])
    x, y = map(backend.to_device, (changed(X, (1, 0), np.nan), Y))
    want = cost_of(X[use], Y[use], [[0.1], [0.3]], model_22(backend))
    for mask in (
        use,
        use.tolist(),
        backend.xp.asarray(use, device=backend.device if backend.name == "torch" else None),
    ):
        found = cost_of(x, y, [[0.1], [0.2], [0.3]], model_22(backend), mask=mask)
        np.testing.assert_array_equal(found.x[use], X[use])
        np.testing.assert_array_equal(found.grad(np.ones(17)), want.grad(np.ones(17)))


def test_a_mask_selects_rows_and_columns_of_a_covariance() -> None:
    use, rng = np.array([True, False, True]), np.random.default_rng(1)
    A = rng.normal(size=(6, 6))
    V = A @ A.T + np.eye(6)
    V[2], V[:, 2] = np.nan, np.nan
    kept = [0, 1, 4, 5]
    want = cost_of(X[use], Y[use], None, y_cov=V[np.ix_(kept, kept)])
    np.testing.assert_array_equal(cost_of(error=None, y_cov=V, mask=use).grad(np.ones(17)), want.grad(np.ones(17)))
    blocks = np.stack([np.diag([1.0, i]) for i in (1.0, np.nan, 3.0)])
    want = cost_of(X[use], Y[use], None, y_cov=blocks[use])
    np.testing.assert_array_equal(cost_of(error=None, y_cov=blocks, mask=use).grad(np.ones(17)), want.grad(np.ones(17)))
    with pytest.raises(ValueError, match=r"`y_cov` must have shape \(4, 4\), or \(2, 2, 2\)"):
        cost_of(error=None, y_cov=np.eye(5), mask=use)


def test_a_mask_and_a_covariance_of_no_events_are_refused_as_no_events() -> None:
    nothing = np.zeros((0, 2))
    with pytest.raises(ValueError, match="`x` holds no events"):
        fx.Model((2, 1), backend="numpy").fit(nothing, [], y_cov=np.zeros((0, 0)), mask=np.zeros(0, bool), prior=None)


def test_a_masked_covariance_is_not_filled_in_silence() -> None:
    with pytest.raises(ValueError, match="`y_cov` has masked values"):
        cost_of(error=None, y_cov=masked(np.eye(6), np.eye(6, k=1)))
    one = masked(np.eye(6), np.diag(np.arange(6) == 2))
    assert cost_of(error=None, y_cov=one, mask=[True, False, True]).ndata == 4


def test_a_mask_selects_bins() -> None:
    use = np.array([True, False, True, True])
    model = Model((1, 1), output="exp", backend="numpy", seed=1)
    edges = np.array([0.0, 1.0, 1.5, 3.0, 3.2])
    cost = fx.Poisson(fx.Bins(edges), [9, 7, 30, 4], model, mask=use)
    upper = fx.Poisson(fx.Bins(edges[2:]), [30, 4], model)
    lower = fx.Poisson(fx.Bins(edges[:2]), [9], model)
    theta = [0.3, 1.0]
    assert cost(theta) == pytest.approx(upper(theta) + lower(theta), rel=1e-14)
    np.testing.assert_allclose(cost.x[:, 0], [0.5, 1.25, 2.25, 3.1])
    np.testing.assert_allclose(cost.prediction(theta), fx.Poisson(fx.Bins(edges), cost.n, model).prediction(theta))


def labelled(y: Any, k: int | None = None, loss: str = "multinomial") -> fx.FitResult:
    output = "softmax" if loss == "multinomial" else "logistic"
    return Model((1, k), output=output, seed=1).fit(np.arange(len(y)) % 5, y, loss=loss, prior=1.0)


@pytest.mark.parametrize(
    ("y", "got"),
    [
        ([1, 2, 3] * 4, "without gaps, got 1, 2, 3: number the classes"),
        ([11, 211] * 6, "without gaps, got 11, 211: number the classes"),
        (np.arange(12) * 10**8, "without gaps, got 0, 1e[+]08, 2e[+]08, 3e[+]08, ...: number the classes"),
        ([0, 2] * 6, "without gaps, got 0, 2: number the classes"),
        ([-1, 1] * 6, "a label: 0, 1, 2, ..., got -1.0 in row 0 .*: number the classes"),
        ([0.5, 1.5] * 6, "a label: 0, 1, 2, ..., got 0.5 in row 0 .*: number the classes"),
        (["cat", "dog"] * 6, "must hold numbers, got dtype <U3: number the classes"),
        (np.array(["cat", "dog"] * 6, dtype=object), "must hold numbers, got 'cat' in row 0: number the classes"),
    ],
)
def test_labels_that_are_no_numbers_of_classes_say_how_to_number_them(y: Any, got: str) -> None:
    """No class that nobody has seen gets a probability; the advice works."""
    with pytest.raises((ValueError, TypeError), match=got):
        labelled(y)
    classes, numbers = np.unique(y, return_inverse=True)
    assert labelled(numbers).layout.widths == (1, len(classes))


def test_classes_without_events_are_refused_unless_they_are_counted() -> None:
    with pytest.raises(ValueError, match=r"labels 0, 1, 2, ... up to 3 without gaps, got 1, 2, 3: .* give y as counts"):
        labelled([1, 2, 3] * 4, 4)
    with pytest.raises(ValueError, match="label 3, but the network has 3 outputs"):
        labelled([1, 2, 3] * 4, 3)
    assert labelled(np.eye(4)[[1, 2, 3] * 4], 4).valid


@pytest.mark.parametrize("k", [None, 2])
def test_one_class_is_refused(k: int | None) -> None:
    with pytest.raises(ValueError, match="`y` holds one class only: a classifier needs at least two"):
        labelled([0] * 12, k)


def test_values_that_float32_cannot_tell_apart_are_refused() -> None:
    """On a device without float64, of which float32 on NumPy is an example here: the fit itself would not see it."""
    single, t = get_backend("numpy", dtype="float32"), np.linspace(-1, 1, 20)
    check_resolved(single, (2000 + 5 * t).tolist(), "x")
    check_resolved(get_backend("numpy"), (1.7e9 + 100 * t).tolist(), "x")
    with pytest.raises(ValueError, match="`x` is not resolved by float32"):
        check_resolved(single, (1.7e9 + 100 * t).tolist(), "x")


@pytest.mark.parametrize("y", [[True, False] * 6, np.array([0.0, 1.0] * 6), np.array([1, 0] * 6, dtype=object)])
def test_booleans_and_whole_floats_are_labels(y: Any) -> None:
    assert labelled(y).layout.widths == (1, 2)
    assert labelled(y, loss="binomial").valid


@pytest.mark.parametrize("y", [[1, 2] * 6, [-1, 1] * 6, ["no", "yes"] * 6])
def test_other_labels_of_yes_and_no_say_what_to_do(y: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="give 1 for yes and 0 for no"):
        labelled(y, loss="binomial")


def test_a_mask_of_another_shape() -> None:
    for mask in ([True, False], [1, 0, 1], [[True], [False], [True]]):
        with pytest.raises(ValueError, match="`mask` must"):
            cost_of(mask=mask)
    with pytest.raises(ValueError, match="`x` holds no events"):
        cost_of(mask=[False] * 3)


def test_a_mask_that_leaves_no_bins_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="`x` holds no events"):
        Model((1, 2, 1), backend="numpy").fit(fx.Bins([0.0, 1.0, 2.0]), [3, 4], loss="poisson", mask=[False, False])


@pytest.mark.parametrize("name", ["y", "y_err", "weights", "exposure"])
def test_rows_that_are_those_of_the_mask_already_are_refused(name: str) -> None:
    """They would go with other events if x were sorted in another way, and mean nothing if it is not."""
    given: dict[str, Any] = {"y": np.ones(4), name: np.ones(3)}
    y = given.pop("y")
    loss = "poisson" if name == "exposure" else "least_squares"
    with pytest.raises(ValueError, match=f"`{name}` must have 4 rows like `x`, before the mask, got 3"):
        Model((1, 1), output="exp", backend="numpy").fit(
            np.arange(4.0), y, loss=loss, mask=[True, True, False, True], **given
        )
