"""Headers that are damaged or newer are refused in words, before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ffnn_xp as fx
from ffnn_xp.io import header as file_header

from .parts import content, rewrite

serialize = pytest.importorskip("safetensors.numpy").save


def test_other_formats(model: fx.Model, net: Path) -> None:
    model.save(net)
    raw, tensors = content(net)
    rewrite(net, {"format_version": 5, "library_version": "7.1", "something": "new"}, tensors)
    with pytest.raises(fx.FileFormatError, match=r"format version 5, written by ffnn_xp '7\.1'.*pip install --upgrade"):
        fx.load(net)
    rewrite(net, {"format_version": 1, "library_version": "0.0.9"}, tensors)
    with pytest.raises(fx.FileFormatError, match=r"version 1, .* this one reads 4: save the network again"):
        fx.load(net)
    rewrite(net, {**raw, "a_later_addition": 1}, tensors)
    assert fx.load(net).layers == (1, 2, 1)


WRONG = {
    "format_version": ["1", True, None, 0, 2**31],
    "library_version": [1],
    "widths": ["1-2-1", [1], [1, 0, 1], [1, 2.0, 1], [1, True, 1], [1, 2, 2, 1], [2, 2, 1], [1, 10**4000, 1]],
    "activations": ["tanh", ["tanh", "tanh"], [1], ["no_such"]],
    "output": [None, "no_such"],
    "own_activations": [None, "tanh"],
    "dtype": ["float16", 64, ["float64"]],
    "y_was_column": ["no", 0],
    "no_band": [False],
    "prior": [None, 0, "yes"],
    "varying_width": [None, 0, "yes", True],
    "n_members": [-1, "two", True, False, 1.5, 3, 10**9, 10**4000],
    "input_names": [["a", "b"], "a", [1]],
    "target_names": [[], {"a": 1}],
    "fit": ["valid", []],
    "metadata": [None, {"a": 1}],
    "name": [None, 1, "two\nlines", " a"],
}


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, values in WRONG.items() for v in values])
def test_wrong_header_fields(model: fx.Model, net: Path, field: str, value: Any) -> None:
    model.save(net)
    raw, tensors = content(net)
    rewrite(net, {**raw, field: value}, tensors)
    with pytest.raises(fx.FileFormatError, match="damaged"):
        fx.load(net)


def test_every_header_field_is_needed(model: fx.Model, net: Path) -> None:
    model.save(net)
    raw, tensors = content(net)
    assert set(raw) == set(WRONG)
    for field in raw:
        rewrite(net, {k: v for k, v in raw.items() if k != field}, tensors)
        with pytest.raises(fx.FileFormatError, match=f"'{field}' is missing"):
            fx.load(net)


@pytest.mark.parametrize("text", ["", "{", "[1]", "7", "[" * 100_000, '{"format_version": NaN}', "1" * 5000])
def test_header_that_is_no_json_object(model: fx.Model, net: Path, text: str) -> None:
    model.save(net)
    rewrite(net, text, content(net)[1])
    with pytest.raises(fx.FileFormatError, match="damaged"):
        fx.load(net)


def test_what_is_no_number_of_json_is_refused(model: fx.Model, net: Path) -> None:
    model.save(net)
    raw, tensors = content(net)
    rewrite(net, {**raw, "fit": {"chi2": float("nan")}}, tensors)
    with pytest.raises(fx.FileFormatError, match="NaN is no number of JSON"):
        fx.load(net)


def test_every_field_of_the_header_is_checked() -> None:
    names = [f.name for f in file_header.fields(file_header.Header)]
    assert sorted(names) == sorted(file_header._CHECKS)
