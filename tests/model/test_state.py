"""Models to files and back: the same network on every backend, and a file that others can read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import to_numpy
from ffnn_xp.fitting.tuning import PriorSelectionTuning
from ffnn_xp.io import read_header, save_state
from ffnn_xp.model.state import FileTuning

safe_open = pytest.importorskip("safetensors").safe_open

X = np.linspace(-2, 2, 40)
Y = np.tanh(2 * X) + 0.1 * np.cos(20 * X)

square = fx.Activation("square", lambda xp, z: z * z, lambda xp, z, a: 2 * z, lambda xp, z, a: 2 + 0 * z)


def fitted(backend: Any = "numpy", **options: Any) -> tuple[fx.Model, fx.FitResult]:
    model = fx.Model((1, 2, 1), backend=backend, seed=1, **options)
    return model, model.fit(X, Y, 0.1, prior=1.0)


@pytest.fixture(scope="module")
def model() -> fx.Model:
    return fitted()[0]


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return tmp_path / "net.safetensors"


def content(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with safe_open(path, "np") as file:
        return json.loads(file.metadata()["ffnn_xp"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def assert_same(first: fx.Model, second: fx.Model) -> None:
    assert np.array_equal(to_numpy(first.parameters), to_numpy(second.parameters))
    x = np.linspace(-3, 3, 31)
    for mine, theirs in zip(first.predict(x, return_std=True), second.predict(x, return_std=True), strict=True):
        assert type(mine) is type(theirs)
        assert to_numpy(mine).dtype == first.backend.dtype
        assert np.array_equal(to_numpy(mine), to_numpy(theirs))
    assert np.all(to_numpy(theirs) > 0)


def test_same_predictions_and_band_bit_for_bit(net: Path) -> None:
    model, fit = fitted()
    assert fit.valid
    model.save(net)
    same = fx.load(net)
    assert same.layers == model.layers
    assert [a.name for a in same.activations] == ["tanh", "identity"]
    assert_same(model, same)


def test_on_every_backend(backend: fx.Backend, model: fx.Model, tmp_path: Path) -> None:
    """There and back on each library; the fit itself is made once, with NumPy, since compilers take their time."""
    model.save(tmp_path / "first")
    there = fx.load(tmp_path / "first", backend=backend.name)
    assert there.backend.name == backend.name
    for mine, theirs in zip(model.predict(X, return_std=True), there.predict(X, return_std=True), strict=True):
        assert np.allclose(to_numpy(mine), to_numpy(theirs), rtol=1e-10)
    there.save(tmp_path / "second")
    assert (tmp_path / "second").read_bytes() == (tmp_path / "first").read_bytes()
    assert_same(there, fx.load(tmp_path / "second", backend=backend))


@pytest.mark.slow
def test_after_a_fit_with_another_library(net: Path) -> None:
    model, _ = fitted("array_api_strict")
    model.save(net)
    assert_same(model, fx.load(net, backend="array_api_strict"))


def test_saving_twice_gives_the_same_bytes(model: fx.Model, tmp_path: Path) -> None:
    for name in ("a", "b"):
        model.save(tmp_path / name, metadata={"one": "1", "two": "2", "three": "3"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_is_kept_and_can_be_changed(dtype: str, net: Path, rng: np.random.Generator) -> None:
    model = fx.Model((3, 4, 2), dtype=dtype, seed=3)
    model.save(net)
    assert content(net)[1]["A_L1_L2"].dtype == dtype
    same = fx.load(net)
    assert same.backend.dtype == dtype
    x = rng.normal(size=(5, 3))
    assert same(x).dtype == dtype
    assert np.array_equal(same(x), model(x))
    other = fx.load(net, dtype="float32")
    assert other(x).dtype == np.float32
    assert np.allclose(other(x), model(x), rtol=1e-4)


def test_float32_fit_keeps_its_band(net: Path) -> None:
    model, fit = fitted(dtype="float32")
    assert fit.valid, fit.message
    model.save(net, fit=fit)
    assert_same(model, fx.load(net))


@pytest.mark.slow
def test_undetermined_directions_stay_infinite(net: Path) -> None:
    model = fx.Model((1, 12, 1), seed=1)
    fit = model.fit(X, Y, 0.1, prior=None)
    if not fit.valid or not fit.n_null:
        pytest.skip("this fit happens to have no null directions")
    model.save(net)
    x = np.linspace(-30, 30, 201)
    assert np.array_equal(model.predict(x, return_std=True)[1], fx.load(net).predict(x, return_std=True)[1])


def test_arrays_in_fortran_order_are_not_scrambled(model: fx.Model, net: Path) -> None:
    model.save(net)
    state = model.to_state()
    assert state.band is not None
    spectrum = replace(state.band.spectrum, factor=np.asfortranarray(state.band.spectrum.factor))
    swapped = net.with_name("swapped")
    save_state(replace(state, band=replace(state.band, spectrum=spectrum)), swapped)
    assert np.array_equal(content(swapped)[1]["band.factor"], spectrum.factor)
    assert np.array_equal(fx.load(swapped).predict(X, return_std=True)[1], fx.load(net).predict(X, return_std=True)[1])


def test_column_targets_stay_columns(net: Path) -> None:
    model = fx.Model((1, 2, 1), seed=1)
    model.fit(X, Y[:, None], 0.1, prior=1.0)
    model.save(net)
    assert fx.load(net).predict(X).shape == (40, 1)


def test_no_hidden_layer_and_two_kinds_of_layers(net: Path) -> None:
    fx.Model.from_matrices([[[2.0, 1.0]]]).save(net)
    assert fx.load(net)([3.0]) == 7.0
    deep = fx.Model((2, 3, 4, 2), activation=["relu", "sine"], output="exp", seed=1)
    deep.save(net)
    assert np.array_equal(fx.load(net)([[1.0, 2.0]]), deep([[1.0, 2.0]]))


def test_a_loaded_network_is_where_the_next_fit_starts(net: Path) -> None:
    model, fit = fitted()
    model.save(net)
    again = fx.load(net).fit(X, Y, 0.1, prior=1.0, start="current", restarts=1)
    assert again.valid
    assert again.fval == pytest.approx(fit.fval, rel=1e-6)
    assert np.allclose(again.parameters, fit.parameters, rtol=1e-2, atol=1e-2)


def test_pathlike_and_str(model: fx.Model, net: Path) -> None:
    model.save(str(net))
    assert fx.load(str(net)).layers == fx.load(net).layers


def test_three_lines_of_numpy_compute_the_same(net: Path, rng: np.random.Generator) -> None:
    model = fx.Model((8, 7, 9, 6), activation="relu", output="relu", seed=1)
    model.save(net)
    x = rng.normal(size=(20, 8))
    a = x.T
    for name in ("A_L1_L2", "A_L2_L3", "A_L3_L4"):
        a = np.maximum(content(net)[1][name] @ np.vstack([a, np.ones(20)]), 0)
    assert np.allclose(a.T, model(x), rtol=1e-13)


def test_header_tells_everything_in_plain_json(net: Path) -> None:
    model, fit = fitted()
    model.save(net, fit=fit, input_names=["t [s]"], target_names=("U",), metadata={"run": "7", "wer": "Müller"})
    raw, tensors = content(net)
    assert raw["format_version"] == 4
    assert raw["library_version"] == fx.__version__
    assert raw["widths"] == [1, 2, 1]
    assert (raw["activations"], raw["output"], raw["own_activations"]) == (["tanh"], "identity", [])
    assert (raw["dtype"], raw["y_was_column"], raw["no_band"]) == ("float64", False, "")
    assert raw["n_members"] == 1
    assert set(tensors) == {"A_L1_L2", "A_L2_L3", "prior", "density.0.noise", "density.calibration"} | {
        f"band.{n}" for n in ("theta", "x_mean", "x_scale", "y_mean", "y_scale", "factor", "null", "scale")
    }
    header = read_header(net)
    assert (header.input_names, header.target_names) == (("t [s]",), ("U",))
    assert header.metadata == {"run": "7", "wer": "Müller"}
    assert header.fit is not None
    assert header.fit["valid"] is True
    assert header.fit["message"] == fit.message
    assert header.fit["chi2"] == fit.chi2
    assert header.fit["n_data"] - header.fit["n_effective"] == fit.ndof
    assert header.fit["y_error"] is None


def test_the_predictive_density_comes_back(net: Path) -> None:
    model, _ = fitted()
    model.save(net)
    same = fx.load(net)
    np.testing.assert_array_equal(same.log_density(X, Y), model.log_density(X, Y))
    np.testing.assert_array_equal(same.interval(X), model.interval(X))
    _, std = same.predict(X, return_std=True, kind="prediction")
    np.testing.assert_array_equal(std, model.predict(X, return_std=True, kind="prediction")[1])
    model.save(net, band=False)
    with pytest.raises(fx.NotFittedError):
        fx.load(net).log_density(X, Y)


@pytest.mark.slow
def test_the_ensemble_comes_back(backend: fx.Backend, net: Path) -> None:
    """Also where no minimum was certified: then there is no band beside it."""
    model = fx.Model((1, 3, 1), seed=1, backend=backend)
    model.fit(X, Y, prior="auto")
    model.save(net)
    same = fx.load(net, backend=backend)
    for kind in ("confidence", "prediction"):
        for there, here in zip(
            same.predict(X, return_std=True, kind=kind), model.predict(X, return_std=True, kind=kind), strict=True
        ):
            np.testing.assert_array_equal(fx.to_numpy(there), fx.to_numpy(here))
    np.testing.assert_array_equal(same.log_density(X, Y), model.log_density(X, Y))
    assert read_header(net).n_members == PriorSelectionTuning().few_members
    save_state(replace(model.to_state(), band=None, no_band="not certified"), net)
    np.testing.assert_array_equal(fx.load(net, backend=backend).log_density(X, Y), model.log_density(X, Y))
    model.save(net, band=False)
    best = fx.load(net, backend=backend)
    np.testing.assert_allclose(fx.to_numpy(best.predict(X)), fx.to_numpy(model(X)), rtol=1e-12)


def test_header_without_extras(model: fx.Model, net: Path) -> None:
    model.save(net)
    header = read_header(net)
    assert header.fit is None
    assert header.input_names is None
    assert header.target_names is None
    assert header.metadata == {}


def test_estimated_errors_and_values_that_are_not_finite_in_the_summary(net: Path) -> None:
    model = fx.Model((1, 2, 1), seed=1)
    fit = model.fit(X, Y, max_seconds=1e9, callback=lambda state: state.calls > 3, prior=None)
    assert not fit.valid
    assert np.isnan(fit.edm)
    model.save(net, fit=fit)
    summary = read_header(net).fit
    assert summary is not None
    assert summary["edm"] is None
    assert summary["valid"] is False
    assert fit.y_error is not None
    assert summary["y_error"] == fit.y_error.tolist()


def test_why_there_is_no_band_survives(model: fx.Model, net: Path) -> None:
    by_hand = fx.Model.from_matrices([[[2.0, 1.0]]])
    by_hand.save(net)
    with pytest.raises(fx.NotFittedError, match="the parameters were set by hand"):
        fx.load(net).predict(X, return_std=True)
    with pytest.raises(ValueError, match="no error band to save: the parameters were set by hand"):
        by_hand.save(net, band=True)
    model.save(net, band=False)
    with pytest.raises(fx.NotFittedError, match="left out of the file"):
        fx.load(net).predict(X, return_std=True)
    assert set(content(net)[1]) == {"A_L1_L2", "A_L2_L3", "prior"}


def test_large_bands_on_demand_only(model: fx.Model, net: Path) -> None:
    small = FileTuning(band_limit=model.n_parameters - 1)
    save_state(model.to_state(tuning=small), net)
    with pytest.raises(fx.NotFittedError, match=r"for its size \(7 parameters, more than 6\): save with band=True"):
        fx.load(net).predict(X, return_std=True)
    save_state(model.to_state(band=True, tuning=small), net)
    fx.load(net).predict(X, return_std=True)


def test_own_activations_come_from_the_caller(net: Path) -> None:
    model = fx.Model((2, 3, 1), activation=square, seed=1)
    model.save(net)
    assert read_header(net).own_activations == ("square",)
    with pytest.raises(ValueError, match=r"own activation 'square'.*activations=\[\.\.\.\]"):
        fx.load(net)
    almost = fx.Activation("sqare", square.f, square.df, square.d2f)
    with pytest.raises(ValueError, match="did you mean 'sqare'"):
        fx.load(net, activations=[almost])
    with pytest.raises(TypeError, match=r"must hold ffnn_xp\.Activation objects, got str"):
        fx.load(net, activations=["square"])  # type: ignore[list-item]
    same = fx.load(net, activations=[almost, square])
    assert np.array_equal(same([[1.0, 2.0]]), model([[1.0, 2.0]]))


def test_own_activation_with_a_known_name_is_not_taken_for_the_library_s(net: Path) -> None:
    mine = fx.Activation("tanh", square.f, square.df, square.d2f)
    model = fx.Model((2, 3, 1), activation=mine, seed=1)
    model.save(net)
    with pytest.raises(ValueError, match="own activation 'tanh'"):
        fx.load(net)
    assert np.array_equal(fx.load(net, activations=[mine])([[1.0, 2.0]]), model([[1.0, 2.0]]))


def test_two_activations_of_one_name_cannot_be_saved(net: Path) -> None:
    mine = fx.Activation("tanh", square.f, square.df, square.d2f)
    with pytest.raises(ValueError, match="two different activations of this network are called 'tanh'"):
        fx.Model((2, 3, 3, 1), activation=[mine, "tanh"], seed=1).save(net)
    assert not net.exists()


def test_arguments_are_checked(net: Path) -> None:
    model, fit = fitted()
    with pytest.raises(ValueError, match="`input_names` must have 1 names"):
        model.save(net, input_names=["a", "b"])
    with pytest.raises(TypeError, match="`target_names` must be a sequence of names"):
        model.save(net, target_names="y")
    with pytest.raises(TypeError, match="must map text to text, got 'run': 7"):
        model.save(net, metadata={"run": 7})  # type: ignore[dict-item]
    model.parameters = np.zeros(7)
    with pytest.raises(ValueError, match="`fit` belongs to other parameters"):
        model.save(net, fit=fit)
    with pytest.raises(fx.NotFittedError, match="completed by the first fit"):
        fx.Model().save(net)
    assert list(net.parent.iterdir()) == []


def test_backend_and_its_fallback(model: fx.Model, net: Path, hide: Callable[[str], None]) -> None:
    model.save(net)
    strict = fx.get_backend("array_api_strict")
    assert fx.load(net, backend=strict).backend is strict
    hide("cupy")
    with pytest.raises(fx.BackendUnavailableError, match="not installed"):
        fx.load(net, backend="cupy", fallback=False)
    with pytest.warns(fx.BackendFallbackWarning) as caught:
        fx.load(net, backend="cupy")
    assert caught[0].filename == __file__


def test_without_safetensors(model: fx.Model, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "safetensors"]:
        monkeypatch.setitem(sys.modules, name, None)
    for action in (model.save, fx.load, read_header):
        with pytest.raises(ImportError, match=r"needs safetensors: pip install 'ffnn_xp\[files\]'"):
            action(net)
    assert not net.exists()


def test_a_subclass_loads_as_itself(model: fx.Model, net: Path) -> None:
    class Mine(fx.Model):
        pass

    model.save(net)
    assert type(Mine.load(net)) is Mine
    assert type(fx.load(net)) is fx.Model


def test_a_state_needs_no_file(backend: fx.Backend, model: fx.Model) -> None:
    same = fx.Model.from_state(model.to_state(), backend=backend)
    for mine, theirs in zip(model.predict(X, return_std=True), same.predict(X, return_std=True), strict=True):
        assert np.allclose(to_numpy(mine), to_numpy(theirs), rtol=1e-10)
    np.testing.assert_allclose(same.log_density(X, Y), model.log_density(X, Y), rtol=1e-9)
