"""Progress bars: the text that they write, where they write it, and what they leave behind."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stderr
from types import SimpleNamespace
from typing import Any

import pytest

from ffnn_xp._lib import progress
from ffnn_xp._lib.progress import bar, showing, tick

pytest.importorskip("tqdm", reason="needs tqdm, the extra progress")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen(text: str) -> list[str]:
    """The lines that a terminal shows after this text: returns, line feeds and steps upwards are obeyed."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[A|\r|\n|[^\r\n\x1b]+", text):
        if part == "\x1b[A":
            row -= 1
        elif part == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            column = 0
        else:
            lines[row] = (lines[row][:column].ljust(column) + part) + lines[row][column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in lines]


@pytest.fixture
def stderr() -> Iterator[Any]:
    with ExitStack() as streams:
        yield lambda stream: streams.enter_context(redirect_stderr(stream))


def work(name: str = "toys", steps: int = 3, pause: float = 0.12) -> None:
    with bar(name, steps, "toys") as line:
        for _ in range(steps):
            time.sleep(pause)  # bars are drawn ten times a second at most
            line.advance()


def test_outside_of_a_block_nothing_is_shown(stderr: Any) -> None:
    stream = stderr(Terminal())
    work()
    assert stream.getvalue() == ""


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_true_shows_the_count_at_once_and_clears_the_line(stderr: Any, stream: type[io.StringIO]) -> None:
    written = stderr(stream())
    with showing(True):
        work()
    assert re.search(r"toys: +67%.*2/3 \[00:00<00:00, .* toys/s\]", written.getvalue())
    assert screen(written.getvalue()) == [""]


@pytest.mark.slow
def test_none_shows_it_in_a_terminal_after_a_second(stderr: Any) -> None:
    for stream, delay, shown in ((Terminal(), 0.01, True), (Terminal(), 60.0, False), (io.StringIO(), 0.01, False)):
        written = stderr(stream)
        with showing(None, delay):
            work()
        assert ("toys" in written.getvalue()) is shown
        assert screen(written.getvalue()) == [""]


@pytest.mark.slow
def test_none_shows_it_in_a_notebook(stderr: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose standard error is no terminal; IPython in a terminal has no kernel."""
    for shell, shown in ((SimpleNamespace(kernel=None), True), (SimpleNamespace(), False)):
        written = stderr(io.StringIO())
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        monkeypatch.setattr(progress, "_tqdm", lambda: __import__("tqdm").tqdm)
        with showing(None, 0.01):
            work()
        assert ("toys" in written.getvalue()) is shown


@pytest.mark.parametrize("stream", [Terminal(), None])
def test_false_and_no_stream_show_none(stderr: Any, stream: Terminal | None) -> None:
    stderr(stream)
    with showing(False if stream else None):
        work(pause=0.0)
    assert stream is None or stream.getvalue() == ""


def test_a_closed_stream_is_no_terminal(stderr: Any) -> None:
    stderr(Terminal()).close()
    with showing(None):
        work(pause=0.0)


def test_a_stream_that_fails_does_not_end_the_work(stderr: Any) -> None:
    """A terminal that was hung up, a full disk."""

    class Broken(Terminal):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    stderr(Broken())
    with showing(True):
        work()


@pytest.mark.slow
def test_a_bar_in_a_bar_and_the_users_own(stderr: Any) -> None:
    from tqdm import tqdm

    written = stderr(Terminal())
    for _ in tqdm(range(1), desc="mine"):
        with showing(True), bar("outer", 2, "starts") as outer:
            time.sleep(0.12)
            outer.advance()
            work("inner")
            outer.advance()
    seen = written.getvalue()
    at_once = max((screen(seen[:i]) for i in range(0, len(seen), 20)), key=lambda lines: sum(map(bool, lines)))
    assert [line.partition(":")[0] for line in at_once if line] == ["mine", "outer", "inner"]
    assert [line.partition(":")[0] for line in screen(seen) if line] == ["mine"]


@pytest.mark.slow
def test_a_line_without_a_count_has_a_note_and_the_time(stderr: Any) -> None:
    written = stderr(Terminal())
    with showing(True), bar("fit") as line:
        line.advance(0, "start 2 of at most 60, cost 1.5")
        time.sleep(1.1)
        tick()
        assert line.shown
    assert "fit [00:00]" in written.getvalue()
    assert "fit [00:01, start 2 of at most 60, cost 1.5]" in written.getvalue()
    assert screen(written.getvalue()) == [""]


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_after_an_error_the_line_is_clear_and_no_bar_is_left(stderr: Any, error: type[BaseException]) -> None:
    written = stderr(Terminal())

    def fail() -> None:
        with showing(True), bar("toys", 3, "toys") as line:
            time.sleep(0.12)
            line.advance()
            raise error

    with pytest.raises(error):
        fail()
    assert "1/3" in written.getvalue()
    assert screen(written.getvalue()) == [""]
    before = written.getvalue()
    tick()
    work()
    assert written.getvalue() == before


@pytest.mark.parametrize("wrong", [1, "yes", 0.0])
def test_another_switch_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="`progress` must be True, False or None, got"), showing(wrong):
        pass


def test_without_tqdm_true_says_what_to_install(stderr: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "tqdm"]:
        monkeypatch.setitem(sys.modules, name, None)
    written = stderr(Terminal())
    with (
        pytest.raises(ImportError, match=r"a progress bar needs tqdm: pip install 'ffnn_xp\[progress\]'"),
        showing(True),
    ):
        pass
    with showing(None):
        work(pause=0.0)
    assert written.getvalue() == ""


SCRIPT = """
import numpy as np
import ffnn_xp as fx
x = np.linspace(-2, 2, 400)
print("begin", flush=True)
fx.Model((1, 20, 20, 1), backend="numpy", seed=1).fit(x, np.sin(9 * x), 1e-6, prior=3.0, restarts=500, max_seconds=20)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_ctrl_c_leaves_a_terminal_clean() -> None:
    """A script in a real terminal: the bar appears by itself, and after Ctrl-C nothing of it is left."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    child = subprocess.Popen([sys.executable, "-c", SCRIPT], stderr=theirs, stdout=subprocess.PIPE, text=True)
    os.close(theirs)
    written, sent = "", False
    try:
        while True:
            try:
                part = os.read(ours, 1000).decode()
            except OSError:  # the end of a terminal whose program has ended
                break
            if not part:
                break
            written += part
            if not sent and "of at most 500" in written:
                child.send_signal(signal.SIGINT)
                sent = True
    finally:
        child.kill() if not sent else child.wait()
        assert child.stdout is not None
        child.stdout.close()
        os.close(ours)
    assert sent
    lines = [line for line in screen(written) if line]
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith("KeyboardInterrupt")
    assert not any("of at most" in line for line in lines)
