"""Calls that are killed and made again with their checkpoint: the same bits as without, or a refusal that says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp._lib import journal

from ..executors import AtOnce

# A call in a process of its own, which writes its file 100 times a second, and its result beside that at the end.
CHILD = """
import sys, warnings
import numpy as np
import ffnn_xp as fx
from ffnn_xp._lib import journal
journal.INTERVAL, journal.OLD = 0.02, float(sys.argv[3])
warnings.simplefilter("ignore")
rng = np.random.default_rng(1)
x = rng.uniform(-1, 1, 200)
y = np.sin(3 * x) + 0.1 * rng.normal(size=200)
kind, path = sys.argv[1:3]
model = fx.Model((1, 30, 30, 1) if kind in ("large", "one") else (1, 20, 1) if kind == "auto" else (1, 5, 1), seed=1)
if kind in ("replicas", "coverage"):
    fit = model.fit(x, y, 0.1, prior=1.0)
print("began", flush=True)
if kind == "starts":
    result = model.fit(x, y, 0.1, prior=None, restarts=20, checkpoint=path).parameters
elif kind == "large":
    result = model.fit(x, y, 0.1, prior=1.0, restarts=4, checkpoint=path).parameters
elif kind == "one":
    fit = model.fit(x, y, 0.1, prior=1.0, checkpoint=path)
    result = np.array([fit.fval, fit.valid])
elif kind == "auto":
    fit = model.fit(x, y, checkpoint=path)
    result = np.concatenate([fit.parameters, model.predict(x)])
elif kind == "replicas":
    result = model.fit_replicas(x, y, 0.1, number=400, seed=2, checkpoint=path).parameters
else:
    found = fit.coverage(number=100, seed=3, checkpoint=path)
    result = np.concatenate([found.pointwise.ravel(), found.bias.ravel(), found.spread.ravel()])
