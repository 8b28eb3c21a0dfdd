"""array-api-strict, which allows nothing but the standard; it is used in tests."""

from __future__ import annotations

import importlib
import math
from typing import Any, ClassVar

import array_api_compat
import numpy as np

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.backends.base import Backend


class StrictBackend(Backend):
    """array-api-strict on one of its simulated devices; NumPy can read arrays on the first of them alone."""

    name: ClassVar[str] = "array_api_strict"
    install: ClassVar[str] = "pip install array-api-strict"

    @classmethod
    def find(cls, device: Any, dtype: str) -> tuple[Namespace, Any]:
        """Return its namespace and a device."""
        strict = importlib.import_module("array_api_strict")
        if device in (None, "cpu"):
            device = "CPU_DEVICE"
        return strict, strict.Device(device) if isinstance(device, str) else device

    @property
    def device_name(self) -> str:
        """The name between the quotes of the device's text."""
        return str(self.device).split("'")[1]

    @staticmethod
    def as_numpy(a: Array) -> np.ndarray[Any, np.dtype[Any]]:
        """Move an array to the first device, which is the host."""
        strict = importlib.import_module("array_api_strict")
        return np.asarray(a.to_device(strict.Device("CPU_DEVICE")))

    @staticmethod
    def in_main_memory(a: Array) -> bool:
        """Return True if an array is on the first device."""
        return str(array_api_compat.device(a)) == "array_api_strict.Device('CPU_DEVICE')"

    @staticmethod
    def erf(xp: Namespace, z: Array) -> Array:
        r"""Compute the error function by Kummer's series (Abramowitz and Stegun 7.1.6), whose terms have one sign.

        It is :math:`\frac{2}{\sqrt\pi} e^{-z^2} \sum_m \frac{2^m z^{2m+1}}{(2m+1)!!}`; from \|z\| = 6 on erf is 1.
        """
        near = xp.minimum(xp.maximum(z, -6.0), 6.0)
        total = xp.ones_like(z)
        for m in range(140, 0, -1):
            total = 1 + total * (2 * near * near) / (2 * m + 1)
        series = 2 / math.sqrt(math.pi) * near * xp.exp(-near * near) * total
        return xp.where(xp.abs(z) >= 6, xp.sign(z), series)
