"""Checks of files before they are read or written, and atomic writing: a file appears whole or not at all.

A new file has no name until it is complete, so that a crash, a full disk, Ctrl-C or ``kill -9`` leave the old file as
it was, and nothing beside it. For the moment before it replaces the old one, or all the time where the system gives
every file a name, a hidden one (``.ffnn_xp-*.tmp``) is locked while its writer lives; hidden files of killed writers
are removed when the next file is written into the folder.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from ffnn_xp._lib.typing import PathLike

if sys.platform != "win32":
    import fcntl

HIDDEN = ".ffnn_xp-{}.tmp"


def check_readable(path: PathLike, what: str = "a file") -> None:
    """Raise now if a path is not that of a file which can be read: reading a pipe or a device may never end.

    Parameters
    ----------
    path : path-like
        The file.
    what : str
        The kind of file that is expected, for messages.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError, OSError
        If it cannot be read; the message says why.
    """
    name = os.fspath(path)
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"there is no file {name!r}") from None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{name!r} is a folder, not {what}")
    if not stat.S_ISREG(mode):
        raise OSError(f"{name!r} is a pipe or a device, not {what}: write its content to a file, and give that")
    with open(path, "rb"):  # for the operating system's own message on permissions
        pass


def check_writable(path: PathLike) -> None:
    """Raise now if a file could not be written later, so that no work is lost.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, OSError
        If it could not; the message says which folder or file is the reason.
    """
    target = Path(os.path.realpath(path))
    folder, cannot = target.parent, f"cannot write {os.fspath(path)!r}"
    if not folder.exists():
        raise FileNotFoundError(f"{cannot}: the folder {str(folder)!r} does not exist")
    if not folder.is_dir():
        raise NotADirectoryError(f"{cannot}: {str(folder)!r} is not a folder")
    mode = None
    with suppress(FileNotFoundError):
        mode = target.stat().st_mode
    if mode is not None and stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{cannot}: it is a folder; give the name of a file in it")
    if mode is not None and not (stat.S_ISREG(mode) or stat.S_ISCHR(mode)):
        raise OSError(f"{cannot}: it is a pipe, a socket or a disk; give the name of a file")
    needed = [target] * (mode is not None) + [folder] * (mode is None or stat.S_ISREG(mode))
    for barrier in needed:
        if not os.access(barrier, os.W_OK):
            raise PermissionError(f"{cannot}: no permission to write to {str(barrier)!r}")


def is_same_file(first: PathLike, second: PathLike) -> bool:
    """Return True if two paths lead to one file, which need not exist: by links, or spelled in another way.

    Examples
    --------
    >>> is_same_file("new.csv", "./folder/../new.csv"), is_same_file("new.csv", "old.csv")
    (True, False)
    """
    try:
        return os.path.samefile(first, second)
    except OSError:
        return os.path.normcase(os.path.realpath(first)) == os.path.normcase(os.path.realpath(second))


def write_file(path: PathLike, content: bytes) -> None:
    """Write a file whole or not at all.

    Links are followed, permissions of an existing file are kept; a device such as ``/dev/null`` is written directly.

    Parameters
    ----------
    path : path-like
        The file, new or existing.
    content : bytes
        Its content.

    Raises
    ------
    OSError
        If it cannot be written; the message names it, and says why.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_file(f"{folder}/a.txt", b"whole")
    ...     [file.name for file in Path(folder).iterdir()]
    ['a.txt']
    """
    check_writable(path)
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(content)
        else:
            _remove_leftovers(target.parent)
            try:
                _replace(target, content, _open_nameless)
            except OSError:  # not every system, nor every file system, has them
                _replace(target, content, _open_hidden)
    except OSError as error:
        what = f"cannot write {os.fspath(path)!r}: {error.strerror or error}; what was there is unchanged"
        raise OSError(error.errno, what) from error


def _replace(target: Path, content: bytes, new: Callable[[Path], int]) -> None:
    """Write a new file, which the function `new` opens and locks, and give it the name of the old one."""
    hidden = target.with_name(HIDDEN.format(secrets.token_hex(8)))
    with ExitStack() as at_the_end:
        at_the_end.callback(hidden.unlink, missing_ok=True)
        file = at_the_end.enter_context(os.fdopen(new(hidden), "wb"))
        file.write(content)
        file.flush()
        if target.exists() and sys.platform != "win32":
            os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
        os.fsync(file.fileno())
        if not hidden.exists():  # with a descriptor of a folder, any, the system follows links of the other path
            os.link(f"/proc/self/fd/{file.fileno()}", hidden, src_dir_fd=file.fileno())
        if sys.platform == "win32":
            file.close()  # only then can it be renamed
        hidden.replace(target)


def _open_nameless(hidden: Path) -> int:
    """Open a new file without a name in the folder of a hidden one."""
    if sys.platform != "linux":
        raise OSError("only Linux has files without a name")
    return _lock(os.open(hidden.parent, os.O_TMPFILE | os.O_WRONLY, 0o666))


def _open_hidden(hidden: Path) -> int:
    """Open a new hidden file."""
    while True:
        descriptor = _lock(os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # another writer took it for a leftover before it was locked


def _lock(descriptor: int) -> int:
    """Lock a file until it is closed or its writer dies, where the file system has locks."""
    if sys.platform != "win32":
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _remove_leftovers(folder: Path) -> None:
    """Remove the hidden files of writers that live no more: those that nobody has locked."""
    if sys.platform == "win32":
        return
    for leftover in folder.glob(HIDDEN.format("*")):
        with suppress(OSError):
            if leftover.is_file():
                with leftover.open("rb+") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    leftover.unlink()
