"""Tables are read by the names of their columns: against the same numbers without names."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.data import in_order, names_of_columns
from ffnn_xp.data.records import as_table

RNG = np.random.default_rng(0)
A, B, C = RNG.normal(size=40), 10 * RNG.normal(size=40), RNG.uniform(1, 2, 40)
ROWS = np.stack([A, B, C], axis=1)
Y = A + 0.05 * B + 0.1 * np.cos(30 * C)


def pandas(columns: dict[str, Any]) -> Any:
    return pytest.importorskip("pandas").DataFrame(columns)


def polars(columns: dict[str, Any]) -> Any:
    return pytest.importorskip("polars").DataFrame(columns)


def pyarrow(columns: dict[str, Any]) -> Any:
    return pytest.importorskip("pyarrow").table(columns)


def structured(columns: dict[str, Any]) -> Any:
    return np.rec.fromarrays(list(columns.values()), names=list(columns))


def xarray(columns: dict[str, Any]) -> Any:
    return pytest.importorskip("xarray").Dataset({name: ("event", values) for name, values in columns.items()})


def awkward(columns: dict[str, Any]) -> Any:
    return pytest.importorskip("awkward").Array(columns)


def tree(columns: dict[str, Any]) -> Any:
    uproot, content = pytest.importorskip("uproot"), io.BytesIO()
    pytest.importorskip("awkward")
    with uproot.recreate(content) as file:
        file.mktree("events", {name: np.asarray(values).dtype for name, values in columns.items()}).extend(columns)
        written = io.BytesIO(content.getvalue())
    return uproot.open(written)["events"]


TABLES = [pandas, polars, pyarrow, dict, structured, xarray, awkward, tree]
STRAIGHT, TURNED = {"a": A, "b": B, "c": C}, {"c": C, "a": A, "b": B}
Table = Callable[[dict[str, Any]], Any]


def fitted(x: Any) -> tuple[fx.Model, fx.FitResult]:
    model = fx.Model((3, 2, 1), backend="numpy", seed=1)
    return model, model.fit(x, Y, 0.1, prior=3.0, restarts=1)


@pytest.mark.slow
@pytest.mark.parametrize(("table", "other"), [*zip(TABLES, TABLES[1:] + TABLES[:1], strict=True), (polars, polars)])
def test_another_order_is_put_right(table: Table, other: Table) -> None:
    """In everything that takes x after a fit, whatever library the table is of."""
    plain, of_plain = fitted(ROWS)
    model, fit = fitted(table(STRAIGHT))
    assert model.input_names == ("a", "b", "c")
    np.testing.assert_array_equal(model.parameters, plain.parameters)
    turned = other(TURNED)
    for mine, want in zip(model.predict(turned, return_std=True), plain.predict(ROWS, return_std=True), strict=True):
        np.testing.assert_array_equal(mine, want)
    np.testing.assert_array_equal(model(turned), plain(ROWS))
    np.testing.assert_array_equal(model(turned, model.parameters), plain(ROWS))
    np.testing.assert_array_equal(model.predict(turned, return_cov=True)[1], plain.predict(ROWS, return_cov=True)[1])
    np.testing.assert_array_equal(model.interval(turned), plain.interval(ROWS))
    np.testing.assert_array_equal(model.log_density(turned, Y), plain.log_density(ROWS, Y))
    np.testing.assert_array_equal(fit.band(turned).low, of_plain.band(ROWS).low)
    np.testing.assert_array_equal(fit.prior_share(turned), of_plain.prior_share(ROWS))
    mean = fit.propagate(np.mean, turned)
    np.testing.assert_array_equal(mean, of_plain.propagate(np.mean, ROWS))
    theta = model.parameters
    assert fx.LeastSquares(turned, Y, 0.1, model)(theta) == fx.LeastSquares(ROWS, Y, 0.1, plain)(theta)
    replicas = model.fit_replicas(turned, Y, 0.1, prior=3.0, number=3, seed=1)
    want = plain.fit_replicas(ROWS, Y, 0.1, prior=3.0, number=3, seed=1)
    np.testing.assert_array_equal(replicas.parameters, want.parameters)
    np.testing.assert_array_equal(replicas(turned), want(ROWS))


def test_one_event_is_a_row_of_a_table() -> None:
    model, _ = fitted(pandas(STRAIGHT))
    for table in (pandas(TURNED).iloc, structured(TURNED), awkward(TURNED)):
        assert model.predict(table[3]) == model.predict(ROWS[3])
    assert model.predict({"c": C[3], "a": A[3], "b": B[3]}) == model.predict(ROWS[3])
    with pytest.raises(ValueError, match="missing: 'b'; unknown: 'd'"):
        model.predict(pandas({"c": C, "a": A, "d": B}).iloc[3])


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": A, "b": B}, "the columns of the fit, 'a', 'b', 'c', in any order; missing: 'c'"),
        ({"a": A, "b": B, "c": C, "y": Y}, "unknown: 'y'"),
        ({"a": A, "B": B, "c": C}, "missing: 'b'; unknown: 'B'"),
    ],
)
def test_other_columns_are_refused(table: Table, columns: dict[str, Any], message: str) -> None:
    model, fit = fitted(table(STRAIGHT))
    for call in (model, model.predict, model.interval, fit.band, lambda x: fx.LeastSquares(x, Y, 0.1, model)):
        with pytest.raises(ValueError, match=message):
            call(table(columns))


def test_a_column_that_is_there_twice() -> None:
    frame = pandas(STRAIGHT)
    model, _ = fitted(frame)
    with pytest.raises(ValueError, match="there twice: 'a'"):
        model.predict(frame[["a", "a", "b", "c"]])


def test_what_has_no_names_goes_by_position() -> None:
    """Arrays, tables whose columns are numbers, and fits to arrays."""
    model, _ = fitted(pandas(STRAIGHT))
    want = model(ROWS)
    np.testing.assert_array_equal(model(pytest.importorskip("pandas").DataFrame(ROWS)), want)
    np.testing.assert_array_equal(model(ROWS.tolist()), want)
    plain, _ = fitted(ROWS)
    assert plain.input_names is None
    np.testing.assert_array_equal(plain(pandas({"x": A, "y": B, "z": C})), plain(ROWS))


def test_a_second_fit_has_names_of_its_own() -> None:
    model, _ = fitted(pandas(STRAIGHT))
    model.fit(pandas(TURNED), Y, 0.1, prior=3.0, restarts=1)
    assert model.input_names == ("c", "a", "b")
    model.fit(ROWS, Y, 0.1, prior=3.0, restarts=1)
    assert model.input_names is None


def test_names_are_kept_in_files(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    model = fx.Model((3, 2, 2), backend="numpy", seed=1)
    both = pandas({"u": Y, "v": -2 * Y})
    model.fit(pandas(STRAIGHT), both, 0.1, prior=3.0, restarts=1, mask=C > 1.2)
    assert (model.input_names, model.target_names) == (("a", "b", "c"), ("u", "v"))
    model.save(tmp_path / "net.safetensors")
    loaded = fx.load(tmp_path / "net.safetensors")
    assert (loaded.input_names, loaded.target_names) == (model.input_names, model.target_names)
    np.testing.assert_array_equal(loaded(pandas(TURNED)), model(ROWS))
    np.testing.assert_array_equal(
        loaded.log_density(pandas(TURNED), both[["v", "u"]]), model.log_density(ROWS, both.to_numpy())
    )
    classes = fx.Model((3, 2, 3), output="softmax", backend="numpy", seed=1)
    labels = pytest.importorskip("pandas").Series(np.arange(40) % 3, name="class")
    classes.fit(pandas(STRAIGHT), labels, loss="multinomial", prior=1.0, restarts=1)
    classes.save(tmp_path / "classes.safetensors")
    assert fx.load(tmp_path / "classes.safetensors").target_names is None


def test_errors_with_the_names_of_values_are_put_in_their_order() -> None:
    y, error = {"u": Y, "v": -2 * Y}, {"v": 0.3 * C, "u": 0.1 * C}
    turned, straight = (
        fx.Model((3, 2), backend="numpy", seed=1).fit(pandas(STRAIGHT), pandas(y), e, restarts=1, prior=None)
        for e in (pandas(error), np.stack([error["u"], error["v"]], axis=1))
    )
    assert turned.fval == straight.fval
    other = fx.Model((3, 2), backend="numpy", seed=1)
    named = pandas({"u_error": error["u"], "v_error": error["v"]})
    assert other.fit(pandas(STRAIGHT), pandas(y), named, restarts=1, prior=None).fval == straight.fval


def test_all_that_goes_with_values_or_inputs_is_put_in_their_order() -> None:
    """Exposures and trials have the names of values, errors of inputs those of inputs."""

    def fits(loss: str, y: Any, output: str = "identity", **more: tuple[Any, Any]) -> list[float]:
        return [
            fx.Model((3, y.shape[1]), output=output, backend="numpy", seed=1)
            .fit(pandas(STRAIGHT), y, loss=loss, restarts=1, **{name: pair[i] for name, pair in more.items()})
            .fval
            for i in (0, 1)
        ]

    counts = pandas({"u": np.round(5 * C), "v": np.round(20 * C)})
    straight = np.stack([C, 4 * C], axis=1)
    exposure = pandas({"v": 4 * C, "u": C}), straight
    turned, plain = fits("poisson", counts, "exp", exposure=exposure)
    assert turned == plain
    trials = pandas({"v": np.full(40, 60), "u": np.full(40, 20)}), np.array([[20, 60]] * 40)
    turned, plain = fits("binomial", counts, "logistic", trials=trials)
    assert turned == plain
    x_err = pandas({"c": 0 * C, "b": 0.3 * C, "a": 0.1 * C}), np.stack([0.1 * C, 0.3 * C, 0 * C], axis=1)
    errors = np.full((40, 2), 0.2), np.full((40, 2), 0.2)
    turned, plain = fits("least_squares", pandas({"u": Y, "v": -2 * Y}), x_err=x_err, y_err=errors)
    assert turned == plain


def test_names_of_columns() -> None:
    pd = pytest.importorskip("pandas")
    assert names_of_columns(pd.Series([1.0], name="t")) == ("t",)
    assert names_of_columns(polars({"t": [1.0]})["t"]) == ("t",)
    assert names_of_columns(as_table(pyarrow({"t": [1.0], "U": [1.0]}), "x")) == ("t", "U")
    for nothing in (None, 1.0, [1.0], ROWS, pd.DataFrame(ROWS), pd.Series([1.0]), pd.DataFrame({"a": [1.0], 2: [1.0]})):
        assert names_of_columns(nothing) is None
    one = pd.Series([1.0], index=["not the name of a column"])
    assert in_order(one, ("t",)) is one
    labelled = pd.Series([1.0, 2.0], index=["first event", "second event"])
    assert in_order(labelled, ("t",)) is labelled


def test_reports_call_inputs_by_their_names() -> None:
    fit = fx.Model((3, 2, 1), backend="numpy", seed=1).fit(pandas({"a": A, "b": 2 * A, "c": 0 * A}), Y, 0.1, prior=1.0)
    report = fit.report()
    assert report.copies[0] == ("input a", "input b")
    assert report.constant == ("input c",)


def test_costs_name_the_inputs_of_a_network_that_was_never_fitted() -> None:
    """The parameters that MINUIT finds belong to these columns, for the model and for the next cost too."""
    model = fx.Model((3, 2, 1), backend="numpy", seed=1)
    cost = fx.LeastSquares(pandas(STRAIGHT), Y, 0.1, model)
    assert model.input_names == ("a", "b", "c")
    assert fx.LeastSquares(polars(TURNED), Y, 0.1, model)(cost.start) == cost(cost.start)
    model.parameters = 0.5 * cost.start
    np.testing.assert_array_equal(model(pandas(TURNED)), model(ROWS))
    peak = fx.PlusFunction(cost, lambda x, height: height * x[:, 1], height=2.0)
    for mine, want in zip(peak.parts(peak.start, pandas(TURNED)), peak.parts(peak.start), strict=True):
        np.testing.assert_allclose(mine, want)
    mine = fx.Model((3, 1), backend="numpy", seed=1)
    mine.parameters = [1.0, 2.0, 3.0, 4.0]
    fx.LeastSquares(pandas(STRAIGHT), Y, 0.1, mine)
    assert mine.input_names is None


@pytest.mark.parametrize("of", [dict, polars, pyarrow, structured, xarray, awkward])
def test_columns_of_any_type_of_number(of: Table) -> None:
    """Integers, booleans and floats side by side are the same numbers as in one array."""
    columns = {"a": np.arange(4), "b": np.array([True, False, True, True]), "c": np.array([0.5, 1, 2, 3], np.float32)}
    model = fx.Model((3, 1), backend="numpy", seed=1)
    model.parameters = [1.0, 10.0, 100.0, 0.5]
    np.testing.assert_array_equal(model(of(columns)), [60.5, 101.5, 212.5, 313.5])


JAGGED = [[1.0, 2.0], [3.0]] * 20


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: {"a": A, "b": B[:3]}, ValueError, "columns of `x` must have the same length, got 40 of 'a', 3 of 'b'"),
        (lambda: {"a": A, "b": ROWS}, ValueError, "column 'b' of `x` must have one value for each event, got several"),
        (
            lambda: {"a": A, "b": JAGGED},
            ValueError,
            r"'b' of `x` must .*make an event of each \(`awkward",
        ),
        (lambda: {"a": A, "b": np.ma.masked_less(B, 0)}, ValueError, "column 'b' of `x` has masked values"),
        (lambda: {"a": A, "b": ["low"] * 40}, TypeError, r"must hold numbers, got 'low' in row 0, column 1 \(b\)"),
        (lambda: {"a": A, "b": [A.tolist()]}, ValueError, "column 'b'"),
        (lambda: awkward({"a": A, "b": JAGGED}), ValueError, r"got 40 \* var \* float64: of several choose one"),
        (lambda: awkward({"a": A, "b": [1.0, None] * 20}), ValueError, r"got 40 \* \?float64: .*leave events without"),
        (lambda: awkward({"a": A, "b": [{"c": 1.0}] * 40}), ValueError, r"'b' of `x` holds records \(c\)"),
        (lambda: awkward([[{"a": 1.0}], []] * 20), ValueError, r"column 'a' of `x` .* 40 \* var \* float64"),
        (lambda: awkward(JAGGED), ValueError, "`x` must be a rectangular array of numbers: cannot convert .* regular$"),
        (
            lambda: pytest.importorskip("xarray").Dataset({"a": ("i", A), "b": ("j", B)}),
            ValueError,
            "columns of `x` must lie along one dimension",
        ),
        (lambda: polars(STRAIGHT).lazy(), TypeError, r"`x` is a LazyFrame, .* give x\.collect\(\)"),
    ],
)
def test_what_is_no_table(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    model = fx.Model((None, 1), backend="numpy", seed=1)
    known = fx.Model((2, 1), backend="numpy", seed=1)
    for use in (
        lambda x: model.fit(x, Y, prior=None),
        known,
        known.predict,
        lambda x: fx.LeastSquares(x, Y, 1.0, known),
    ):
        with pytest.raises(error, match=message):
            use(make())


@pytest.mark.parametrize("of", [pandas, polars, pyarrow, dict, structured, xarray])
def test_dates_are_refused(of: Table) -> None:
    dates = np.arange("2026-01-01", "2026-02-10", dtype="M8[D]").astype("M8[ns]")
    model = fx.Model((2, 1), backend="numpy", seed=1)
    with pytest.raises(TypeError, match=r"count time from some moment as a number, such as \(t - t\[0\]\) /"):
        model(of({"a": A, "t": dates}))


def test_gradients_of_columns_are_refused() -> None:
    torch = pytest.importorskip("torch")
    model = fx.Model((2, 1), backend="numpy", seed=1)
    with pytest.raises(TypeError, match=r"`x\['b'\]` needs a gradient"):
        model({"a": A, "b": torch.tensor(B, requires_grad=True)})


def test_classification_and_values_with_names() -> None:
    """Wherever measurements enter, records are tables."""
    yes = {"y": (A > 0).astype(int)}
    model = fx.Model((3, 1), output="logistic", backend="numpy", seed=1)
    model.fit(STRAIGHT, yes, loss="binomial", prior=1.0)
    np.testing.assert_array_equal(model.classification(TURNED, yes).auc, model.classification(ROWS, yes["y"]).auc)
    both = fx.Model((3, 2), backend="numpy", seed=1)
    both.fit(STRAIGHT, {"u": Y, "v": -2 * Y}, {"v": 0.3 * C, "u": 0.1 * C}, prior=None)
    assert both.target_names == ("u", "v")
    np.testing.assert_array_equal(
        both.log_density(awkward(TURNED), structured({"v": -2 * Y, "u": Y})),
        both.log_density(ROWS, np.stack([Y, -2 * Y], axis=1)),
    )
