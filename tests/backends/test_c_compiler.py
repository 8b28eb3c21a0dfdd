"""The C compiler and its cache: what is loaded is what was made, and nothing is kept where others could write."""

from __future__ import annotations

import os
import pickle
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.backends import c_compiler
from ffnn_xp.objective import Objective

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")

SOURCE = "int seven(void) { return 7; }"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and a process that has compiled nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for variable in ("CC", "FFNN_XP_COMPILED"):
        monkeypatch.delenv(variable, raising=False)
    forget()
    return tmp_path / "ffnn_xp"


def forget() -> None:
    for cached in (c_compiler.compiled, c_compiler._version, c_compiler._processor):
        cached.cache_clear()


def seven() -> int:
    forget()
    return int(c_compiler.compiled(SOURCE, "seven")())


def runs_of_the_compiler(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    runs, run = [], subprocess.run

    def noted(command: list[str], **options: Any) -> Any:
        if "--version" not in command:
            runs.append(command)
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", noted)
    return runs


def test_it_is_compiled_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = runs_of_the_compiler(monkeypatch)
    assert [seven(), seven()] == [7, 7]
    assert len(runs) == 1
    (kept,) = cache.iterdir()
    assert kept.suffix == ".so"
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


@pytest.mark.parametrize("change", ["options", "processor", "version", "source"])
def test_what_was_made_otherwise_is_not_taken(cache: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    seven()
    runs = runs_of_the_compiler(monkeypatch)
    source = SOURCE
    forget()
    if change == "options":
        monkeypatch.setattr(c_compiler, "OPTIONS", (*c_compiler.OPTIONS, "-g"))
    elif change == "source":
        source += " "
    else:
        monkeypatch.setattr(c_compiler, f"_{change}", lambda *_: "another one")
    assert c_compiler.compiled(source, "seven")() == 7
    assert len(runs) == 1


@pytest.mark.slow
@pytest.mark.parametrize("damage", [lambda b: b[:100], lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b + b"x"])
def test_damaged_files_are_made_again(cache: Path, monkeypatch: pytest.MonkeyPatch, damage: Any) -> None:
    """Half a library would end the process when it is loaded."""
    program = f"from ffnn_xp.backends import c_compiler; print(c_compiler.compiled({SOURCE!r}, 'seven')())"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "7\n"
    (kept,) = cache.iterdir()
    kept.write_bytes(damage(kept.read_bytes()))
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "7\n"
    (again,) = cache.iterdir()
    assert again.stem.endswith(c_compiler._digest(again))


@pytest.mark.slow
def test_two_processes_compile_at_the_same_time(cache: Path) -> None:
    program = f"from ffnn_xp.backends import c_compiler; print(c_compiler.compiled({SOURCE!r}, 'seven')())"
    running = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[0] for process in running] == ["7\n"] * 3
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("obstacle", ["file", "others may write", "link", "not writable", "not the user's"])
def test_without_a_safe_folder_nothing_is_kept(cache: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str) -> None:
    elsewhere = cache.with_name("elsewhere")
    if obstacle == "file":
        cache.touch()
    elif obstacle == "link":
        elsewhere.mkdir()
        cache.symlink_to(elsewhere)
    else:
        cache.mkdir(mode=0o700)
    if obstacle == "others may write":
        cache.chmod(0o777)
    if obstacle == "not writable":
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != cache)
    if obstacle == "not the user's":
        monkeypatch.setattr(os, "getuid", lambda: 123456)
    assert seven() == 7
    folders = [folder for folder in (cache, elsewhere) if folder.is_dir()]
    assert not [path for folder in folders for path in folder.iterdir()]


