"""What a GPU brings: evaluations, replicas, matrices and whole fits on CuPy, PyTorch and JAX, beside the CPU.

Times are medians of calls as MINUIT makes them: host vector in, host numbers out. The two ceilings are measured first:
a large product of float64 matrices, and a large copy. `of the ceiling` counts the multiplications and additions of the
matrix products that value and gradient need, `of the bandwidth` one reading of inputs, targets and errors. `over the
roofline` is the time over what products and formulas would take that each only compute, or only move their arrays.

    XLA_PYTHON_CLIENT_PREALLOCATE=false python benchmarks/gpu.py

Without a GPU it runs the same on the CPU (`--quick` for a trial).
"""

from __future__ import annotations

import argparse
import importlib
import os
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
from header import header
from objective import NOISE, median_time, network

import ffnn_xp as fx
from ffnn_xp.data import streaming as seen
from ffnn_xp.objective.batch import Replicas

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
LIBRARIES = ("cupy", "torch", "jax")
SWEEPS = {
    (8, 7, 9, 6): (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000),
    (8, 64, 64, 6): (1_000, 100_000, 1_000_000, 10_000_000),
    (16, 256, 256, 1): (1_000, 100_000, 1_000_000),
    (256, 256, 256, 256): (1_000, 100_000),
    (256, 1024, 1024, 1): (1_000, 100_000),
}
PRODUCTS = ((256, 1_000_000), (1024, 100_000))  # units of two layers, events
COMPILED = 1_000_000  # events up to which JAX is measured: each size is a compilation
ON_THE_CPU = 2e11  # multiplications and additions of an evaluation, at most
QUICK = 1e8  # the same, for a trial
REPLICAS = {((1, 10, 1), 500): (1, 64, 1024, 4096), ((8, 7, 9, 6), 1000): (1, 64, 1024, 4096)}
MATRICES = (((8, 20, 20, 6), 2_000), ((8, 20, 20, 6), 100_000), ((9, 57, 57, 6), 2_000))
FITS = (2_000, 100_000, 1_000_000)
SECONDS = 0.1


def backends(names: tuple[str, ...]) -> dict[str, fx.Backend]:
    found = {}
    for name in names:
        try:
            found[name] = fx.get_backend(name, fallback=False)
            if name == "cupy":
                found["cupy, compiled loop"] = fx.get_backend(name, fallback=False, compiled=True)
        except fx.BackendUnavailableError as error:
            print(f"- {name}: {error}")
    return found


def free() -> None:
    """Give back what the libraries keep for themselves, so that the next one has it."""
    for name in ("cupy", "torch"):
        try:
            library = importlib.import_module(name)
            if name == "cupy":
                library.get_default_memory_pool().free_all_blocks()
            elif library.cuda.is_available():
                library.cuda.empty_cache()
        except Exception:
            continue


def ceilings(size: int) -> tuple[float, float]:
    """Operations of a float64 product, and bytes of a copy, a second."""
    torch = importlib.import_module("torch")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    a = torch.randn(size, size, device=device, dtype=torch.float64)
    b = torch.empty_like(a)

    def timed(f: Callable[[], object]) -> float:
        return median_time(lambda: (f(), wait()), 0.3)

    return 2 * size**3 / timed(lambda: torch.matmul(a, a, out=b)), 2 * 8 * size**2 / timed(lambda: b.copy_(a))


def operations(widths: tuple[int, ...]) -> float:
    """Of the products for each event: forward, reverse, outer; the first layer has no reverse."""
    return float(sum(6 * a * b for a, b in pairwise(widths)) - 2 * widths[0] * widths[1])


def roofline(widths: tuple[int, ...], n: int, gemm: float, copy: float) -> float:
    """Seconds of products and formulas as kernels of their own: each as long as its operations or its bytes need.

    Forward a product and a nonlinearity for each layer, the residuals, back the outer product and, but for the first
    layer, the product through A and its factor f'. The nonlinearity of the output is the identity.
    """
    k, layers = widths[-1], list(pairwise(widths))
    kernels = [(2 * b * (a + 1), a + b) for a, b in layers] + [(2 * b * (a + 1), a + b) for a, b in layers]
    kernels += [(2 * a * b, a + b) for a, b in layers[1:]]
    kernels += [(0, 2 * b) for _, b in layers[:-1]] + [(0, 3 * a) for a, _ in layers[1:]] + [(0, 4 * k)]
    return n * sum(max(operations / gemm, 8 * numbers / copy) for operations, numbers in kernels)


