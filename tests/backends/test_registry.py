"""From a name to a backend, for the libraries that are in the table and for one that a user adds."""

from __future__ import annotations

import ast
import contextlib
import pickle
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import array_api_compat.numpy
import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import Backend, BackendFallbackWarning, BackendUnavailableError, Model, get_backend
from ffnn_xp.backends import BACKENDS, backend_status, register
from ffnn_xp.backends.registry import backend_class


@pytest.mark.parametrize("name", ["numpy", "array-api-strict", "array_api_strict"])
def test_names(name: str) -> None:
    assert get_backend(name).name == name.replace("-", "_")


@pytest.mark.parametrize("wrong", ["cuppy", "pytorch", "Torch ", "", "tensorflow", 3, None])
def test_wrong_names(wrong: object) -> None:
    with pytest.raises(ValueError, match="nown are 'auto', 'numpy', 'cupy', 'torch', 'jax', 'array_api_strict'"):
        get_backend(wrong)


def test_a_slip_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match=r"unknown backend 'cuppy': did you mean 'cupy'\?"):
        Model((1, 1), backend="cuppy")


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32"), "torch.float32"])
def test_dtypes_by_any_name(dtype: object) -> None:
    backend = get_backend("numpy", dtype=dtype)
    assert backend.dtype == "float32"
    assert type(backend.dtype) is str
    assert backend.real == np.float32


@pytest.mark.parametrize("dtype", ["float16", "int64", np.complex128, "double precision", None, 64])
def test_other_dtypes(dtype: object) -> None:
    with pytest.raises(ValueError, match="`dtype` must be 'float64' or 'float32', got"):
        get_backend("numpy", dtype=dtype)


def test_a_backend_is_taken_as_it_is(backend: Backend) -> None:
    assert get_backend(backend) is backend
    assert Model((1, 1), backend=backend).backend is backend


def test_a_backend_and_another_dtype_do_not_go_together() -> None:
    """Either float32 or an error, but not float64 without a word."""
    single = get_backend("numpy", dtype="float32")
    assert get_backend(single, dtype=np.float32) is single
    dtype = "refused"
    with contextlib.suppress(TypeError, ValueError):
        dtype = Model((1, 1), backend=get_backend("numpy"), dtype="float32").backend.dtype
    assert dtype in ("refused", "float32")


def test_the_environment_chooses_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFNN_XP_BACKEND", "array-api-strict")
    assert get_backend().name == "array_api_strict"
    assert Model((1, 1)).backend.name == "array_api_strict"
    assert get_backend("numpy").name == "numpy"
    monkeypatch.setenv("FFNN_XP_BACKEND", "")
    assert get_backend().name in BACKENDS
    monkeypatch.setenv("FFNN_XP_BACKEND", "abacus")
    with pytest.raises(ValueError, match="abacus"):
        get_backend()


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_the_cpu_by_name(library: str) -> None:
    pytest.importorskip(library)
    backend = get_backend(library, device="cpu", fallback=False)
    assert not backend.on_gpu
    assert "cpu" in str(backend.device).lower()


@pytest.mark.parametrize("device", ["cuda:99", "cuda:0", "nonsense", 77])
@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "array_api_strict"])
def test_a_device_that_is_not_there(library: str, device: object) -> None:
    if library not in ("numpy", "array_api_strict"):
        pytest.importorskip(library)
    if device == "cuda:0" and library in ("torch", "jax") and _has_gpu(library):
        pytest.skip("it is there")
    with pytest.raises(BackendUnavailableError, match=r"."):
        get_backend(library, device=device, fallback=False)
    with pytest.warns(BackendFallbackWarning, match=f"^{library}: "):
        assert get_backend(library, device=device).name == "numpy"


def test_auto_does_not_swallow_a_device() -> None:
    """Who asks for a GPU by name and gets none is told."""
    with pytest.warns(BackendFallbackWarning, match="cuda:99"):
        get_backend("auto", device="cuda:99")


