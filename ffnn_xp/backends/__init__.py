"""Which array library, which device, which dtype: the only door to CuPy, PyTorch, JAX and array-api-strict.

A `Backend` is a namespace ``xp`` with a device and a dtype, and the ways in (`Backend.to_device`) and out
(`Backend.to_host`); `get_backend` finds one that works here. `base` and `formulas` say what the array API standard
says; each library has one file for what it does differently, and `registry` has the table of them.
"""

from ffnn_xp.backends.arrays import describe_array, is_foreign_device_array, to_numpy
from ffnn_xp.backends.base import Backend
from ffnn_xp.backends.conversion import column_names, host_floats, place_of
from ffnn_xp.backends.elementwise import (
    above_ones,
    compiles,
    erf,
    in_one_pass,
    multiplication,
    pairs,
    reshape,
    tanh,
    tanh_back,
    total,
    writable,
)
from ffnn_xp.backends.registry import (
    BACKENDS,
    DTYPES,
    BackendStatus,
    backend_status,
    get_backend,
    has_nvidia_driver,
    register,
    streamed_through,
)
from ffnn_xp.backends.streaming import returned, streamed
from ffnn_xp.backends.threads import processor_count, sum_in_parts, thread_count
from ffnn_xp.backends.tuning import BackendTuning

__all__ = [
    "BACKENDS",
    "DTYPES",
    "Backend",
    "BackendStatus",
    "BackendTuning",
    "above_ones",
    "backend_status",
    "column_names",
    "compiles",
    "describe_array",
    "erf",
    "get_backend",
    "has_nvidia_driver",
    "host_floats",
    "in_one_pass",
    "is_foreign_device_array",
    "multiplication",
    "pairs",
    "place_of",
    "processor_count",
    "register",
    "reshape",
    "returned",
    "streamed",
    "streamed_through",
    "sum_in_parts",
    "tanh",
    "tanh_back",
    "thread_count",
    "to_numpy",
    "total",
    "writable",
]