def rooflines(gemm: float, copy: float) -> None:
    """Of all sweeps on a device with these ceilings, and the share of the products' ceiling that is left at most."""
    print("| widths | events | roofline, µs | of the ceiling, at most |\n| --- | --- | --- | --- |")
    for widths, sizes in SWEEPS.items():
        for n in sizes:
            floor = roofline(widths, n, gemm, copy)
            share = operations(widths) * n / gemm / floor
            print(f"| {'-'.join(map(str, widths))} | {n} | {cell(floor)} | {share:.2f} |")


def products(found: dict[str, fx.Backend], gemm: float, quick: bool) -> None:
    """The three products of a layer, h by h: whether an odd number of columns of A costs the fast kernels.

    With the bias as a column, with zeros beside it up to a multiple of eight, and without.
    """
    print("\n## Products of a layer alone, of the ceiling\n")
    print("| backend | h | events | columns of A | A a | delta a^T | W^T delta |\n" + "| --- " * 7 + "|")
    for name, b in found.items():
        for h, n in ((64, 1_000),) if quick else PRODUCTS:
            for columns in (h + 1, 8 * (h // 8 + 1), h):
                seconds = [measured(product, b, h, n, columns, which) for which in range(3)]
                work = [2 * h * c * n for c in (columns, columns, h)]
                cells = [f"{f / (t or np.nan) / gemm:.2f}" for f, t in zip(work, seconds, strict=True)]
                print(f"| {name} | {h} | {n} | {columns} | {' | '.join(cells)} |", flush=True)


def product(backend: fx.Backend, h: int, n: int, columns: int, which: int) -> Callable[[], object]:
    rng, wait = np.random.default_rng(1), waiting(backend)
    A, a, delta = (backend.to_device(rng.normal(size=size)) for size in ((h, columns), (columns, n), (h, n)))
    kernel = (lambda xp, A, a, d: A @ a, lambda xp, A, a, d: d @ a.mT, lambda xp, A, a, d: A[:, :h].mT @ d)[which]
    f = backend.bind(kernel)
    return lambda: wait(f(A, a, delta))


def waiting(backend: fx.Backend) -> Callable[[object], object]:
    """A function that waits for what it is given."""
    if backend.name == "jax":
        return lambda a: a.block_until_ready()
    library = importlib.import_module(backend.name)
    if not backend.on_gpu:
        return lambda a: a
    return lambda a: library.cuda.synchronize() if backend.name == "torch" else backend.device.synchronize()


def events(backend: fx.Backend, widths: tuple[int, ...], n: int, *, there: bool = True) -> tuple[object, object]:
    """Random events: where they are many, made on the device, unless they must not be `there`."""
    d, k = widths[0], widths[-1]
    if there and backend.name in ("cupy", "torch") and n > COMPILED:
        library = importlib.import_module(backend.name)
        if backend.name == "torch":
            make = dict(dtype=library.float64, device=backend.device)
            return library.randn(n, d, **make), library.randn(n, k, **make)
        return library.random.standard_normal((n, d)), library.random.standard_normal((n, k))
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, d)), rng.normal(size=(n, k))


def evaluation(backend: fx.Backend, widths: tuple[int, ...], n: int, there: bool = True) -> Callable[[], object]:
    cost = fx.LeastSquares(*events(backend, widths, n, there=there), NOISE, fx.Model(widths, backend=backend, seed=1))
    theta = cost.start.copy()

    def call() -> object:
        theta[0] += 1e-9  # else it would be remembered
        return cost.value_and_gradient(theta)

    for _ in range(20 if n <= COMPILED else 1):  # recordings are made on the way
        call()
    return call


def torch_autograd(widths: tuple[int, ...], n: int) -> Callable[[], object]:
    torch = importlib.import_module("torch")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    X = torch.randn(widths[0], n, device=device, dtype=torch.float64)
    Y = torch.randn(widths[-1], n, device=device, dtype=torch.float64)
    theta = 0.1 * np.random.default_rng(1).normal(size=fx.Model(widths).n_parameters)

    def call() -> object:
        t = torch.from_numpy(theta).to(device).requires_grad_()
        chi2 = (((network(torch.tanh, t, X, widths) - Y) / NOISE) ** 2).sum()
        (g,) = torch.autograd.grad(chi2, t)
        return chi2.item(), g.cpu().numpy()

    return call


