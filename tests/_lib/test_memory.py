"""The memory that a process may still take: the least of all limits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ffnn_xp._lib import memory
from ffnn_xp._lib.memory import free_memory

MB = 2**20


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system of files that says nothing yet."""
    for name in ("PROC", "CGROUP"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(memory, name, tmp_path / name)
    return tmp_path


def test_nothing_is_known_where_the_system_does_not_tell(system: Path) -> None:
    assert free_memory() is None


def test_the_machine(system: Path) -> None:
    (system / "PROC" / "meminfo").write_text("MemTotal:  9000 kB\nMemAvailable:  2048 kB\n")
    assert free_memory() == 2 * MB


def test_a_control_group(system: Path) -> None:
    (system / "PROC" / "meminfo").write_text("MemAvailable:  8192 kB\n")
    (system / "CGROUP" / "memory.current").write_text(f"{MB}\n")
    (system / "CGROUP" / "memory.max").write_text("max\n")
    assert free_memory() == 8 * MB
    (system / "CGROUP" / "memory.max").write_text(f"{4 * MB}\n")
    assert free_memory() == 3 * MB


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
@pytest.mark.parametrize(("limit", "pages"), [("RLIMIT_AS", 10), ("RLIMIT_DATA", 20)])
def test_limits_of_the_process(system: Path, monkeypatch: pytest.MonkeyPatch, limit: str, pages: int) -> None:
    (system / "PROC" / "self").mkdir()
    (system / "PROC" / "self" / "statm").write_text("10 5 4 3 0 20 0\n")
    infinite = memory.resource.RLIM_INFINITY
    which = getattr(memory.resource, limit)
    monkeypatch.setattr(memory.resource, "getrlimit", lambda of: (4 * MB if of == which else infinite, infinite))
    monkeypatch.setattr(memory.os, "sysconf", lambda name: 4096)
    assert free_memory() == 4 * MB - 4096 * pages
