"""Fits of arrays that are too large for memory: the same as in memory, block by block from a scratch file."""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.distributed import PartsTuning
from ffnn_xp.fitting.tuning import Tuning

from .cases import CASES, Case, is_same

NO_MEMORY = PartsTuning(share=0.0, always_fit=0, block_bytes=4000)
STREAMED = Tuning(parts=NO_MEMORY)
"""All arrays are too large for memory, and blocks are of a few events."""


@pytest.fixture
def a_fit() -> fx.FitResult:
    return CASES["errors known"].fit(tuning=STREAMED)


def in_memory(case: Case, backend: Any = "numpy") -> fx.FitResult:
    fit = case.fit(backend)
    assert not fit.problem.in_parts
    return fit


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_same_fit_as_in_memory(name: str) -> None:
    case = CASES[name]
    found = case.fit(tuning=STREAMED)
    assert found.problem.in_parts
    assert len(found.problem.parts.sizes) > 2
    expected = case._replace(options={**case.options, "prior": None}) if name == "prior chosen" else case
    assert is_same(found, in_memory(expected))


@pytest.mark.slow
def test_on_each_library(backend: fx.Backend) -> None:
    case = CASES["errors of each"]
    found = case.fit(backend, tuning=STREAMED)
    assert found.problem.in_parts
    assert is_same(found, in_memory(case, backend))


@pytest.mark.slow
def test_single_precision_is_fitted_in_double() -> None:
    case = CASES["errors known"]
    model = fx.Model(case.layers, seed=1, backend="numpy", dtype="float32")
    fit = model.fit(**case.arrays, prior=3.0, restarts=1, tuning=STREAMED)
    assert fit.problem.in_parts
    assert is_same(fit, in_memory(case))
    assert model.parameters.dtype == np.float32


@pytest.mark.slow
def test_all_sums_and_a_selection(a_fit: fx.FitResult, rng: np.random.Generator) -> None:
    ours, theirs = a_fit.cost.objective, in_memory(CASES["errors known"]).cost.objective
    theta, v = rng.normal(size=(2, a_fit.cost.npar))
    for name in (
        "value",
        "value_and_gradient",
        "gauss_newton",
        "hessian",
        "scores",
        "kronecker_factors",
        "active_events",
    ):
        np.testing.assert_allclose(getattr(ours, name)(theta), getattr(theirs, name)(theta), rtol=1e-10, atol=1e-9)
    for name in ("gauss_newton_product", "hessian_product"):
        np.testing.assert_allclose(getattr(ours, name)(theta, v), getattr(theirs, name)(theta, v), rtol=1e-10)
    rows = np.array([0, 5, 6, 150, 299])
    for some in (rows, rows[2:3], np.arange(300)):
        np.testing.assert_allclose(ours.select(some).value(theta), theirs.select(some).value(theta), rtol=1e-12)
    with pytest.raises(TypeError, match="a row for each event, and these are in parts: use minimizer='auto'"):
        ours.residual_rows(theta)


@pytest.mark.slow
def test_raw_units(a_fit: fx.FitResult) -> None:
    raw, theta = a_fit.raw_cost, a_fit.parameters
    expected = in_memory(CASES["errors known"]).raw_cost
    np.testing.assert_allclose(raw(theta), expected(theta), rtol=1e-12)
    np.testing.assert_allclose(raw.hessian(theta), expected.hessian(theta), rtol=1e-9)
    np.testing.assert_allclose(a_fit.minuit.errors, a_fit.errors, rtol=1e-3)
    assert "300 events of 2 inputs" in repr(raw)


@pytest.mark.slow
def test_what_needs_no_events_goes_on(a_fit: fx.FitResult, rng: np.random.Generator) -> None:
    whole, x = in_memory(CASES["errors known"]), rng.normal(size=(3, 2))
    for method in ("linear", "profile", "mixture"):
        ours, theirs = a_fit.band(x, method=method), whole.band(x, method=method)
        np.testing.assert_allclose(ours.high - ours.low, theirs.high - theirs.low, rtol=1e-4)
    assert a_fit.report().n_held == whole.report().n_held
    assert "valid minimum" in repr(a_fit)
    assert "Valid minimum" in a_fit._repr_html_()


@pytest.mark.slow
@pytest.mark.parametrize(
    "study",
    [
        lambda fit: fit.goodness(),
        lambda fit: fit.coverage(number=2),
        lambda fit: fit.band(np.zeros((1, 2)), method="replicas"),
        lambda fit: fit.raw_cost.pulls(fit.parameters),
        lambda fit: fit.raw_cost.y,
        lambda fit: fit.plot_pulls(),
    ],
)
def test_what_needs_events_says_where_they_are(a_fit: fx.FitResult, study: Any) -> None:
    with pytest.raises(
        TypeError, match="needs all 300 events at once, and they are in parts, streamed from disk: fit a"
    ):
        study(a_fit)


