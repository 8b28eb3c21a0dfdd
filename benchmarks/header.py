"""What every record says first: when, on what machine, with which versions."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import sys
from pathlib import Path

PACKAGES = ("ffnn_xp", "numpy", "scipy", "iminuit", "scikit-learn", "torch", "jax", "cupy-cuda12x", "cupy-cuda13x")


def header() -> str:
    """Date, command, machine, threads and versions, as lines of Markdown."""
    command = " ".join(["python", os.path.relpath(sys.argv[0]), *sys.argv[1:]])
    threads = os.environ.get("OPENBLAS_NUM_THREADS", "not set")
    return "\n".join(
        [
            f"- date: {datetime.date.today().isoformat()}",
            f"- command: `{command}`",
            f"- machine: {_processor()}, {os.cpu_count()} cores, {platform.system()}; OPENBLAS_NUM_THREADS {threads}",
            f"- Python {platform.python_version()}, " + ", ".join(_versions()),
        ]
    )


def _versions() -> list[str]:
    """Of the packages that are installed; a source tree is not, and says its own."""
    import ffnn_xp

    found = [f"ffnn_xp {ffnn_xp.__version__}"]
    for name in PACKAGES[1:]:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
