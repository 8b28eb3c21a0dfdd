"""Columns of categories are inputs of 0 and 1, the same ones for predictions as for the fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.cli.categories import columns_of, find_categories, input_names, inputs, of_metadata, to_metadata

from .program import fit, pandas, run

pytest.importorskip("safetensors")

SHIFT = {"He": 0.0, "Li": 1.0, "Be": -2.0}


@pytest.fixture
def frame() -> Any:
    rng = np.random.default_rng(3)
    frame = pandas.DataFrame({"t": rng.uniform(-1, 1, 90), "kind": rng.choice(list(SHIFT), 90)})
    frame["shell"] = rng.integers(9, 11, 90)
    frame["y"] = frame.t + frame.kind.map(SHIFT) + 0.5 * (frame.shell == 10) + rng.normal(0, 0.05, 90)
    frame.to_csv("t.csv", index=False)
    return frame


@pytest.mark.slow
def test_a_fit_and_its_predictions(frame: Any) -> None:
    text = fit("t.csv", "-t", "y", "-e", "0.05", "--categorical", "kind,shell", "--save", "net")
    names = ["t", "kind=Be", "kind=He", "kind=Li", "shell=9", "shell=10"]
    assert f"y as a function of {', '.join(names)}" in text.stderr
    x = np.stack([frame.t, *((frame[n.split("=")[0]].astype(str) == n.split("=")[1]) for n in names[1:])], axis=1)
    expected = fx.Model((6, 2, 1), seed=1, backend="numpy")
    expected.fit(x.astype(float), frame.y, 0.05, prior=1.0)
    model = fx.load("net", backend="numpy")
    np.testing.assert_array_equal(model.parameters, expected.parameters)
    few = frame[frame.kind == "Li"][["shell", "kind", "t"]][:5]
    few.to_csv("few.csv", index=False)  # other categories are missing, the order is another
    run("predict", "net", "few.csv", "--out", "out.csv")
    y = pandas.read_csv("out.csv")["y"]
    np.testing.assert_allclose(y, expected.predict(x[few.index].astype(float)), rtol=1e-12)
    dummies = pandas.get_dummies(frame, columns=["kind", "shell"], prefix_sep="=", dtype=float)
    np.testing.assert_allclose(model.predict(dummies[names][::-1])[::-1][few.index], y, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("kind", "li"), "column 'kind' has 'li' in line 4, which is no category of the fit: did you mean 'Li'? They "),
        (("kind", None), "column 'kind' must have a category in line 4, got nothing"),
        (("shell", 11), "column 'shell' has '11' in line 4, which is no category of the fit: "),
        (("shell", 9.5), "column 'shell' has 9.5 in line 4: categories are text or whole numbers"),
    ],
)
def test_what_is_no_category_of_the_fit(frame: Any, change: tuple[str, Any], message: str) -> None:
    fit("t.csv", "-t", "y", "-e", "0.05", "--categorical", "kind", "--categorical", "shell", "--save", "net")
    column, value = change
    new = frame.astype({"shell": float}) if value == 9.5 else frame
    new.loc[2, column] = value
    new.to_csv("new.csv", index=False)
    assert message in run("predict", "net", "new.csv", code=2).stderr


@pytest.mark.slow
def test_the_order_of_inputs_is_that_of_the_option(frame: Any) -> None:
    text = fit("t.csv", "-t", "y", "-i", "kind,t", "--categorical", "kind", "-e", "0.05").stderr
    assert "y as a function of kind=Be, kind=He, kind=Li, t" in text
    text = fit("t.csv", "-t", "y", "-i", "t", "--categorical", "kind", "-e", "0.05").stderr
    assert "y as a function of t, kind=Be, kind=He, kind=Li" in text


def test_columns_that_are_no_categories(frame: Any) -> None:
    frame.assign(one="a").to_csv("t.csv", index=False)
    for name, message in (
        ("kimd", r"no column 'kimd' (--categorical): did you mean 'kind'?"),
        ("one", "--categorical one: all rows have 'a', of which a fit can learn nothing"),
        ("y", "column 'y' cannot be an input, it is a target"),
        ("t", "categories are text or whole numbers; without --categorical the column is a number"),
    ):
        assert message in fit("t.csv", "-t", "y", "--categorical", name, code=2).stderr


def test_kinds_of_values() -> None:
    frame = pandas.DataFrame({"flag": [True, False], "n": [10.0, 9.0], "name": ["b", "a"], "x": [0.5, 1.5]})
    known = find_categories(frame, ["flag", "n", "name"])
    assert known == {"flag": ["False", "True"], "n": ["9", "10"], "name": ["a", "b"]}
    np.testing.assert_array_equal(inputs(frame, ["x", "flag", "n"], known), [[0.5, 0, 1, 0, 1], [1.5, 1, 0, 1, 0]])
    assert columns_of(input_names(["x", "n", "flag"], known), known) == ["x", "n", "flag"]
    assert of_metadata(to_metadata(known)) == known
    assert (to_metadata({}), of_metadata({"mine": "7"})) == ({}, {})