def jax_jit(widths: tuple[int, ...], n: int) -> Callable[[], object]:
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(1)
    X, Y = (jax.device_put(rng.normal(size=(h, n))) for h in (widths[0], widths[-1]))
    theta = 0.1 * rng.normal(size=fx.Model(widths).n_parameters)

    @jax.jit
    @jax.value_and_grad
    def g(t, X, Y):
        return jax.numpy.sum(((network(jax.numpy.tanh, t, X, widths) - Y) / NOISE) ** 2)

    def call() -> object:
        value, gradient = g(theta, X, Y)
        return float(value), np.asarray(gradient)

    return call


def measured(make: Callable[..., Callable[[], object]], *arguments: object) -> float | None:
    """Median seconds of what it makes; None if it cannot be."""
    try:
        return median_time(make(*arguments), SECONDS)
    except Exception as error:
        print(f"<!-- {type(error).__name__}: {str(error)[:120]} -->")
        return None
    finally:
        free()


def cell(seconds: float | None, unit: float = 1e6) -> str:
    return "-" if seconds is None else f"{unit * seconds:.0f}" if unit * seconds >= 10 else f"{unit * seconds:.2g}"


def sweeps(found: dict[str, fx.Backend], cpu: fx.Backend, gemm: float, copy: float, quick: bool) -> None:
    print("\n## Value and gradient, µs\n")
    print(
        f"| widths | events | NumPy, {os.cpu_count()} cores | {' | '.join('ffnn_xp, ' + n for n in found)} "
        "| torch autograd | jax.jit | peer / ours | CPU / GPU | of the ceiling | of the bandwidth | over the roofline |"
    )
    print("| --- " * (len(found) + 10) + "|")
    for widths, sizes in SWEEPS.items():
        for n in sizes:
            work = operations(widths) * n
            if quick and work > QUICK:
                continue
            small = n <= COMPILED
            host = measured(evaluation, cpu, widths, n) if work < ON_THE_CPU and small else None
            ours = {
                name: measured(evaluation, b, widths, n) if small or name != "jax" else None
                for name, b in found.items()
            }
            peers = [
                measured(torch_autograd, widths, n) if n <= 10 * COMPILED else None,
                measured(jax_jit, widths, n) if small else None,
            ]
            best = min((t for t in ours.values() if t), default=np.nan)
            peer = min((t for t in peers if t), default=np.nan)
            read = 8 * (widths[0] + 1 + 2 * widths[-1]) * n
            cells = [cell(host), *map(cell, ours.values()), *map(cell, peers), f"{peer / best:.2f}"]
            cells += [f"{(host or np.nan) / best:.2g}", f"{work / best / gemm:.2f}", f"{read / best / copy:.2f}"]
            cells += [f"{best / roofline(widths, n, gemm, copy):.1f}"]
            print(f"| {'-'.join(map(str, widths))} | {n} | {' | '.join(cells)} |".replace("nan", "-"), flush=True)


def streams(found: dict[str, fx.Backend], quick: bool) -> None:
    """The same evaluation with events on the device, and with events in main memory that pass through it."""
    widths, n = (8, 7, 9, 6), 20_000 if quick else 4_000_000
    size = 8 * (widths[0] + 1 + 2 * widths[-1]) * n
    print(f"\n## Data that do not fit, 8-7-9-6, {n} events, {size / 1e9:.2g} GB: ms for value and gradient\n")
    print(
        "| backend | on the device | streamed | GB/s | of a page-locked copy alone |\n| --- | --- | --- | --- | --- |"
    )
    share = seen.SHARE
    free_memory = fx.Backend.free_memory
    for name, backend in found.items():
        if name == "jax":
            continue
        there = measured(evaluation, backend, widths, n)
        seen.SHARE = 0.0
        if not backend.on_gpu:
            fx.Backend.free_memory = lambda self: 1
        streamed = measured(evaluation, backend, widths, n, False)
        copy = measured(copying, backend, size)
        seen.SHARE, fx.Backend.free_memory = share, free_memory
        rate, alone = size / (streamed or np.nan), size / (copy or np.nan)
        cells = f"{cell(there, 1e3)} | {cell(streamed, 1e3)} | {rate / 1e9:.1f} | {rate / alone:.2f}"
        print(f"| {name} | {cells} |", flush=True)


