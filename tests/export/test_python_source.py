"""The exported Python source predicts what the model predicts, with NumPy alone."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.export import to_python

from .models import CASES, X, events, model_of


def executed(source: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return namespace


@pytest.mark.parametrize("case", CASES)
def test_it_predicts_what_the_model_predicts(case: str) -> None:
    model = model_of(**CASES[case])
    predict, x = executed(to_python(model, std=True))["predict"], events(model)
    with np.errstate(all="ignore"):
        expected, found = model.predict(x, return_std=True), predict(x, return_std=True)
        np.testing.assert_array_equal(predict(x), found[0])
    for ours, theirs in zip(expected, found, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(theirs, ours, rtol=1e-12, atol=1e-12 * np.min(np.abs(ours), initial=1.0))
    assert np.isinf(found[1]).any() == ("unidentified" in case)


def test_numbers_have_all_digits() -> None:
    model = model_of(networks=3)
    exported = executed(to_python(model, std=True))
    for matrices, member in zip(exported["NETWORKS"], model.uncertainty[2].members, strict=True):
        expected = model.network.layout.matrices(np, member.band.parameters)
        assert all(np.array_equal(*pair) for pair in zip(matrices, expected, strict=True))


@pytest.mark.parametrize("widths", [(1, 2, 1), (1, 2, 2), (2, 2, 1), (2, 2, 2)])
def test_shapes_are_those_of_predict(widths: tuple[int, ...]) -> None:
    model = model_of(widths=widths)
    predict = executed(to_python(model, std=True))["predict"]
    for x in [X[:, : widths[0]], X[0, : widths[0]], X[:0, : widths[0]], *([X[:, 0], 0.5] if widths[0] == 1 else [])]:
        for ours, theirs in zip(model.predict(x, return_std=True), predict(x, return_std=True), strict=True):
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(theirs, ours, rtol=1e-12)
    with pytest.raises(ValueError, match=rf"x must have shape \(n, {widths[0]}\), got \(4, 3\)"):
        predict(np.zeros((4, 3)))


def test_events_of_very_different_size_stay_apart() -> None:
    model = fx.Model.from_matrices([np.array([[1.0, 0.0], [1.0, 1.0]])], output="softmax")
    x = [[-1e4], [0.0], [1e4]]
    np.testing.assert_allclose(executed(to_python(model))["predict"](x), model.predict(x), rtol=1e-12)


def test_many_events_are_computed_in_chunks() -> None:
    model = model_of()
    x = np.random.default_rng(1).normal(size=(2500, 2))
    found = executed(to_python(model, std=True))["predict"](x, return_std=True)
    for ours, theirs in zip(model.predict(x, return_std=True), found, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-12)


def test_tables_are_read_by_the_names_of_their_columns() -> None:
    pandas = pytest.importorskip("pandas")
    model = model_of(input_names=("t [s]", 'it\'s "p"'), target_names=("U", "V"), name="a net")
    exported = executed(to_python(model))
    assert (exported["INPUTS"], exported["OUTPUTS"]) == (model.input_names, model.target_names)
    table = pandas.DataFrame(X, columns=model.input_names)
    np.testing.assert_allclose(exported["predict"](table[table.columns[::-1]]), model.predict(table), rtol=1e-12)
    unnamed = executed(to_python(model_of()))
    assert (unnamed["INPUTS"], unnamed["OUTPUTS"]) == (("x0", "x1"), ("y0", "y1"))
    np.testing.assert_allclose(unnamed["predict"](table), model_of().predict(X), rtol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_it_needs_numpy_alone(case: str) -> None:
    tree = ast.parse(to_python(model_of(**CASES[case]), std=True))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imported == ({"numpy", "math"} if case == "gelu" else {"numpy"})


def test_without_std_there_is_no_covariance_in_it(tmp_path: Path) -> None:
    source = to_python(model_of(), tmp_path / "net.py")
    assert (tmp_path / "net.py").read_text(encoding="utf-8") == source
    assert len(source) < len(to_python(model_of(), std=True)) / 3
    with pytest.raises(TypeError, match="return_std"):
        executed(source)["predict"](X, return_std=True)


def test_two_activations_of_one_name_stay_two() -> None:
    first, second = (
        fx.Activation("a-b", f, lambda xp, z, a: 1 + 0 * z, lambda xp, z, a: 0 * z)
        for f in (lambda xp, z: 2 * z, lambda xp, z: 3 * z)
    )
    model = fx.Model((2, 2, 2, 1), activation=[first, second], seed=1)
    np.testing.assert_allclose(executed(to_python(model))["predict"](X), model(X), rtol=1e-12)


@pytest.mark.slow
def test_fits_are_exported_as_they_predict() -> None:
    """An ensemble by prior="auto", counts, and predicted widths, each named as `predict` returns it."""
    rng = np.random.default_rng(5)
    y = np.tanh(X[:, 0] - 5) + rng.normal(0, 0.1, 30)
    counts = rng.poisson(np.exp(1 + 0.3 * np.tanh(X[:, 0] - 5)))
    fits: list[tuple[fx.Model, dict[str, Any], tuple[str, ...]]] = [
        (fx.Model((2, 3, 1), seed=1), {"y": y, "y_err": 0.1, "prior": "auto"}, ("y",)),
        (fx.Model((2, 2, 1), output="exp", seed=1), {"y": counts, "loss": "poisson", "prior": 1.0}, ("y",)),
        (fx.Model((2, 2, 2), seed=1), {"y": y, "loss": "normal", "prior": 1.0}, ("y", "y_log_width")),
    ]
    for model, options, names in fits:
        assert model.fit(X, **options, restarts=1, seed=1).valid
        exported = executed(to_python(model, std=True))
        assert exported["OUTPUTS"] == names
        for ours, theirs in zip(model.predict(X, return_std=True), exported["predict"](X, True), strict=True):
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(theirs, ours, rtol=1e-11)
    assert len(fits[0][0].uncertainty[2].members) > 1
