"""Fits of arrays and tables of Dask, here and on a cluster, whose workers may be lost."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

import ffnn_xp as fx
from ffnn_xp._lib.errors import FfnnXpWarning, WorkerError
from ffnn_xp.distributed import dask_parts

from .cases import CASES, is_same

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
distributed = pytest.importorskip("distributed")

# of Dask's own sockets and files, at the end of a cluster
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore:Exception ignored in")

CASE = CASES["errors of each"]


@contextmanager
def cluster(workers: int, *, processes: bool) -> Iterator[Any]:
    options = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
    with (
        distributed.LocalCluster(n_workers=workers, processes=processes, **options) as local,
        distributed.Client(local, set_as_default=True) as client,
    ):
        yield client


@pytest.fixture
def client() -> Iterator[Any]:
    with cluster(2, processes=False) as client:
        yield client


def lazy(arrays: dict[str, Any], rows: int = 80) -> dict[str, Any]:
    """The arrays with a row for each event as arrays of Dask, cut at different places."""
    found = dict(arrays)
    for i, (name, a) in enumerate(arrays.items()):
        if np.ndim(a) and len(a) == 300:
            found[name] = da.from_array(a, chunks=(rows + 7 * i, *np.shape(a)[1:])[: np.ndim(a)])
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["errors of each", "errors unknown", "weights", "mask", "errors of x", "counts", "classes"]
)
def test_arrays_on_a_cluster(client: Any, name: str) -> None:
    found = CASES[name].fit(**lazy(CASES[name].arrays))
    assert found.problem.in_parts
    assert "cluster" in found.problem.data.where
    assert len(found.problem.parts.sizes) == 4
    assert is_same(found, CASES[name].fit())


@pytest.mark.slow
def test_workers_compute_with_the_library_of_the_model(client: Any, backend: fx.Backend) -> None:
    assert is_same(CASE.fit(backend, **lazy(CASE.arrays)), CASE.fit(backend))


@pytest.mark.slow
def test_arrays_without_a_cluster() -> None:
    found = CASE.fit(**lazy(CASE.arrays))
    assert found.problem.data.where == "streamed from disk"
    assert is_same(found, CASE.fit())


@pytest.mark.slow
def test_tables_keep_their_names(client: Any) -> None:
    table = pd.DataFrame(CASE.arrays["x"], columns=["t", "U"]).assign(
        a=CASE.arrays["y"][:, 0], b=CASE.arrays["y"][:, 1]
    )
    parts = dd.from_pandas(table, npartitions=3)
    found = CASE.fit(x=parts[["t", "U"]], y=parts[["a", "b"]], y_err=0.1)
    assert (found.problem.data.input_names, found.problem.data.target_names) == (("t", "U"), ("a", "b"))
    assert is_same(found, CASE.fit(y_err=0.1))
    one = CASES["errors known"]
    found = one.fit(x=parts[["t", "U"]], y=parts["a"], y_err=0.1)
    assert is_same(found, one.fit(y=CASE.arrays["y"][:, 0], y_err=0.1))


@pytest.mark.slow
def test_numpy_beside_dask_is_cut_like_it(client: Any) -> None:
    some = {**CASE.arrays, "x": da.from_array(CASE.arrays["x"], chunks=(90, 1))}
    assert is_same(CASE.fit(**some), CASE.fit())


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            {"y": np.zeros((5, 2))},
            ValueError,
            "`y` must be a value of Dask with the partitions of `x`, or have as many rows",
        ),
        (
            {"y": da.zeros((300, 2), chunks=50)[:299]},
            ValueError,
            "all arrays must have the same partitions, got 4 of `x`",
        ),
        ({"y": da.full((300, 2), np.nan, chunks=50)}, ValueError, "in partition 0: `y` must be finite, got nan"),
        ({"y_cov": np.eye(600), "y_err": None}, ValueError, "`y_cov` ties events together"),
        ({"x": da.zeros((300, 3), chunks=80)}, ValueError, "`x` must have shape"),
    ],
)
def test_bad_input(client: Any, change: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        CASE.fit(**{**lazy(CASE.arrays), **change})


def test_parts_that_differ(client: Any) -> None:
    a, b = pd.DataFrame({"t": [1.0, 2.0], "U": 1.0}), pd.DataFrame({"U": [1.0, 3.0], "t": 1.0})
    x = dd.from_delayed([dask.delayed(a), dask.delayed(b)], meta=a, verify_meta=False)
    y = dd.from_delayed([dask.delayed(a.t), dask.delayed(b.t)], meta=a.t, verify_meta=False)
    with pytest.raises(
        ValueError, match=r"all parts must have the same names of inputs, got .* in partition 0 and .* in part"
    ):
        fx.Model((2, 1), seed=1).fit(x, y, 0.1, prior=1.0)


def test_values_of_dask_are_nowhere_computed_in_silence() -> None:
    x, y = da.zeros((10, 2)), da.zeros(10)
    model = fx.Model((2, 1), seed=1)
    with pytest.raises(
        TypeError, match=r"`x` is of Dask, a Array whose values are still to be computed: give x.compute"
    ):
        model.predict(x)
    with pytest.raises(TypeError, match="still to be computed"):
        fx.LeastSquares(np.zeros((10, 2)), y, 0.1, model)
    with pytest.raises(TypeError, match="still to be computed"):
        model.fit_replicas(x, y, 0.1, number=3)


def test_estimators_compute_nothing_in_silence() -> None:
    pytest.importorskip("sklearn")
    from ffnn_xp.estimators import FFNNClassifier, FFNNRegressor

    X, y = np.arange(20.0).reshape(10, 2), np.arange(10) % 2
    for kind in (FFNNRegressor, FFNNClassifier):
        estimator = kind((), prior=1.0)
        for given in ((da.from_array(X), y), (X, da.from_array(y))):
            with pytest.raises(TypeError, match="is of Dask, a Array whose values are still to be computed"):
                estimator.fit(*given)


@pytest.mark.slow
def test_a_fit_in_parts_is_not_pickled(client: Any) -> None:
    found = CASE.fit(**lazy(CASE.arrays))
    with pytest.raises(
        TypeError, match="events in parts stay where they are, and cannot be pickled with a fit: save the"
    ):
        pickle.dumps(found)


def test_a_client_that_is_none(tmp_path: Path) -> None:
    pd.DataFrame({"t": [1.0], "I": [1.0]}).to_parquet(tmp_path / "a.parquet")
    files = fx.EventFiles(tmp_path / "a.parquet", x="t", y="I", client=object())
    with pytest.raises(TypeError, match=r"`client` must be a dask\.distributed\.Client"):
        fx.Model((1, 1), seed=1).fit(files, prior=1.0)


def in_files(folder: Path, client: Any = None) -> fx.EventFiles:
    columns = np.hstack([CASE.arrays["x"], CASE.arrays["y"], CASE.arrays["y_err"]])
    for i in range(3):
        pd.DataFrame(columns[i::3], columns=list("abcdef")).to_parquet(folder / f"{i}.parquet")
    return fx.EventFiles(folder / "*.parquet", x=["a", "b"], y=["c", "d"], y_err=["e", "f"], client=client)


@pytest.mark.slow
def test_files_on_a_cluster(client: Any, tmp_path: Path) -> None:
    found = CASE._replace(arrays={}).fit(x=in_files(tmp_path, client))
    assert "cluster" in found.problem.data.where
    assert is_same(found, CASE.fit())


def test_columns_of_one_table_of_files_have_the_same_partitions(client: Any, tmp_path: Path) -> None:
    """Dask's optimizer joins files of which few columns are read, more of them for y than for x."""
    in_files(tmp_path)
    table = dd.read_parquet(tmp_path / "*.parquet")
    one = CASES["errors known"]
    found = one.fit(x=table[["a", "b"]], y=table["c"], y_err=0.1)
    assert is_same(found, one.fit(x=CASE.arrays["x"], y=CASE.arrays["y"][:, 0], y_err=0.1))
    assert len(found.problem.parts.sizes) == 3