def _has_gpu(library: str) -> bool:
    return get_backend(library).on_gpu


def test_status_has_a_line_for_each_library() -> None:
    status = {s.name: s for s in backend_status()}
    assert list(status) == list(BACKENDS)
    assert status["numpy"].usable
    assert status["numpy"].version == np.__version__
    for s in status.values():
        assert s.usable == bool(s.devices) == (not s.reason)


def test_a_library_that_is_absent_says_how_to_install_it(hide: Callable[[str], None]) -> None:
    for name in ("torch", "jax", "array_api_strict", "cupy"):
        hide(name)
        with pytest.raises(BackendUnavailableError, match=r"the package is not installed; pip install"):
            get_backend(name, fallback=False)
    assert [s.usable for s in backend_status()] == [True, False, False, False, False]


abacus = types.ModuleType("abacus")
vars(abacus).update(vars(array_api_compat.numpy), __name__="abacus")


class AbacusBackend(Backend):
    """A library that is NumPy by another name, and says no more than it must."""

    name = "abacus"
    install = "carve it from wood"

    @classmethod
    def is_installed(cls) -> bool:
        return True

    @classmethod
    def find(cls, device: Any, dtype: str) -> tuple[Any, Any]:
        if device not in (None, "cpu"):
            raise BackendUnavailableError("its beads stay where they are")
        return abacus, "cpu"

    @classmethod
    def is_array(cls, a: object) -> bool:
        return isinstance(a, np.ndarray)


def test_a_library_of_ones_own(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    """After it has been registered all works: fits, predictions, errors, copies, falling back, the table."""
    with pytest.raises(ValueError, match="unknown backend 'abacus'"):
        get_backend("abacus")
    monkeypatch.setitem(BACKENDS, "abacus", AbacusBackend)
    assert register(AbacusBackend) is AbacusBackend
    backend = get_backend("abacus", fallback=False)
    assert type(backend) is AbacusBackend
    assert isinstance(backend, fx.Backend)
    assert backend_class(abacus) is AbacusBackend
    assert str(backend) == "abacus on cpu, float64"
    assert pickle.loads(pickle.dumps(backend)) == backend
    x = rng.normal(size=(40, 2))
    y = np.sin(x[:, 0]) + x[:, 1]
    models = [Model((2, 3, 1), backend=b, seed=1) for b in ("abacus", "numpy")]
    found, want = (model.fit(x, y, 0.1, prior=3.0, restarts=2) for model in models)
    assert found.valid
    assert found.fval == pytest.approx(want.fval, rel=1e-9)
    np.testing.assert_allclose(found.errors, want.errors, rtol=1e-4)
    band = models[0].predict(x[:5], return_std=True)[1]
    np.testing.assert_allclose(band, models[1].predict(x[:5], return_std=True)[1], rtol=1e-4)
    assert [(s.name, s.devices) for s in backend_status()][-1] == ("abacus", ("cpu",))
    with pytest.warns(BackendFallbackWarning, match="^abacus: its beads stay where they are"):
        assert get_backend("abacus", device="gpu").name == "numpy"


def test_each_library_is_known_by_name_in_its_own_file_only() -> None:
    """In code, that is: documentation may speak of all of them."""
    folder = Path(fx.backends.__file__).parent
    names = re.compile("|".join(rf"\b{name}(?:x|lib)?\b" for name in BACKENDS if name != "numpy"))
    for path in folder.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        prose = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        strings = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        named = {match.group() for n in strings if n not in prose for match in names.finditer(n.value)}
        assert named <= {path.stem, f"{path.stem}x", f"{path.stem}lib"}, path
        assert not {n.value for n in strings if n.value == "numpy"} or path.stem == "numpy", path
        imported = {n.names[0].name.partition(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import)}
        assert not imported & set(BACKENDS) - {"numpy"}, path
    for name, library in BACKENDS.items():
        assert library.__module__ == f"ffnn_xp.backends.{name}"
        assert library.name == name
