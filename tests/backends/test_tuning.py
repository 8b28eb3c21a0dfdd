"""Each tuned number of the backends says what it trades."""

from __future__ import annotations

from dataclasses import fields

from ffnn_xp import Backend
from ffnn_xp._lib.tuning import tuned_numbers
from ffnn_xp.backends import BackendTuning


def test_every_number_says_what_it_trades(backend: Backend) -> None:
    found = list(tuned_numbers(backend.tuning))
    assert len(found) == len(fields(BackendTuning))
    assert all(trades for _, _, trades in found)
