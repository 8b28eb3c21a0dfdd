"""What `fit.goodness()` says where pulls are not finite; toys are in `tests/statistics`."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

import ffnn_xp as fx


@pytest.mark.parametrize("loss", ["poisson", "least_squares"])
def test_pulls_none_of_which_is_finite_are_said_to_be_so(loss: str) -> None:
    """A rate of zero, or a curve that overflows, has no pulls."""
    x = np.linspace(0, 1, 20)
    output = "relu" if loss == "poisson" else "exp"
    model = fx.Model((1, 1), output=output, backend="numpy", seed=1)
    error = {} if loss == "poisson" else {"y_err": 1.0}
    fit = model.fit(x, np.arange(1.0, 21.0), loss=loss, prior=None, **error)
    nowhere = [0.0, -1.0] if loss == "poisson" else [0.0, 1e4]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        good = replace(fit, parameters=np.array(nowhere)).goodness()
        assert not np.any(np.isfinite(good.pulls))
        assert "none that is finite" in str(good)
    assert good.calibration.shape == (0, 2)