def test_files_of_others_are_not_loaded(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seven()
    (kept,) = cache.iterdir()
    own = c_compiler._is_own
    monkeypatch.setattr(c_compiler, "_is_own", lambda path: path != kept and own(path))
    runs = runs_of_the_compiler(monkeypatch)
    assert seven() == 7
    assert len(runs) == 1


@pytest.mark.parametrize(
    ("compiler", "why"),
    [
        ("no-such-compiler", "there is no C compiler 'no-such-compiler'; install gcc or clang, or set the environment"),
        ("false", "the compiler 'false' says: "),
        ("true", "the compiler 'true' made nothing"),
    ],
)
def test_no_compiler_is_an_error_or_a_warning(monkeypatch: pytest.MonkeyPatch, compiler: str, why: str) -> None:
    monkeypatch.setenv("CC", compiler)
    with pytest.raises(fx.BackendUnavailableError, match=why):
        fx.get_backend("numpy", compiled=True, fallback=False)
    with pytest.warns(fx.BackendFallbackWarning, match=why):
        backend = fx.get_backend("numpy", compiled=True)
    assert not backend.compiled
    monkeypatch.setenv("FFNN_XP_STRICT", "1")
    with pytest.raises(fx.BackendUnavailableError, match=why):
        fx.get_backend("numpy", compiled=True)


def test_source_that_does_not_compile_leaves_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """That cannot be but for a full disk, or a compiler that was removed since."""
    x = np.linspace(-1, 1, 20)
    model = fx.Model((1, 2, 1), backend=fx.get_backend("numpy", compiled=True, fallback=False), seed=1)
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.warns(fx.BackendFallbackWarning, match="Going on without a compiled loop"):
        fit = model.fit(x, np.tanh(x) + 0.01 * np.cos(40 * x), 0.1, prior=3.0, restarts=1)
    assert fit.valid


def test_only_who_asks_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not fx.get_backend("numpy").compiled
    monkeypatch.setenv("FFNN_XP_COMPILED", "1")
    asked = fx.get_backend("numpy")
    assert asked.compiled
    assert str(asked) == "numpy on cpu, float64, compiled loops"
    assert pickle.loads(pickle.dumps(asked)).compiled
    assert not fx.get_backend("numpy", compiled=False).compiled
    assert not fx.get_backend(asked, compiled=False).compiled
    monkeypatch.setenv("FFNN_XP_COMPILED", "0")
    assert not fx.get_backend("numpy").compiled
    assert fx.get_backend(asked).compiled


def test_libraries_without_loops_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless they were not named: the variable is for all models of a job."""
    pytest.importorskip("array_api_strict")
    monkeypatch.setenv("FFNN_XP_COMPILED", "1")
    assert not fx.get_backend("array_api_strict", fallback=False).compiled
    with pytest.raises(fx.BackendUnavailableError, match="array_api_strict has no compiled loops"):
        fx.get_backend("array_api_strict", compiled=True, fallback=False)


@pytest.mark.slow
def test_no_digit_depends_on_the_cache(cache: Path) -> None:
    program = """
import numpy as np, ffnn_xp as fx
x = np.linspace(-2, 2, 50)
model = fx.Model((1, 3, 1), seed=1)
fit = model.fit(x, np.tanh(2 * x) + 0.1 * np.cos(9 * x), 0.1, prior=3.0)
print(model.backend.compiled, fit.fval.hex(), model.parameters.tobytes().hex())
"""
    environment = {**os.environ, "FFNN_XP_COMPILED": "1"}

    def run() -> str:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
        assert not done.stderr
        return done.stdout

    first = run()
    assert first.startswith("True")
    assert first == run()
    shutil.rmtree(cache)
    cache.touch()  # no cache can be
    assert first == run()


def test_the_objective_of_a_pickle_compiles_again() -> None:
    backend = fx.get_backend("numpy", compiled=True, fallback=False)
    x = np.linspace(-1, 1, 20)
    cost = fx.LeastSquares(x, np.sin(x), 0.1, fx.Model((1, 2, 1), backend=backend, seed=1))
    theta = np.full(cost.npar, 0.3)
    S: Objective = cost.objective
    assert S.is_one_loop
    again = pickle.loads(pickle.dumps(S))
    assert again.is_one_loop
    np.testing.assert_array_equal(again.value_and_gradient(theta), S.value_and_gradient(theta))
