"""What one evaluation costs, against those who compute the same: value and gradient, and the Gauss-Newton matrix.

Value and gradient of chi-square over widths, events and threads: the library on NumPy (called as MINUIT calls it) and
on JAX, NumPy written by hand, automatic differentiation in torch and JAX, and scikit-learn's own backpropagation; and
the floor, the same matrix products alone, in blocks. Each line is measured in a process of its own, pinned to one
processor where one thread is asked for. Medians; ratios are the fastest peer's time over our better one.

    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/objective.py
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from itertools import pairwise
from pathlib import Path

import numpy as np
from header import header

import ffnn_xp as fx
from ffnn_xp.network import hessian
from ffnn_xp.objective.chunking import SumKind

WIDTHS = ("8,7,9,6", "8,64,64,6", "16,256,256,1")
EVENTS = (100, 10_000, 1_000_000)
WAYS = (
    ((1, 10, 1), 2000),
    ((1, 20, 1), 500),
    ((5, 15, 1), 1000),
    ((8, 50, 1), 500),
    ((2, 10, 10, 1), 500),
    ((4, 20, 20, 1), 500),
    ((4, 30, 20, 1), 1000),
    ((4, 10, 10, 10, 1), 1000),
    ((5, 30, 2), 1000),
    ((3, 10, 3), 500),
    ((8, 30, 30, 3), 1000),
    ((8, 7, 9, 6), 1000),
    ((8, 20, 20, 6), 1000),
)
MATRICES = (("8,20,20,6", 2000), ("8,20,20,6", 10_000), ("9,57,57,6", 2000), ("9,57,57,6", 10_000))
NOISE = 0.1
TURN = 5e-3  # seconds that a method is called for before the next one is, after as many that do not count
REST = 0.15  # the same where threads are used: BLAS's threads spin for 0.1 after their work
WARMED = 0.1  # seconds of a call up to which that matters
LONG = 2.0  # seconds of a call that is not repeated more than twice

Evaluation = Callable[[np.ndarray], tuple[float, np.ndarray]]


def median_time(f: Callable[[], object], seconds: float) -> float:
    """Median seconds of a call, repeated for about so long, at least three times unless it is long."""
    began = time.perf_counter()
    f()
    first = time.perf_counter() - began
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < (1 if first > LONG else 3) or (time.perf_counter() < end and len(times) < 5000):
        began = time.perf_counter()
        f()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def events(widths: tuple[int, ...], n: int) -> tuple[np.ndarray, np.ndarray, fx.Model]:
    model = fx.Model(widths, backend="numpy", seed=1)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, widths[0]))
    return x, model(x).reshape(n, -1) + NOISE * rng.normal(size=(n, widths[-1])), model


def split(theta, widths: tuple[int, ...]):
    """The augmented matrices in theta, of any library."""
    shapes = [(h, below + 1) for below, h in pairwise(widths)]
    ends = np.cumsum([r * c for r, c in shapes])
    return [theta[e - r * c : e].reshape(r, c) for e, (r, c) in zip(ends, shapes, strict=True)]


def network(tanh, theta, X, widths: tuple[int, ...]):
    """The output, events as columns, in any library."""
    *hidden, last = split(theta, widths)
    a = X
    for A in hidden:
        a = tanh(A[:, :-1] @ a + A[:, -1:])
    return last[:, :-1] @ a + last[:, -1:]


def by_hand(x: np.ndarray, y: np.ndarray, widths: tuple[int, ...]) -> Evaluation:
    """NumPy as one would write it for two hidden layers, all events at once."""
    X, Y = np.ascontiguousarray(x.T), np.ascontiguousarray(y.T)

    def f(theta: np.ndarray) -> tuple[float, np.ndarray]:
        A1, A2, A3 = split(theta, widths)
        a1 = np.tanh(A1[:, :-1] @ X + A1[:, -1:])
        a2 = np.tanh(A2[:, :-1] @ a1 + A2[:, -1:])
        pull = (A3[:, :-1] @ a2 + A3[:, -1:] - Y) / NOISE
        d3 = pull * (2 / NOISE)
        d2 = (A3[:, :-1].T @ d3) * (1 - a2 * a2)
        d1 = (A2[:, :-1].T @ d2) * (1 - a1 * a1)
        rows = [np.hstack([d @ a.T, d.sum(axis=1)[:, None]]).ravel() for d, a in ((d1, X), (d2, a1), (d3, a2))]
        return float(np.sum(pull * pull)), np.concatenate(rows)

    return f


def by_torch(x: np.ndarray, y: np.ndarray, widths: tuple[int, ...]) -> Evaluation:
    import torch

    torch.set_num_threads(threads())
    X, Y = torch.from_numpy(x.T.copy()), torch.from_numpy(y.T.copy())

    def f(theta: np.ndarray) -> tuple[float, np.ndarray]:
        t = torch.from_numpy(theta).requires_grad_()
        chi2 = (((network(torch.tanh, t, X, widths) - Y) / NOISE) ** 2).sum()
        (g,) = torch.autograd.grad(chi2, t)
        return chi2.item(), g.numpy()

    return f


def by_jax(x: np.ndarray, y: np.ndarray, widths: tuple[int, ...]) -> Evaluation:
    import jax

    jax.config.update("jax_enable_x64", True)
    X, Y = jax.numpy.asarray(x.T), jax.numpy.asarray(y.T)

    @jax.jit
    @jax.value_and_grad
    def g(theta):
        return jax.numpy.sum(((network(jax.numpy.tanh, theta, X, widths) - Y) / NOISE) ** 2)

    def f(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = g(theta)
        return float(value), np.asarray(gradient)

    return f


def by_sklearn(x: np.ndarray, y: np.ndarray, widths: tuple[int, ...]) -> Evaluation:
    """What `MLPRegressor(solver="lbfgs")` hands to SciPy, with its own layout and scale of the loss."""
    from sklearn.neural_network import MLPRegressor

    class Caught(MLPRegressor):
        def _fit_lbfgs(self, *args):
            self.caught = args[:-1]
            super()._fit_lbfgs(*args)

    net = Caught(
        hidden_layer_sizes=widths[1:-1],
        activation="tanh",
        solver="lbfgs",
        alpha=0.0,
        max_iter=1,
        max_fun=1,
        random_state=1,
    )
    few = slice(min(len(x), 200))
    net.fit(x[few], y[few] if y.shape[1] > 1 else y[few, 0])
    _, _, weight, activations, *rest = net.caught
    return lambda theta: net._loss_grad_lbfgs(theta, x, y, weight, [x, *activations[1:]], *rest)


def ours(backend: str) -> Callable[[np.ndarray, np.ndarray, tuple[int, ...]], Evaluation]:
    def make(x: np.ndarray, y: np.ndarray, widths: tuple[int, ...]) -> Evaluation:
        model = fx.Model(widths, backend=fx.get_backend(backend, device="cpu", fallback=False), seed=1)
        return fx.LeastSquares(x, y, NOISE, model).value_and_gradient

    return make


def products(x: np.ndarray, y: np.ndarray, widths: tuple[int, ...]) -> Evaluation:
    """The floor: what value and gradient multiply, in blocks of the library's size, on one thread."""
    rng = np.random.default_rng(1)
    model = fx.Model(widths, backend="numpy", seed=1)
    size = fx.LeastSquares(x, y, NOISE, model).objective._sizes.of(SumKind(matrices=False))
    W = [rng.normal(size=(h, below)) for below, h in pairwise(widths)]
    a = [rng.normal(size=(h, min(size, len(x)))) for h in widths]
    sizes = [min(size, len(x) - at) for at in range(0, len(x), size)]

    def f(theta: np.ndarray) -> tuple[float, np.ndarray]:
        for m in sizes:
            v = [b[:, :m] for b in a]
            for l, A in enumerate(W):
                A @ v[l]
                v[l + 1] @ v[l].T
                if l:
                    A.T @ v[l + 1]
        return 0.0, theta

    return f


