"""Promises about the source: who imports whom, who knows which library, where arrays cross to the host."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

import ffnn_xp

NO_HOST = ("network", "losses", "minimizers", "data/events.py", "objective/objective.py", "objective/kernels.py",
           "objective/linear_operator_kernels.py", "objective/event_weights.py", "objective/prior.py",
           "uncertainty/covariance.py", "uncertainty/linear_band.py", "model/summary.py",
           "model/result.py")  # fmt: skip
"""Folders and files that work either on the device or on the host, and never bring one to the other."""

ON_EVENTS = ("network", "losses", "data/events.py", "objective/objective.py", "objective/kernels.py",
             "objective/linear_operator_kernels.py", "objective/event_weights.py",
             "uncertainty/linear_band.py")  # fmt: skip
"""Folders and files that compute on events, with the namespace that they are handed."""

ON_HOST = ("network/initialization.py", "network/specification.py", "network/symmetries.py")
"""Files among them that make or read parameters, on the host."""

ARRAY_LIBRARIES = ("cupy", "cupyx", "torch", "jax", "jaxlib", "array_api_strict", "dask", "tensorflow")

FRAGMENT = re.compile(r"(What|Of|Whether|One|How|As|Where|From|Which|The same|In a)\b")
"""Words that begin a docstring which has no subject and no verb of its own."""

PACKAGE = Path(ffnn_xp.__file__).parent
ROOT = Path(__file__).parents[1]
INIT = PACKAGE / "__init__.py"
FILES = sorted(PACKAGE.rglob("*.py"))


def of_every_file(check: Callable[[Path], None]) -> Callable[[], None]:
    """Make a test of all files from a check of one; it names those that fail, and why."""

    def test() -> None:
        failed = {}
        for path in FILES:
            try:
                check(path)
            except AssertionError as error:
                failed[path.relative_to(PACKAGE).as_posix()] = str(error)
        assert not failed

    test.__doc__ = check.__doc__
    return test


def among(path: Path, places: tuple[str, ...]) -> bool:
    """Whether a file is one of these, or lies in one of these folders."""
    name = path.relative_to(PACKAGE).as_posix()
    return any(name == place or name.startswith(f"{place}/") for place in places)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_names(path: Path) -> list[tuple[str, str, int]]:
    """Module, name (none in ``import module``) and line of what a file imports, relative imports resolved."""
    package = ["ffnn_xp", *path.relative_to(PACKAGE).parts[:-1]]
    found = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found += [(alias.name, "", node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [(module, alias.name, node.lineno) for alias in node.names]
    return found


def imports(path: Path) -> set[str]:
    """Absolute names of the modules that a file imports, functions' own included."""
    return {f"{module}.{name}" if module == "ffnn_xp" else module for module, name, _ in imported_names(path)}


def top(name: str) -> str:
    return name.partition(".")[0]


def docstrings(tree: ast.Module) -> set[ast.Constant]:
    """Constants that stand alone as a statement: documentation, and no code."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }


def test_the_reader_of_imports_reads() -> None:
    """If it found nothing, everything below would pass."""
    assert {"numpy", "scipy"} <= {top(name) for name in imports(PACKAGE / "uncertainty" / "covariance.py")}
    assert "tqdm.auto" in imports(PACKAGE / "_lib" / "progress.py")
    assert "ffnn_xp.network.layout" in imports(PACKAGE / "network" / "sweeps.py")


def test_packages_import_downwards() -> None:
    """The contract in pyproject.toml, which ``nox -s lint`` checks too."""
    program = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@of_every_file
def test_packages_import_each_other_by_their_public_names(path: Path) -> None:
    """``from ffnn_xp.losses import Loss``, of the names in `__all__`; inside a package its modules import each other.

    `_lib` has no public names: its modules are imported.
    """
    own = path.relative_to(PACKAGE).parts[0]
    if path == INIT:  # which gathers what is public
        return
    for module, name, line in imported_names(path):
        house, _, inside = module.partition(".")
        package, _, inner = inside.partition(".")
        if house != "ffnn_xp" or package == "_lib":
            continue
        if package == own:
            among_modules = (PACKAGE / own / f"{name}.py").exists()
            assert inner or among_modules, f"line {line}: {module} imports {own} while it is being imported"
        else:
            assert package, f"line {line}: {name} comes from a package, not from ffnn_xp"
            assert not inner, f"line {line}: {module} is inside another package"
            public = getattr(import_module(module), "__all__", ())
            assert name in public, f"line {line}: {name} is not public in {module}"


@of_every_file
def test_events_are_computed_on_in_their_own_namespace(path: Path) -> None:
    """Losses draw toys on the host too: there each function of ``xp`` computes with nothing else."""
    if among(path, ON_EVENTS) and not among(path, ON_HOST):
        host = {"scipy", "numpy"} if among(path, ("losses",)) else set()
        assert not {name.partition(".")[0] for name in imports(path)} & ({"numpy", "scipy", *ARRAY_LIBRARIES} - host)
    if among(path, ("losses",)):
        for function in ast.walk(tree_of(path)):
            if isinstance(function, ast.FunctionDef) and any(argument.arg == "xp" for argument in function.args.args):
                names = {node.id for line in function.body for node in ast.walk(line) if isinstance(node, ast.Name)}
                assert not names & {"np", "scipy"}, f"line {function.lineno}"


@of_every_file
def test_only_backends_knows_array_libraries_by_name(path: Path) -> None:
    """Neither as an import nor in a string that is not documentation."""
    if among(path, ("backends",)):
        return
    tree = tree_of(path)
    libraries = set(ARRAY_LIBRARIES) - ({"dask"} if path.name.startswith("dask_") else set())  # there it is no backend
    assert not {top(name) for name in imports(path)} & libraries
    text = docstrings(tree)
    named = [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node not in text and node.value in libraries
    ]
    assert not named


@of_every_file
def test_only_two_files_make_a_minuit(path: Path) -> None:
    """The fitter is minuit.py's; minuit_workarounds.py asks it about a bug. Others may name the type."""
    made = [
        node.lineno
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and (getattr(node.func, "id", "") == "Minuit" or getattr(node.func, "attr", "") == "Minuit")
    ]
    assert not made or path.name in ("minuit.py", "minuit_workarounds.py"), f"lines {made}"


