"""S and its derivatives agree with a loop over events, in chunks of any size and for several replicas."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from ffnn_xp import Backend, LeastSquares, Model, get_backend
from ffnn_xp.data.events import Events
from ffnn_xp.objective import kernels
from ffnn_xp.objective.chunking import ChunkTuning, SumKind
from ffnn_xp.objective.objective import Objective

from ..oracles.loops import QUANTITIES, assert_close, central_gradient, library, make_case, objective, twin

MOST = ChunkTuning().events[1]
SWEEPS = ("value", "gradient", "gauss_newton_product", "hessian_product")
SUMS = tuple(q for q in QUANTITIES if q != "jacobian")


@pytest.mark.parametrize("widths", [(2, 1), (2, 3, 2), (1, 3, 2, 1), (2, 2, 3, 2, 1)])
@pytest.mark.parametrize("weighted", [False, True])
def test_value_gradient_and_gauss_newton_are_the_twins(
    backend: Backend, widths: tuple[int, ...], weighted: bool
) -> None:
    case = make_case(widths, "tanh", "logistic", weighted=weighted)
    found = library(case, backend, quantities=("value", "gradient", "gauss_newton"))
    for name, want in zip(found, twin(case), strict=True):
        assert_close(found[name], want, 1e-12, name)


def test_gradient_and_hessian_of_differences() -> None:
    case = make_case((3, 4, 3, 2), "silu", "tanh")
    S = objective(case, get_backend("numpy"))
    found = library(case, get_backend("numpy"))
    assert_close(found["gradient"], central_gradient(S.value, case.theta), 1e-8)
    assert_close(found["hessian"], central_gradient(lambda t: S.value_and_gradient(t)[1:], case.theta), 1e-8)


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_the_size_of_chunks_changes_nothing(backend: Backend, chunk: int) -> None:
    """Seven events: by themselves, in 3 + 3 + 1, exactly all, more than there are. Only the order of sums differs."""
    case = make_case((3, 4, 2), "tanh", "softplus", n=7)
    quantities = SUMS if backend.name != "jax" else SWEEPS[:2]  # each size is a compilation
    whole = library(case, backend, quantities=quantities)
    parts = library(case, backend, chunk, quantities=quantities)
    for name in quantities:
        assert_close(parts[name], whole[name], 1e-13, name)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_chunks_are_all_events_once(size: int) -> None:
    events = Events(np.arange(14.0).reshape(2, 7), (np.arange(7.0)[None],), np.arange(7.0)[None] + 100)
    parts = list(events.chunks(size))
    assert [e.n for e in parts] == [size] * (7 // size) + [7 % size] * (7 % size > 0)
    np.testing.assert_array_equal(np.concatenate([e.x for e in parts], axis=1), events.x)
    np.testing.assert_array_equal(np.concatenate([e.data[0] for e in parts], axis=1), events.data[0])
    np.testing.assert_array_equal(np.concatenate([e.weights for e in parts], axis=1), events.weights)


def test_default_chunks_split_many_events() -> None:
    """More events than one chunk has: sums over chunks are the sum over all."""
    case = make_case((2, 3, 1), n=2 * MOST + 5)
    numpy = get_backend("numpy")
    found = library(case, numpy, quantities=("value", "gradient", "gauss_newton"))
    whole = library(case, numpy, case.n, quantities=("value", "gradient", "gauss_newton"))
    assert len(list(objective(case, numpy).events.chunks(MOST))) == 3
    for name, values in found.items():
        assert_close(values, whole[name], 1e-12, name)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3 GiB"),
        RuntimeError("CUDA out of memory. Tried to allocate 3.00 GiB"),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate"),
    ],
)
def test_what_does_not_fit_is_done_in_smaller_chunks(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case((2, 3, 1), n=100)
    S = objective(case, get_backend("numpy"))
    expected = S.value_and_gradient(case.theta), S.gauss_newton(case.theta)
    tried: list[int] = []
    for name in ("value_and_gradient", "gauss_newton"):
        original = getattr(kernels, name)

        def limited(network, loss, xp, theta, x, *rest, original=original):  # type: ignore[no-untyped-def]
            tried.append(x.shape[-1])
            if x.shape[-1] > 30:
                raise error
            return original(network, loss, xp, theta, x, *rest)

        monkeypatch.setattr(kernels, name, limited)
    S = objective(case, get_backend("numpy"))
    for _ in range(2):
        assert_close(S.value_and_gradient(case.theta), expected[0], 1e-12, "sum")
    assert tried == [100, 50, 25, 25, 25, 25, 25, 25, 25, 25]  # the second time it is known what fits
    assert_close(S.gauss_newton(case.theta), expected[1], 1e-12, "matrix")
    assert S._sizes.of(SumKind(matrices=True)) == 25
    assert pickle.loads(pickle.dumps(S))._sizes.of(SumKind(matrices=True)) >= 100  # of a device unknown here


def test_other_errors_and_single_events_that_do_not_fit_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case((2, 3, 1), n=5)
    for error in (ValueError("shapes"), MemoryError("not even one")):
        calls: list[int] = []

        def broken(*args, error=error, calls=calls):  # type: ignore[no-untyped-def]
            calls.append(1)
            raise error

        monkeypatch.setattr(kernels, "value", broken)
        with pytest.raises(type(error), match=str(error)):
            objective(case, get_backend("numpy")).value(case.theta)
        assert len(calls) == (1 if isinstance(error, ValueError) else 3)  # 5, 2 and 1 events


@pytest.mark.parametrize("widths", [(2, 2), (2, 3, 2), (2, 2, 3, 1)])
def test_three_replicas_are_three_objectives(backend: Backend, widths: tuple[int, ...]) -> None:
    single = make_case(widths, "tanh", "exp")
    rng = np.random.default_rng(3)
    shape = (3, len(single.theta))
    three = replace(single, theta=rng.normal(0, 0.4, shape), direction=rng.normal(size=shape))
    S = objective(single, backend)
    together = library(three, backend, S=S)
    for r in range(3):
        alone = library(replace(single, theta=three.theta[r], direction=three.direction[r]), backend, S=S)
        for name in QUANTITIES:
            assert_close(together[name][r], alone[name], 1e-12, name)


@pytest.mark.parametrize("chunk", [None, 3])
def test_one_theta_and_three_directions(backend: Backend, chunk: int | None) -> None:
    case = make_case((2, 3, 2), "tanh", "exp")
    V = np.random.default_rng(3).normal(size=(3, len(case.theta)))
    products = SWEEPS[2:]
    S = objective(case, backend, chunk)
    together = library(replace(case, direction=V), backend, quantities=products, S=S)
    for r in range(3):
        alone = library(replace(case, direction=V[r]), backend, quantities=products, S=S)
        for name in products:
            assert_close(together[name][r], alone[name], 1e-12, name)


def test_a_weight_of_two_is_the_event_twice() -> None:
    case, numpy = make_case((2, 3, 2), weighted=False), get_backend("numpy")
    heavy = replace(case, weights=np.array([1.0, 2, 1, 1, 3, 1, 1]))
    often = replace(case, **{name: np.repeat(getattr(case, name), [1, 2, 1, 1, 3, 1, 1], axis=0)
                             for name in ("x", "y", "error")})  # fmt: skip
    heavy_sums, often_sums = library(heavy, numpy, quantities=SUMS), library(often, numpy, quantities=SUMS)
    for name in SUMS:
        assert_close(heavy_sums[name], often_sums[name], 1e-13, name)


def test_value_and_gradient_are_packed(backend: Backend) -> None:
    """One array, so that one copy brings both to the host, of the backend's own dtype and device."""
    case = make_case((2, 3, 1))
    S, theta = objective(case, backend), backend.to_device(case.theta)
    packed = S.value_and_gradient(theta)
    assert tuple(packed.shape) == (1 + len(case.theta),)
    assert backend.owns(packed)
    assert backend.to_host(packed)[0] == pytest.approx(float(backend.to_host(S.value(theta))), rel=1e-14)


