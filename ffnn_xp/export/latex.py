r"""LaTeX of a small network: its augmented matrices, with the errors of the parameters.

Each layer is one display, :math:`a_l = f_l(A_l \cdot (a_{l-1}, 1))`, that needs no package. Errors have two significant
digits, and values the same decimals.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import repeat

import numpy as np

from ffnn_xp._lib.typing import HostArray, PathLike
from ffnn_xp.export.content import Exportable, content_of
from ffnn_xp.export.source import write_text
from ffnn_xp.network import Activation
from ffnn_xp.uncertainty import LinearBand

FUNCTIONS = {"tanh": r"\tanh", "exp": r"\exp", "sine": r"\sin"}
"""The activations for which LaTeX has a name."""

ESCAPES = str.maketrans(
    {"\\": r"\backslash ", " ": r"\ ", "^": r"\hat{}", "~": r"\sim "} | {c: f"\\{c}" for c in "{}$&#%_"}
)


def to_latex(model: Exportable, path: PathLike | None = None) -> str:
    r"""Write a small model as LaTeX: the matrices of its layers, with the errors of the parameters.

    Errors are written with two significant digits and values with the same decimals, or with six digits where there is
    no error: enough to read, and not to compute with, since the parameters are correlated. Inputs and outputs have the
    names of their columns. A parameter that the data do not determine has an infinite error. An ensemble is the mean of
    its networks, which follow one after another.

    Parameters
    ----------
    model : Model
        The model.
    path : path-like, optional
        The file, ``*.tex``; an existing one is replaced only when the new one is complete.

    Returns
    -------
    str
        Displays ``\[ ... \]`` for the body of a document, which need no package.

    Raises
    ------
    NotFittedError
        If the model has no parameters yet.
    OSError
        If the file cannot be written; the message says why.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> print(fx.export.to_latex(fx.Model.from_matrices([([[2.0]], [1.0])])))
    % 1-1 network (no hidden layer; output identity), written by ffnn_xp ...
    \[
    \left(\begin{array}{c} \mathrm{y} \end{array}\right) =
    \left(\begin{array}{r|r}
    2 & 1
    \end{array}\right)
    \left(\begin{array}{c} \mathrm{x} \\ 1 \end{array}\right)
    \]
    <BLANKLINE>
    """
    content = content_of(model, std=False)
    band, _, density = model.uncertainty
    m = len(content.networks)
    bands = [member.band for member in density.members] if m > 1 and density is not None else [band]
    outputs = _vector(map(_roman, content.outputs))
    parts = [f"% {content.title}"]
    if m > 1:
        parts.append(rf"\[ {outputs} = \frac{{1}}{{{m}}} \sum_{{m=1}}^{{{m}}} \mathbf{{y}}^{{(m)}} \]")
    for i, (matrices, of) in enumerate(zip(content.networks, bands, strict=True), start=1):
        errors = model.network.layout.matrices(np, _errors(of)) if isinstance(of, LinearBand) else repeat(None)
        which = f"^{{({i})}}" if m > 1 else ""
        inner = [rf"\mathbf{{a}}_{{{l}}}{which}" for l in range(1, len(matrices))]
        left = [*inner, rf"\mathbf{{y}}{which}" if m > 1 else outputs]
        right = [_vector([*map(_roman, content.inputs), "1"]), *(_vector([a, "1"]) for a in inner)]
        layers = zip(left, content.activations, matrices, errors, right, strict=False)
        parts += [_layer(*layer) for layer in layers]
    return write_text(path, "\n".join(parts) + "\n")


def _layer(left: str, f: Activation, A: HostArray, errors: HostArray | None, right: str) -> str:
    """Write one layer, the left side equal to f of the matrix times the right side."""
    rows = [" & ".join(map(number, row, repeat(None) if errors is None else errors[i])) for i, row in enumerate(A)]
    matrix = " \\\\\n".join(rows)
    columns = "r" * (A.shape[1] - 1) + "|r"
    product = f"\\left(\\begin{{array}}{{{columns}}}\n{matrix}\n\\end{{array}}\\right)\n{right}"
    if not f.linear:
        product = f"{FUNCTIONS.get(f.name) or _roman(f.name)}\\left[\n{product}\n\\right]"
    return f"\\[\n{left} =\n{product}\n\\]"


def _vector(entries: Iterable[str]) -> str:
    """Write a column vector."""
    column = r" \\ ".join(entries)
    return rf"\left(\begin{{array}}{{c}} {column} \end{{array}}\right)"


def _roman(name: str) -> str:
    """Write a name of the user's in upright letters."""
    return f"\\mathrm{{{name.translate(ESCAPES)}}}"


def number(value: float, error: float | None) -> str:
    r"""Write a number with its error, two significant digits of it, or six digits of the number if it has none.

    Examples
    --------
    >>> number(1.23456, 0.0567), number(-1.2e-7, 3e-8), number(1234.5, 210.0), number(0.1, float("inf"))
    ('1.235 \\pm 0.057', '(-1.20 \\pm 0.30) \\times 10^{-7}', '1230 \\pm 210', '0.1 \\pm \\infty')
    >>> number(1 / 3, None), number(1e-9, None)
    ('0.333333', '1 \\times 10^{-9}')
    """
    if error is None or not error > 0 or math.isinf(error):
        mantissa, _, exponent = f"{value:.6g}".partition("e")
        power = rf" \times 10^{{{int(exponent)}}}" if exponent else ""
        return f"{mantissa}{power}" + (r" \pm \infty" if error == math.inf else "")
    error = float(f"{error:.1e}")
    size = math.floor(math.log10(max(abs(value), error)))
    shift = 0 if -3 <= size <= 4 else size
    decimals = 1 - math.floor(math.log10(error)) + shift
    scaled = (round(v * 10.0**-shift, decimals) for v in (value, error))
    text = r" \pm ".join(f"{v:.{max(decimals, 0)}f}" for v in scaled)
    return text if shift == 0 else rf"({text}) \times 10^{{{shift}}}"


def _errors(band: LinearBand) -> HostArray:
    """Return the standard deviations of the parameters in raw units, infinite where one is not determined."""
    spectrum, linear = band.spectrum, band.scaling.linear
    errors = np.sqrt(np.sum(linear(spectrum.factor.T) ** 2, axis=0))
    undetermined = linear(np.eye(len(band.theta))[spectrum.unidentified_parameters])
    return np.where(np.any(undetermined != 0, axis=0), np.inf, errors)
