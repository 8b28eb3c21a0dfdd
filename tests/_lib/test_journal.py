"""Journals: steps are computed once, files are refused where they are others', and what was stopped is not kept."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffnn_xp._lib import journal
from ffnn_xp._lib.digests import digest
from ffnn_xp._lib.errors import FfnnXpWarning
from ffnn_xp._lib.journal import is_recorded, keeping, recorded, recorded_seed, resumed
from ffnn_xp._lib.limits import StopMinimization, stoppable

HERE = {"data": "1", "`seed`": "2"}


class Counter:
    """Counts what is computed, and fails at one of the numbers."""

    def __init__(self, fails_at: int = 99) -> None:
        self.done: list[int] = []
        self.fails_at = fails_at

    def __call__(self, number: int) -> int:
        if number == self.fails_at:
            raise KeyboardInterrupt
        self.done.append(number)
        return 10 * number


def run(path: Path, count: Counter) -> list[int]:
    """Take two steps, of which the second has three in it."""
    with keeping(path, lambda: HERE):
        first = recorded("first", lambda: count(0))
        second = recorded("second", lambda: [recorded("inner", lambda n=n: count(n)) for n in (1, 2, 3)])  # type: ignore[misc]
        return [first, *second]


def test_steps_that_are_kept_are_not_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with pytest.raises(KeyboardInterrupt):
        run(path, Counter(fails_at=2))
    again = Counter()
    assert run(path, again) == [0, 10, 20, 30]
    assert again.done == [2, 3]
    complete, before = Counter(), path.read_bytes()
    assert run(path, complete) == [0, 10, 20, 30]
    assert complete.done == []
    assert path.read_bytes() == before


def test_inner_steps_are_kept_until_the_outer_one_has_a_result(tmp_path: Path) -> None:
    path = tmp_path / "a"

    def outer(fails: bool) -> float:
        for n in range(100):
            recorded("inner", lambda n=n: np.full(100, n))  # type: ignore[misc]
        if fails:
            raise OSError("the disk is gone")
        return 1.0

    with pytest.raises(OSError, match="gone"), keeping(path, lambda: HERE):
        recorded("outer", lambda: outer(True))
    large = path.stat().st_size
    with keeping(path, lambda: HERE):
        recorded("outer", lambda: outer(False))
    assert path.stat().st_size < large / 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-1], "damaged, its end is missing"),
        (lambda content: content[:40], "damaged"),
        (lambda content: content[:-9] + b"\0" + content[-8:], "damaged, its end is missing or has changed"),
        (lambda content: b"", "no checkpoint of ffnn_xp: give another name"),
        (lambda content: b"x,y\n1,2\n", "no checkpoint of ffnn_xp: give another name"),
        (lambda content: content.replace(b'"version": "', b'"version": "9'), "was written by ffnn_xp 9.* delete it"),
        (lambda content: content.replace(b'"data": "1"', b'"data": "3"'), "of another call, with other data: give"),
    ],
)
def test_other_files_are_refused_and_stay(tmp_path: Path, change: Callable[[bytes], bytes], message: str) -> None:
    path = tmp_path / "a"
    run(path, Counter())
    content = change(path.read_bytes())
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        run(path, Counter())
    assert path.read_bytes() == content


def test_a_missing_folder_and_what_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"the folder .* does not exist"):
        run(tmp_path / "none" / "a", Counter())
    with pytest.raises(TypeError, match="`checkpoint` must be the name of a file"):
        journal.check_file(3)


def test_another_order_of_steps_is_told(tmp_path: Path) -> None:
    run(tmp_path / "a", Counter())
    with (
        pytest.raises(ValueError, match="has 'first' where this call has 'other'"),
        keeping(tmp_path / "a", lambda: HERE),
    ):
        recorded("other", lambda: 1)


def test_a_pickle_cannot_run_a_program() -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, ("exit 3",)

    for evil in (pickle.dumps(Evil()), b"cnumpy\nsave\n.", b"cffnn_xp._lib.journal\nwrite_file\n."):
        with pytest.raises(ValueError, match=r"a checkpoint has no .* in it: do not use this one"):
            journal._loads(evil)


def test_what_follows_a_stop_is_not_kept(tmp_path: Path) -> None:
    path, count = tmp_path / "a", Counter()
    with keeping(path, lambda: HERE):
        recorded("first", lambda: count(1))
        with stoppable() as stop:
            raise StopMinimization("the time is up")
        assert stop.reason == "the time is up"
        assert recorded("last resort", lambda: count(2)) == 20
    with keeping(path, lambda: HERE):
        assert recorded("first", lambda: count(3)) == 10
        assert not is_recorded("last resort")
        assert recorded("second", lambda: count(4)) == 40


def test_a_minimization_that_takes_long_begins_again_at_its_best_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, begins = tmp_path / "a", list[float]()

    def minimize(fails: bool) -> float:
        theta = resumed(np.array([1.0]), lambda: np.array([0.25]))
        begins.append(float(theta[0]))
        if fails:
            raise KeyboardInterrupt
        return 0.0

    def call(fails: bool) -> None:
        with keeping(path, lambda: HERE):
            recorded("minimization", lambda: minimize(fails))

    for old, fails in ((1e9, True), (-1.0, True), (1e9, False)):
        monkeypatch.setattr(journal, "OLD", old)
        if fails:
            with pytest.raises(KeyboardInterrupt):
                call(fails)
        else:
            call(fails)
    assert begins == [1.0, 1.0, 0.25]


def test_the_file_is_written_while_the_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    with keeping(path, lambda: HERE):
        recorded("first", lambda: 1)
        journal.tick()
        assert not path.exists()
        monkeypatch.setattr(journal, "INTERVAL", -1.0)
        other = threading.Thread(target=journal.tick)  # has no journal of its own
        other.start()
        other.join()
        assert not path.exists()
        journal.tick()
        assert path.exists()


ENDED = """
import os, signal, sys
from ffnn_xp._lib.journal import keeping, recorded
with keeping(sys.argv[1]):
    recorded("first", lambda: 7)
    os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_the_file_is_written_when_sigterm_ends_the_process(tmp_path: Path) -> None:
    """Also where that is long before it would be written anyway."""
    done = subprocess.run([sys.executable, "-c", ENDED, str(tmp_path / "a")], check=False)
    assert done.returncode == -signal.SIGTERM
    with keeping(tmp_path / "a"):
        assert recorded("first", lambda: 8) == 7