@pytest.mark.parametrize("quantity", SUMS)
def test_single_precision_all_the_way(quantity: str, backend: Backend) -> None:
    """float32 stays float32 in every formula, but S is summed in float64; both agree with float64 at its precision."""
    single = get_backend(backend.name, dtype="float32")
    case = make_case((3, 4, 2), "gelu", "silu")
    S, theta, v = objective(case, single), single.to_device(case.theta), single.to_device(case.direction)
    method = "value_and_gradient" if quantity == "gradient" else quantity
    raw = getattr(S, method)(theta, v) if quantity.endswith("product") else getattr(S, method)(theta)
    assert str(raw.dtype).endswith("float64" if quantity in ("value", "gradient") else "float32")
    exact = library(case, get_backend("numpy"), quantities=(quantity,))
    assert_close(library(case, single, quantities=(quantity,))[quantity], exact[quantity], 1e-5)


def test_theta_and_data_are_not_written_to() -> None:
    case = make_case((2, 3, 2), "relu", "relu")
    S = objective(case, get_backend("numpy"))
    arrays = [case.theta.copy(), case.direction.copy(), S.events.x, *S.events.data, S.events.weights]
    before = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    theta, v = arrays[:2]
    for name in ("value", "value_and_gradient", "gauss_newton", "hessian"):
        getattr(S, name)(theta)
    S.gauss_newton_product(theta, v)
    S.hessian_product(theta, v)
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow  # JAX compiles
class TestEqualChunks:
    """For a compiler all chunks have one shape; what fills the last one has no weight."""

    @staticmethod
    def pair(weighted: bool) -> tuple[Objective, Objective]:
        """Cut by JAX in chunks of 40, and whole on NumPy; 100 events."""
        rng = np.random.default_rng(3)
        x, y = rng.normal(size=(100, 2)), rng.normal(size=(100, 2))
        weights = rng.uniform(0.5, 2, size=100) if weighted else None
        found = []
        for name in ("jax", "numpy"):
            model = Model((2, 4, 2), backend=get_backend(name, fallback=False), seed=1)
            found.append(LeastSquares(x, y, 0.3, model, weights=weights).objective)
        return replace(found[0], chunk_size=40), found[1]

    @pytest.mark.parametrize("weighted", [False, True])
    def test_the_same_sums(self, weighted: bool) -> None:
        pytest.importorskip("jax")
        cut, whole = self.pair(weighted)
        theta, v = np.linspace(-1, 1, 22), np.cos(np.arange(22.0))
        for name in ("value", "value_and_gradient", "gauss_newton", "hessian", "scores", "kronecker_factors",
                     "active_events", "gauss_newton_product", "hessian_product"):  # fmt: skip
            arguments = (theta, v) if name.endswith("product") else (theta,)
            found = np.asarray(getattr(cut, name)(*map(cut.backend.to_device, arguments)))
            want = getattr(whole, name)(*arguments)
            np.testing.assert_allclose(found, want, rtol=0, atol=1e-12 * np.abs(want).max(), err_msg=name)

    def test_one_shape(self) -> None:
        pytest.importorskip("jax")
        cut, _ = self.pair(False)
        assert [chunk.x.shape for chunk in cut._cut(40)] == [(3, 40)] * 3
        assert [float(chunk.weights.sum()) for chunk in cut._cut(40) if chunk.weights is not None] == [40, 40, 20]


