"""Promises about the source: who imports whom, who knows which library, where arrays cross to the host."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import ffnn_xp

ROOMS = (
    "errors",
    "_typing",
    "threads",
    "memory",
    "backends",
    "activations",
    "layout",
    "network",
    "blocks",
    "curvature",
    "canonical",
    "losses",
    "combined",
    "kernels",
    "events",
    "block_sizes",
    "objective",
    "scaling",
    "prior",
    "bins",
    "uncertain_inputs",
    "covariances",
    "checks",
    "data",
    "inputs",
    "architecture",
    "minuit_hessian",
    "cost_sum",
    "cost",
    "seen",
    "minimizers",
    "replicas",
    "competition",
    "starts",
    "toys",
    "minima",
    "subset",
    "uncertainty",
    "descent",
    "walk",
    "prediction",
    "network_function",
    "data_cost",
    "costs",
    "parametric",
    "task",
    "toy_fits",
    "goodness",
    "coverage",
    "product_band",
    "predictive",
    "noise",
    "path",
    "recipe",
    "profiles",
    "bands",
    "propagation",
    "report",
    "summary",
    "result",
    "progress",
    "verdict",
    "fit",
    "ensemble",
    "classification",
    "predictor",
    "model",
    "bench",
    "extras",
    "writing",
    "tables",
    "files",
    "plotting",
    "cli",
    "__main__",
)
"""From the ground up: a room imports only from those before it."""

EDGES = ROOMS[ROOMS.index("extras") :]
"""Optional: the core imports them only inside a function that is about them."""

NO_HOST = ("activations", "layout", "network", "blocks", "curvature", "losses", "events", "objective", "scaling",
           "prior", "minimizers", "starts", "uncertainty", "walk", "prediction", "summary", "result")  # fmt: skip
"""Rooms that work either on the device or on the host, and never bring one to the other."""

ON_EVENTS = ("activations", "layout", "network", "blocks", "curvature", "losses", "events", "objective", "prediction")
"""Rooms that compute on events, with the namespace that they are handed."""

ARRAY_LIBRARIES = ("cupy", "cupyx", "torch", "jax", "jaxlib", "array_api_strict", "dask", "tensorflow")

PACKAGE = Path(ffnn_xp.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
NAMES = [str(path.relative_to(PACKAGE)) for path in FILES]
EVERY_FILE = pytest.mark.parametrize("path", FILES, ids=NAMES)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, tree: ast.AST | None = None) -> set[str]:
    """Absolute names of the modules that a file imports, relative imports resolved, functions' own included."""
    package = ["ffnn_xp", *path.relative_to(PACKAGE).parts[:-1]]
    found = set()
    for node in ast.walk(tree_of(path) if tree is None else tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{module}.{a.name}" for a in node.names} if module == "ffnn_xp" else {module}
    return found


def top_level_imports(path: Path) -> set[str]:
    body = [node for node in tree_of(path).body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return imports(path, ast.Module(body, type_ignores=[]))


def rooms_in(modules: set[str]) -> set[str]:
    return {name.split(".")[1] for name in modules if name.startswith("ffnn_xp.")} - {"__version__"}


def docstrings(tree: ast.Module) -> set[ast.Constant]:
    """Constants that stand alone as a statement: documentation, and no code."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }


def test_the_reader_of_imports_reads() -> None:
    """If it found nothing, everything below would pass."""
    assert {"backends", "losses", "network"} <= rooms_in(imports(PACKAGE / "objective.py"))
    assert "_typing" in rooms_in(imports(PACKAGE / "minimizers" / "lbfgs.py"))
    assert "minimizers" in rooms_in(imports(PACKAGE / "minimizers" / "lbfgs.py"))
    assert {"numpy", "scipy"} <= {name.partition(".")[0] for name in imports(PACKAGE / "uncertainty.py")}
    assert "matplotlib" in imports(PACKAGE / "data_cost.py")


def test_every_file_has_a_room() -> None:
    assert {room_of(path) for path in FILES} <= set(ROOMS)


@EVERY_FILE
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    allowed = set(ROOMS[: ROOMS.index(room) + (path.parent.name == room)])
    assert rooms_in(top_level_imports(path)) <= allowed
    late = rooms_in(imports(path)) - allowed
    assert late <= set(EDGES), "only an edge may be imported late, by the function that is about it"


@pytest.mark.parametrize("room", ON_EVENTS)
def test_rooms_on_events_use_their_namespace_alone(room: str) -> None:
    files = [path for path in FILES if room_of(path) == room]
    roots = {name.partition(".")[0] for path in files for name in imports(path)}
    assert files
    assert not roots & {"numpy", "scipy", *ARRAY_LIBRARIES}


@EVERY_FILE
def test_only_backends_knows_array_libraries_by_name(path: Path) -> None:
    """Neither as an import nor in a string that is not documentation."""
    if room_of(path) == "backends":
        return
    tree = tree_of(path)
    assert not {name.partition(".")[0] for name in imports(path)} & set(ARRAY_LIBRARIES)
    text = docstrings(tree)
    named = [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node not in text and node.value in ARRAY_LIBRARIES
    ]
    assert not named


@EVERY_FILE
def test_only_two_files_make_a_minuit(path: Path) -> None:
    """The fitter is migrad.py's; minuit_hessian.py asks it about a bug. Others may name the type."""
    made = [
        node.lineno
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and (getattr(node.func, "id", "") == "Minuit" or getattr(node.func, "attr", "") == "Minuit")
    ]
    assert not made or path.name in ("migrad.py", "minuit_hessian.py"), f"lines {made}"


def test_who_imports_iminuit() -> None:
    users = {path.stem for path in FILES if any(name.partition(".")[0] == "iminuit" for name in imports(path))}
    assert users <= {
        "cost",
        "cost_sum",
        "minuit_hessian",
        "migrad",
        "fit",
        "subset",
        "verdict",
        "summary",
        "result",
        "parametric",
    }


@EVERY_FILE
def test_where_arrays_cross(path: Path) -> None:
    """Not below the cost, and not where bands are computed. Data checks, a fit's moments and edges may ask."""
    asked = [
        node.lineno
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and (getattr(node.func, "id", "") == "to_numpy" or getattr(node.func, "attr", "") in ("to_host", "to_numpy"))
    ]
    assert not asked or room_of(path) not in NO_HOST, f"lines {asked}"


@EVERY_FILE
def test_no_global_randomness(path: Path) -> None:
    """Random numbers come from a Generator that was given: nothing of `numpy.random` but `default_rng` and types."""
    used = {
        node.attr
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "random"
    }
    assert used <= {"default_rng", "Generator", "SeedSequence"}


@EVERY_FILE
def test_every_module_opens_with_its_idea(path: Path) -> None:
    text = ast.get_docstring(tree_of(path)) or ""
    assert text
    assert len(text.splitlines()) <= 30
