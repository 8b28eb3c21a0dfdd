"""The main memory that this process may still take, by the limits of the operating system."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":
    import resource

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> int | None:
    """Return the bytes that this process may still take; None where the system does not tell.

    It is the least of what the machine has, what a control group (a container, a batch job) leaves, and what the limits
    of the process leave (``ulimit -v``, ``ulimit -d``).

    Examples
    --------
    >>> free = free_memory()
    >>> free is None or free > 0
    True
    """
    return min(_known(), default=None)


def _known() -> Iterator[int]:
    with suppress(OSError, ValueError, StopIteration):
        lines = (PROC / "meminfo").read_text().splitlines()
        yield 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    with suppress(OSError, ValueError):  # "max" is no limit
        most, used = (int((CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        yield max(0, most - used)
    if sys.platform == "win32":
        return
    with suppress(OSError, ValueError):
        size, _, _, _, _, data, _ = (PROC / "self" / "statm").read_text().split()
        for limit, pages in ((resource.RLIMIT_AS, size), (resource.RLIMIT_DATA, data)):
            soft = resource.getrlimit(limit)[0]
            if soft != resource.RLIM_INFINITY:
                yield max(0, soft - int(pages) * os.sysconf("SC_PAGE_SIZE"))