def test_who_imports_iminuit() -> None:
    """Costs, and what works with a `Minuit`. The network, its statistics and its data know nothing of the fitter."""
    users = {path.relative_to(PACKAGE).parts[0] for path in FILES if "iminuit" in {top(name) for name in imports(path)}}
    assert users <= {"objective", "costs", "minimizers", "fitting", "studies", "model"}


@of_every_file
def test_where_arrays_cross(path: Path) -> None:
    """Not below the cost, and not where bands are computed. Data checks, a fit's moments and edges may ask."""
    asked = [
        node.lineno
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and (getattr(node.func, "id", "") == "to_numpy" or getattr(node.func, "attr", "") in ("to_host", "to_numpy"))
    ]
    assert not asked or not among(path, NO_HOST), f"lines {asked}"


@of_every_file
def test_nobody_sets_private_fields_of_another_object(path: Path) -> None:
    """An object sets its own."""
    targets = [
        target
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign)
        for one in (node.targets if isinstance(node, ast.Assign) else [node.target])
        for target in ast.walk(one)
        if isinstance(target, ast.Attribute) and target.attr.startswith("_") and not target.attr.startswith("__")
    ]
    others = [node.lineno for node in targets if not (isinstance(node.value, ast.Name) and node.value.id == "self")]
    assert not others, f"lines {others}"


@of_every_file
def test_no_global_randomness(path: Path) -> None:
    """Random numbers come from a Generator that was given: nothing of `numpy.random` but `default_rng` and types."""
    used = {
        node.attr
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "random"
    }
    assert used <= {"default_rng", "Generator", "SeedSequence", "BitGenerator", "RandomState"}


@of_every_file
def test_every_module_opens_with_its_idea(path: Path) -> None:
    text = ast.get_docstring(tree_of(path)) or ""
    assert text
    assert len(text.splitlines()) <= 30


def test_every_package_says_what_lives_there() -> None:
    assert not {
        path.parent.name
        for path in PACKAGE.rglob("__init__.py")
        if len((ast.get_docstring(tree_of(path)) or "").split()) < 4
    }


def test_no_module_is_called_like_a_function_in_it() -> None:
    """``package.name`` would be the module or the function, by the order of imports."""
    assert not {
        str(path.relative_to(PACKAGE))
        for path in FILES
        for node in tree_of(path).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == path.stem
    }


def test_no_package_exports_a_name_of_its_modules() -> None:
    exported = {
        path.parent.relative_to(PACKAGE) / f"{alias.asname or alias.name}.py"
        for path in FILES
        if path.name == "__init__.py"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert not {str(name) for name in exported if (PACKAGE / name).exists()}


@of_every_file
def test_first_sentences_have_a_subject_or_a_verb(path: Path) -> None:
    """No docstring begins as if it went on from its heading: "What ...", "Of ...", "Whether ...", "The same ..."."""
    assert not [
        f"line {node.lineno}: {node.value.splitlines()[0]}"
        for node in docstrings(tree_of(path))
        if isinstance(node.value, str) and FRAGMENT.match(node.value)
    ]


def test_the_glossary_names_files_that_exist() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+/(?:[a-z_]+\.py)?)`", text))
    assert len(named) > 20
    assert not [name for name in named if not (PACKAGE / name).exists()]
