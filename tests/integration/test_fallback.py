"""A laptop without a GPU: CuPy is asked for, says what is wrong, and NumPy does the work with the same numbers."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
import ffnn_xp.backends
from ffnn_xp import Backend, BackendFallbackWarning, BackendUnavailableError, Model, get_backend
from ffnn_xp.backends import BACKENDS
from ffnn_xp.backends.cupy import CupyBackend
from ffnn_xp.backends.numpy import NumpyBackend


def refuse(error: Exception) -> type[Backend]:
    class Refused(CupyBackend):
        @classmethod
        def is_installed(cls) -> bool:
            return True

        @classmethod
        def find(cls, device: Any, dtype: str) -> Any:
            raise error

    return Refused


class BrokenDriver(NumpyBackend):
    """What a wrong driver or a full GPU looks like: everything is found, and the first computation is wrong."""

    name = "cupy"

    @classmethod
    def is_installed(cls) -> bool:
        return True

    @classmethod
    def find(cls, device: Any, dtype: str) -> Any:
        namespace = type("xp", (), {"tanh": staticmethod(lambda a: 0 * a), "__name__": "cupy", "asarray": np.array})
        return namespace, "cpu"

    def _moved(self, a: np.ndarray) -> np.ndarray:
        return a


class OnAnyDevice(NumpyBackend):
    """As far as anybody can see, CuPy's, and on a GPU."""

    name = "cupy"
    for_gpus = True

    @classmethod
    def is_installed(cls) -> bool:
        return True

    @classmethod
    def find(cls, device: Any, dtype: str) -> Any:
        return np, device

    @staticmethod
    def is_gpu(device: Any) -> bool:
        return True


WAYS = {
    "no GPU": None,
    "not installed": None,
    "old driver": refuse(RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient\nmore")),
    "full memory": refuse(MemoryError("out of memory allocating 512 bytes")),
    "missing library": refuse(ImportError("libnvrtc.so.12: cannot open shared object file")),
    "silent error": refuse(RuntimeError()),
}
SAYS = {
    "no GPU": "CuPy is installed but finds no usable CUDA GPU",
    "not installed": r"the package is not installed; pip install 'ffnn_xp\[cuda12\]'",
    "old driver": r"cudaErrorInsufficientDriver: CUDA driver version is insufficient\.",
    "full memory": "out of memory allocating 512 bytes",
    "missing library": "libnvrtc.so.12",
    "silent error": "RuntimeError",
}


@pytest.fixture(params=sorted(WAYS))
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, hide: Callable[[str], None]) -> str:
    """CuPy cannot be used, in one of the ways it happens."""
    if WAYS[request.param] is not None:
        monkeypatch.setitem(BACKENDS, "cupy", WAYS[request.param])
    elif request.param == "not installed":
        hide("cupy")
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cupy = pytest.importorskip("cupy")
        if cupy.cuda.is_available():
            pytest.skip("this machine has a GPU")
    return request.param


def test_one_warning_with_the_reason_then_numpy(way: str) -> None:
    with pytest.warns(BackendFallbackWarning, match=SAYS[way]) as caught:
        model = Model((2, 3, 1), backend="cupy", seed=1)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    text = str(caught[0].message)
    assert text.startswith("cupy: ")
    assert "NumPy" in text
    assert "fallback=False" in text
    assert "FFNN_XP_STRICT=1" in text
    assert model.backend.name == "numpy"
    assert model.backend.device == "cpu"
    assert model.backend.reason
    assert model.backend.reason in text
    assert model.backend.reason in repr(model)
    with warnings.catch_warnings():  # and not again
        warnings.simplefilter("error")
        assert Model((2, 3, 1), backend="cupy").backend.reason == model.backend.reason


def test_the_warning_points_at_who_asked(hide: Callable[[str], None]) -> None:
    hide("cupy")
    with pytest.warns(BackendFallbackWarning) as caught:
        get_backend("cupy")
    assert caught[0].filename == __file__


def test_the_numbers_are_numpys_to_the_last_bit(way: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(40, 2))
    y = np.sin(x[:, 0]) + x[:, 1]
    with pytest.warns(BackendFallbackWarning):
        fallen = Model((2, 3, 1), backend="cupy", seed=1)
    plain = Model((2, 3, 1), backend="numpy", seed=1)
    np.testing.assert_array_equal(fallen(x), plain(x))
    results = [model.fit(x, y, 0.1, restarts=2, seed=5, prior=None) for model in (fallen, plain)]
    np.testing.assert_array_equal(results[0].parameters, results[1].parameters)
    np.testing.assert_array_equal(results[0].errors, results[1].errors)
    assert results[0].fval == results[1].fval


def test_strictness_by_argument(way: str) -> None:
    for make in (get_backend, lambda b, **options: Model((1, 1), backend=b, **options)):
        with pytest.raises(BackendUnavailableError, match=SAYS[way].rstrip(r"\.")):
            make("cupy", fallback=False)


@pytest.mark.parametrize("value", ["1", "true", "yes"])
def test_strictness_by_environment(way: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFNN_XP_STRICT", value)
    with pytest.raises(BackendUnavailableError):
        Model((1, 1), backend="cupy")
    with pytest.warns(BackendFallbackWarning):  # the argument has the last word
        assert get_backend("cupy", fallback=True).name == "numpy"


@pytest.mark.parametrize("value", ["0", ""])
def test_strictness_switched_off(way: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFNN_XP_STRICT", value)
    with pytest.warns(BackendFallbackWarning):
        assert get_backend("cupy").name == "numpy"


def test_auto_does_not_warn(way: str) -> None:
    """Who did not ask for a GPU is not told that there is none."""
    backend = get_backend()
    assert backend.name != "cupy"
    assert backend.reason == ""


def test_the_environment_may_ask_for_cupy(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFNN_XP_BACKEND", "cupy")
    with pytest.warns(BackendFallbackWarning, match=SAYS[way]):
        assert Model((1, 1)).backend.name == "numpy"


def test_the_type_stays_that_was_asked_for(way: str) -> None:
    with pytest.warns(BackendFallbackWarning):
        model = Model((1, 1), backend="cupy", dtype="float32")
    assert model.parameters.dtype == np.float32


def test_a_copy_remembers_why(hide: Callable[[str], None]) -> None:
    hide("cupy")
    with pytest.warns(BackendFallbackWarning):
        backend = get_backend("cupy")
    assert pickle.loads(pickle.dumps(backend)) == backend


def test_a_device_that_computes_nonsense_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "cupy", BrokenDriver)
    with pytest.raises(BackendUnavailableError, match=r"computes tanh\(1\) = 0"):
        get_backend("cupy", fallback=False)


def test_auto_on_the_cpu_is_not_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that has one, as far as `auto` can see."""
    monkeypatch.setattr(ffnn_xp.backends.registry, "has_nvidia_driver", lambda: True)
    monkeypatch.setitem(BACKENDS, "cupy", OnAnyDevice)
    assert get_backend("auto").name == "cupy"
    assert get_backend("auto", device="cpu").name == "numpy"


def test_the_probe_is_not_made_at_import() -> None:
    """Importing must not wake a driver; `test_imports` looks at what is loaded, this at who asks."""
    assert fx.backends is ffnn_xp.backends
    assert not ffnn_xp.backends.registry._warned
