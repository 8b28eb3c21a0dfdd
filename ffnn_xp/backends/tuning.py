"""The tuned numbers of the backends, held by each of them as `Backend.tuning`."""

from __future__ import annotations

from dataclasses import dataclass

from ffnn_xp._lib.tuning import tuned


@dataclass(frozen=True)
class BackendTuning:
    """Numbers that change how long a computation takes and never what it gives (`benchmarks/operations.py`)."""

    calls_before_graph: int = tuned(
        16,
        "larger: short fits go without CUDA graphs; smaller: graphs are recorded that hardly pay (one costs ten calls)",
    )
    graphs_kept: int = tuned(4, "larger: more sets of events get a graph; smaller: less memory is held by temporaries")
    fast_tanh_from: int = tuned(
        2048, "values; larger: NumPy's slower tanh for more arrays; smaller: more calls than they save"
    )
    fast_tanh_chunk: int = tuned(
        2**17, "values at a time; larger: temporaries leave the cache; smaller: threads take turns at more calls"
    )
    multiplication_on_cpu: float = tuned(
        0.05, "of a pass over one number; larger: matrices by ways that multiply less; smaller: that store less"
    )
    multiplication_on_gpu: float = tuned(0.006, "the same on a GPU, from the ceilings of an H100")
