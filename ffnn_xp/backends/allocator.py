"""Memory that is freed stays in the process, ready for the next array.

By default the GNU C library gives an array of more than 128 KiB back to the system as soon as it is freed, and with it
the end of the heap; the next array of the kind is then paid for again, page by page. Evaluating a network is little
else than making and dropping such arrays: up to two thirds of the time go there. The library learns, though: once a
larger piece was freed, it keeps pieces up to that size.
"""

from __future__ import annotations

from functools import cache

import numpy as np

LARGEST = 31 * 2**20  # bytes; the GNU C library learns up to 32 MiB (mallopt(3), M_MMAP_THRESHOLD)


@cache
def keep_freed_memory() -> None:
    """Free one large array, from which the C library learns; once in a process, and elsewhere to no effect."""
    np.empty(LARGEST, dtype=np.uint8)
