"""Backends: an array library, a device and a dtype. No other package knows CuPy, PyTorch or JAX by name.

A `Backend` is a namespace ``xp`` with a device and a dtype, and copies arrays in (`Backend.to_device`) and out
(`Backend.to_host`); `get_backend` finds one that works here.

- `base`, `formulas`: the behaviour of the array API standard.
- `numpy`, `cupy`, `torch`, `jax`, `array_api_strict`: the differences of each library, in one file each.
- `registry`: the table of libraries; add one there.
- `elementwise`: functions of arrays that the standard does not have, one kernel each; `fast_tanh`: tanh for NumPy.
- `arrays`, `conversion`: the library of an array; array-likes as NumPy arrays.
- `event_loop`: sums over events as one loop, `c_compiler`: the compiler of NumPy's.
- `streaming`: chunks of host arrays on their way to a device; `cuda_graphs`: replayed kernels.
- `threads`, `allocator`: threads over event chunks for NumPy, and memory that is kept.
- `tuning`: the tuned numbers of the backends.
"""

from ffnn_xp.backends.arrays import (
    describe_array,
    is_foreign_device_array,
    is_lazy,
    library_of,
    refuse_gradient,
    refuse_lazy,
    to_numpy,
)
from ffnn_xp.backends.base import Backend
from ffnn_xp.backends.conversion import DATES, column_names, first_line, host_floats, labels_of_columns, place_of
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
from ffnn_xp.backends.event_loop import EventLoop
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
from ffnn_xp.backends.threads import one_blas_thread, processor_count, sum_in_parts, thread_count
from ffnn_xp.backends.tuning import BackendTuning

__all__ = [
    "BACKENDS",
    "DATES",
    "DTYPES",
    "Backend",
    "BackendStatus",
    "BackendTuning",
    "EventLoop",
    "above_ones",
    "backend_status",
    "column_names",
    "compiles",
    "describe_array",
    "erf",
    "first_line",
    "get_backend",
    "has_nvidia_driver",
    "host_floats",
    "in_one_pass",
    "is_foreign_device_array",
    "is_lazy",
    "labels_of_columns",
    "library_of",
    "multiplication",
    "one_blas_thread",
    "pairs",
    "place_of",
    "processor_count",
    "refuse_gradient",
    "refuse_lazy",
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
