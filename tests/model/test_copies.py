"""A model survives pickle and copy: the same numbers, on the same device, and a life of its own."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffnn_xp import Activation, Backend, Model, NotFittedError, load, to_numpy

X2 = np.linspace(-1, 1, 10).reshape(5, 2)


def square(xp: Any, z: Any) -> Any:
    return z * z


def square_slope(xp: Any, z: Any, a: Any) -> Any:
    return 2 * z


def square_curvature(xp: Any, z: Any, a: Any) -> Any:
    return 0 * z + 2


@pytest.mark.parametrize("how", ["pickle", "deepcopy", "copy"])
@pytest.mark.parametrize("state", ["open", "built", "fitted"])
def test_copies_compute_the_same(backend: Backend, how: str, state: str) -> None:
    model = Model(backend=backend, seed=1) if state == "open" else Model((2, 3, 1), backend=backend, seed=1)
    if state == "fitted":
        model.fit(X2, X2[:, :1], 0.1, prior=1.0, restarts=1)
    twin = {"pickle": lambda m: pickle.loads(pickle.dumps(m)), "deepcopy": copy.deepcopy, "copy": copy.copy}[how](model)
    assert repr(twin) == repr(model)
    if state == "open":
        return
    np.testing.assert_array_equal(to_numpy(twin(X2)), to_numpy(model(X2)))
    if state == "fitted":
        for a, b in zip(twin.predict(X2, return_std=True), model.predict(X2, return_std=True), strict=True):
            np.testing.assert_array_equal(to_numpy(a), to_numpy(b))
    before = to_numpy(model(X2)).copy()
    twin.parameters = np.zeros(13)
    np.testing.assert_array_equal(to_numpy(model(X2)), before)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [
    np.random.SeedSequence(3), np.random.default_rng(3), np.random.RandomState(3), [1, 2], np.array([1, 2]),
], ids=str)  # fmt: skip
def test_every_seed_serves_all_that_draws(seed: Any) -> None:
    """Models, second fits, replicas, bands, goodness and coverage; results can be copied, and a copy draws the same."""
    x = np.linspace(-2, 2, 30)
    y = np.tanh(x) + 0.1 * np.random.default_rng(1).normal(size=30)
    model = Model((1, 2, 1), seed=seed)
    for given in (None, seed):
        fit = model.fit(x, y, 0.1, prior=3.0, seed=given, restarts=2)
    ensemble = model.fit_replicas(x, y, 0.1, prior=3.0, number=3, seed=seed)
    fit.goodness(2, seed=seed)
    fit.coverage(number=20, seed=seed)
    for method, number in (("replicas", 5), ("mixture", 2)):
        fit.band([0.0], method=method, number=number, seed=seed)
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        again, want = (m.fit_replicas(x, y, 0.1, prior=3.0, number=3) for m in (twin, model))
        np.testing.assert_array_equal(again.parameters, want.parameters)
    assert repr(pickle.loads(pickle.dumps(ensemble))) == repr(ensemble)
    assert repr(copy.deepcopy(fit)) == repr(fit)


def test_seeds_that_are_none_are_refused_by_name() -> None:
    for seed in (-1, 1.5, "3"):
        with pytest.raises(ValueError, match="`seed` must be 0 or a positive integer"):
            Model((1, 1), seed=seed)
    fit = Model((1, 1), seed=1).fit(X2[:, 0], X2[:, 1], 0.1, prior=None)
    for draw in (fit.goodness, fit.coverage, lambda **options: fit.band([0.0], method="replicas", **options)):
        with pytest.raises(ValueError, match="`seed` must be 0 or a positive integer"):
            draw(seed=-1)


def test_a_copy_with_an_activation_of_ones_own() -> None:
    own = Activation("square", square, square_slope, square_curvature)
    model = Model((2, 3, 1), activation=own, backend="numpy", seed=1)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model))(X2), model(X2))


def test_a_copy_on_another_device() -> None:
    pytest.importorskip("array_api_strict")
    model = Model((2, 3, 1), backend="array_api_strict", device="device1", seed=1)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(to_numpy(twin(X2)), to_numpy(model(X2)))


def test_a_name_stays(tmp_path: Path) -> None:
    """In copies, files, results and the names of all parameters."""
    model = Model((2, 1, 1), backend="numpy", seed=1, name="signal")
    fit = model.fit(X2, X2[:, :1], 0.1, prior=1.0)
    pytest.importorskip("safetensors")
    model.save(tmp_path / "net.safetensors")
    twins = (
        copy.copy(model),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        load(tmp_path / "net.safetensors"),
    )
    for twin in twins:
        assert twin.name == "signal"
        assert twin.names == model.names == fit.names
    assert model.names[0] == "signal.a_L1_L2[0,0]"
    assert "name='signal'" in repr(model)
    assert fit.description.startswith("signal, 2-1-1")
    assert fit.minuit.parameters == model.names
    assert fit.minuit_of(["signal.b_L2_L3[0]"]).parameters == ("signal.b_L2_L3[0]",)
    with pytest.raises(ValueError, match="did you mean 'signal"):
        fit.minuit_of(["b_L2_L3[0]"])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_clone_of_scikit_learn_was_never_fitted(dtype: str) -> None:
    clone = pytest.importorskip("sklearn.base").clone
    options = {"activation": ("tanh", "relu"), "output": "exp", "backend": "numpy", "dtype": dtype}
    model = Model((None, 3, 2, None), **options, seed=3, name="signal")
    fit = model.fit(X2, np.exp(X2[:, :1]), 0.1, prior=1.0, restarts=1)
    twin = clone(model)
    assert repr(twin) == repr(Model((None, 3, 2, None), **options, seed=3, name="signal"))
    assert twin.layers == (None, 3, 2, None)
    again = twin.fit(X2, np.exp(X2[:, :1]), 0.1, prior=1.0, restarts=1)
    np.testing.assert_array_equal(again.parameters, fit.parameters)
    assert [type(m) for m in clone([model, model])] == [Model, Model]
    with pytest.raises(NotFittedError, match="no error band"):
        clone(Model((2, 1), backend="numpy", seed=1)).predict(X2, return_std=True)


def test_a_new_name() -> None:
    model = Model((2, 1, 1), backend="numpy", seed=1)
    before = model(X2)
    model.name = "other"
    assert model.names[-1] == "other.b_L2_L3[0]"
    np.testing.assert_array_equal(model(X2), before)
    model.name = None
    assert model.names[-1] == "b_L2_L3[0]"
    for name in ("", " a", "two\nlines"):
        with pytest.raises(ValueError, match="printable text"):
            Model(name=name)
    with pytest.raises(TypeError, match="must be text"):
        Model(name=1)  # type: ignore[arg-type]
