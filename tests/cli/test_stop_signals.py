"""Signals stop what runs in a context once, and are what they were before after it."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from ffnn_xp.cli.stop_signals import StopSignals

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of Unix")

ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU] if os.name != "nt" else []


def send(number: int) -> None:
    """To this process; the handler runs before the next line."""
    os.kill(os.getpid(), number)
    time.sleep(0)


@pytest.mark.parametrize("number", ENDING)
def test_the_first_signal_interrupts(number: int) -> None:
    handlers = [signal.getsignal(n) for n in ENDING]
    with StopSignals() as stop:
        assert stop.number is None
        with pytest.raises(KeyboardInterrupt) as caught:
            send(number)
        send(number)  # the same once more, a moment later
        send(signal.SIGTERM)
        assert stop.hold()
        send(number)
    assert caught.value.args == (number,)
    assert stop.number == number
    assert [signal.getsignal(n) for n in ENDING] == handlers


def test_a_second_signal_of_someone_who_does_not_wait_interrupts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 100.0
    monkeypatch.setattr("ffnn_xp.cli.stop_signals.time.monotonic", lambda: clock)
    with StopSignals():
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        clock = 102.0
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_signals_wait_once_they_are_held() -> None:
    with StopSignals() as stop:
        assert not stop.hold()
        send(signal.SIGTERM)
    assert stop.number == signal.SIGTERM


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as stop:
            send(signal.SIGHUP)
        assert stop.number is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_a_thread_there_are_none() -> None:
    seen = []

    def work() -> None:
        with StopSignals() as stop:
            seen.append(stop.hold())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
