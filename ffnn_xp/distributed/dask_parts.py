"""Parts of the events that the workers of a Dask cluster hold.

Each part is held by an actor on one of the workers, on its GPU if the model computes on one. Theta and the name of a
sum go out, and that part's sum comes back. If a worker is lost, its parts are made again from their recipes on others,
with the same checksum, and are asked the same again.
"""

from __future__ import annotations

import hashlib
import pickle
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from ffnn_xp._lib.errors import FfnnXpWarning, WorkerError, outside_the_package
from ffnn_xp._lib.limits import StopMinimization, stop_if_due
from ffnn_xp._lib.optional import require
from ffnn_xp._lib.pickles import pickled
from ffnn_xp._lib.progress import bar, tick
from ffnn_xp.backends import one_blas_thread
from ffnn_xp.data import Measurements
from ffnn_xp.distributed.parts import Parts, PartSummary, ProblemWithoutData, Reader, Recipe, Result

TRIES = 5  # times that a part is made again before its loss is an error
PROBLEMS = 2  # that a worker keeps for each part, each with its standardised events
POLL = 0.05  # seconds after which the process that waits looks whether it should stop
PATIENCE = 30.0  # seconds that it waits for a new worker where all are lost
PURPOSE = "events in parts on a cluster"


class Reply(NamedTuple):
    """The reply of a worker: the events that it is about, the result, or the error that there was instead."""

    n: int
    result: Any
    error: Exception | None = None


class Holder:
    """An actor: it holds the events of a part, and computes sums over them.

    Parameters
    ----------
    reader : Reader
        Reads and checks the measurements.
    recipe : Recipe
        Makes them.
    given : dict, optional
        The values that a `Partition` is made of.
    """

    def __init__(self, reader: Reader, recipe: Recipe, given: dict[str, Any] | None = None) -> None:
        self._problems: OrderedDict[str, Any] = OrderedDict()
        self._error: Exception | None = None
        try:
            if isinstance(recipe, Partition) and given is not None:
                recipe = replace(recipe, given=given)
            self._data, self._summary = reader(recipe.name, recipe.read())
        except Exception as error:  # an actor that cannot be made would look like a worker that is lost
            self._error = error

    def summary(self) -> Reply:
        """Return the summary of the events."""
        return Reply(0, None, self._error) if self._error else Reply(self._data.n, self._summary)

    def result(self, key: str, problem: bytes | None, task: Callable[..., Any], args: tuple[Any, ...]) -> Reply:
        """Return the result of a task for a problem, whose pickle is needed at the first task for it."""
        try:
            if key not in self._problems:
                self._problems[key] = pickle.loads(problem or b"").of_part(self._data)
                while len(self._problems) > PROBLEMS:
                    self._problems.popitem(last=False)
            self._problems.move_to_end(key)
            with one_blas_thread(), np.errstate(all="ignore"):
                return Reply(self._data.n, task(self._problems[key], *args))
        except Exception as error:
            return Reply(self._data.n, None, error)


@dataclass(frozen=True, eq=False)
class Partition(Recipe):
    """A partition of arrays and tables of Dask, one beside the other.

    Parameters
    ----------
    number : int
        Its number.
    whole : Measurements
        What is the same for all partitions.
    given : dict
        The values of each argument, computed or still to be computed.
    """

    number: int
    whole: Measurements
    given: dict[str, Any]

    @property
    def name(self) -> str:
        """The number of the partition."""
        return f"partition {self.number}"

    def read(self) -> Measurements:
        """Return the values, computed here if that is still to be done."""
        return replace(
            self.whole,
            **dict(zip(self.given, require("dask", "dask", PURPOSE).compute(*self.given.values()), strict=True)),
        )


