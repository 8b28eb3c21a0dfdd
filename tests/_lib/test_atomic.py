"""Writing files: whole or not at all, with the permissions that were there, and clear words where it cannot be done."""

from __future__ import annotations

import os
import stat
from pathlib import Path

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


def test_a_crash_leaves_the_old_file(model: fx.Model, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model.save(net)
    before = net.read_bytes()

    def crash(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", crash)
    with pytest.raises(OSError, match="No space left"):
        fx.Model((1, 9, 1), seed=5).save(net)
    assert net.read_bytes() == before
    assert [p.name for p in net.parent.iterdir()] == ["net.safetensors"]


def test_ctrl_c_while_writing_leaves_nothing(tmp_path: Path) -> None:
    def half() -> None:
        with writing.replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert list(tmp_path.iterdir()) == []


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
    monkeypatch.setattr(writing.os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="no permission to write"):
        model.save(tmp_path / "net")


def test_path_errors_when_loading(tmp_path: Path) -> None:
    for read in (fx.load, read_header):
        with pytest.raises(FileNotFoundError, match=r"there is no file '.*net'"):
            read(tmp_path / "net")
        with pytest.raises(IsADirectoryError, match="is a folder"):
            read(tmp_path)
