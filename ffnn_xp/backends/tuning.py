"""The tuned numbers of the backends, held by each of them as `Backend.tuning`."""

from __future__ import annotations

from dataclasses import dataclass

from ffnn_xp._lib.tuning import tuned


@dataclass(frozen=True)
class BackendTuning:
    """Numbers that change the time of a computation and never its result (`benchmarks/operations.py`)."""

    calls_before_graph: int = tuned(
        16,
        "larger: short fits have no CUDA graphs; smaller: graphs are captured that hardly pay (one costs ten calls)",
    )
    graphs_kept: int = tuned(4, "larger: more sets of events get a graph; smaller: less memory is held by temporaries")
    fast_tanh_from: int = tuned(
        2048, "values; larger: NumPy's slower tanh for more arrays; smaller: more calls than they save"
    )
    fast_tanh_chunk: int = tuned(
        2**17, "values at a time; larger: temporaries leave the cache; smaller: threads take turns at more calls"
    )
    multiplication_on_cpu: float = tuned(
        0.05,
        "time, in reads and writes of a number; larger: algorithms that multiply less; smaller: that store less",
    )
    multiplication_on_gpu: float = tuned(0.006, "that time on a GPU, from the roofline of an H100")
    loop_width: int = tuned(
        48, "units of the widest layer up to which loops are compiled; larger: also where products of matrices win"
    )
    loop_part: int = tuned(
        2**12,
        "events that a compiled loop sums before it adds them; larger: fewer additions, rounded more",
    )