METHODS = {
    "ffnn_xp, NumPy": ours("numpy"),
    "ffnn_xp, JAX": ours("jax"),
    "NumPy by hand": by_hand,
    "torch autograd": by_torch,
    "jax.jit": by_jax,
    "scikit-learn": by_sklearn,
    "products alone": products,
}


def threads() -> int:
    return int(os.environ["FFNN_XP_THREADS"])


def memory(widths: tuple[int, ...], n: int) -> tuple[float, float, float]:
    """MiB of x and y; what a cost with one error for all holds beside them, and the most it took with an evaluation."""
    x, y, model = events(widths, n)
    gc.collect()
    before = resident()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    cost = fx.LeastSquares(x, y, NOISE, model)
    held = resident() - before
    cost.value_and_gradient(cost.start)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return (x.nbytes + y.nbytes) / 2**20, held, most - before if most > peak else held


def resident() -> float:
    """MiB of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def one(widths: tuple[int, ...], n: int, seconds: float, names: Collection[str]) -> dict[str, float]:
    """Seconds of each method, in turns; all gradients are compared first."""

    def timed(f: Evaluation) -> float:
        theta[0] += 1e-9  # else it would be remembered
        at = theta.copy()
        began = time.perf_counter()
        f(at)
        return time.perf_counter() - began

    x, y, model = events(widths, n)
    theta = model.backend.to_host(model.parameters).copy()
    expected = by_hand(x[:500], y[:500], widths)(theta)[1]
    made: dict[str, Evaluation] = {}
    for name, make in METHODS.items():
        if name not in names:
            continue
        try:
            if name not in ("scikit-learn", "products alone"):
                got = make(x[:500], y[:500], widths)(theta)[1]
                np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max(), err_msg=name)
            made[name] = make(x, y, widths)
        except (ImportError, fx.BackendUnavailableError):
            continue
    times: dict[str, list[float]] = {name: [] for name in made}
    for f in made.values():
        f(theta.copy())
    end = time.perf_counter() + seconds * len(made)
    length = TURN if threads() == 1 else REST
    rounds = 0
    while rounds < 3 or (time.perf_counter() < end and rounds < 5000):
        rounds += 1
        for name, f in made.items():
            if not times[name] or times[name][-1] < WARMED:
                warm = time.perf_counter() + length
                while time.perf_counter() < warm:
                    end += timed(f)
            turn = time.perf_counter() + length
            while not times[name] or time.perf_counter() < turn or len(times[name]) < rounds:
                times[name].append(timed(f))
    return {name: float(np.median(found)) for name, found in times.items()}


def matrix(widths: tuple[int, ...], n: int, name: str) -> tuple[float, float]:
    """Seconds of a Gauss-Newton matrix, and what it adds to the process's peak memory in MiB."""
    x, y, model = events(widths, n)
    theta = model.backend.to_host(model.parameters).copy()
    if name == "ffnn_xp":
        S = fx.LeastSquares(x, y, NOISE, model).objective
        f: Callable[[], object] = lambda: S.gauss_newton(theta)  # noqa: E731
    elif name == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
        rows = jax.numpy.asarray(x)

        @jax.jit
        def g(t):
            each = jax.jacrev(lambda t, row: network(jax.numpy.tanh, t, row[:, None], widths)[:, 0] / NOISE)
            J = jax.vmap(each, (None, 0))(t, rows).reshape(-1, t.shape[0])
            return 2 * J.T @ J

        f = lambda: np.asarray(g(theta))  # noqa: E731
    else:
        import torch

        torch.set_num_threads(threads())
        rows, t = torch.from_numpy(x), torch.from_numpy(theta)

        def per_event(t, row):
            return network(torch.tanh, t, row[:, None], widths)[:, 0] / NOISE

        def f() -> object:
            J = torch.func.vmap(torch.func.jacrev(per_event), (None, 0))(t, rows).reshape(-1, len(theta))
            return 2 * J.T @ J

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = median_time(f, 1.0)
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10


