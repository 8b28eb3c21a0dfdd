"""The normal statistic with a predicted width."""

from __future__ import annotations

import numpy as np

from ffnn_xp.losses import NormalLoss


def test_logarithms_of_widths_are_shifted_by_that_of_the_data() -> None:
    shift, scale = NormalLoss().output_scaling(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    np.testing.assert_array_equal(shift, [1.0, 2.0, np.log(3.0), np.log(4.0)])
    np.testing.assert_array_equal(scale, [3.0, 4.0, 1.0, 1.0])
