"""The figures of a source tree, of one or of several side by side: sizes, imports, arguments, constants, sentences.

    python benchmarks/house.py ../ffnn_xp-before .

It reads the source and imports none of it, so that it works on any commit. It needs grimp (a part of import-linter) and
radon. What it counts:

- floors: the longest chain of imports between packages, where a module beside the packages counts as one; packages
  that import each other in a circle count as one, and are named;
- long argument lists: functions with more than six parameters, without self and cls;
- complex functions: cyclomatic complexity above 15, by radon;
- numeric constants: names in capitals at the level of a module whose value is a number or made of numbers;
- tuned numbers: fields of dataclasses that are declared with `tuned`;
- fragments: docstrings that begin with What, Of, Whether, One, How, As, Where, From, Which, The same, In a.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import grimp
from radon.complexity import cc_visit

PACKAGE = "ffnn_xp"
FRAGMENT = re.compile(r"(What|Of|Whether|One|How|As|Where|From|Which|The same|In a)\b")
MANY_ARGUMENTS, COMPLEX, SHOWN = 6, 15, 12

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Tree:
    """A checkout: its parsed files, and the graph of its imports."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = f"{root.resolve().name} {commit(root)}".strip()
        self.package = {path.relative_to(root / PACKAGE): parsed(path) for path in sources(root / PACKAGE)}
        self.tests = {path.relative_to(root / "tests"): parsed(path) for path in sources(root / "tests")}

    def nodes(self) -> Iterator[tuple[Path, ast.AST]]:
        for path, (_, tree) in self.package.items():
            for node in ast.walk(tree):
                yield path, node

    @cached_property
    def functions(self) -> list[tuple[Path, Function]]:
        return [(path, node) for path, node in self.nodes() if isinstance(node, Function)]

    @cached_property
    def docstrings(self) -> list[str]:
        """Strings that stand alone as a statement: of modules, classes, functions and attributes."""
        return [
            node.value.value
            for _, node in self.nodes()
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        ]

    @cached_property
    def imports(self) -> set[tuple[str, str]]:
        """Pairs of modules of which the first imports the second, with names below the library's."""
        sys.path.insert(0, str(self.root.resolve()))
        try:
            graph = grimp.build_graph(PACKAGE, cache_dir=None)
        finally:
            sys.path.pop(0)
        pairs = ((a, b) for a in graph.modules for b in graph.find_modules_directly_imported_by(a))
        return {(a.partition(".")[2], b.partition(".")[2]) for a, b in pairs if PACKAGE not in (a, b)}

    @cached_property
    def arrows(self) -> dict[str, set[str]]:
        """Which packages, and modules beside them, each of them imports."""
        found: dict[str, set[str]] = {place_of(path): set() for path in self.package if path.name != "__init__.py"}
        for a, b in self.imports:
            first, second = a.partition(".")[0], b.partition(".")[0]
            if first != second:
                found[first].add(second)
        return found

    @cached_property
    def circles(self) -> list[set[str]]:
        """Packages that import each other, directly or through others."""
        reached = {start: reachable(start, self.arrows) for start in self.arrows}
        circles: list[set[str]] = []
        for start in self.arrows:
            circle = {other for other in reached[start] if start in reached[other]}
            if circle and circle not in circles:
                circles.append(circle)
        return circles

    @cached_property
    def floors(self) -> dict[str, int]:
        """How many packages stand below each other under each, itself included."""
        groups = {name: frozenset(next((c for c in self.circles if name in c), {name})) for name in self.arrows}
        heights: dict[frozenset[str], int] = {}

        def height(group: frozenset[str]) -> int:
            if group not in heights:
                below = {groups[b] for a in group for b in self.arrows[a]} - {group}
                heights[group] = 1 + max(map(height, below), default=0)
            return heights[group]

        return {name: height(group) for name, group in groups.items()}

    @cached_property
    def long_lists(self) -> list[tuple[int, str]]:
        found = [(arguments(node), f"{path}: {node.name}") for path, node in self.functions]
        return sorted((row for row in found if row[0] > MANY_ARGUMENTS), reverse=True)

    @cached_property
    def complex_functions(self) -> list[tuple[int, str]]:
        blocks = ((path, block) for path, (text, _) in self.package.items() for block in cc_visit(text))
        found = {(block.complexity, f"{path}: {block.fullname}") for path, block in blocks if block.letter != "C"}
        return sorted((row for row in found if row[0] > COMPLEX), reverse=True)

    @cached_property
    def constants(self) -> list[tuple[Path, str]]:
        return [
            (path, target.id)
            for path, (_, tree) in self.package.items()
            for node in tree.body
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None and numeric(node.value)
            for place in (node.targets if isinstance(node, ast.Assign) else [node.target])
            for target in ast.walk(place)
            if isinstance(target, ast.Name) and target.id.isupper()
        ]

    def calls(self, files: dict[Path, tuple[str, ast.Module]], name: str) -> int:
        """How often something of this name is called, ``name(...)`` or ``anything.name(...)``."""
        nodes = (node for _, tree in files.values() for node in ast.walk(tree) if isinstance(node, ast.Call))
        return sum(ast.unparse(node.func).endswith(name) for node in nodes)

    @cached_property
    def named_like_functions(self) -> list[str]:
        return [
            str(path)
            for path, (_, tree) in self.package.items()
            for node in tree.body
            if isinstance(node, Function) and node.name == path.stem
        ]


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def parsed(path: Path) -> tuple[str, ast.Module]:
    text = path.read_text(encoding="utf-8")
    return text, ast.parse(text)