def copying(backend: fx.Backend, size: int) -> Callable[[], object]:
    source = backend.page_locked(np.ones(size // 8))
    if backend.name == "torch":
        torch = importlib.import_module("torch")
        return lambda: torch.from_numpy(source).to(backend.device, non_blocking=True)[:1].cpu()
    xp = backend.xp
    there = xp.empty(source.shape, dtype=xp.float64)
    return lambda: (there.set(source), there[:1].get())


def replicas(found: dict[str, fx.Backend], cpu: fx.Backend, quick: bool) -> None:
    print("\n## Replicas at once: value and gradient / Gauss-Newton matrices, µs for each\n")
    print(f"| widths | events | replicas | NumPy | {' | '.join(found)} |\n" + "| --- " * (len(found) + 4) + "|")
    for (widths, n), counts in REPLICAS.items():
        for r in counts[: 2 if quick else None]:
            cells = [both(b, widths, n, r) for b in (*([cpu] if r <= 64 else []), *found.values())]
            cells = cells if r <= 64 else ["-", *cells]
            print(f"| {'-'.join(map(str, widths))} | {n} | {r} | {' | '.join(cells)} |", flush=True)


def both(backend: fx.Backend, widths: tuple[int, ...], n: int, r: int) -> str:
    def batch() -> tuple[Replicas, object, np.ndarray]:
        cost = fx.LeastSquares(*events(backend, widths, n), NOISE, fx.Model(widths, backend=backend, seed=1))
        rng = np.random.default_rng(1)
        theta = np.stack([cost.start] * r) + 0.01 * rng.normal(size=(r, cost.npar))
        return Replicas(cost.objective), backend.to_device(theta), np.arange(r)

    def sweep() -> Callable[[], object]:
        S, theta, rows = batch()
        return lambda: backend.to_host(S.value_and_gradient(theta, rows))

    def matrix() -> Callable[[], object]:
        S, theta, rows = batch()
        return lambda: backend.to_host(S.gauss_newton(theta, rows)[:, 0, 0])

    return " / ".join(cell(None if (t := measured(make)) is None else t / r) for make in (sweep, matrix))


def matrix(backend: fx.Backend, widths: tuple[int, ...], n: int) -> Callable[[], object]:
    cost = fx.LeastSquares(*events(backend, widths, n), NOISE, fx.Model(widths, backend=backend, seed=1))
    theta = cost.start.copy()

    def call() -> object:
        theta[0] += 1e-9
        return cost.matrix("gauss_newton", theta)

    return call


def matrices(found: dict[str, fx.Backend], cpu: fx.Backend, quick: bool) -> None:
    print("\n## Gauss-Newton matrix, ms\n")
    print(
        f"| widths | parameters | events | NumPy | {' | '.join('ffnn_xp, ' + n for n in found)} | torch.func | ratio |"
    )
    print("| --- " * (len(found) + 6) + "|")
    for widths, n in MATRICES[: 1 if quick else None]:
        p = fx.Model(widths).n_parameters
        host = measured(matrix, cpu, widths, n) if n * p * p < ON_THE_CPU else None
        mine = [measured(matrix, b, widths, n) for b in found.values()]
        theirs = measured(by_torch_func, widths, n) if n * widths[-1] * p < 4e9 else None
        best = min((t for t in mine if t), default=np.nan)
        cells = [cell(t, 1e3) for t in (host, *mine, theirs)]
        ratio = f"{(theirs or np.nan) / best:.1f}".replace("nan", "-")
        print(f"| {'-'.join(map(str, widths))} | {p} | {n} | {' | '.join(cells)} | {ratio} |", flush=True)


def by_torch_func(widths: tuple[int, ...], n: int) -> Callable[[], object]:
    torch = importlib.import_module("torch")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = torch.randn(n, widths[0], device=device, dtype=torch.float64)
    theta = 0.1 * torch.randn(fx.Model(widths).n_parameters, device=device, dtype=torch.float64)

    def per_event(t, row):
        return network(torch.tanh, t, row[:, None], widths)[:, 0] / NOISE

    def call() -> object:
        J = torch.func.vmap(torch.func.jacrev(per_event), (None, 0))(theta, rows).reshape(-1, len(theta))
        return (2 * J.T @ J).cpu().numpy()

    return call


def fits(found: dict[str, fx.Backend], cpu: fx.Backend, quick: bool) -> None:
    """From random starts to the certificate; the same seed, so the same walk but for rounding."""
    print("\n## Whole fits, 8-7-9-6, seconds; chi-square at the minimum\n")
    print("| events | backend | restarts | s | certified | fval |\n| --- | --- | --- | --- | --- | --- |")
    for n in FITS[: 1 if quick else None]:
        rng = np.random.default_rng(1)
        x = rng.normal(size=(n, 8))
        y = fx.Model((8, 7, 9, 6), backend="numpy", seed=9)(x) + NOISE * rng.normal(size=(n, 6))
        for backend in (cpu, *found.values()):
            for restarts in (1, 100) if n == FITS[0] else (1,):
                if (backend.name == "jax" and n > FITS[0]) or (backend is cpu and n > COMPILED // 10):
                    continue
                began = time.perf_counter()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", fx.FitWarning)
                    model = fx.Model((8, 7, 9, 6), backend=backend, seed=2)
                    fit = model.fit(x, y, NOISE, prior=3.0, restarts=restarts)
                took = time.perf_counter() - began
                cells = f"{backend.name} | {restarts} | {took:.2f} | {'yes' if fit.valid else 'no'} | {fit.fval:.4f}"
                print(f"| {n} | {cells} |", flush=True)
                free()


def single(found: dict[str, fx.Backend]) -> None:
    """What float32 with sums in float64 does to S, its gradient and the minimum."""
    n = 200_000
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 2))
    y = np.sin(x[:, 0]) * x[:, 1] + NOISE * rng.normal(size=n)
    print("\n## float32, 2-10-1, 200,000 events: value and gradient at the minimum of float64, and where a fit ends\n")
    print("| backend | S - S64 | largest difference of the gradient in sigmas | fit: S64 there - minimum | certified |")
    print("| --- | --- | --- | --- | --- |")
    exact = fx.LeastSquares(x, y, NOISE, fx.Model((2, 10, 1), backend="numpy", seed=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.FitWarning)
        best = fx.Model((2, 10, 1), backend="numpy", seed=1).fit(x, y, NOISE, prior=None, restarts=1)
        theta, value, errors = best.parameters, best.fval, best.errors
        gradient = exact.value_and_gradient(theta)[1]
        for name, b in found.items():
            backend = b.in_single_precision()
            cost = fx.LeastSquares(x, y, NOISE, fx.Model((2, 10, 1), backend=backend, seed=1))
            S, g = cost.value_and_gradient(theta)
            model = fx.Model((2, 10, 1), backend=backend, seed=1)
            fit = model.fit(x, y, NOISE, prior=None, restarts=1)
            there = exact.value_and_gradient(fit.parameters)[0] - value
            apart = np.max(np.abs(g - gradient) * errors)
            print(
                f"| {name} | {S - value:.1e} | {apart:.1e} | {there:.1e} | {'yes' if fit.valid else 'no'} |", flush=True
            )


def sections(
    options: argparse.Namespace, found: dict[str, fx.Backend], cpu: fx.Backend
) -> Iterator[tuple[str, Callable[[], None]]]:
    gemm, copy = ceilings(512 if options.quick else 8192)
    print(f"- ceilings: {gemm / 1e12:.3g} Tflop/s of float64 products, {copy / 1e12:.3g} TB/s of copies", flush=True)
    yield "products", lambda: products(found, gemm, options.quick)
    yield "sweeps", lambda: sweeps(found, cpu, gemm, copy, options.quick)
    yield "streams", lambda: streams(found, options.quick)
    yield "replicas", lambda: replicas(found, cpu, options.quick)
    yield "matrices", lambda: matrices(found, cpu, options.quick)
    yield "single", lambda: single(found)
    yield "fits", lambda: fits(found, cpu, options.quick)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--libraries", nargs="+", default=list(LIBRARIES))
    parser.add_argument("--only", nargs="+", help="of products, sweeps, streams, replicas, matrices, single, fits")
    parser.add_argument("--quick", action="store_true", help="the smallest sizes only")
    parser.add_argument("--ceilings", nargs=2, type=float, help="flop/s and byte/s: the rooflines there, and no more")
    options = parser.parse_args()
    if options.ceilings:
        rooflines(*options.ceilings)
        return
    print("# A GPU beside the CPU\n")
    print(header())
    found = backends(tuple(options.libraries))
    print("- " + "; ".join(f"{b}" for b in found.values()))
    for name, section in sections(options, found, fx.get_backend("numpy")):
        if not options.only or name in options.only:
            section()


if __name__ == "__main__":
    main()
