"""Matrices assembled of the blocks of their layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ffnn_xp import Backend
from ffnn_xp.objective.chunking import ChunkTuning

from ..oracles.loops import library, make_case, objective


def test_a_large_matrix_is_unfolded_in_panels(backend: Backend) -> None:
    case = make_case((2, 5, 4, 3))
    whole = library(case, backend, quantities=("hessian",))["hessian"]
    tuning = ChunkTuning(panel_bytes=1000)  # two units of the first layer, one of the second
    S = replace(objective(case, backend), tuning=tuning)
    np.testing.assert_array_equal(library(case, backend, quantities=("hessian",), S=S)["hessian"], whole)
