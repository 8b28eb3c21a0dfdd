"""Nothing leaves the device but through `Backend.to_host`, and that as often as the design says.

array-api-strict has a device1 whose arrays NumPy refuses; the doors that it leaves open in silence (float(), bool(),
iteration, DLPack) are closed here, except inside the boundary.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from iminuit import Minuit

import ffnn_xp as fx
from ffnn_xp import Backend, Model, get_backend

strict = pytest.importorskip("array_api_strict")

DOORS = (
    "__float__",
    "__bool__",
    "__int__",
    "__index__",
    "__complex__",
    "__iter__",
    "__array__",
    "__buffer__",
    "__dlpack__",
    "__dlpack_device__",
    "to_device",
    "item",
    "tolist",
)


class Boundary:
    """Counts the crossings, and knows whether one is under way."""

    def __init__(self) -> None:
        self.depth = 0
        self.shapes: list[tuple[int, ...]] = []

    def guard(self, name: str, original: Any) -> Any:
        def door(array: Any, *args: Any, **kwargs: Any) -> Any:
            if not self.depth and str(array.device) != "array_api_strict.Device('CPU_DEVICE')":
                raise AssertionError(f"an array left the device through {name}, outside of Backend.to_host")
            if original is None:
                raise TypeError(f"no {name}")
            return original(array, *args, **kwargs)

        return door

    def passage(self, original: Any, *, count: bool) -> Any:
        def cross(*args: Any) -> Any:
            outermost = not self.depth
            self.depth += 1
            try:
                if count and outermost:
                    self.shapes.append(tuple(np.shape(args[-1]) if np.isscalar(args[-1]) else args[-1].shape))
                return original(*args)
            finally:
                self.depth -= 1

        return cross

    def taken(self) -> list[tuple[int, ...]]:
        """Shapes of what crossed since last asked."""
        shapes, self.shapes = self.shapes, []
        return shapes


@pytest.fixture
def device1() -> Backend:
    return get_backend("array_api_strict", device="device1", fallback=False)


@pytest.fixture
def boundary(device1: Backend, monkeypatch: pytest.MonkeyPatch) -> Boundary:
    guard = Boundary()
    array = type(strict.asarray(1.0))
    for name in DOORS:
        original = getattr(array, name, None)
        if original is not None or name == "__iter__":  # without __iter__, iteration goes by __getitem__
            monkeypatch.setattr(array, name, guard.guard(name, original), raising=False)
    to_numpy = fx.to_numpy
    for module in [m for name, m in sys.modules.items() if name.partition(".")[0] == "ffnn_xp"]:
        if getattr(module, "to_numpy", None) is to_numpy:
            monkeypatch.setattr(module, "to_numpy", guard.passage(to_numpy, count=False))
    monkeypatch.setattr(Backend, "to_host", guard.passage(Backend.to_host, count=True))
    return guard


def data(n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 2))
    return x, np.stack([np.sin(x[:, 0]), x[:, 0] * x[:, 1]], axis=1)


def make_cost(device1: Backend, prior: fx.GaussianPrior | None = None) -> fx.LeastSquares:
    model = Model((2, 3, 2), backend=device1, seed=1)
    return fx.LeastSquares(*data(), 0.1, model, prior=prior, weights=np.full(30, 2.0))


@pytest.mark.parametrize(
    "leave",
    [float, bool, int, complex, list, np.asarray, np.from_dlpack, lambda a: a.to_device(strict.Device("CPU_DEVICE"))],
    ids=["float", "bool", "int", "complex", "list", "asarray", "from_dlpack", "to_device"],
)
def test_the_doors_are_closed(boundary: Boundary, device1: Backend, leave: Any) -> None:
    """If they were not, everything below would pass."""
    a = strict.asarray([1.0] if leave is list else 1.0, device=device1.device)
    if leave is np.asarray:
        with pytest.raises((AssertionError, TypeError, RuntimeError, ValueError)):
            leave(a)
        return
    with pytest.raises(AssertionError, match="left the device"):
        leave(a)


def test_the_boundary_is_open_and_counts(boundary: Boundary, device1: Backend) -> None:
    assert device1.to_host(strict.ones(3, device=device1.device)).tolist() == [1, 1, 1]
    assert boundary.taken() == [(3,)]
    assert fx.to_numpy(strict.ones(3, device=device1.device)).tolist() == [1, 1, 1]


def test_value_and_gradient_cross_together(boundary: Boundary, device1: Backend) -> None:
    cost = make_cost(device1)
    theta = np.linspace(-1, 1, cost.npar)
    boundary.taken()
    value = cost(theta)
    assert boundary.taken() == [(1 + cost.npar,)]
    gradient = cost.grad(theta)
    assert cost(*theta) == value
    assert boundary.taken() == []
    assert type(value) is float
    assert type(gradient) is np.ndarray
    assert gradient.shape == (cost.npar,)
    cost.grad(theta + 1)
    cost(theta + 1)
    assert boundary.taken() == [(1 + cost.npar,)]


def test_each_matrix_crosses_once(boundary: Boundary, device1: Backend) -> None:
    cost = make_cost(device1, fx.GaussianPrior(np.ones(17)))
    theta = np.linspace(-1, 1, 17)
    boundary.taken()
    for method in ("hessian", "gauss_newton"):
        getattr(cost, method)(theta)
        assert boundary.taken() == [(17, 17)]
        getattr(cost, method)(theta)
        assert boundary.taken() == []
    cost.g2(theta)
    assert boundary.taken() == []
    cost.hessian_product(theta, theta)
    cost.gauss_newton_product(theta, theta)
    assert boundary.taken() == [(17,), (17,)]


@pytest.mark.parametrize("where", ["host", "device"])
def test_the_model_stays_on_its_device(boundary: Boundary, device1: Backend, where: str) -> None:
    model = Model((2, 3, 2), backend=device1, seed=1)
    x = data()[0]
    x = device1.to_device(x) if where == "device" else x
    y = model(x)
    mean = model.predict(x)
    assert device1.owns(y)
    assert device1.owns(mean)
    assert y.shape == mean.shape == (30, 2)
    assert device1.owns(model(x, model.parameters))
    assert all(device1.owns(A) for A in (*model.matrices, model.parameters))
    assert boundary.taken() == []


def test_a_band_stays_on_its_device(boundary: Boundary, device1: Backend) -> None:
    model = Model((2, 3, 2), backend=device1, seed=1)
    x, y = data(60)
    assert model.fit(x, y, 0.3, restarts=2, prior=1.0).valid
    boundary.taken()
    mean, std = model.predict(device1.to_device(x), return_std=True)
    assert device1.owns(mean)
    assert device1.owns(std)
    assert boundary.taken() == []


@pytest.mark.slow
@pytest.mark.parametrize("y_err", [0.1, None])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_whole_fit_with_the_doors_closed(
    boundary: Boundary, device1: Backend, y_err: float | None, activation: str
) -> None:
    """And nothing as long as the events crosses: only vectors and matrices in theta, and moments of columns."""
    model = Model((2, 3, 2), activation=activation, backend=device1, seed=1)
    result = model.fit(*data(97), y_err, restarts=2, prior=1.0)
    assert type(result.parameters) is np.ndarray
    assert type(result.fval) is float
    assert device1.owns(model.parameters)
    crossed = boundary.taken()
    assert (18,) in crossed
    assert not [shape for shape in crossed if 97 in shape]


def test_events_are_not_sent_again(boundary: Boundary, device1: Backend) -> None:
    """Into the device goes theta alone once the cost is made."""
    sent: list[tuple[int, ...]] = []

    class Noted(type(device1)):  # type: ignore[misc]
        def to_device(self, a: np.ndarray) -> Any:
            sent.append(np.shape(a))
            return super().to_device(a)

    cost = make_cost(Noted(device1.xp, device1.device, device1.dtype))
    assert sent
    sent.clear()
    cost.value_and_gradient(np.ones(cost.npar))
    cost.hessian(np.ones(cost.npar))
    assert sent == [(cost.npar,)] * 2


def test_plain_iminuit_with_the_doors_closed(boundary: Boundary, device1: Backend) -> None:
    """The same calls and the same end as with NumPy."""
    ends = []
    for backend in (device1, get_backend("numpy")):
        cost = make_cost(backend, fx.GaussianPrior(np.ones(17)))
        m = Minuit(cost, cost.start)
        m.strategy = 0
        m.migrad(ncall=200, iterate=1)
        m.hesse()
        ends.append(m)
    assert (17, 17) in boundary.taken()
    np.testing.assert_allclose(np.asarray(ends[0].values), np.asarray(ends[1].values), rtol=1e-6)
