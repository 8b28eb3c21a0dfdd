"""Writing files: whole or not at all, with the permissions that were there, and clear words where it cannot be done."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ffnn_xp as fx
from ffnn_xp._lib import atomic as writing
from ffnn_xp.io import read_header

pytest.importorskip("safetensors")


@pytest.fixture(scope="module")
def model() -> fx.Model:
    return fx.Model((1, 2, 1), backend="numpy", seed=1)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return tmp_path / "net.safetensors"


def test_a_crash_leaves_the_old_file(model: fx.Model, net: Path, full_disk: Callable[[], Any]) -> None:
    model.save(net)
    before = net.read_bytes()
    with full_disk(), pytest.raises(OSError, match="File too large"):
        fx.Model((1, 9, 1), seed=5).save(net)
    assert net.read_bytes() == before
    assert [p.name for p in net.parent.iterdir()] == ["net.safetensors"]


def test_ctrl_c_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writing.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        writing.write_file(tmp_path / "a.txt", b"half")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(params=["files without a name", "hidden files"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """As on Linux, and as on systems where every file has a name."""
    if request.param == "hidden files":

        def none(hidden: Path) -> int:
            raise OSError("there are no files without a name")

        monkeypatch.setattr(writing, "_open_nameless", none)
    elif sys.platform != "linux":
        pytest.skip("only Linux has files without a name")
    return str(request.param)


def test_a_file_is_written_and_replaced(way: str, tmp_path: Path) -> None:
    for content in (b"first", b"", b"second" * 100_000):
        writing.write_file(tmp_path / "a", content)
        assert (tmp_path / "a").read_bytes() == content
        assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_no_name_is_too_long_for_its_temporary_file(way: str, tmp_path: Path) -> None:
    writing.write_file(tmp_path / ("\N{GREEK SMALL LETTER CHI}" * 127), b"content")
    with pytest.raises(OSError, match="name too long"):
        writing.write_file(tmp_path / ("a" * 256), b"content")


def test_nothing_is_seen_until_a_file_is_whole(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the file's name: the old content. With another name: nothing, or what another writer leaves alone."""
    (tmp_path / "a").write_bytes(b"old")
    sync, seen = os.fsync, []

    def look(descriptor: int) -> None:
        seen.append([(path.name, path.read_bytes()) for path in sorted(tmp_path.iterdir()) if path.name != "b"])
        monkeypatch.setattr(writing.os, "fsync", sync)
        writing.write_file(tmp_path / "b", b"beside")  # does not take the first one for a leftover
        sync(descriptor)

    monkeypatch.setattr(writing.os, "fsync", look)
    writing.write_file(tmp_path / "a", b"new")
    assert [content for _, content in seen[0]] == ([b"new", b"old"] if way == "hidden files" else [b"old"])
    assert (tmp_path / "a").read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="locks of Unix")
def test_leftovers_of_killed_writers_are_removed(way: str, tmp_path: Path) -> None:
    """A child is killed while its hidden file is there; the next file in the folder removes it, and nothing else."""
    program = (
        "import os, sys, time, pathlib\n"
        "from ffnn_xp._lib import atomic\n"
        "hidden = pathlib.Path(sys.argv[1])\n"
        "descriptor = atomic._open_hidden(hidden)\n"
        "print(flush=True); time.sleep(600)"
    )
    hidden, mine, pipe = (tmp_path / name for name in (".ffnn_xp-1.tmp", ".of_the_user.tmp", ".ffnn_xp-2.tmp"))
    mine.touch()
    os.mkfifo(pipe)
    with subprocess.Popen([sys.executable, "-c", program, str(hidden)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        writing.write_file(tmp_path / "a", b"while it lives")
        assert hidden.exists()
        child.kill()
    writing.write_file(tmp_path / "a", b"afterwards")
    assert sorted(tmp_path.iterdir()) == [pipe, mine, tmp_path / "a"]


@pytest.mark.skipif(os.name == "nt", reason="locks of Unix")
def test_a_hidden_file_that_another_writer_took_for_a_leftover_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, taken = writing._lock, []

    def late(descriptor: int) -> int:
        if not taken:
            taken.extend(tmp_path.iterdir())
            taken[0].unlink()
        return lock(descriptor)

    monkeypatch.setattr(writing, "_lock", late)
    hidden = tmp_path / ".ffnn_xp-1.tmp"
    os.close(writing._open_hidden(hidden))
    assert taken == [hidden]
    assert hidden.exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_full_device_is_named(model: fx.Model) -> None:
    with pytest.raises(OSError, match="cannot write '/dev/full': No space left on device; what was there is unchanged"):
        model.save("/dev/full")


@pytest.mark.skipif(os.name == "nt", reason="links of Unix")
def test_one_file_has_many_spellings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file, folder = tmp_path / "a", tmp_path / "folder"
    file.touch()
    folder.symlink_to(tmp_path)
    (tmp_path / "symbolic").symlink_to("a")
    (tmp_path / "dangling").symlink_to("new")
    os.link(file, tmp_path / "hard")
    for other in ("a", "./a", "folder/a", folder / "a", "symbolic", "hard"):
        assert writing.is_same_file(file, other)
    for first, second in (("new", "folder/new"), ("new", "dangling"), ("no/folder/new", "./no/folder/new")):
        assert writing.is_same_file(first, second)
    assert not writing.is_same_file("a", "new")
    assert not writing.is_same_file("new", "newer")


@pytest.mark.skipif(os.name == "nt", reason="permissions and links of Unix")
def test_permissions_and_links_are_respected(model: fx.Model, tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        model.save(tmp_path / "new")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "new").chmod(0o604)
    (tmp_path / "link").symlink_to(tmp_path / "new")
    before = (tmp_path / "new").read_bytes()
    model.save(tmp_path / "link", metadata={"a": "b"})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "new").read_bytes() != before
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604
    model.save(os.devnull)
    assert not Path(os.devnull).is_file()


def test_path_errors_when_saving(model: fx.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"the folder '.*nowhere' does not exist"):
        model.save(tmp_path / "nowhere" / "net")
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        model.save(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file' is not a folder"):
        model.save(tmp_path / "file" / "net")
    for barrier, name in ((tmp_path, "net"), (tmp_path, "file"), (tmp_path / "file", "file")):
        monkeypatch.setattr(writing.os, "access", lambda path, mode, closed=barrier: Path(path) != closed)
        with pytest.raises(PermissionError, match=f"no permission to write to {re.escape(repr(str(barrier)))}"):
            model.save(tmp_path / name)


def test_path_errors_when_loading(tmp_path: Path) -> None:
    for read in (fx.load, read_header):
        with pytest.raises(FileNotFoundError, match=r"there is no file '.*net'"):
            read(tmp_path / "net")
        with pytest.raises(IsADirectoryError, match="is a folder"):
            read(tmp_path)
