"""Activations and their derivatives agree with the textbook formulas, also far out and at kinks."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.special

import ffnn_xp as fx
from ffnn_xp import Activation, Backend, LeastSquares, Model, get_backend
from ffnn_xp.backends.elementwise import erf
from ffnn_xp.network.activations import ACTIVATIONS, get_activation

from ..oracles.loops import SCALARS, assert_close

Z = np.array([-30.0, -8.5, -6.0, -3.0, -1.0, -0.3, -1e-3, 1e-3, 0.2, 0.9, 2.5, 6.0, 8.5, 30.0])
NAMES = pytest.mark.parametrize("name", sorted(ACTIVATIONS))


def evaluate(backend: Backend, f: Activation, z: np.ndarray) -> tuple[np.ndarray, ...]:
    """f, f' and f'' on the host."""
    xp, z = backend.xp, backend.to_device(z)
    a = f.f(xp, z)
    return tuple(backend.to_host(v) for v in (a, f.df(xp, z, a), f.d2f(xp, z, a)))


def test_every_activation_has_an_oracle() -> None:
    assert set(SCALARS) == set(ACTIVATIONS)
    assert all(key == f.name for key, f in ACTIVATIONS.items())


@NAMES
def test_value_and_slope_are_the_textbook_formulas(backend: Backend, name: str) -> None:
    f, df = SCALARS[name]
    value, slope, _ = evaluate(backend, ACTIVATIONS[name], Z)
    np.testing.assert_allclose(value, [f(z) for z in Z], rtol=1e-14, atol=2e-15)
    np.testing.assert_allclose(slope, [df(z) for z in Z], rtol=1e-14, atol=2e-15)