@pytest.mark.slow
def test_a_reply_about_other_events_is_refused(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = CASE.fit(**lazy(CASE.arrays))
    found.problem.parts._shards[1].summary = found.problem.parts.summaries[0].__class__(
        **{**vars(found.problem.parts.summaries[1]), "n": 7}
    )
    with pytest.raises(WorkerError, match="partition 1 has 80 events on its worker, not 7"):
        found.cost.objective.value(found.standardised)


@pytest.mark.slow
def test_a_scheduler_that_is_gone() -> None:
    with cluster(1, processes=False):
        found = CASE.fit(**lazy(CASE.arrays))
    with pytest.raises(WorkerError, match="the scheduler of the Dask cluster is gone: its client is 'closed'"):
        found.cost.objective.value(found.standardised)


def lose(client: Any, fit: fx.FitResult) -> None:
    """Make all actors be lost, as those of workers that were killed."""
    for shard in fit.problem.parts._shards:
        shard.holder = Lost()


class Lost:
    """An actor whose worker is lost."""

    def result(self, *args: Any) -> Any:
        raise OSError("Unable to contact Actor's worker")

    summary = result


@pytest.mark.slow
def test_what_was_lost_is_made_again_with_the_same_digits(client: Any) -> None:
    found = CASE.fit(**lazy(CASE.arrays))
    theta = found.standardised + 0.1
    before = found.cost.objective.value_and_gradient(theta)
    lose(client, found)
    with pytest.warns(FfnnXpWarning, match="a worker of the Dask cluster is lost"):
        assert np.array_equal(found.cost.objective.value_and_gradient(theta), before)


def test_a_wait_that_dask_has_cancelled_goes_on() -> None:
    """On a busy machine its timeout comes as an error of its own code, and not as a timeout; nothing is lost."""

    class Busy:
        said: ClassVar = [TimeoutError(), UnboundLocalError("cannot access local variable 'result'"), None]

        def result(self, timeout: float | None = None) -> int:
            error = self.said.pop(0)
            if error is not None:
                raise error
            return 7

        def done(self) -> bool:
            return not self.said

    assert dask_parts._waited(Busy()) == 7
    assert not Busy.said


def test_an_error_of_what_is_done_is_told() -> None:
    class Failed:
        def result(self, timeout: float | None = None) -> int:
            raise UnboundLocalError("of the worker's own code")

        def done(self) -> bool:
            return True

    with pytest.raises(UnboundLocalError, match="own code"):
        dask_parts._waited(Failed())


@pytest.mark.slow
def test_what_is_lost_again_and_again_is_an_error(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = CASE.fit(**lazy(CASE.arrays))
    lose(client, found)
    monkeypatch.setattr(dask_parts.DaskParts, "_begin", lambda self, shard: setattr(shard, "holder", Lost()))
    with (
        pytest.warns(FfnnXpWarning, match="a worker of the Dask cluster is lost"),
        pytest.raises(
            WorkerError, match=r"were lost 5 times, .*Unable to contact.*: make parts smaller, or take more wor"
        ),
    ):
        found.cost.objective.value(found.standardised)


def test_files_that_have_changed(client: Any, tmp_path: Path) -> None:
    found = CASE._replace(arrays={}).fit(x=in_files(tmp_path, client))
    pd.DataFrame(np.ones((100, 6)), columns=list("abcdef")).to_parquet(tmp_path / "1.parquet")
    lose(client, found)
    with (
        pytest.warns(FfnnXpWarning, match="a worker of the Dask cluster is lost"),
        pytest.raises(WorkerError, match=r"1.parquet', row group 0 is not what it was when the fit began"),
    ):
        found.cost.objective.value(found.standardised)


@pytest.mark.slow
def test_the_same_bits_with_one_worker_and_two_and_when_one_is_killed() -> None:
    case = CASES["errors known"]
    case = case._replace(options={"restarts": 3, "prior": 3.0})
    with cluster(1, processes=True):
        one = case.fit(**lazy(case.arrays))
    with cluster(2, processes=True) as client:
        two = case.fit(**lazy(case.arrays))
        workers = list(client.run(os.getpid).values())

        def kill(state: fx.FitState) -> None:
            if state.calls > 2 and workers:
                os.kill(workers.pop(), signal.SIGKILL)
                workers.clear()

        with pytest.warns(FfnnXpWarning, match="a worker of the Dask cluster is lost"):
            killed = case._replace(options={**case.options, "callback": kill}).fit(**lazy(case.arrays))
    for other in (two, killed):
        assert other.fval == one.fval
        assert np.array_equal(other.parameters, one.parameters)
        assert np.array_equal(other.errors, one.errors)
