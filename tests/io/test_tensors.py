"""Tensors that are missing, or not what the header announces, are refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ffnn_xp as fx

from .parts import content, rewrite

serialize = pytest.importorskip("safetensors.numpy").save


X = np.linspace(-2, 2, 40)


def test_a_damaged_density_is_refused(net: Path) -> None:
    model = fx.Model((1, 2, 1), seed=1)
    model.fit(X, np.tanh(2 * X), 0.1, prior=3.0)
    model.save(net)
    raw, tensors = content(net)
    rewrite(net, raw, {**tensors, "density.0.noise": -tensors["density.0.noise"]})
    with pytest.raises(fx.FileFormatError, match="negative"):
        fx.load(net)
    rewrite(net, {**raw, "n_members": 2}, tensors)
    with pytest.raises(fx.FileFormatError, match=r"'density\.0\.theta' is missing"):
        fx.load(net)


def test_every_tensor_is_needed_and_checked(model: fx.Model, net: Path) -> None:
    model.save(net)
    raw, tensors = content(net)
    for name, a in tensors.items():
        rewrite(net, raw, {k: v for k, v in tensors.items() if k != name})
        with pytest.raises(fx.FileFormatError, match=f"tensor '{name}' is missing"):
            fx.load(net)
        wrong = [
            (a.astype(np.int64), "must be F64 or F32, got I64"),
            (a[None], "for the widths 1-2-1"),
            (a[:-1], "must be"),
        ]
        if a.size:
            bad = a.copy()
            bad.flat[-1] = np.nan
            wrong.append((bad, "values that are not finite"))
        for value, message in wrong:
            rewrite(net, raw, {**tensors, name: value})
            with pytest.raises(fx.FileFormatError, match=f"'{name}' .*{message}"):
                fx.load(net)


def test_matrices_that_do_not_chain(net: Path) -> None:
    fx.Model((2, 3, 1), seed=1).save(net)
    raw, tensors = content(net)
    rewrite(net, raw, {**tensors, "A_L2_L3": np.zeros((1, 5))})
    with pytest.raises(fx.FileFormatError, match=r"'A_L2_L3' must be \(1, 4\) for the widths 2-3-1, got \(1, 5\)"):
        fx.load(net)


def test_huge_widths_are_refused_before_memory_is_taken(model: fx.Model, net: Path) -> None:
    model.save(net)
    raw, tensors = content(net)
    rewrite(net, {**raw, "widths": [1, 10**15, 1]}, tensors)
    with pytest.raises(fx.FileFormatError, match="must be"):
        fx.load(net)
