"""Which array library, which device, which dtype: the only door to CuPy, PyTorch, JAX and array-api-strict.

A `Backend` is a namespace ``xp`` with a device and a dtype, and the ways in (`Backend.to_device`) and out
(`Backend.to_host`); `get_backend` finds one that works here. What a library does better than the standard can say is in
`passes` (one kernel for a formula), `recording` (CUDA graphs) and `streaming` (data that do not fit).
"""

from ffnn_xp.backends.arrays import BACKENDS, describe_array, is_foreign_device_array, to_numpy
from ffnn_xp.backends.backend import Backend
from ffnn_xp.backends.registry import DTYPES, BackendStatus, backend_status, get_backend, has_nvidia_driver

__all__ = [
    "BACKENDS",
    "DTYPES",
    "Backend",
    "BackendStatus",
    "backend_status",
    "describe_array",
    "get_backend",
    "has_nvidia_driver",
    "is_foreign_device_array",
    "to_numpy",
]
