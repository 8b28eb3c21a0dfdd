"""The nearest known name, and the list of all."""

from __future__ import annotations

from ffnn_xp._lib.errors import did_you_mean, nearest


def test_nearest_is_asked_about_only_if_it_is_near() -> None:
    assert nearest("tnah", ["relu", "tanh"]) == "did you mean 'tanh'? "
    assert nearest("xyz", ["relu", "tanh"]) == ""
    assert nearest(7, []) == ""


def test_known_names_are_listed() -> None:
    assert did_you_mean("tnah", iter(["relu", "tanh"])) == "did you mean 'tanh'? Known are 'relu', 'tanh'"
    assert did_you_mean("xyz", ["relu"]) == "known are 'relu'"