@pytest.mark.slow
def test_a_memmap(tmp_path: Path) -> None:
    case = CASES["errors of each"]
    maps = {}
    for name, a in case.arrays.items():
        np.save(tmp_path / f"{name}.npy", a)
        maps[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    assert is_same(case.fit(**maps, tuning=STREAMED), in_memory(case))


@pytest.mark.slow
def test_no_more_than_blocks_are_in_memory() -> None:
    tuning = Tuning(parts=replace(NO_MEMORY, block_bytes=2**16))
    x = np.linspace(-2, 2, 400_000)
    y = np.tanh(x)
    fx.Model((1, 1), seed=1).fit(x[:100], y[:100], 0.1, prior=None, tuning=tuning)  # imports what it needs
    tracemalloc.start()
    fit = fx.Model((1, 1), seed=1).fit(x, y, 0.1, prior=None, restarts=1, tuning=tuning)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert fit.n_data == 400_000
    assert peak < x.nbytes / 2


def test_the_scratch_file_has_no_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fit = CASES["errors known"].fit(tuning=STREAMED)
    assert list(tmp_path.iterdir()) == []
    sizes = [
        os.fstat(scratch._file.fileno()).st_size for scratch in (fit.problem.parts._data, fit.problem.parts._events)
    ]
    assert sizes == [8 * 300 * (3 + 1 + 1)] * 2  # x and ones, y, its inverse error


def test_a_full_disk(full_disk: Callable[[], Any]) -> None:
    words = r"cannot write events to a scratch file in .*: File too large; set the"
    with full_disk(), pytest.raises(OSError, match=words):
        CASES["errors known"].fit(tuning=STREAMED)


@pytest.mark.slow
def test_a_shortened_scratch_file(a_fit: fx.FitResult) -> None:
    a_fit.problem.parts._events._file.truncate(100)
    with pytest.raises(OSError, match="the scratch file of events ends too early"):
        a_fit.cost.objective.value(np.zeros(a_fit.cost.npar))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"y_cov": np.eye(300)}, ValueError, "`y_cov` ties events together, and these are in parts"),
        (
            {"y": np.where(np.arange(300) == 250, np.nan, 1.0)},
            ValueError,
            "in rows 249 to 299: `y` must be finite, got nan",
        ),
        ({"y": np.zeros(299)}, ValueError, "`y` must have 300 rows like `x`, got 299"),
        ({"mask": np.zeros(300, dtype=bool)}, ValueError, "`x` holds no events: a fit needs at least one row"),
        ({"x": np.ones((300, 2), dtype=complex)}, TypeError, "in rows 0 to 82: `x` must be real"),
        ({"weights": np.full(300, -1.0), "covariance": "sandwich"}, ValueError, "`weights` must have a positive sum"),
        ({"weights": np.full(300, -1.0)}, ValueError, "`weights` must be positive and finite"),
        ({"y_err": None, "loss": "soft_l1"}, ValueError, "estimates errors of y from medians, for events in memory"),
        ({"executor": lambda: None}, TypeError, "must have the method `submit`"),
    ],
)
def test_bad_input(change: dict[str, Any], error: type[Exception], words: str) -> None:
    case = CASES["errors known"]
    given = {**case.arrays, "prior": 3.0, "tuning": STREAMED, **change}
    with pytest.raises(error, match=words):
        fx.Model(case.layers, seed=1).fit(**given)


class Unread(np.ndarray):
    """An array that must not be read."""

    def __getitem__(self, rows: Any) -> Any:
        raise AssertionError(f"rows {rows} were read")


def test_executors_are_refused_before_anything_is_read() -> None:
    from ..executors import AtOnce

    case = CASES["errors known"]
    given = {**case.arrays, "x": case.arrays["x"].view(Unread), "prior": 3.0, "tuning": STREAMED}
    with pytest.raises(AssertionError, match="were read"):
        fx.Model(case.layers, seed=1).fit(**given)
    with pytest.raises(TypeError, match="`executor` has no place in a fit of events in parts"):
        fx.Model(case.layers, seed=1).fit(**given, executor=AtOnce())


def test_a_class_without_events() -> None:
    case = CASES["classes"]
    with pytest.raises(ValueError, match="`y` must hold events of each class, got none of class 2"):
        case.fit(y=np.minimum(case.arrays["y"], 1), tuning=STREAMED)


@pytest.mark.slow
def test_a_minimum_at_infinity() -> None:
    x = np.linspace(-1, 1, 400)
    with pytest.warns(
        fx.FitWarning, match="The minimum lies at infinity, since 400 of 400 values have no effect on it"
    ):
        fit = fx.Model((1, 1), output="exp", seed=1).fit(x, np.zeros(400), loss="poisson", prior=None, tuning=STREAMED)
    assert not fit.valid


def test_time_that_is_up() -> None:
    case = CASES["a large network"]
    with pytest.warns(fx.FitWarning):
        fit = fx.Model(case.layers, seed=1).fit(**case.arrays, prior=3.0, max_seconds=0.05, tuning=STREAMED)
    assert not fit.valid


def test_the_prior_is_said_not_to_be_chosen() -> None:
    assert "events in parts are not held out" in repr(CASES["prior chosen"].fit(tuning=STREAMED))


def test_arrays_are_streamed_where_there_is_no_memory_for_five_copies() -> None:
    case = CASES["errors known"]  # 300 events of three values
    assert not case.fit(tuning=Tuning(parts=PartsTuning(share=0.0))).problem.in_parts
    assert case.fit(tuning=STREAMED).problem.in_parts
    any_size = PartsTuning(always_fit=0)
    for free, has_room in ((None, True), (8 * 5 * 900 / 0.8 + 1, True), (8 * 5 * 900 / 0.8 - 1, False)):
        assert any_size.has_room(900, lambda free=free: free) is has_room
    assert PartsTuning().has_room(900, lambda: 0)
