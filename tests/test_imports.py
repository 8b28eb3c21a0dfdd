"""Promises about ``import ffnn_xp``: what it loads, what it shows, what it leaves alone."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import ffnn_xp

OPTIONAL = (
    "cupy",
    "torch",
    "jax",
    "jaxlib",
    "array_api_strict",
    "sklearn",
    "matplotlib",
    "pandas",
    "pyarrow",
    "safetensors",
    "typer",
    "tqdm",
    "dask",
    "onnx",
)


def python(code: str, **environment: str) -> str:
    """Run code in a fresh interpreter that takes warnings for errors."""
    env = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=env, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_import_loads_no_optional_library() -> None:
    found = python(f"import sys, ffnn_xp; print([m for m in {OPTIONAL} if m in sys.modules])")
    assert found.strip() == "[]"


@pytest.mark.slow
def test_a_fit_needs_no_optional_library() -> None:
    """With all of them hidden: fit, errors, prediction, text and HTML."""
    code = f"""
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {OPTIONAL} else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
import numpy as np
import ffnn_xp as fx
x = np.linspace(-1, 1, 20)
model = fx.Model((1, 2, 1), activation="gelu", seed=1)
fit = model.fit(x, np.tanh(x) + 0.1 * np.cos(40 * x), 0.1, restarts=1)
model.predict(x, return_std=fit.valid)
assert fit._repr_html_() and repr(fit) and repr(model)
assert not [m for m in {OPTIONAL} if m in sys.modules]
print(model.backend.name)
"""
    assert python(code).strip() == "numpy"


@pytest.mark.slow
def test_import_leaves_the_process_as_it_was() -> None:
    """No seeding, no warning filters, no float settings, no environment."""
    code = """
import os, warnings
import numpy as np
import scipy.optimize, scipy.special, scipy.linalg, iminuit.cost  # what they do is theirs
def state(): return str((np.random.get_state()[1].tolist(), warnings.filters, np.geterr(), dict(os.environ)))
before = state()
import ffnn_xp
print(before == state())
"""
    assert python(code).strip() == "True"


def test_public_names_are_all() -> None:
    public = {
        name
        for name, value in vars(ffnn_xp).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public == set(ffnn_xp.__all__)
    assert list(ffnn_xp.__all__) == sorted(ffnn_xp.__all__)


def test_dir_shows_public_names_alone() -> None:
    assert dir(ffnn_xp) == ffnn_xp.__all__


def test_types_that_users_receive_have_public_names() -> None:
    """A type of this library that a public method or property returns can be named in an annotation."""
    returned: set[str] = set()
    for owner in (ffnn_xp.Model, ffnn_xp.FitResult, ffnn_xp.Ensemble):
        for name in dir(owner):
            member = inspect.getattr_static(owner, name)
            function = getattr(member, "fget", None) or getattr(member, "func", None) or member
            if name.startswith("_") or not inspect.isfunction(function):
                continue
            words = re.findall(r"\w+", str(inspect.signature(function).return_annotation))
            found = [getattr(sys.modules[function.__module__], word, None) for word in words]
            returned |= {
                one.__name__ for one in found if inspect.isclass(one) and one.__module__.startswith("ffnn_xp.")
            }
    assert {"FitResult", "Ensemble", "Interval"} <= returned
    # what those meet who go below the public face
    in_their_packages = {"Layout", "Network", "NetworkState", "Scaling", "LinearBand", "MatrixFreeBand", "Predictive"}
    assert returned - in_their_packages <= set(ffnn_xp.__all__)


def test_the_version_to_cite_is_this_one() -> None:
    citation = Path(__file__).parents[1] / "CITATION.cff"
    assert f"\nversion: {ffnn_xp.__version__}\n" in citation.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ffnn_xp.__all__)
def test_public_names_are_documented(name: str) -> None:
    assert (getattr(ffnn_xp, name).__doc__ or "").strip()


@pytest.mark.slow
def test_auto_is_numpy_where_there_is_no_gpu() -> None:
    code = """
import sys
import ffnn_xp.backends as b
if b.has_nvidia_driver():
    print("skip")
else:
    print(b.get_backend().name, [m for m in ("cupy", "torch", "jax") if m in sys.modules])
"""
    found = python(code).strip()
    if found == "skip":
        pytest.skip("this machine has a GPU")
    assert found == "numpy []"
