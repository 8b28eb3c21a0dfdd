"""The backend of JAX, on CPUs, GPUs and TPUs, with compiled kernels."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, partial
from typing import Any, ClassVar

import numpy as np

from ffnn_xp._lib.errors import FfnnXpWarning, outside_the_package
from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp.backends.base import Backend

SWITCHED_ON = (
    "JAX's 64-bit mode is now on in the whole process, since fits need float64: arrays that JAX makes without a dtype "
    "are float64 from now on. Switch it on yourself before, by jax.config.update('jax_enable_x64', True), and this is "
    "not said; or use dtype='float32'."
)
KEPT = 32  # compiled kernels, each for its shapes; more: fewer compilations where shapes take turns, more memory


class JaxBackend(Backend):
    """JAX on one of its devices; float64 switches on JAX's 64-bit mode for the whole process."""

    name: ClassVar[str] = "jax"
    install: ClassVar[str] = "pip install 'ffnn_xp[jax]'"
    array_packages: ClassVar[tuple[str, ...]] = ("jax", "jaxlib")
    for_gpus: ClassVar[bool] = True
    host_arguments: ClassVar[bool] = True
    compiles: ClassVar[bool] = True

    @classmethod
    def find(cls, device: Any, dtype: str) -> tuple[Namespace, Any]:
        """Return JAX's own namespace and a device."""
        jax = importlib.import_module("jax")
        if dtype == "float64" and not jax.config.jax_enable_x64:
            jax.config.update("jax_enable_x64", True)  # otherwise float64 silently becomes float32
            warnings.warn(SWITCHED_ON, FfnnXpWarning, stacklevel=outside_the_package())
        if device is None:
            device = jax.devices()[0]
        elif isinstance(device, int):
            device = jax.devices()[device]
        elif isinstance(device, str):
            platform, _, index = device.partition(":")
            found = {str(d): d for d in jax.devices(platform)}
            device = found.get(device) or jax.devices(platform)[int(index or 0)]
        return importlib.import_module("jax.numpy"), device

    def devices(self) -> list[str]:
        """List the devices of the default platform."""
        return [str(d) for d in importlib.import_module("jax").devices()]

    @property
    def device_name(self) -> str:
        """The platform and the number of the device."""
        return f"{self.device.platform}:{self.device.id}"

    @staticmethod
    def is_gpu(device: Any) -> bool:
        """Return True if a device is an accelerator; None is JAX's default device."""
        platform = importlib.import_module("jax").default_backend() if device is None else device.platform
        return bool(platform != "cpu")

    @staticmethod
    def device_of(a: Array) -> Any:
        """Return None: a compiler may be tracing the array."""
        return None

    @staticmethod
    def has_double(xp: Namespace, device: Any) -> bool:
        """Return True if JAX's 64-bit mode is on."""
        return "float64" in xp.__array_namespace_info__().dtypes()

    def context(self) -> AbstractContextManager[Any]:
        """Compute float32 products in full precision on a GPU."""
        if self.dtype == "float32" and self.on_gpu:
            return importlib.import_module("jax").default_matmul_precision("highest")  # type: ignore[no-any-return]
        return nullcontext()

    def _moved(self, a: np.ndarray[Any, Any]) -> Array:
        return importlib.import_module("jax").device_put(a, self.device)

    def _without_overhead(self, f: Callable[..., HostArray]) -> Callable[..., HostArray]:
        return f

    @staticmethod
    def needs_gradient(a: Array) -> bool:
        """Return True if JAX traces this array, for a derivative or to compile."""
        return isinstance(a, importlib.import_module("jax").core.Tracer)

    def owns(self, a: object) -> bool:
        """Return True if this is an array of JAX on this device alone, or a traced one, which is nowhere yet."""
        return self.is_array(a) and (self.needs_gradient(a) or (len(_devices(a)) == 1 and super().owns(a)))

    @classmethod
    def in_main_memory(cls, a: Array) -> bool:
        """Return True if an array, or each part of one that is sharded, is on the CPU."""
        return not cls.needs_gradient(a) and all(device.platform == "cpu" for device in _devices(a))

    def _free_on_gpu(self) -> int | None:
        stats = self.device.memory_stats() or {}
        return int(stats["bytes_limit"] - stats["bytes_in_use"]) if "bytes_limit" in stats else None

    def bind(self, kernel: Callable[..., Any], *static: Any, moving: int = 0) -> Callable[..., Any]:
        """Compile a kernel for a network and a loss, once for arrays of the same shapes."""
        bound = _bound(kernel, *static)
        return lambda *arrays: _compiled(bound, *[getattr(a, "shape", None) for a in arrays])(*arrays)

    @staticmethod
    def erf(xp: Namespace, z: Array) -> Array:
        """Compute the error function of `jax.scipy`."""
        return importlib.import_module("jax.scipy.special").erf(z)


def _devices(a: Any) -> set[Any]:
    """Return the devices of an array, several if it is sharded."""
    return a.devices()  # type: ignore[no-any-return]


@lru_cache(maxsize=1024)
def _bound(kernel: Callable[..., Any], *static: Any) -> Callable[..., Any]:
    """Return a kernel for a network and a loss, the same object each time."""
    return partial(kernel, *static, importlib.import_module("jax.numpy"))


@lru_cache(maxsize=KEPT)
def _compiled(bound: Callable[..., Any], *shapes: tuple[int, ...] | None) -> Callable[..., Any]:
    """Return a function for JAX to compile, which forgets what it compiled when nobody holds it any more.

    A function of its own for arrays of other shapes: one that `jax.jit` had for all of them would keep each, some 30 MB
    for each new number of events.
    """
    return importlib.import_module("jax").jit(partial(bound))  # type: ignore[no-any-return]
