"""A small fitted network and the name of a file for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ffnn_xp as fx

X = np.linspace(-2, 2, 40)


@pytest.fixture(scope="package")
def model() -> fx.Model:
    model = fx.Model((1, 2, 1), backend="numpy", seed=1)
    model.fit(X, np.tanh(2 * X), 0.1, prior=1.0)
    return model


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return tmp_path / "net.safetensors"
