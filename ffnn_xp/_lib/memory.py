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
FILES = {  # of a control group of version 2 and of version 1: the limit, what is used, and its share of files' pages
    "": ("memory.max", "memory.current", ("inactive_file", "active_file")),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
}


def free_memory(proc: Path = PROC, cgroup: Path = CGROUP) -> int | None:
    """Return the bytes that this process may still take; None where the system does not tell.

    It is the least of what the machine has, what the control groups of the process leave (of a container or a batch
    job; pages of files count as free, as they are given back at need), and what its own limits leave (``ulimit -v``,
    ``ulimit -d``). The system tells it in files of two folders.

    Examples
    --------
    >>> free = free_memory()
    >>> free is None or free > 0
    True
    """
    return min((*_of_machine(proc), *_of_groups(proc, cgroup), *_of_process(proc)), default=None)


def _of_machine(proc: Path) -> Iterator[int]:
    with suppress(OSError, KeyError):
        yield 1024 * _numbers(proc / "meminfo")["MemAvailable:"]


def _of_groups(proc: Path, cgroup: Path) -> Iterator[int]:
    """Yield what each group of this process leaves, up to the root of the hierarchy."""
    with suppress(OSError):
        for line in (proc / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            kind = "memory" if "memory" in controllers.split(",") else controllers
            if kind in FILES:
                group = cgroup / kind / path.lstrip("/")
                for folder in (group, *group.parents):
                    yield from _of_group(folder, *FILES[kind])


def _of_group(folder: Path, limit: str, usage: str, of_files: tuple[str, ...]) -> Iterator[int]:
    with suppress(OSError, ValueError, KeyError):  # "max" is no limit
        most, used = (int((folder / name).read_text()) for name in (limit, usage))
        statistics = _numbers(folder / "memory.stat")
        yield max(0, most - used + sum(statistics[name] for name in of_files))


def _of_process(proc: Path) -> Iterator[int]:
    if sys.platform == "win32":
        return
    with suppress(OSError, ValueError):
        size, _, _, _, _, data, _ = (proc / "self" / "statm").read_text().split()
        for limit, pages in ((resource.RLIMIT_AS, size), (resource.RLIMIT_DATA, data)):
            soft = resource.getrlimit(limit)[0]
            if soft != resource.RLIM_INFINITY:
                yield max(0, soft - int(pages) * os.sysconf("SC_PAGE_SIZE"))


def _numbers(path: Path) -> dict[str, int]:
    """Return the numbers of a file of lines that begin with a name and a number."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}