@pytest.mark.parametrize("weighted", [True, False])
def test_chunks_of_one_shape_are_the_same_events_and_some_without_weight(backend: Backend, weighted: bool) -> None:
    """Two columns of x to each event, as those of an integral, and a leading axis of replicas."""
    n, size, rng = 7, 3, np.random.default_rng(1)
    x, y, weight = rng.normal(size=(2, 2 * n)), rng.normal(size=(4, 1, n)), rng.uniform(1, 2, (1, n))
    to = backend.to_device
    events = Events(to(x), (to(y), to(y[0])), to(weight) if weighted else None, nodes=2)
    chunks = list(events.equal_chunks(backend, size))
    assert [chunk.n for chunk in chunks] == [size] * 3
    at = np.array([0, 1, 2, 3, 4, 5, 6, 6, 6])
    for i, chunk in enumerate(chunks):
        rows = at[i * size : (i + 1) * size]
        there = np.arange(i * size, (i + 1) * size) < n
        np.testing.assert_array_equal(backend.to_host(chunk.x), x.reshape(2, n, 2)[:, rows].reshape(2, -1))
        np.testing.assert_array_equal(backend.to_host(chunk.data[0]), y[..., rows])
        np.testing.assert_array_equal(backend.to_host(chunk.data[1]), y[0][:, rows])
        kept = np.broadcast_to(there * (weight[:, rows] if weighted else 1.0), backend.to_host(chunk.weights).shape)
        np.testing.assert_array_equal(backend.to_host(chunk.weights), kept)