def elsewhere(count: int, *arguments: str) -> object:
    """What this file prints with these arguments, in a process with so many threads."""
    environment = {
        **os.environ,
        "FFNN_XP_THREADS": str(count),
        "OMP_NUM_THREADS": str(count),
        "OPENBLAS_NUM_THREADS": str(count),
    }
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def sweep_table(options: argparse.Namespace) -> None:
    print("## Value and gradient, µs\n")
    print(f"| widths | events | threads | {' | '.join(METHODS)} | ratio | NumPy over the floor | better over it |")
    print("| --- " * (len(METHODS) + 6) + "|")
    for widths in options.widths:
        for n in options.events:
            for count in options.threads:
                run = ["--one", widths, str(n), str(count), str(options.seconds), "--methods", *options.methods]
                times: dict = elsewhere(count, *run)
                mine = min((t for name, t in times.items() if name.startswith("ffnn_xp")), default=np.nan)
                peer = min((t for name, t in times.items() if name in list(METHODS)[2:-1]), default=np.nan)
                floor = times.get("products alone", np.nan)
                over = f"{times.get('ffnn_xp, NumPy', np.nan) / floor:.1f} | {mine / floor:.1f}"
                cells = " | ".join(f"{1e6 * times[m]:.0f}" if m in times else "-" for m in METHODS)
                name = widths.replace(",", "-")
                print(f"| {name} | {n} | {count} | {cells} | {peer / mine:.2f} | {over} |", flush=True)