@dataclass
class _Shard:
    """A part on a cluster: its recipe, its actor when that is made, and the problems that this has."""

    number: int
    recipe: Recipe
    summary: PartSummary | None = None
    future: Any = None
    holder: Any = None
    sent: list[str] = field(default_factory=list)

    def remember(self, key: str) -> None:
        """Note that the actor has been sent a problem; it keeps the last few that it was asked for."""
        self.sent = [*(k for k in self.sent if k != key), key][-PROBLEMS:]


def _waited(future: Any) -> Any:
    """Return the result of a future of Dask, unless the deadline or Ctrl-C comes first."""
    while True:
        stop_if_due()
        tick()
        try:
            return future.result(timeout=POLL)
        except (TimeoutError, UnboundLocalError):  # this is Dask's where its own timeout has cancelled the wait
            if future.done():
                return future.result()


class DaskParts(Parts):
    """Parts of events on the workers of a cluster.

    Parameters
    ----------
    client : dask.distributed.Client
        The cluster's client.
    recipes : sequence of Recipe
        They make the parts.
    reader : Reader
        Reads and checks them.

    Raises
    ------
    WorkerError
        If the workers that hold a part are lost again and again, or the scheduler is gone.
    """

    def __init__(self, client: Any, recipes: Sequence[Recipe], reader: Reader) -> None:
        require("distributed", "dask", PURPOSE)
        if not hasattr(client, "submit") or not hasattr(client, "scheduler_info"):
            raise TypeError(f"`client` must be a dask.distributed.Client, got {client!r}")
        self._client, self._reader = client, reader
        self._shards = [_Shard(i, recipe) for i, recipe in enumerate(recipes)]
        self._problems: OrderedDict[int, tuple[Any, str, bytes]] = OrderedDict()
        self._reason = ""
        with bar("reading", len(self._shards), "parts") as line:
            found = self._ask(lambda shard: shard.holder.summary(), line.advance)
        for shard, summary in zip(self._shards, found, strict=True):
            shard.summary = summary
        self._shards = [shard for shard in self._shards if shard.summary is not None]
        self.summaries = [summary for summary in found if summary is not None]
        self.sizes = [summary.n for summary in self.summaries]

    @property
    def where(self) -> str:
        """The workers of the cluster."""
        return "on the workers of a Dask cluster"

    def each(
        self,
        problem: ProblemWithoutData,
        task: Callable[..., Result],
        args: tuple[Any, ...] = (),
        of_parts: Sequence[tuple[Any, ...]] | None = None,
    ) -> list[Result]:
        """Return the results of a function of each part's problem; see `Parts`."""
        key, content = self._pickled(problem)
        place = {shard.number: i for i, shard in enumerate(self._shards)}

        def call(shard: _Shard) -> Any:
            own = () if of_parts is None else of_parts[place[shard.number]]
            new = key not in shard.sent
            shard.remember(key)
            return shard.holder.result(key, content if new else None, task, (*args, *own))

        return self._ask(call)

    def _pickled(self, problem: ProblemWithoutData) -> tuple[str, bytes]:
        """Return a problem's pickle and the hash of that, made once."""
        if id(problem) not in self._problems:
            content = pickled(problem.alone())
            self._problems[id(problem)] = problem, hashlib.sha256(content).hexdigest(), content
            while len(self._problems) > PROBLEMS:
                self._problems.popitem(last=False)
        return self._problems[id(problem)][1:]

    def _ask(self, call: Callable[[_Shard], Any], done: Callable[[], None] = tick) -> list[Any]:
        """Ask all shards at once; return their results in order. What a lost worker held is made again, and asked."""
        self._lost = False
        for shard in self._shards:
            if shard.future is None:
                self._begin(shard)
        waiting = [self._called(shard, call) for shard in self._shards]
        results = []
        for shard, reply in zip(self._shards, waiting, strict=True):
            results.append(self._result(shard, call, reply))
            done()
        return results

    def _called(self, shard: _Shard, call: Callable[[_Shard], Any]) -> Any:
        """Call the shard's actor; return its future, or None if there is no reaching it."""
        return self._reached(lambda: call(self._with_holder(shard)))

    def _result(self, shard: _Shard, call: Callable[[_Shard], Any], future: Any) -> Any:
        """Return the result of a call, made again while workers are lost."""
        for _ in range(TRIES):
            reply = self._reply(future)
            if reply is not None:
                return self._checked(shard, reply)
            self._check_scheduler()
            self._warn()
            self._begin(shard)
            self._check_unchanged(shard)
            future = self._called(shard, call)
        raise WorkerError(
            f"the workers that held {shard.recipe.name} were lost {TRIES} times, for want of memory perhaps "
            f"({self._reason}): make parts smaller, or take more workers"
        )

    def _warn(self) -> None:
        """Warn that a worker is lost, once for all parts that it held."""
        if self._lost:
            return
        self._lost = True
        warnings.warn(
            "a worker of the Dask cluster is lost: the events that it held are made again elsewhere",
            FfnnXpWarning,
            stacklevel=outside_the_package(),
        )

    def _reply(self, future: Any) -> Reply | None:
        """Return the reply of an actor; None if it is lost."""
        return None if future is None else self._reached(lambda: _waited(future))

    def _checked(self, shard: _Shard, reply: Reply) -> Any:
        """Return the result of a reply, or raise its error; a reply about other events than a part's is refused."""
        if reply.error is not None:
            raise reply.error
        if shard.summary is not None and reply.n != shard.summary.n:
            raise WorkerError(f"{shard.recipe.name} has {reply.n} events on its worker, not {shard.summary.n}")
        return reply.result

    def _check_unchanged(self, shard: _Shard) -> None:
        """Check that a part that was made again has the events that it had; one that is lost again is found later."""
        reply = self._reply(self._called(shard, lambda shard: shard.holder.summary()))
        if shard.summary is None or reply is None:
            return
        if reply.error is not None:
            raise reply.error
        if reply.result is None or reply.result.checksum != shard.summary.checksum:
            raise WorkerError(
                f"{shard.recipe.name} is not what it was when the fit began: its file has changed, or what computes it "
                "gives another result each time"
            )

    def _reached(self, do: Callable[[], Any]) -> Any:
        """Return what a function returns; None if Dask says that the worker is lost. Replies have their own errors."""
        try:
            return do()
        except (StopMinimization, WorkerError):
            raise
        except Exception as error:
            self._reason = f"{type(error).__name__}: {error}"
            return None

    def _begin(self, shard: _Shard) -> None:
        """Begin to make the actor of a shard."""
        workers, recipe, given = self._workers(), shard.recipe, None
        if isinstance(recipe, Partition):
            given = {name: self._client.compute(a) for name, a in recipe.given.items()}
            recipe = replace(recipe, given={})
        shard.holder, shard.sent = None, []
        shard.future = self._client.submit(
            Holder,
            self._reader,
            recipe,
            given,
            actor=True,
            pure=False,
            workers=[workers[shard.number % len(workers)]],
            allow_other_workers=True,
        )

    def _with_holder(self, shard: _Shard) -> _Shard:
        """Return a shard once its actor is made."""
        if shard.holder is None:
            shard.holder = _waited(shard.future)
        return shard

    def _workers(self) -> list[str]:
        """Return the addresses of the workers; wait for one where all are lost."""
        end = time.monotonic() + PATIENCE
        while not (workers := sorted(self._client.scheduler_info(n_workers=-1)["workers"])):
            if time.monotonic() > end:
                raise WorkerError(f"the Dask cluster has had no worker for {PATIENCE:.0f} seconds")
            self._check_scheduler()
            time.sleep(POLL)
            stop_if_due()
        return workers

    def _check_scheduler(self) -> None:
        if self._client.status != "running":
            raise WorkerError(f"the scheduler of the Dask cluster is gone: its client is {self._client.status!r}")
