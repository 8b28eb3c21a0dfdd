"""The memory that a process may still take: the least of all limits."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ffnn_xp._lib.memory import free_memory

if sys.platform != "win32":
    import resource

MB = 2**20


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A system of files that says nothing yet."""
    for name in ("PROC", "CGROUP"):
        (tmp_path / name).mkdir()
    return tmp_path


def free(system: Path) -> int | None:
    return free_memory(system / "PROC", system / "CGROUP")


def test_nothing_is_known_where_the_system_does_not_tell(system: Path) -> None:
    assert free(system) is None


def test_the_machine(system: Path) -> None:
    (system / "PROC" / "meminfo").write_text("MemTotal:  9000 kB\nMemAvailable:  2048 kB\n")
    assert free(system) == 2 * MB


@pytest.mark.parametrize(
    ("line", "folder", "files"),
    [
        ("0::/batch/job", "batch/job", ("memory.max", "memory.current", "")),
        ("4:cpu,memory:/batch/job", "memory/batch/job", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")),
    ],
)
def test_control_groups(system: Path, line: str, folder: str, files: tuple[str, str, str]) -> None:
    """The least of a group and of those around it; pages of files are given back at need."""
    (system / "PROC" / "meminfo").write_text("MemAvailable:  8192 kB\n")
    (system / "PROC" / "self").mkdir()
    (system / "PROC" / "self" / "cgroup").write_text(f"9:name=systemd:/\n{line}\n3:cpuset:/\n")

    def group(path: str, limit: str, used: int, of_files: int) -> None:
        there = system / "CGROUP" / path
        there.mkdir(parents=True, exist_ok=True)
        (there / files[0]).write_text(f"{limit}\n")
        (there / files[1]).write_text(f"{used}\n")
        (there / "memory.stat").write_text(f"{files[2]}inactive_file {of_files}\n{files[2]}active_file {of_files}\n")

    group(folder, "max", MB, 0)
    assert free(system) == 8 * MB
    group(folder, str(4 * MB), 3 * MB, MB // 2)
    assert free(system) == 2 * MB
    group(str(Path(folder).parent), str(5 * MB), 4 * MB, 0)
    assert free(system) == MB


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
@pytest.mark.parametrize(("limit", "pages"), [("RLIMIT_AS", 10), ("RLIMIT_DATA", 20)])
def test_limits_of_the_process(system: Path, limit: str, pages: int) -> None:
    """Here one that is too high to be met."""
    (system / "PROC" / "self").mkdir()
    (system / "PROC" / "self" / "statm").write_text("10 5 4 3 0 20 0\n")
    assert free(system) is None
    which = getattr(resource, limit)
    before = resource.getrlimit(which)
    resource.setrlimit(which, (2**50, before[1]))
    try:
        assert free(system) == 2**50 - os.sysconf("SC_PAGE_SIZE") * pages
    finally:
        resource.setrlimit(which, before)
