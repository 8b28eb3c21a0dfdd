"""Atomic writing of files, which appear whole or not at all.

A file is written under another name in the same folder and then renamed. A crash, a full disk or Ctrl-C in between
leaves the old file as it was.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ffnn_xp._lib.typing import PathLike


def check_writable(path: PathLike) -> None:
    """Raise now if a file could not be written later, so that no work is lost.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError
        If it could not; the message says which folder or file is the reason.
    """
    target = Path(os.path.realpath(path))
    folder = target.parent
    if not folder.exists():
        raise FileNotFoundError(f"cannot write {os.fspath(path)!r}: the folder {str(folder)!r} does not exist")
    if not folder.is_dir():
        raise NotADirectoryError(f"cannot write {os.fspath(path)!r}: {str(folder)!r} is not a folder")
    if target.is_dir():
        raise IsADirectoryError(f"cannot write {os.fspath(path)!r}: it is a folder; give the name of a file in it")
    barrier = target if target.exists() else folder
    if not os.access(barrier, os.W_OK) or (target.is_file() and not os.access(folder, os.W_OK)):
        raise PermissionError(f"cannot write {os.fspath(path)!r}: no permission to write to {str(barrier)!r}")


@contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path in the same folder and with the same ending, which replaces `path` at the end.

    Links are followed, permissions of an existing file are kept; a device such as ``/dev/null`` is written directly.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "a.txt") as temporary:
    ...         n = temporary.write_text("whole")
    ...     [file.name for file in Path(folder).iterdir()]
    ['a.txt']
    """
    check_writable(path)
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        yield target
        return
    temporary = target.with_name(f".{secrets.token_hex(6)}-{target.name[-100:]}")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        if target.exists():
            shutil.copymode(target, temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