@NAMES
def test_derivatives_are_those_of_differences(backend: Backend, name: str) -> None:
    """Central differences with h = 1e-5: h^2/6 f''' and eps/h are both near 1e-11, times f of order one here."""
    h, z = 1e-5, Z[np.abs(Z) < 5]
    up, down = (evaluate(backend, ACTIVATIONS[name], z + s) for s in (h, -h))
    _, slope, curvature = evaluate(backend, ACTIVATIONS[name], z)
    np.testing.assert_allclose(slope, (up[0] - down[0]) / (2 * h), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(curvature, (up[1] - down[1]) / (2 * h), rtol=1e-8, atol=1e-9)


@NAMES
def test_shape_and_type_stay(backend: Backend, name: str) -> None:
    """Also f' and f'' of identity and relu, which do not depend on z."""
    single = get_backend(backend.name, dtype="float32")
    for b in (backend, single):
        z = b.to_device(Z.reshape(2, 1, 7))
        f = ACTIVATIONS[name]
        a = f.f(b.xp, z)
        for v in (a, f.df(b.xp, z, a), f.d2f(b.xp, z, a)):
            assert tuple(v.shape) == (2, 1, 7)
            assert str(v.dtype).endswith(b.dtype)


@NAMES
def test_far_out_everything_is_finite(backend: Backend, name: str) -> None:
    """Up to |z| = 800, where exp(z) is beyond float64; only exp itself may be infinite there."""
    z = np.array([-800.0, -700.0, 700.0]) if name == "exp" else np.array([-800.0, -100.0, 100.0, 800.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = evaluate(backend, ACTIVATIONS[name], z)
    for values in results:
        assert np.all(np.isfinite(values))


LIMITS = {
    "relu": ((0, 0, 0), (800, 1, 0)),
    "leaky_relu": ((-8, 0.01, 0), (800, 1, 0)),
    "tanh": ((-1, 0, 0), (1, 0, 0)),
    "logistic": ((0, 0, 0), (1, 0, 0)),
    "softplus": ((0, 0, 0), (800, 1, 0)),
    "silu": ((0, 0, 0), (800, 1, 0)),
    "gelu": ((0, 0, 0), (800, 1, 0)),
    "elu": ((-1, 0, 0), (800, 1, 0)),
}


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_limits(backend: Backend, name: str) -> None:
    found = np.array(evaluate(backend, ACTIVATIONS[name], np.array([-800.0, 800.0]))).T
    np.testing.assert_allclose(found, LIMITS[name], rtol=1e-15, atol=1e-300)


def test_a_small_logistic_keeps_its_digits(backend: Backend) -> None:
    """1/(1 + exp(-z)) = exp(z) to all digits at z = -40; 1 - 1/(1 + exp(z)) would be zero."""
    value, slope, _ = evaluate(backend, ACTIVATIONS["logistic"], np.array([-40.0]))
    np.testing.assert_allclose([value[0], slope[0]], math.exp(-40), rtol=1e-14)
    value, slope, curvature = evaluate(backend, ACTIVATIONS["softplus"], np.array([-40.0]))
    np.testing.assert_allclose([value[0], slope[0], curvature[0]], math.exp(-40), rtol=1e-14)


@pytest.mark.parametrize(("name", "left"), [("relu", 0.0), ("leaky_relu", 0.01)])
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_at_the_kink_the_slope_is_the_left_one(backend: Backend, name: str, left: float, zero: float) -> None:
    value, slope, curvature = evaluate(backend, ACTIVATIONS[name], np.array([zero]))
    assert (value[0], slope[0], curvature[0]) == (0.0, left, 0.0)


@pytest.mark.slow
def test_the_kink_is_where_pytorch_has_it() -> None:
    torch = pytest.importorskip("torch")
    for name, function in (("relu", torch.relu), ("leaky_relu", torch.nn.functional.leaky_relu)):
        z = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        function(z).backward()
        assert evaluate(get_backend("torch", device="cpu"), ACTIVATIONS[name], np.zeros(1))[1][0] == float(z.grad)


@NAMES
def test_properties_say_what_is_true(name: str) -> None:
    f, (g, dg), points = ACTIVATIONS[name], SCALARS[name], (-1.5, 0.7, 2.0)
    assert (not f.smooth) == (abs(dg(1e-9) - dg(-1e-9)) > 1e-3)
    assert f.homogeneous == all(math.isclose(g(3 * z), 3 * g(z), rel_tol=1e-12) for z in points)
    assert f.multiplicative == all(math.isclose(g(z + 1), g(z) * g(1), rel_tol=1e-12) for z in points)
    assert not f.monotonic or all(dg(z) > 0 for z in Z)
    if f.mirror is not None:
        s, c = f.mirror
        assert all(math.isclose(g(-z), s * g(z) + c, rel_tol=1e-12) for z in points)


@pytest.mark.slow
@NAMES
def test_copies_of_known_ones_are_the_same_object(name: str) -> None:
    assert pickle.loads(pickle.dumps(ACTIVATIONS[name])) is ACTIVATIONS[name]
    assert copy.deepcopy(ACTIVATIONS[name]) is ACTIVATIONS[name]


def test_erf_has_all_digits(backend: Backend) -> None:
    """Where the library brings none of its own (array-api-strict), a series has to be as good as SciPy's."""
    z = np.concatenate([np.linspace(-7, 7, 281), [-800.0, -1e-8, 1e-300, 800.0]])
    found = backend.to_host(erf(backend.xp, backend.to_device(z)))
    np.testing.assert_allclose(found, scipy.special.erf(z), rtol=4e-15)


def test_gelu_is_the_exact_one(backend: Backend) -> None:
    """z Phi(z) with the normal distribution function, and not the approximation by tanh."""
    value = evaluate(backend, ACTIVATIONS["gelu"], Z)[0]
    np.testing.assert_allclose(value, Z * scipy.special.ndtr(Z), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(("alias", "name"), [("sigmoid", "logistic"), ("linear", "identity"), ("swish", "silu")])
def test_other_names(alias: str, name: str) -> None:
    assert get_activation(alias) is ACTIVATIONS[name]


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match=r"unknown activation 'tnah': did you mean 'tanh'\? Known are .*'relu'"):
        get_activation("tnah")


@pytest.mark.parametrize("foreign", [np.tanh, 3, None])
def test_what_is_no_activation(foreign: object) -> None:
    with pytest.raises(TypeError, match=r"a name or an ffnn_xp\.Activation\(name, f, df, d2f\), got"):
        get_activation(foreign)


def test_your_own(backend: Backend) -> None:
    """f = z^3 through the whole machine: one unit, one event, second derivatives by hand."""
    cube = Activation("cube", lambda xp, z: z**3, lambda xp, z, a: 3 * z * z, lambda xp, z, a: 6 * z)
    model = fx.Model((1, 1), output=cube, backend=backend)
    model.parameters = [2.0, 1.0]
    assert get_activation(cube) is cube
    assert model.activations == (cube,)
    assert float(backend.to_host(model([1.0]))[0]) == pytest.approx(27)
    # S = (y - 26)^2: y' = 27 (x, 1), y'' = 18, so H = 2 * 27^2 + 2 * 18 in every element
    cost = fx.LeastSquares([1.0], [26.0], 1.0, model)
    assert_close(cost.grad([2.0, 1.0]), [54, 54], 1e-12)
    assert_close(cost.hessian([2.0, 1.0]), [[1494, 1494], [1494, 1494]], 1e-12)
    assert_close(cost.gauss_newton([2.0, 1.0]), [[1458, 1458], [1458, 1458]], 1e-12)


def scaled(xp: Any, z: Any, out: Any = None) -> Any:
    return xp.tanh(z / 2) if out is None else xp.tanh(z / 2, out=out)


def slope(xp: Any, z: Any, a: Any) -> Any:
    return (1 - a * a) / 2


def bend(xp: Any, z: Any, a: Any) -> Any:
    return -a * (1 - a * a) / 2


def back(xp: Any, delta: Any, z: Any, a: Any) -> Any:
    return delta * (0.5 - 0.5 * a * a)


def test_your_own_backward_function_gives_the_same_and_is_copied(backend: Backend, rng: np.random.Generator) -> None:
    plain = Activation("mine", scaled, slope, bend)
    short = pickle.loads(pickle.dumps(Activation("mine", scaled, slope, bend, backward=back, takes_out=True)))
    assert (short.backward, short.takes_out) == (back, True)
    x, y = rng.normal(size=(40, 2)), rng.normal(size=40)
    found = []
    for f in (plain, short):
        cost = LeastSquares(x, y, 0.1, Model((2, 3, 3, 1), activation=f, backend=backend, seed=1))
        value, gradient = cost.value_and_gradient(cost.start)
        found.append([value, *gradient])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)
