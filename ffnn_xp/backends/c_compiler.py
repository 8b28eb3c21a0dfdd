"""The system's C compiler: source becomes a function of this process, and is kept in the user's cache.

The compiler is ``$CC``, else ``cc``. What it made lies in ``$XDG_CACHE_HOME/ffnn_xp``, else ``~/.cache/ffnn_xp``, a
folder that only its user may read. A file's name has a digest of all that it was made from (source, options, compiler,
processor) and one of its content, so that no other and no damaged file is loaded. Where there is no such folder, the
source is compiled in each process.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from ffnn_xp._lib.atomic import write_file
from ffnn_xp._lib.errors import BackendUnavailableError
from ffnn_xp.backends.event_loop import EventLoop

OPTIONS = ("-O3", "-march=native", "-fno-math-errno", "-std=gnu11", "-w", "-fPIC", "-shared")
PATIENCE = 120.0  # seconds for the compiler, which takes a third of one
PROBE = "double probe(void) { return m_tanh(V(1.0))[0]; }"


@lru_cache(maxsize=256)
def compiled(source: str, name: str) -> Any:
    """Return a function of C source, compiled now or before.

    Raises
    ------
    BackendUnavailableError
        If there is no compiler, or if it does not compile the source; the message says why.

    Examples
    --------
    >>> compiled("int one(void) { return 1; }", "one")()
    1
    """
    command = _command()
    made_from = "\n".join([source, *OPTIONS, _version(command), _processor()])
    key = hashlib.sha256(made_from.encode()).hexdigest()[:32]
    folder = _cache()
    path = None if folder is None else _kept(folder, key)
    if path is not None:
        with suppress(OSError, AttributeError):
            return getattr(ctypes.CDLL(os.fspath(path)), name)
    with tempfile.TemporaryDirectory(prefix="ffnn_xp-") as temporary:
        path = _made(command, source, Path(temporary))
        if folder is not None:
            path = _keep(path, folder, key)
        try:
            return getattr(ctypes.CDLL(os.fspath(path)), name)
        except (OSError, AttributeError) as error:
            raise BackendUnavailableError(f"what the compiler {command[0]!r} made cannot be loaded: {error}") from error


def check() -> None:
    """Raise a `BackendUnavailableError` unless there is a C compiler, and a program of it computes a tanh."""
    text = EventLoop("@LOOP@", (1, 1), 0).inside("event_loop_cpu.c")
    probe = compiled(text.partition("@LOOP@")[0] + PROBE, "probe")
    probe.restype = ctypes.c_double
    if abs(probe() - 0.7615941559557649) > 1e-15:
        raise BackendUnavailableError(f"a program of the compiler {_command()[0]!r} computes tanh(1) = {probe()}")


def _command() -> tuple[str, ...]:
    """Return the compiler with the options in its variable."""
    command = shlex.split(os.environ.get("CC") or "cc")
    if sys.platform == "win32" or shutil.which(command[0]) is None:
        raise BackendUnavailableError(
            f"there is no C compiler {command[0]!r}; install gcc or clang, or set the environment variable CC"
        )
    return tuple(command)


@lru_cache(maxsize=8)
def _version(command: tuple[str, ...]) -> str:
    return _output([*command, "--version"])


@lru_cache(maxsize=1)
def _processor() -> str:
    """Return what tells processors apart for which the compiler makes different programs."""
    lines: set[str] = set()
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        lines = {line for line in text.splitlines() if line.startswith(("model name", "flags", "Features", "CPU part"))}
    return "\n".join([platform.machine(), platform.processor(), *sorted(lines)])


def _output(command: list[str]) -> str:
    """Run the compiler, which Ctrl-C does not reach; return what it prints."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            start_new_session=True,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BackendUnavailableError(f"the compiler {command[0]!r} does not run: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
        why = next((line for line in said if "error" in line), said[0])
        raise BackendUnavailableError(f"the compiler {command[0]!r} says: {why}")
    return done.stdout


def _made(command: tuple[str, ...], source: str, folder: Path) -> Path:
    """Compile source in a folder; return the library."""
    text, library = folder / "loop.c", folder / "loop.so"
    text.write_text(source, encoding="utf-8")
    _output([*command, *OPTIONS, "-o", os.fspath(library), os.fspath(text), "-lm"])
    if not library.exists():
        raise BackendUnavailableError(f"the compiler {command[0]!r} made nothing")
    return library


def _cache() -> Path | None:
    """Return the folder of what was compiled, made if need be; None if it cannot be one of this user alone."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = base / "ffnn_xp"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    safe = _is_own(folder) and not folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return folder if safe and os.access(folder, os.R_OK | os.W_OK | os.X_OK) else None


def _is_own(path: Path) -> bool:
    """Return True if a file or folder is the user's, and no link."""
    status = path.lstat()
    return not stat.S_ISLNK(status.st_mode) and status.st_uid == os.getuid()


def _kept(folder: Path, key: str) -> Path | None:
    """Return the library that was made from this, whose content is what it was; damaged ones are removed."""
    for path in sorted(folder.glob(f"{key}-*.so")):
        with suppress(OSError):
            if _is_own(path) and path.stem == f"{key}-{_digest(path)}":
                return path
            path.unlink()
    return None


def _keep(library: Path, folder: Path, key: str) -> Path:
    """Copy a library to the cache; return where it is, which is where it was if there is no place for it."""
    kept = folder / f"{key}-{_digest(library)}.so"
    try:
        write_file(kept, library.read_bytes())
    except OSError:
        return library
    return kept


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]