np.save(path + ".npy", result)
"""


def begun(kind: str, path: Path, old: float = 1e9) -> subprocess.Popen[str]:
    """Start a call in a process of its own; return when it has read its data."""
    command = [sys.executable, "-c", CHILD, kind, str(path), str(old)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "began\n", child.communicate()[1]
    return child


def finished(kind: str, path: Path, old: float = 1e9) -> Any:
    """Make a call in a process of its own, and return its result."""
    child = begun(kind, path, old)
    _, errors = child.communicate()
    assert child.returncode == 0, errors
    return np.load(f"{path}.npy")


def killed(kind: str, path: Path, growths: int, number: int = signal.SIGKILL, old: float = 1e9) -> int:
    """Kill a call once its file has changed so many times; return the exit code."""
    with begun(kind, path, old) as child:
        seen = set()
        while len(seen) < growths and child.poll() is None:
            if path.exists():
                seen.add(path.read_bytes())
            time.sleep(0.001)
        child.send_signal(number)
        child.communicate()
    return child.returncode


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["starts", "large", "auto", "replicas", "coverage"])
def test_a_call_that_was_killed_goes_on_to_the_same_bits(kind: str, tmp_path: Path) -> None:
    alone = finished(kind, tmp_path / "alone")
    path, sizes = tmp_path / "killed", list[int]()
    assert killed(kind, path, 1) == -signal.SIGKILL
    for growths in (3, 2, 4):
        killed(kind, path, growths)
        sizes.append(path.stat().st_size)
    assert np.array_equal(finished(kind, path), alone)
    assert max(*sizes, path.stat().st_size) < 2e6
    before = path.read_bytes()
    assert np.array_equal(finished(kind, path), alone)
    assert path.read_bytes() == before


@pytest.mark.slow
def test_one_long_minimization_goes_on_from_its_best_point(tmp_path: Path) -> None:
    value, valid = finished("one", tmp_path / "alone")
    path = tmp_path / "killed"
    assert killed("one", path, 3, old=0.01) == -signal.SIGKILL
    killed("one", path, 3, old=0.01)
    again, valid_again = finished("one", path)
    assert [valid, valid_again] == [1, 1]
    assert abs(again - value) < 1e-6


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_a_call_and_its_file_has_all_that_is_done(number: int, tmp_path: Path) -> None:
    alone = finished("large", tmp_path / "alone")
    path = tmp_path / "ended"
    code = killed("large", path, 2, number)
    assert code == (-signal.SIGTERM if number == signal.SIGTERM else -signal.SIGINT)
    assert np.array_equal(finished("large", path), alone)


@pytest.fixture
def data() -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, 50)
    return x, np.sin(3 * x) + 0.1 * rng.normal(size=50)


@pytest.mark.slow
def test_other_calls_are_refused_and_the_file_stays(data: tuple[Any, Any], tmp_path: Path) -> None:
    pytest.importorskip("array_api_strict")
    (x, y), path = data, tmp_path / "fit.checkpoint"
    same: dict[str, Any] = {"prior": 1.0, "restarts": 2, "checkpoint": path}
    fx.Model((1, 3, 1), seed=1).fit(x, y, 0.1, **same)
    content = path.read_bytes()
    for change, named in [
        ({"y_err": 0.2}, "data"),
        ({"prior": 2.0}, "`prior`"),
        ({"prior": "auto"}, "prior=auto"),
        ({"seed": 2}, "`seed`"),
        ({"restarts": 3}, "`restarts`"),
        ({"start": np.zeros(10)}, "`start`"),
        ({"loss": "huber"}, "`loss`"),
        ({"loss": lambda z: z}, "`loss`"),
        ({"covariance": "sandwich"}, "`covariance`"),
        ({"minimizer": "lbfgs"}, "`minimizer`"),
        ({"executor": AtOnce()}, "`executor`"),
        ({"mask": x > 0}, "data"),
        ({"weights": np.full(50, 2.0)}, "data"),
        ({"tuning": fx.fitting.Tuning(matrix_limit=99)}, "`tuning`"),
    ]:
        with pytest.raises(ValueError, match=f"is that of another call, with other .*{named}"):
            fx.Model((1, 3, 1), seed=1).fit(**{"x": x, "y": y, "y_err": 0.1, **same, **change})
    for options, named in [
        ({"layers": (1, 4, 1)}, "layers"),
        ({"activation": "softplus"}, "activations"),
        ({"backend": "array_api_strict"}, "backend or dtype"),
    ]:
        with pytest.raises(ValueError, match=f"is that of another call, with other {named}"):
            fx.Model(**{"layers": (1, 3, 1), "seed": 1, **options}).fit(x, y, 0.1, **same)
    model = fx.Model((1, 3, 1), seed=1)
    fit = model.fit(x, y, 0.1, prior=1.0)
    for call in (
        lambda: model.fit_replicas(x, y, 0.1, number=9, checkpoint=path),
        lambda: fit.coverage(number=9, seed=1, checkpoint=path),
        lambda: fit.goodness(9, seed=1, checkpoint=path),
    ):
        with pytest.raises(ValueError, match="is that of another call, with other kind of call"):
            call()
    assert path.read_bytes() == content


def test_how_long_a_call_may_take_and_who_looks_on_are_no_other_call(data: tuple[Any, Any], tmp_path: Path) -> None:
    (x, y), path = data, tmp_path / "fit.checkpoint"
    first = fx.Model((1, 3, 1), seed=1).fit(x, y, 0.1, prior=1.0, checkpoint=path)
    seen: list[Any] = []
    again = fx.Model((1, 3, 1), seed=1).fit(
        x, y, 0.1, prior=1.0, checkpoint=os.fspath(path), max_seconds=100, callback=seen.append, progress=False
    )
    assert np.array_equal(again.parameters, first.parameters)
    assert again.fval == first.fval


@pytest.mark.slow
def test_a_fit_that_a_callback_stops_goes_on(data: tuple[Any, Any], tmp_path: Path) -> None:
    x, y = data
    options: dict[str, Any] = {"prior": 1.0, "restarts": 4}
    alone = fx.Model((1, 20, 20, 1), seed=1).fit(x, y, 0.1, **options)
    path, stopped = tmp_path / "fit.checkpoint", []
    for stop_at in (1, 2, 3, 4):
        with pytest.warns(fx.FitWarning, match="not valid"):
            fit = fx.Model((1, 20, 20, 1), seed=1).fit(
                x, y, 0.1, **options, checkpoint=path, callback=lambda state, at=stop_at: state.start >= at
            )
        stopped.append(len(fit.restarts))
    assert stopped == [1, 2, 3, 4]
    again = fx.Model((1, 20, 20, 1), seed=1).fit(x, y, 0.1, **options, checkpoint=path)
    assert np.array_equal(again.parameters, alone.parameters)


@pytest.mark.slow
def test_workers_of_an_executor_do_what_is_not_done(data: tuple[Any, Any], tmp_path: Path) -> None:
    (x, y), path = data, tmp_path / "replicas.checkpoint"
    model = fx.Model((1, 3, 1), seed=1)
    model.fit(x, y, 0.1, prior=1.0)
    alone = model.fit_replicas(x, y, 0.1, number=60, seed=2)

    def broken(call: int) -> BaseException | None:
        return KeyboardInterrupt() if call == 2 else None

    with pytest.raises(KeyboardInterrupt):
        model.fit_replicas(x, y, 0.1, number=60, seed=2, checkpoint=path, executor=AtOnce(broken))
    executor = AtOnce()
    there = model.fit_replicas(x, y, 0.1, number=60, seed=2, checkpoint=path, executor=executor)
    assert np.array_equal(there.parameters, alone.parameters)
    done = AtOnce()
    again = model.fit_replicas(x, y, 0.1, number=60, seed=2, checkpoint=path, executor=done)
    assert np.array_equal(again.parameters, alone.parameters)
    assert executor.calls
    assert not done.calls


@pytest.mark.slow
def test_a_fit_without_a_seed_goes_on_with_the_seed_that_was_drawn(data: tuple[Any, Any], tmp_path: Path) -> None:
    def fit(name: str, **options: Any) -> fx.FitResult:
        return fx.Model((1, 20, 20, 1)).fit(*data, 0.1, prior=1.0, restarts=3, checkpoint=tmp_path / name, **options)

    with pytest.warns(fx.FitWarning, match="not valid"):
        fit("a", callback=lambda state: state.start >= 2)
    (tmp_path / "b").write_bytes((tmp_path / "a").read_bytes())
    first, second = fit("a"), fit("b")
    assert [row.fval for row in first.restarts] == [row.fval for row in second.restarts]
    assert np.array_equal(first.parameters, second.parameters)


def test_a_checkpoint_that_cannot_be_written_is_refused_before_any_work(data: tuple[Any, Any], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        fx.Model((1, 3, 1), seed=1).fit(*data, 0.1, prior=1.0, checkpoint=tmp_path / "none" / "a")
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        fx.Model((1, 3, 1), seed=1).fit(*data, 0.1, prior=1.0, checkpoint=tmp_path)
    with pytest.raises(TypeError, match="`checkpoint` must be the name of a file"):
        fx.Model((1, 3, 1), seed=1).fit(*data, 0.1, prior=1.0, checkpoint=3)  # type: ignore[arg-type]


def test_evaluations_do_not_write_more_often_than_they_should(
    data: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    monkeypatch.setattr(journal, "write_file", lambda path, content: writes.append(len(content)))
    fx.Model((1, 3, 1), seed=1).fit(*data, 0.1, prior=1.0, checkpoint=tmp_path / "a")
    assert len(writes) == 1
    assert writes[0] < 1e5
