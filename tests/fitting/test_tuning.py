"""Tuned numbers: each says what it trades, is passed in, and was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp._lib.tuning import tuned_numbers
from ffnn_xp.fitting import DEFAULT_TUNING

RECORDS = Path(__file__).parents[2] / "benchmarks" / "records"
NUMBERS = list(tuned_numbers(DEFAULT_TUNING))


def owner(path: str) -> str:
    """Class and field of the number at a dotted path, as `benchmarks/tuning.py` prints them."""
    *parts, name = path.split(".")
    holder: object = DEFAULT_TUNING
    for part in parts:
        holder = getattr(holder, part)
    return f"{type(holder).__name__}.{name}"


def test_each_number_was_measured() -> None:
    records = "".join(record.read_text(encoding="utf-8") for record in RECORDS.glob("*-tuning*.md"))
    assert not {owner(path) for path, *_ in NUMBERS if f"`{owner(path)}`" not in records}


def test_each_number_says_what_it_trades() -> None:
    assert not {path for path, _, trades in NUMBERS if len(trades.split()) <= 3}


@pytest.mark.slow
def test_numbers_are_those_that_a_fit_uses() -> None:
    """A fit with other numbers goes another way: fewer starts compete."""
    x = np.linspace(-2, 2, 60)
    y = np.tanh(2 * x) + 0.1 * np.random.default_rng(1).normal(size=60)
    few = replace(DEFAULT_TUNING, multi_start=replace(DEFAULT_TUNING.multi_start, candidates=20))
    fits = [fx.Model((1, 2, 1), seed=1).fit(x, y, prior=3.0, tuning=t) for t in (DEFAULT_TUNING, few)]
    assert [len(fit.restarts) for fit in fits] == [60, 20]
    assert fits[0].fval == pytest.approx(fits[1].fval, rel=1e-6)
