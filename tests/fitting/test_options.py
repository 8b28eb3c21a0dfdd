"""Options are checked where they are made, and each message names its option."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.fitting.options import FitOptions, ReplicaOptions

BAD: list[tuple[dict[str, Any], str]] = [
    ({"restarts": None}, "`restarts` must be 'auto' or a positive integer, got None"),
    ({"restarts": float("inf")}, "`restarts` must be 'auto' or a positive integer, got inf"),
    ({"restarts": float("nan")}, "`restarts` must be 'auto' or a positive integer, got nan"),
    ({"restarts": "many"}, "`restarts` must be 'auto' or a positive integer, got 'many'"),
    ({"restarts": True}, "`restarts` must be 'auto' or a positive integer, got True"),
    ({"restarts": 0}, "`restarts` must be 'auto' or a positive integer, got 0"),
    ({"max_seconds": "5"}, "`max_seconds` must be positive, got '5'"),
    ({"max_seconds": float("nan")}, "`max_seconds` must be positive, got nan"),
    ({"seed": -1}, "`seed` must be 0 or a positive integer, or None, got -1"),
    ({"seed": 1.5}, "`seed` must be 0 or a positive integer, or None, got 1.5"),
    ({"prior": 0}, "`prior` must be a positive width of the standardised weights, or None, got 0"),
    *(
        ({"prior": bad}, "`prior` must be a positive width of the standardised weights, or None, got")
        for bad in (-1.0, float("nan"), float("inf"), -float("inf"), True, 1j, np.float64(0))
    ),
    *(({"prior": bad}, "`prior` must be at least 1e-08, got") for bad in (1e-300, 1e-9, 5e-324, np.float32(1e-20))),
    ({"prior": "atuo"}, "`prior` must be a positive width, None or 'auto', got 'atuo': did you mean 'auto'"),
    ({"prior": [1.0]}, r"`prior` must be a positive width of the standardised weights, or None, got \[1.0\]"),
    ({"minimizer": "migrd"}, "unknown minimizer 'migrd': did you mean 'migrad'"),
    ({"minimizer": None}, "`minimizer` must be a name or an object with a method run"),
    ({"covariance": None}, "unknown covariance None"),
    ({"loss": "huberr"}, "unknown loss 'huberr': did you mean 'huber'"),
    ({"loss": 3}, "`loss` must be a name, a Loss such as"),
    ({"callback": 3}, "`callback` must be a function of a FitState, got 3"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_what_is_no_option_of_a_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        FitOptions(**options)
    with pytest.raises((TypeError, ValueError), match=message):
        fx.Model((1, 1), seed=1).fit([0.0, 1.0, 2.0], [0.0, 1.0, 2.5], 0.1, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "toy"}, "unknown kind of replicas 'toy': did you mean 'toys'"),
        ({"number": 0}, "`number` must be a positive integer, got 0"),
        ({"prior": []}, "must not be empty"),
        ({"prior": [1.0, -1.0]}, "`prior` must be a positive width of the standardised weights, or None, got -1.0"),
        ({"prior": "atuo"}, "`prior` must be a positive width, None or 'auto', got 'atuo': did you mean 'auto'"),
        ({"covariance": "sandwich"}, "use kind='bootstrap'"),
        ({"seed": -1}, "`seed` must be"),
    ],
)
def test_what_is_no_option_of_replicas(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReplicaOptions(**options)


def test_options_stay_as_they_are_made() -> None:
    options = FitOptions(prior=np.float64(2.0), restarts=np.int64(3), seed=[1, 2], max_seconds=np.float32(1))
    assert options.prior_width == 2.0
    assert ReplicaOptions(prior=np.array([1.0, 2.0])).priors == [1.0, 2.0]
    assert (FitOptions(prior="auto").prior_width, ReplicaOptions(prior=(1.0,)).prior_width) == (None, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.restarts = 4  # type: ignore[misc]
