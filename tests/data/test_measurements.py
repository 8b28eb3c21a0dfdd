"""What the user holds, and what is refused with a reason."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ffnn_xp.data import Measurements, refuse


def test_it_is_unchecked_and_frozen() -> None:
    m = Measurements("anything", None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        m.x = np.zeros(3)  # type: ignore[misc]


def test_refusals_give_a_reason() -> None:
    refuse({}, "it", {"mask": "no"})
    refuse({"mask": None}, "it", {"mask": "no"})
    with pytest.raises(TypeError, match="`mask` has no place in it: no"):
        refuse({"mask": [True]}, "it", {"mask": "no"})
    with pytest.raises(TypeError, match="it has no option `maks`: did you mean 'mask'"):
        refuse({"maks": None}, "it", {})
