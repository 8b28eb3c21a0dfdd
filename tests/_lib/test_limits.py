"""Deadlines and Ctrl-C: where they stop work, who gets `KeyboardInterrupt`, and that the second one is never kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from types import SimpleNamespace

import pytest

from ffnn_xp._lib.limits import (
    INTERRUPTED,
    TIME_IS_UP,
    StopMinimization,
    Watch,
    deadline_of,
    interrupted,
    interruptible,
    is_interactive,
    limited,
    stop_if_due,
    stoppable,
)


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def test_a_computation_stops_after_the_deadline_of_any_block_around_it() -> None:
    past, future = time.monotonic() - 1, time.monotonic() + 100
    stop_if_due()  # there is no limit here
    with limited(future):
        stop_if_due()
        with pytest.raises(StopMinimization, match="max_seconds"):
            stop_if_due(seconds=200)
        with limited(past), pytest.raises(StopMinimization, match="max_seconds"):
            stop_if_due()
        stop_if_due()
    with limited(past), limited(future), pytest.raises(StopMinimization, match="max_seconds"):
        stop_if_due()
    with limited(past), limited(None):
        stop_if_due()  # nothing stops this block


def test_a_block_that_was_stopped_says_why_and_how_far_it_came() -> None:
    done = []
    with stoppable(time.monotonic() + 0.05) as stop:
        for i in range(10**9):
            stop_if_due()
            done.append(i)
    assert stop.reason == TIME_IS_UP
    assert stop.after(len(done), 10**9, "toys") == f"{TIME_IS_UP}, after {len(done)} of 1000000000 toys"
    with stoppable() as stop:
        stop_if_due()
    assert (stop.reason, stop.after(3, 3, "toys")) == ("", "")


def test_an_error_is_no_stop() -> None:
    with pytest.raises(ZeroDivisionError), stoppable():
        raise ZeroDivisionError


@pytest.mark.parametrize("by", ["signal", "exception"])
def test_a_script_gets_its_interrupt_after_what_was_kept(by: str) -> None:
    kept = []
    with pytest.raises(KeyboardInterrupt), interruptible():  # noqa: PT012, what goes on before it is the point
        with stoppable() as stop:
            if by == "exception":  # as a callback of the user may raise
                raise KeyboardInterrupt
            ctrl_c()
            kept.append("the step that was under way")
            stop_if_due()
        kept.append(stop.reason)
    assert kept[-1] == INTERRUPTED
    assert len(kept) == 1 + (by == "signal")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not interrupted()


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)


def test_a_session_goes_on_with_what_was_kept(session: None) -> None:
    with interruptible() as whole:
        with stoppable() as stop:
            ctrl_c()
            stop_if_due()
        whole.reason = stop.after(3, 7, "toys")
    assert whole.reason == "interrupted by the user, after 3 of 7 toys"


def test_a_session_gets_no_result_that_does_not_say_so(session: None) -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        ctrl_c()  # too late to stop anything


def test_what_was_too_little_to_keep_is_an_interrupt_in_a_session_too(session: None) -> None:
    with pytest.raises(KeyboardInterrupt, match="SIGINT"), interruptible():  # noqa: PT012, as above
        ctrl_c()
        raise ValueError("1 of 200 toys reached a minimum")
    with pytest.raises(ValueError, match="200 toys"), interruptible():
        raise ValueError("1 of 200 toys reached a minimum")


@pytest.mark.parametrize("first", ["signal", "exception"])
@pytest.mark.parametrize("second", ["signal", "exception"])
def test_the_second_interrupt_stops_at_once(session: None, first: str, second: str) -> None:
    def press(how: str) -> None:
        if how == "exception":
            raise KeyboardInterrupt
        ctrl_c()

    went_on = []
    with pytest.raises(KeyboardInterrupt), interruptible():  # noqa: PT012, as above
        with stoppable():
            press(first)
        with stoppable():
            press(second)
            went_on.append("after a KeyboardInterrupt")
        went_on.append("after a block that swallowed it")
    assert not went_on
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_block_in_a_block_is_part_of_it(session: None) -> None:
    with interruptible() as whole:
        with interruptible(), stoppable() as stop:
            ctrl_c()
            stop_if_due()
        assert interrupted()
        whole.reason = stop.reason
    assert whole.reason == INTERRUPTED


def test_a_handler_of_the_users_own_stays() -> None:
    seen: list[int] = []

    def mine(number: int, frame: object) -> None:
        seen.append(number)

    signal.signal(signal.SIGINT, mine)
    try:
        with interruptible(), stoppable() as stop:
            ctrl_c()
            stop_if_due()
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert seen == [signal.SIGINT]
    assert not stop.reason


def test_a_handler_that_is_set_in_the_block_stays_too() -> None:
    try:
        with interruptible():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def in_a_thread(f: Callable[[], None]) -> list[BaseException]:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            f()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised


def test_another_thread_has_limits_of_its_own(session: None) -> None:
    def computation() -> None:
        with interruptible(), stoppable(time.monotonic() - 1) as stop:
            stop_if_due()
        assert stop.reason == TIME_IS_UP
        assert not interrupted()

    def interrupted_by_its_callback() -> None:
        with interruptible(), stoppable():
            raise KeyboardInterrupt

    with interruptible() as whole, limited(time.monotonic() - 1):
        whole.reason = INTERRUPTED
        ctrl_c()
        assert not in_a_thread(stop_if_due)  # its own work, not that of this block
        assert not in_a_thread(computation)
        (error,) = in_a_thread(lambda: copy_context().run(stop_if_due)) or (None,)
        assert error is None
        (error,) = in_a_thread(interrupted_by_its_callback)
        assert isinstance(error, KeyboardInterrupt)


def test_threads_that_share_the_work_stop_with_it(session: None) -> None:
    with interruptible() as whole, stoppable():
        context, whole.reason = copy_context(), INTERRUPTED
        ctrl_c()
        (error,) = in_a_thread(lambda: context.run(stop_if_due))
        assert isinstance(error, StopMinimization)


def test_a_limit_is_counted_from_the_beginning() -> None:
    assert [deadline_of(limit, began=100.0) for limit in (3, 0.5, None)] == [103.0, 100.5, float("inf")]


ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU", "NONE_OF_THIS_SYSTEM")
UNIX = pytest.mark.skipif(os.name == "nt", reason="signals of Unix")


def send(name: str) -> None:
    signal.raise_signal(getattr(signal, name))


@pytest.fixture
def as_in_a_terminal() -> Iterator[None]:
    """Programs under nohup ignore SIGHUP, and so would this test of it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@UNIX
