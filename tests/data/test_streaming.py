"""Data that do not fit on the device: they stay on the host, and blocks of them pass through the device."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import Backend
from ffnn_xp.data.streaming import ModelOnBackend
from ffnn_xp.objective import objective
from ffnn_xp.objective.chunking import ChunkSizes, SumKind

N = 2_000


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every device says that it has a kilobyte left, and blocks are of 300 events at most."""
    monkeypatch.setattr(Backend, "free_memory", lambda self: 1000)
    monkeypatch.setattr(ChunkSizes, "most", lambda self, _: 300)


@pytest.fixture
def device(backend: Backend) -> Backend:
    if backend.name == "numpy":
        pytest.skip("its device is the host")
    return backend


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x = rng.normal(size=(N, 3))
    return x, np.stack([np.tanh(x[:, 0]), x[:, 1] * x[:, 2]], axis=1) + 0.1 * rng.normal(size=(N, 2))


def costs(data: tuple[np.ndarray, np.ndarray], backend: Backend) -> tuple[fx.LeastSquares, fx.LeastSquares]:
    """In blocks through the device, and on NumPy."""
    weights = np.linspace(0.5, 1.5, len(data[0]))
    here = fx.LeastSquares(*data, 0.1, fx.Model((3, 5, 2), backend=backend, seed=1), weights=weights)
    plain = fx.Model((3, 5, 2), backend="numpy", seed=1)
    plain_cost = fx.LeastSquares(*data, 0.1, plain, weights=weights)
    return here, plain_cost


@pytest.mark.usefixtures("full")
def test_a_single_block_passes_through_the_device_too(
    device: Backend, data: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    through = objective.streamed
    monkeypatch.setattr(objective, "streamed", lambda *args: [seen.append(1), through(*args)][1])
    x, y = data
    cost, plain = costs((x[:300], y[:300]), device)
    assert cost.value_and_gradient(cost.start)[0] == pytest.approx(plain.value_and_gradient(cost.start)[0], rel=1e-12)
    assert seen == [1]


@pytest.mark.usefixtures("full")
def test_the_same_numbers(device: Backend, data: tuple[np.ndarray, np.ndarray]) -> None:
    cost, plain = costs(data, device)
    assert isinstance(cost.model, ModelOnBackend)
    assert cost.objective.backend.computes is device
    assert isinstance(cost.objective.events.x, np.ndarray)
    theta, v = cost.start, np.linspace(-1, 1, cost.npar)
    assert cost.value_and_gradient(theta)[0] == pytest.approx(plain.value_and_gradient(theta)[0], rel=1e-12)
    for name in ("gauss_newton", "hessian"):
        want = plain.matrix(name, theta)
        np.testing.assert_allclose(cost.matrix(name, theta), want, rtol=0, atol=1e-10 * np.abs(want).max())
    want = plain.hessian_product(theta, v)
    np.testing.assert_allclose(cost.hessian_product(theta, v), want, rtol=0, atol=1e-10 * np.abs(want).max())
    np.testing.assert_allclose(cost.pulls(theta), plain.pulls(theta), rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("full")
def test_no_more_than_blocks_are_there(
    device: Backend, data: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is moved to the device is theta, and events by the block, each of them once."""
    if device.copy_stream() is not None:
        pytest.skip("copies to this device do not go through `to_device`")
    seen: list[tuple[int, ...]] = []
    original = Backend.to_device

    def spy(self: Backend, a: np.ndarray) -> object:
        if self is device:
            seen.append(np.shape(a))
        return original(self, a)

    cost, _ = costs(data, device)
    monkeypatch.setattr(Backend, "to_device", spy)
    cost.value_and_gradient(cost.start)
    size = cost.objective._sizes.of(SumKind(matrices=False))
    inputs = [shape[-1] for shape in seen if len(shape) == 2 and shape[0] == 4]  # with the row of ones
    assert inputs == [size] * (N // size) + [N % size] * (N % size > 0)
    assert max(shape[-1] for shape in seen) == size


@pytest.mark.slow
@pytest.mark.usefixtures("full")
def test_a_fit(device: Backend, data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    model = fx.Model((3, 4, 2), backend=device, seed=1)
    fit = model.fit(x, y, 0.1, prior=3.0, restarts=1)
    assert fit.valid
    assert device.owns(model.parameters)
    mean, std = model.predict(device.to_device(x[:5]), return_std=True)
    assert device.owns(mean)
    assert np.all(device.to_host(std) > 0)
    plain = fx.Model((3, 4, 2), backend="numpy", seed=1)
    plain.parameters = fit.parameters
    again = plain.fit(x, y, 0.1, prior=3.0, start="current", restarts=1)  # on NumPy: it is a minimum there too
    assert again.fval == pytest.approx(fit.fval, rel=1e-9)
    np.testing.assert_allclose(again.errors, fit.errors, rtol=1e-4)
    np.testing.assert_allclose(device.to_host(std), plain.predict(x[:5], return_std=True)[1], rtol=1e-4)


@pytest.mark.usefixtures("full")
def test_what_is_there_already_stays(device: Backend, data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = map(device.to_device, data)
    cost = fx.LeastSquares(x, y, 0.1, fx.Model((3, 5, 2), backend=device, seed=1))
    assert cost.objective.backend.computes is None


@pytest.mark.usefixtures("full")
def test_copies(data: tuple[np.ndarray, np.ndarray]) -> None:
    torch = pytest.importorskip("torch")
    del torch
    cost, plain = costs(data, fx.get_backend("torch", device="cpu"))
    again = pickle.loads(pickle.dumps(cost))
    assert again.objective.backend.computes is not None
    assert "streamed through torch" in str(again.objective.backend)
    theta = cost.start
    assert again(theta) == pytest.approx(plain(theta), rel=1e-12)


def test_small_data_are_moved(backend: Backend, data: tuple[np.ndarray, np.ndarray]) -> None:
    cost = fx.LeastSquares(*data, 0.1, fx.Model((3, 5, 2), backend=backend, seed=1))
    assert cost.objective.backend is backend