def test_a_full_disk_costs_the_checkpoint_and_not_the_result(tmp_path: Path, full_disk: Callable[[], Any]) -> None:
    with full_disk(), pytest.warns(FfnnXpWarning, match="no checkpoint.*File too large"):
        assert run(tmp_path / "a", Counter()) == [0, 10, 20, 30]


def test_a_seed_at_random_is_kept(tmp_path: Path) -> None:
    seeds = []
    for name in ("a", "a", "b"):
        with keeping(tmp_path / name, lambda: HERE):
            seeds.append(recorded_seed(None))
    assert seeds[0] == seeds[1] != seeds[2]
    assert recorded_seed(3) == 3


def test_a_block_without_a_file_in_one_with_a_file_keeps_nothing(tmp_path: Path) -> None:
    count = Counter()
    for _ in range(2):
        with keeping(tmp_path / "a", lambda: HERE), keeping(None):
            recorded("first", lambda: count(1))
    assert count.done == [1, 1]


def scaled(factor: float) -> Callable[[float], float]:
    return lambda z: factor * z


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.arange(4.0), np.arange(4)),
        (np.arange(4.0), np.arange(4.0).reshape(2, 2)),
        (np.zeros((0, 3)), np.zeros((3, 0))),
        ([1, [2]], [[1], 2]),
        (1, True),
        (0.0, -0.0),
        (None, "None"),
        (scaled(1.0), scaled(2.0)),
        (np.array([[1.0, 2], [3, 4]]), np.array([[1.0, 2], [3, 4]]).T),
    ],
)
def test_digests_tell_things_apart(one: Any, other: Any) -> None:
    assert digest(one) == digest(one) != digest(other)


def test_digests_are_those_of_values() -> None:
    rows = np.arange(6.0).reshape(2, 3)
    assert digest(rows) == digest(np.asfortranarray(rows)) == digest(np.repeat(rows, 2, axis=1)[:, ::2])
    assert digest(scaled(2.0)) == digest(scaled(2.0))
    assert digest({"a": {1, 2}}) == digest({"a": {2, 1}})