def ways_table(seconds: float) -> None:
    """A Gauss-Newton matrix by each way to sum over outputs: where the constant in `hessian.cheapest` is from."""
    ways = {"by rows": hessian.by_rows, "by units": hessian.by_units, "closed form": None}
    print(f"| widths | parameters | events | {', ms | '.join(ways)}, ms | taken | over the best |")
    print("| --- " * (len(ways) + 5) + "|")
    decide = hessian.cheapest
    for widths, n in WAYS:
        x, y, model = events(widths, n)
        S = fx.LeastSquares(x, y, NOISE, model).objective
        times: dict[str, list[float]] = {name: [] for name in ways}
        end = time.perf_counter() + seconds * len(ways)
        while len(times["by rows"]) < 4 or time.perf_counter() < end:
            for name, way in ways.items():
                hessian.cheapest = lambda layout, k, cost, way=way: way
                began = time.perf_counter()
                S.gauss_newton(model.parameters)
                times[name].append(time.perf_counter() - began)
        hessian.cheapest = decide
        medians = {name: 1e3 * np.median(found[1:]) for name, found in times.items()}
        taken = next(
            name
            for name, way in ways.items()
            if way is decide(model.network.layout, widths[-1], model.backend.tuning.multiplication_on_cpu)
        )
        cells = " | ".join(f"{t:.2f}" for t in medians.values())
        over = medians[taken] / min(medians.values())
        name = "-".join(map(str, widths))
        print(f"| {name} | {model.n_parameters} | {n} | {cells} | {taken} | {over:.2f} |", flush=True)


def matrix_table() -> None:
    columns = ["widths", "parameters", "events", "method", "ms", "ratio", "MiB", "share"]
    print(f"\n## Gauss-Newton matrix, one thread\n\n| {' | '.join(columns)} |\n" + "| --- " * len(columns) + "|")
    for widths, n in MATRICES:
        p = fx.Model(tuple(int(h) for h in widths.split(","))).n_parameters
        mine: list = []
        for name in ("ffnn_xp", "jax", "torch"):
            seconds, memory = elsewhere(1, "--matrix", widths, str(n), name)  # type: ignore[misc]
            mine = mine or [seconds, memory]
            print(
                f"| {widths.replace(',', '-')} | {p} | {n} | {name} | {1e3 * seconds:.0f} | {seconds / mine[0]:.1f} "
                f"| {memory:.0f} | {mine[1] / memory:.2f} |",
                flush=True,
            )


def memory_table() -> None:
    if not hasattr(os, "sysconf") or not Path("/proc/self/statm").exists():
        return
    print("\n## Memory, 1,000,000 events, MiB\n\n| widths | x and y | held by the cost | at most | share | at most |")
    print("| --- | --- | --- | --- | --- | --- |")
    data, held, most = elsewhere(1, "--memory", WIDTHS[0], "1000000")  # type: ignore[misc]
    name = WIDTHS[0].replace(",", "-")
    print(f"| {name} | {data:.0f} | {held:.0f} | {most:.0f} | {held / data:.2f} | {most / data:.2f} |", flush=True)


def import_table() -> None:
    def once(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - began

    print("\n## Import, seconds in a fresh interpreter, less those of an empty one\n\n| statement | s |\n| --- | --- |")
    empty = np.median([once("") for _ in range(9)])
    for statement in ("import numpy", "import numpy, iminuit.cost", "import ffnn_xp"):
        print(f"| `{statement}` | {np.median([once(statement) for _ in range(9)]) - empty:.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", nargs="*", default=list(WIDTHS), help=f"default {' '.join(WIDTHS)}")
    parser.add_argument("--events", type=int, nargs="+", default=list(EVENTS), help="default 100 10000 1000000")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="default 1 2")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each measurement (default 2)")
    parser.add_argument("--no-matrix", action="store_true", help="the first table only")
    parser.add_argument("--ways", action="store_true", help="only the ways to sum a matrix over outputs, NumPy")
    parser.add_argument("--quick", action="store_true", help="a smaller table, in about a minute")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS, help="columns, all by default")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--matrix", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        widths, n = options.memory
        print(json.dumps(memory(tuple(int(h) for h in widths.split(",")), int(n))))
        return
    if options.one or options.matrix:
        widths, n, *rest = options.one or options.matrix
        shape = tuple(int(h) for h in widths.split(","))
        if threads() == 1 and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        if options.one:
            print(json.dumps(one(shape, int(n), float(rest[1]), options.methods)))
        else:
            print(json.dumps(matrix(shape, int(n), rest[0])))
        return
    if options.quick:
        options.widths, options.events, options.threads, options.seconds = list(WIDTHS[:2]), [100, 10_000], [1], 0.5
    print("# One evaluation\n")
    print(header() + "\n")
    if options.ways:
        ways_table(options.seconds)
        return
    sweep_table(options)
    if not (options.quick or options.no_matrix):
        matrix_table()
        memory_table()
        import_table()


if __name__ == "__main__":
    main()
