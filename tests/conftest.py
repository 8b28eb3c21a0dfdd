"""Which array libraries the tests run on: ``pytest --backend numpy --backend torch``, by default all installed ones.

A test that takes the fixture ``backend`` runs once for each; ``--met-only`` leaves out those that meet none of them.
CuPy without a GPU is left to `test_fallback`, which runs everywhere; with a GPU every test runs on it.
"""

from __future__ import annotations

import ast
import inspect
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp.backends
from ffnn_xp import Backend, BackendUnavailableError, get_backend
from ffnn_xp.backends import BACKENDS
from ffnn_xp.objective import Objective

# A process that a test starts takes this list over, and finds the functions of the tests; pytest alone would not put
# the folder there. At the end: what is installed comes first.
sys.path.append(str(Path(__file__).parents[1]))


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_as_in_a_terminal() -> None:
    """Jobs in a shell's background ignore Ctrl-C, and so would tests of it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend", action="append", choices=list(BACKENDS), help="array library to test; may be repeated"
    )
    parser.addoption("--met-only", action="store_true", help="no tests that meet none of these libraries")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``--met-only``: what takes the fixture `backend`, names one of the libraries, or has helpers that do."""
    if not config.getoption("met_only"):
        return
    wanted = (*(config.getoption("backend") or BACKENDS), "autodiff")

    @cache
    def helpers_name_one(path: Path) -> bool:
        text = path.read_text(encoding="utf-8")
        helpers = (node for node in ast.parse(text).body if not getattr(node, "name", "").lower().startswith("test"))
        return any(name in ast.unparse(node) for node in helpers for name in wanted)

    @cache
    def names_one(test: Callable[..., None]) -> bool:
        return any(name in inspect.getsource(test) for name in wanted)

    met = {
        item
        for item in items
        if "backend" in getattr(item, "fixturenames", ()) or helpers_name_one(item.path) or names_one(item.function)  # type: ignore[attr-defined]
    }
    config.hook.pytest_deselected(items=[item for item in items if item not in met])
    items[:] = [item for item in items if item in met]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", metafunc.config.getoption("backend") or BACKENDS, indirect=True)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Backend:
    """The array library under test, in float64 on its default device."""
    try:
        return get_backend(request.param, fallback=False)
    except BackendUnavailableError as error:
        pytest.skip(f"{request.param}: {error}")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(12345)


class Hiding:
    """One of Python's finders of modules, but for one package."""

    def __init__(self, finder: Any, package: str) -> None:
        self.finder, self.package = finder, package

    def find_spec(self, name: str, *rest: Any) -> ModuleSpec | None:
        return None if name.partition(".")[0] == self.package else self.finder.find_spec(name, *rest)


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make a package look as if it had never been installed (a None in `sys.modules` is not that: others read it)."""

    def hide(package: str) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "meta_path", [Hiding(finder, package) for finder in sys.meta_path])

    return hide


Note = Callable[..., object]
EVALUATIONS = ("value_and_gradient", "hessian", "gauss_newton", "hessian_product", "kronecker_factors")


@pytest.fixture
def before_each(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have a function called before each evaluation of any objective, with its arguments; by default of all kinds."""

    def before_each(note: Note, *names: str) -> None:
        def noted(plain: Callable[..., Any]) -> Callable[..., Any]:
            def evaluate(self: Objective, *args: Any) -> Any:
                note(*args)
                return plain(self, *args)

            return evaluate

        for name in names or EVALUATIONS:
            monkeypatch.setattr(Objective, name, noted(getattr(Objective, name)))

    return before_each


@pytest.fixture
def forbid(before_each: Callable[..., None]) -> Callable[..., None]:
    """Make some quantities of every objective an error, by their names: what has no need of them gets by."""

    def forbid(*names: str) -> None:
        def forbidden(*_: object) -> None:
            raise AssertionError(f"one of {names} was computed")

        before_each(forbidden, *names)

    return forbid


@pytest.fixture
def full_disk() -> Callable[[], AbstractContextManager[None]]:
    """Make blocks in which no file grows beyond its first 64 bytes, by a limit of the system: "File too large"."""
    resource = pytest.importorskip("resource", reason="limits of Unix")

    @contextmanager
    def full_disk() -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return full_disk


@pytest.fixture(autouse=True)
def _fresh_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fallback is announced once per process; each test starts as if none had been."""
    ffnn_xp.backends.registry._warned.clear()
    for variable in ("FFNN_XP_BACKEND", "FFNN_XP_STRICT"):
        monkeypatch.delenv(variable, raising=False)