@pytest.mark.parametrize("name", ENDING[:4])
def test_a_program_hears_the_signals_that_it_names_and_gets_what_was_kept(name: str, as_in_a_terminal: None) -> None:
    handlers = [signal.getsignal(getattr(signal, n)) for n in ENDING[:4]]
    with Watch(ENDING, together=100.0) as watch:
        assert not watch.interrupted
        with interruptible() as whole:
            with stoppable() as stop:
                send(name)
                send("SIGTERM")  # at once, to the program's group
                stop_if_due()
            whole.reason = stop.reason
    assert (watch.interrupted, watch.name, whole.reason) == (True, name, INTERRUPTED)
    assert [signal.getsignal(getattr(signal, n)) for n in ENDING[:4]] == handlers
    assert not interrupted()


@UNIX
def test_a_signal_of_someone_who_does_not_wait_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 100.0
    monkeypatch.setattr("ffnn_xp._lib.limits.time.monotonic", lambda: clock)
    with Watch(ENDING, together=1.0) as watch:
        send("SIGINT")
        clock = 100.9
        send("SIGTERM")
        clock = 101.1
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            send("SIGTERM")
        watch.held = True
        send("SIGTERM")
    assert watch.name == "SIGINT"


@UNIX
def test_what_fails_after_a_signal_is_an_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"), Watch(ENDING):  # noqa: PT012, as above
        send("SIGTERM")
        raise ValueError("there is nothing to keep")


@UNIX
@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT"])
def test_ignored_signals_stay_ignored(name: str) -> None:
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with Watch(ENDING) as watch:
            send(name)
        assert not watch.interrupted
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_in_another_thread_there_are_no_signals() -> None:
    seen = []

    def work() -> None:
        with Watch(ENDING) as watch, interruptible():
            seen.append(watch.interrupted)

    assert not in_a_thread(work)
    assert seen == [False]


@pytest.mark.parametrize("bad", [0, -1, "5", float("nan"), True])
def test_a_limit_is_a_positive_number(bad: object) -> None:
    with pytest.raises(ValueError, match="`max_seconds` must be positive"):
        deadline_of(bad, began=0.0)


def test_who_is_interactive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not is_interactive()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: object()))
    assert is_interactive()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_an_interrupted_script_dies_of_the_signal() -> None:
    """So that a shell's loop over scripts ends too."""
    code = (
        "import os, signal\nfrom ffnn_xp._lib.limits import stop_if_due, interruptible, stoppable\n"
        "with interruptible() as whole, stoppable():\n    whole.reason = 'interrupted by the user'\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n    stop_if_due()\nprint('on')"
    )
    for options, output in ([], ""), (["-i"], "on\n"):
        end = subprocess.run(
            [sys.executable, *options, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        assert end.stdout == output
        assert end.returncode == (0 if options else -signal.SIGINT)
