#!/usr/bin/env -S uv run --script

# /// script
# dependencies = ["nox>=2026.8.10"]
# ///
"""Tests and checks of ffnn_xp, each in a virtual environment of its own; ``python -m nox -l`` lists them.

Environment variables
---------------------
FFNN_XP_TEST_BACKENDS
    The array libraries under test, by default ``"numpy array_api_strict"``; possible too: torch, jax, cupy.
FFNN_XP_TEST_TORCH, FFNN_XP_TEST_JAX, FFNN_XP_TEST_CUPY
    What pip installs for each, for instance ``"cupy-cuda13x[ctk]"``.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

# The first version that skips a Python of which only a version manager's stub is on PATH.
nox.needs_version = ">=2026.8.10"
nox.options.reuse_venv = "yes"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]

BACKENDS = os.environ.get("FFNN_XP_TEST_BACKENDS", "").split() or ["numpy", "array_api_strict"]
LIBRARIES = {
    "numpy": [],
    "array_api_strict": [],  # in the test group already
    "torch": [os.environ.get("FFNN_XP_TEST_TORCH", "torch==2.13.0")],
    "jax": [os.environ.get("FFNN_XP_TEST_JAX", "jax>=0.5")],
    "cupy": [os.environ.get("FFNN_XP_TEST_CUPY", "cupy-cuda12x>=14.0")],
}
if unknown := set(BACKENDS) - set(LIBRARIES):
    raise SystemExit(f"FFNN_XP_TEST_BACKENDS: {sorted(unknown)} not among {list(LIBRARIES)}")

# One BLAS thread per process: the tests run in several processes. None unsets a variable. Nothing is compiled ahead, so
# each process would compile all that it imports, if what another has compiled were not kept.
ENV = {
    "PYTHONDONTWRITEBYTECODE": None,
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
    "FFNN_XP_BACKEND": None,
    "FFNN_XP_STRICT": None,
}


def install(session: nox.Session, *what: str) -> None:
    """Install without compiling ahead: most modules of the large libraries are never imported."""
    session.install("--no-compile", *what)


def run_pytest(session: nox.Session, backends: list[str]) -> None:
    """Run the tests on these backends, with the arguments after ``--`` passed on to pytest."""
    options = [f"--backend={name}" for name in backends]
    parallel = ["-n", "auto", "--maxprocesses=8", "--dist=worksteal"]  # what is slow lies together
    session.run("pytest", *parallel, *options, *session.posargs, env=ENV)


def starts(python: str) -> bool:
    """Tell whether this version runs here; a file of that name on PATH may be a version manager's stub."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return True
    path = shutil.which(f"python{python}")
    return path is not None and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0


@nox.session(python=PYTHONS)
@nox.parametrize("backends", [nox.param(BACKENDS, id="+".join(BACKENDS))])
def tests(session: nox.Session, backends: list[str]) -> None:
    """Run the tests on each Python that the machine has."""
    libraries = [requirement for name in backends for requirement in LIBRARIES[name]]
    install(session, ".[cli]", *nox.project.dependency_groups(PROJECT, "test"), *libraries)
    run_pytest(session, backends)


# 3.12 is the last Python for which the oldest NumPy has wheels.
@nox.session(python=next(filter(starts, PYTHONS[:3]), PYTHONS[0]), default=False)
def mintest(session: nox.Session) -> None:
    """Run the tests with the lowest core dependencies, on the lowest Python that the machine has."""
    lowest = [text.replace(">=", "==") for text in PROJECT["project"]["dependencies"]]
    install(session, ".[cli]", *nox.project.dependency_groups(PROJECT, "test"), *lowest)
    pip = ["uv", "pip"] if session.venv_backend == "uv" else ["python", "-m", "pip"]
    session.run(*pip, "list")
    run_pytest(session, ["numpy", "array_api_strict"])


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and which package imports which; ``-- --fix`` mends what can be mended."""
    install(session, *nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]))
    session.run("lint-imports", "--no-cache")  # reads the source, imports nothing


@nox.session
def typecheck(session: nox.Session) -> None:
    """Check the types of the package."""
    core = PROJECT["project"]["dependencies"]
    install(session, *core, *nox.project.dependency_groups(PROJECT, "typecheck"))
    session.run("mypy", *session.posargs)


@nox.session(python=next(filter(starts, PYTHONS), PYTHONS[0]), default=False)
def fuzz(session: nox.Session) -> None:
    """Make random calls of `Model.fit`, 2,000 new ones or as many as stand after ``--``."""
    install(session, ".[cli]", *nox.project.dependency_groups(PROJECT, "test"))
    env = {**ENV, "FFNN_XP_FUZZ": next(iter(session.posargs), "2000")}
    test = "tests/integration/test_random_fits.py"
    session.run("pytest", test, "-m", "slow", "--hypothesis-show-statistics", env=env)


@nox.session(default=False)
def doctest(session: nox.Session) -> None:
    """Run the code of the README and of the documentation, page by page, and the examples in the docstrings."""
    libraries = [requirement for name in BACKENDS for requirement in LIBRARIES[name]]
    install(session, ".[cli]", *nox.project.dependency_groups(PROJECT, "test"), *libraries)
    session.chdir(session.create_tmp())  # whatever the examples write stays out of the repository
    pytest = ["pytest", f"--config-file={ROOT / 'pyproject.toml'}", "-n", "auto", "--maxprocesses=8", *session.posargs]
    session.run(*pytest, str(ROOT / "docs" / "test_pages.py"), env=ENV)
    session.run(*pytest, "--doctest-modules", "--pyargs", "ffnn_xp", env=ENV)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the documentation as HTML; warnings are errors."""
    install(session, ".[cli,sklearn]", *nox.project.dependency_groups(PROJECT, "docs"))
    session.run("sphinx-build", "-W", "--keep-going", "docs", "docs/_build/html", *session.posargs, env=ENV)
    session.log("the start page is docs/_build/html/index.html")


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """Fit the nuclear masses; prints where the picture is."""
    install(session, ".[examples]")
    session.run("python", "examples/nuclear_masses.py", *session.posargs, env=ENV)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure one evaluation against its peers, in a minute; after ``--`` another benchmark with its arguments."""
    install(session, ".[examples]", *(requirement for name in BACKENDS for requirement in LIBRARIES[name]))
    name, *arguments = session.posargs or ["objective", "--quick"]
    session.run("python", f"benchmarks/{Path(name).stem}.py", *arguments, env=ENV)


if __name__ == "__main__":
    nox.main()