def commit(root: Path) -> str:
    git = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()


def place_of(path: Path) -> str:
    """A file's package, or the module itself where it stands beside the packages."""
    return path.parts[0].removesuffix(".py")


def folder_of(path: Path) -> str:
    return path.parts[0] if len(path.parts) > 1 else "(beside the packages)"


def reachable(start: str, arrows: dict[str, set[str]]) -> set[str]:
    """What is imported from there in one step or more."""
    found: set[str] = set()
    waiting = set(arrows[start])
    while waiting:
        found |= waiting
        waiting = {b for a in waiting for b in arrows[a]} - found
    return found


def arguments(node: Function) -> int:
    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len(names) - (bool(names) and names[0] in ("self", "cls"))


def numeric(node: ast.expr) -> bool:
    """Whether a value is a number, or tuples and arithmetic of numbers."""
    parts = (ast.Constant, ast.Tuple, ast.List, ast.UnaryOp, ast.BinOp, ast.operator, ast.unaryop, ast.expr_context)
    leaves = [part for part in ast.walk(node) if isinstance(part, ast.Constant)]
    numbers = all(isinstance(leaf.value, (int, float)) and not isinstance(leaf.value, bool) for leaf in leaves)
    return bool(leaves) and numbers and all(isinstance(part, parts) for part in ast.walk(node))


FIGURES: dict[str, Callable[[Tree], int]] = {
    "files": lambda tree: len(tree.package),
    "files beside the packages": lambda tree: sum(len(path.parts) == 1 for path in tree.package),
    "lines": lambda tree: lines(tree.package),
    "lines of tests": lambda tree: lines(tree.tests),
    "imports between modules": lambda tree: len(tree.imports),
    "imports between packages": lambda tree: sum(map(len, tree.arrows.values())),
    "floors": lambda tree: max(tree.floors.values()),
    "circles": lambda tree: len(tree.circles),
    "functions": lambda tree: len(tree.functions),
    f"functions with more than {MANY_ARGUMENTS} parameters": lambda tree: len(tree.long_lists),
    f"functions of complexity above {COMPLEX}": lambda tree: len(tree.complex_functions),
    "numeric constants of modules": lambda tree: len(tree.constants),
    "tuned numbers": lambda tree: tree.calls(tree.package, "tuned"),
    "monkeypatch.setattr in tests": lambda tree: tree.calls(tree.tests, "monkeypatch.setattr"),
    "assert in the library": lambda tree: sum(isinstance(node, ast.Assert) for _, node in tree.nodes()),
    "modules called like a function in them": lambda tree: len(tree.named_like_functions),
    "docstrings": lambda tree: len(tree.docstrings),
    "docstrings that begin as a fragment": lambda tree: sum(bool(FRAGMENT.match(text)) for text in tree.docstrings),
}


def lines(files: dict[Path, tuple[str, ast.Module]]) -> int:
    return sum(text.count("\n") for text, _ in files.values())


def table(heads: list[str], rows: list[list[str]]) -> None:
    print(f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}", sep="\n")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


def by_package(trees: list[Tree], what: Callable[[Tree], dict[Path, tuple[str, ast.Module]]]) -> None:
    """Print files and lines of each folder."""
    counts: list[tuple[Counter[str], Counter[str]]] = []
    for tree in trees:
        files, length = Counter[str](), Counter[str]()
        for path, (text, _) in what(tree).items():
            files[folder_of(path)] += 1
            length[folder_of(path)] += text.count("\n")
        counts.append((files, length))
    folders = sorted({name for files, _ in counts for name in files})
    rows = [
        [name, *(f"{files[name]} / {length[name]}" if files[name] else "" for files, length in counts)]
        for name in folders
    ]
    table(["files / lines", *(tree.name for tree in trees)], rows)


def side_by_side(title: str, trees: list[Tree], lists: list[list[str]]) -> None:
    """Print the first entries of a list of each tree."""
    longest = min(SHOWN, max(map(len, lists)))
    rows = [[entries[i] if i < len(entries) else "" for entries in lists] for i in range(longest)]
    table([f"{title}: {tree.name}" for tree in trees], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", nargs="*", type=Path, default=[Path(__file__).parents[1]], help="roots of trees")
    trees = [Tree(root) for root in parser.parse_args().checkouts]
    table(
        ["figure", *(tree.name for tree in trees)],
        [[name, *(f"{figure(tree):,}" for tree in trees)] for name, figure in FIGURES.items()],
    )
    print("## The library by package\n")
    by_package(trees, lambda tree: tree.package)
    print("## Tests by folder\n")
    by_package(trees, lambda tree: tree.tests)
    print("## Lists\n")
    side_by_side("longest argument lists", trees, [[f"{n} {name}" for n, name in tree.long_lists] for tree in trees])
    side_by_side("most complex", trees, [[f"{n} {name}" for n, name in tree.complex_functions] for tree in trees])
    files = [Counter(str(path) for path, _ in tree.constants).most_common() for tree in trees]
    side_by_side("most constants", trees, [[f"{n} {name}" for name, n in found] for found in files])
    side_by_side("circles", trees, [[", ".join(sorted(circle)) for circle in tree.circles] for tree in trees])
    floors = [sorted(tree.floors.items(), key=lambda item: (-item[1], item[0])) for tree in trees]
    side_by_side("floors", trees, [[f"{n} {name}" for name, n in found] for found in floors])


if __name__ == "__main__":
    main()
