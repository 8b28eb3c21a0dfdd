"""LaTeX of networks: every cell typesets, errors are those of the fit, and nothing but standard commands is used."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.export import to_latex
from ffnn_xp.export.latex import number

from .models import CASES, X, model_of

MATRIX = re.compile(r"\\left\(\\begin\{array\}\{(r*\|r)\}\n(.*?)\n\\end\{array\}\\right\)", re.DOTALL)


def cells(text: str) -> list[list[list[str]]]:
    """Read the entries of all matrices."""
    found = []
    for columns, body in MATRIX.findall(text):
        rows = [row.split(" & ") for row in body.split(" \\\\\n")]
        assert {len(row) for row in rows} == {len(columns) - 1}
        found.append(rows)
    return found


@pytest.mark.parametrize("case", CASES)
def test_the_matrices_have_the_shapes_of_the_network(case: str) -> None:
    model = model_of(**CASES[case])
    text = to_latex(model)
    networks = CASES[case].get("networks", 1)
    shapes = [(len(rows), len(rows[0])) for rows in cells(text)]
    assert shapes == list(model.network.layout.shapes) * networks
    assert text.count("{") == text.count("}")
    for opening, closing in ((r"\[", r"\]"), (r"\left", r"\right"), (r"\begin{array}", r"\end{array}")):
        assert text.count(opening) == text.count(closing) > 0


@pytest.mark.parametrize("case", ["plain", "unidentified"])
def test_cells_are_typeset(case: str) -> None:
    mathtext = pytest.importorskip("matplotlib.mathtext")
    parser = mathtext.MathTextParser("path")
    for rows in cells(to_latex(model_of(**CASES[case]))):
        for cell in np.ravel(rows):
            assert parser.parse(f"${cell}$").width > 0


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_a_document_compiles(tmp_path: Path) -> None:
    model = model_of(input_names=("t_1 [s]", "100% & more #"), target_names=("U^2", "{V} $ ~ \\"), networks=2)
    document = rf"\documentclass{{article}}\begin{{document}}{to_latex(model)}\end{{document}}"
    (tmp_path / "a.tex").write_text(document, encoding="utf-8")
    subprocess.run(["pdflatex", "-halt-on-error", "a.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_errors_are_those_of_the_fit() -> None:
    model = fx.Model((2, 1, 1), seed=1)
    fit = model.fit(X, np.tanh(X[:, 0] - 5) + 0.01 * np.sin(50 * X[:, 1]), 0.01, prior=1.0, restarts=1)
    written = [cell for rows in cells(to_latex(model)) for row in rows for cell in row]
    assert written == [number(*each) for each in zip(fit.parameters, fit.errors, strict=True)]


def test_open_directions_have_no_error() -> None:
    text = to_latex(model_of(unidentified=(0,)))
    first, *others = cells(text)[0]
    assert [cell.endswith(r" \pm \infty") for cell in first] == [True, False, True]  # the bias in raw units too
    assert text.count(r"\infty") == 2
    assert not [cell for row in others for cell in row if r"\infty" in cell]
    assert r"\infty" not in to_latex(model_of())
    assert r"\pm" not in to_latex(fx.Model((2, 3, 1), seed=1))


def test_activations_and_names() -> None:
    text = to_latex(model_of("sine", "softplus", (2, 3, 1), input_names=("t_1", "50%"), target_names=("U",)))
    assert r"\sin\left[" in text
    assert r"\mathrm{softplus}\left[" in text
    assert r"\mathrm{t\_1} \\ \mathrm{50\%} \\ 1" in text
    assert text.count(r"\mathrm{U}") == 1
    ensemble = to_latex(model_of(networks=3))
    assert r"= \frac{1}{3} \sum_{m=1}^{3} \mathbf{y}^{(m)}" in ensemble
    assert r"\mathbf{a}_{2}^{(3)} =" in ensemble


def test_characters_with_a_meaning_in_latex_are_written_as_themselves() -> None:
    text = to_latex(model_of(widths=(2, 1), input_names=("a&b#c", "d$e{f}g h"), target_names=("i^j~k\\",)))
    assert r"\mathrm{a\&b\#c} \\ \mathrm{d\$e\{f\}g\ h} \\ 1" in text
    assert r"\mathrm{i\hat{}j\sim k\backslash }" in text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.999999, 0.0999, r"1.00 \pm 0.10"),
        (0.0, 0.5, r"0.00 \pm 0.50"),
        (12345.678, 12.3, r"12346 \pm 12"),
        (1234567.0, 1234.0, r"(1.2346 \pm 0.0012) \times 10^{6}"),
        (1e-5, 2.0, r"0.0 \pm 2.0"),
        (-0.004, 1e-4, r"-0.00400 \pm 0.00010"),
        (0.00012, 1e-5, r"(1.20 \pm 0.10) \times 10^{-4}"),
        (99994.0, 100.0, r"99990 \pm 100"),
        (100000.0, 100.0, r"(1.0000 \pm 0.0010) \times 10^{5}"),
        (3.0, float("nan"), "3"),
        (0.0, None, "0"),
        (-123456789.0, None, r"-1.23457 \times 10^{8}"),
    ],
)
def test_numbers(value: float, error: Any, text: str) -> None:
    assert number(value, error) == text


def test_a_file_holds_it(tmp_path: Path) -> None:
    text = to_latex(model_of(), tmp_path / "net.tex")
    assert (tmp_path / "net.tex").read_text(encoding="utf-8") == text
