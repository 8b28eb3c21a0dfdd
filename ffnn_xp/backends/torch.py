"""The backend of PyTorch, on CPUs and GPUs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, ClassVar

import array_api_compat
import numpy as np

from ffnn_xp._lib.errors import BackendUnavailableError
from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp.backends.base import Backend
from ffnn_xp.backends.cuda_graphs import GraphedKernel
from ffnn_xp.backends.streaming import CopyStream


class TorchBackend(Backend):
    """PyTorch on one of its devices; fits do without its automatic differentiation, predictions can be part of it."""

    name: ClassVar[str] = "torch"
    install: ClassVar[str] = "pip install 'ffnn_xp[torch]'"
    for_gpus: ClassVar[bool] = True
    writable: ClassVar[bool] = True

    @classmethod
    def find(cls, device: Any, dtype: str) -> tuple[Namespace, Any]:
        """Return array-api-compat's namespace of PyTorch and a device."""
        torch = importlib.import_module("torch")
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        device = torch.device(f"cuda:{device}" if isinstance(device, int) else device)
        if device.type == "cuda" and not torch.cuda.is_available():
            raise BackendUnavailableError("PyTorch is installed but finds no usable CUDA GPU")
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", torch.cuda.current_device())
        return importlib.import_module("array_api_compat.torch"), device

    def devices(self) -> list[str]:
        """List the CPU and the GPUs with their names."""
        cuda = importlib.import_module("torch").cuda
        return ["cpu", *(f"cuda:{i} ({cuda.get_device_name(i)})" for i in range(cuda.device_count()))]

    @staticmethod
    def is_gpu(device: Any) -> bool:
        """Return True if a device is not the CPU."""
        return bool(device.type != "cpu")

    @staticmethod
    def has_double(xp: Namespace, device: Any) -> bool:
        """Return True if a device has float64, as all but Apple's do; listing all dtypes takes longer than a sum."""
        return bool(device.type != "mps")

    def _moved(self, a: np.ndarray[Any, Any]) -> Array:
        return self.xp.from_numpy(a).to(self.device)

    def contiguous(self, a: Array) -> Array:
        """Return the array in row-major order."""
        return a.contiguous()

    @staticmethod
    def as_numpy(a: Array) -> np.ndarray[Any, np.dtype[Any]]:
        """Copy an array to the host, without its gradient."""
        return a.detach().cpu().numpy()  # type: ignore[no-any-return]

    def _without_overhead(self, f: Callable[..., HostArray]) -> Callable[..., HostArray]:
        """Return f without PyTorch's bookkeeping for derivatives; on a GPU it goes on, since CUDA graphs are shared."""
        return f if self.on_gpu else importlib.import_module("torch").inference_mode()(f)

    @staticmethod
    def needs_gradient(a: Array) -> bool:
        """Return True if PyTorch records what is computed from this array."""
        return bool(a.requires_grad and importlib.import_module("torch").is_grad_enabled())

    @staticmethod
    def in_main_memory(a: Array) -> bool:
        """Return True if an array is on the CPU."""
        return bool(array_api_compat.device(a).type == "cpu")

    def _free_on_gpu(self) -> int | None:
        if self.device.type != "cuda":
            return None
        cuda = importlib.import_module("torch").cuda
        kept = cuda.memory_reserved(self.device) - cuda.memory_allocated(self.device)
        return int(cuda.mem_get_info(self.device)[0] + kept)

    def page_locked(self, a: HostArray) -> HostArray:
        """Copy a host array to page-locked memory, if the device is a GPU."""
        if not self.on_gpu:
            return super().page_locked(a)
        locked: HostArray = importlib.import_module("torch").empty(a.shape, dtype=self.real, pin_memory=True).numpy()
        locked[...] = a
        return locked

    def copy_stream(self) -> CopyStream | None:
        """Return the stream of copies to a GPU, None on a CPU."""
        return _copy_stream(self) if self.on_gpu else None

    def bind(self, kernel: Callable[..., Any], *static: Any, moving: int = 0) -> Callable[..., Any]:
        """Return a kernel as a function of arrays, which a CUDA graph may replay on a GPU."""
        plain = super().bind(kernel, *static)
        return GraphedKernel(plain, moving, CudaGraph, self.tuning) if moving and self.on_gpu else plain

    @classmethod
    def tanh(cls, xp: Namespace, z: Array, out: Array | None = None) -> Array:
        """Compute tanh; with a gradient PyTorch writes only copies to an array."""
        if out is not None and cls.needs_gradient(z):
            return out.copy_(xp.tanh(z))
        return super().tanh(xp, z, out)

    @staticmethod
    def tanh_back(xp: Namespace, delta: Array, z: Array, a: Array) -> Array:
        """Multiply delta by 1 - a^2, in one kernel."""
        if delta.shape == a.shape:
            return importlib.import_module("torch").ops.aten.tanh_backward(delta, a)
        return delta * (1 - a * a)


class CudaGraph:
    """A CUDA graph of a kernel, with the arrays that it reads from and writes to."""

    def __init__(self, kernel: Callable[..., Any], moving: tuple[Array, ...], fixed: tuple[Array | None, ...]) -> None:
        cuda = importlib.import_module("torch").cuda
        with cuda.device(moving[0].device):
            self.inputs = [a.clone() for a in moving]
            self.fixed = fixed  # kept, since the graph reads at their addresses
            here, aside = cuda.current_stream(), cuda.Stream()
            aside.wait_stream(here)
            with cuda.stream(aside):  # the set-up work of a first call must not be captured
                kernel(*self.inputs, *fixed)
            here.wait_stream(aside)
            self.graph = cuda.CUDAGraph()
            with cuda.graph(self.graph, capture_error_mode="thread_local"):
                self.result = kernel(*self.inputs, *fixed)

    def __call__(self, *moving: Array) -> Any:
        """Replay the graph; the result is a new array."""
        for own, given in zip(self.inputs, moving, strict=True):
            own.copy_(given)
        self.graph.replay()
        if isinstance(self.result, dict):
            return {key: value.clone() for key, value in self.result.items()}
        return self.result.clone()


class _CopyStream(CopyStream):
    """A stream of copies with PyTorch."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.module = backend, importlib.import_module("torch")
        self.cuda = self.module.cuda
        with backend.context():
            self.stream = self.cuda.Stream(backend.device)

    def activate(self) -> AbstractContextManager[Any]:
        return self.cuda.stream(self.stream)  # type: ignore[no-any-return]

    def copy(self, a: HostArray) -> Array:
        there = self.module.empty(a.shape, dtype=self.backend.real, device=self.backend.device)
        for row in np.ndindex(a.shape[:-1]):
            there[row].copy_(self.module.from_numpy(a[row]), non_blocking=True)
        return there

    def current(self) -> Any:
        return self.cuda.current_stream(self.backend.device)

    def mark(self) -> Any:
        event = self.cuda.Event()
        event.record(self.current())
        return event


@lru_cache(maxsize=16)
def _copy_stream(backend: Backend) -> _CopyStream:
    """Return the stream of a device, the same at each call, so that the memory of its copies is used again."""
    return _CopyStream(backend)
