"""A setting of the C library's allocator: freed memory stays in the process, ready for the next array.

By default the GNU C library returns an array of more than 128 KiB to the system as soon as it is freed, and with it the
end of the heap; the next such array is then mapped again, page by page. Evaluating a network makes and frees many such
arrays, which takes up to two thirds of the time. But the allocator adapts: once a larger array was freed, it keeps
arrays up to that size. It does not where an environment variable sets its numbers, as Dask does for its workers; there
they are set again.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from functools import cache

import numpy as np

LARGEST = 31 * 2**20  # bytes; the GNU C library adapts up to 32 MiB (mallopt(3), M_MMAP_THRESHOLD)
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # numbers of malloc.h
FIXED = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_MAX_")


@cache
def keep_freed_memory() -> None:
    """Free one large array, so that the allocator keeps freed memory; once in a process."""
    if any(name in os.environ for name in FIXED):
        with suppress(OSError, AttributeError):  # other C libraries have no such function
            library = ctypes.CDLL(None)
            library.mallopt(MMAP_THRESHOLD, LARGEST)
            library.mallopt(TRIM_THRESHOLD, 2 * LARGEST)
    np.empty(LARGEST, dtype=np.uint8)
