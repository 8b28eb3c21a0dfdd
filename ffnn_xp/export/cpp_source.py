"""C++17 source of a fitted network: one header without dependencies."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import numpy as np

from ffnn_xp._lib.expressions import Expression
from ffnn_xp._lib.typing import HostArray, PathLike
from ffnn_xp.export.content import Content, Exportable, content_of
from ffnn_xp.export.source import filled, functions_of, numbers, write_text
from ffnn_xp.network import softmax
from ffnn_xp.uncertainty import TOUCHES

KEYWORDS = """alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class compl
const const_cast constexpr continue decltype default delete do double dynamic_cast else enum explicit export extern
false float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq
private protected public register reinterpret_cast return short signed sizeof static static_assert static_cast
struct switch template this thread_local throw true try typedef typeid typename union unsigned using virtual void
volatile wchar_t while xor xor_eq"""
"""Words of the language, which cannot be names."""


def to_cpp(model: Exportable, path: PathLike | None = None, *, std: bool = False) -> str:
    """Write a model as one C++17 header without dependencies, with a function ``predict(x)`` in double precision.

    The function returns what `Model.predict` returns: the output of the network, or the mean of an ensemble's. Inputs
    are in the units of the data, and arrays in the header have the names of their columns. The namespace is
    ``ffnn_xp::NAME`` with the name of the model, or else of the file.

    Parameters
    ----------
    model : Model
        The model.
    path : path-like, optional
        The file, ``*.hpp``; an existing one is replaced only when the new one is complete.
    std : bool
        Whether there is a function ``predict(x, std_dev)`` too, with the standard deviation of the fitted function. The
        file then has the covariance of the parameters, p^2 numbers for each network.

    Returns
    -------
    str
        The source.

    Raises
    ------
    NotFittedError
        If the model has no parameters, or no error band that is requested; the message says why.
    ValueError
        If an activation of your own does what cannot be written as source.
    OSError
        If the file cannot be written; the message says why.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> source = fx.export.to_cpp(fx.Model.from_matrices([([[2.0]], [1.0])], name="line"))
    >>> "inline Outputs predict(const Inputs &x)" in source
    True
    """
    return write_text(path, source_of(content_of(model, std=std), "network.hpp" if path is None else str(path)))


def source_of(content: Content, file: str) -> str:
    """Return the C++ source of a network for a file of this name."""
    file = re.split(r"[/\\]", file)[-1]
    functions, layers = functions_of(content.activations), range(1, len(content.widths))
    *hidden, output = content.activations
    coupled, last = output is softmax, len(layers)
    m = max((band.unidentified.shape[1] for band in content.bands), default=0)
    sources = [_function(f.name, ("z",), f.value) for f in functions.values()]
    if content.std:
        sources += [_function(f"d{f.name}", ("z", "a"), f.slope) for f in functions.values()]
    shapes = [(l, *A.shape) for l, A in zip(layers, content.networks[0], strict=True)]

    def forward(x: str) -> list[str]:
        steps = []
        for l, f in zip(layers, hidden, strict=False):
            steps.append(f"const auto z{l} = affine(network.A{l}, {x if l == 1 else f'a{l - 1}'});")
            steps.append(f"const auto a{l} = each({functions[f].name}, z{l});")
        return steps

    names = [functions[f].name for f in hidden]
    back = [
        f"const auto d{l} = back(network.A{l + 1}, d{l + 1}, slopes(d{names[l - 1]}, z{l}, a{l}));"
        for l in range(last - 1, 0, -1)
    ]
    outer = [f"end = outer(d{l}, a{l - 1}, end);" for l in layers]
    output_of = f"affine(network.A{last}, {{}})"
    r = max((band.factor.shape[1] for band in content.bands), default=0)
    bands = [
        [f"{{{_arrays(*band.matrices)}}}", _padded(band.factor, r)]
        + [band.lift, _padded(band.unidentified, m)] * (m > 0)
        for band in content.bands
    ]
    values = {
        "TITLE": content.title,
        "FILE": file,
        "NAMESPACE": _identifier(content.name or file.partition(".")[0]),
        "D": str(len(content.inputs)),
        "K": str(len(content.outputs)),
        "M": str(len(content.networks)),
        "INPUT_NAMES": ", ".join(map(_text, content.inputs)),
        "OUTPUT_NAMES": ", ".join(map(_text, content.outputs)),
        "FUNCTIONS": "\n".join(sources),
        "OUTPUT": "" if coupled else functions[output].name,
        "MATRICES": "\n".join(f"  double A{l}[{h}][{c}];" for l, h, c in shapes),
        "NETWORKS": ",\n".join(f"{{{_arrays(*matrices)}}}" for matrices in content.networks),
        "FORWARD": _block([*forward("x"), f"return {output_of.format(f'a{last - 1}' if hidden else 'x')};"], 2),
        "P": str(sum(A.size for A in content.networks[0])),
        "R": str(r),
        "N_UNIDENTIFIED": str(m),
        "X_MEAN": numbers(content.x_mean, "{}"),
        "X_SCALE": numbers(content.x_scale, "{}"),
        "Y_MEAN": numbers(content.y_mean, "{}"),
        "Y_SCALE": numbers(content.y_scale, "{}"),
        "BANDS": ",\n".join(f"{{{_arrays(*parts)}}}" for parts in bands),
        "FORWARD_STANDARD": _block(forward("a0"), 2),
        "ARGUMENT": output_of.format(f"a{last - 1}"),
        "LAST_DELTA": f"d{last}",
        "BACK": _block(back, 4),
        "OUTER": _block(outer, 4),
        "TOUCHES": repr(TOUCHES),
    }
    kept = {
        "STD": content.std,
        "COUPLED": coupled,
        "NOT_COUPLED": not coupled,
        "NONLINEAR": not output.linear,
        "ELEMENTWISE": not coupled and not output.linear,
        "UNIDENTIFIED": m > 0,
    }
    return filled("network.hpp.in", values, kept)


def _function(name: str, arguments: tuple[str, ...], expression: Expression) -> str:
    """Write a function of numbers; an argument that it does not use has no name."""
    *assignments, (_, result) = expression.lines()
    lines = [f"const double {name} = {text};" for name, text in assignments]
    lines.append(f"return {result};")
    body = "\n".join(lines)
    given = ", ".join(f"double {a}" if re.search(rf"\b{a}\b", body) else "double" for a in arguments)
    return f"inline double {name}({given}) {{\n{textwrap.indent(body, '  ')}\n}}\n"


def _padded(values: HostArray, columns: int) -> HostArray:
    """Return a matrix with further columns of zeros: all bands have the same type."""
    return np.pad(values, ((0, 0), (0, columns - values.shape[1])))


def _arrays(*parts: Any) -> str:
    """Write arrays, or what is written already, as a list on lines of their own."""
    return ",\n".join(part if isinstance(part, str) else numbers(part, "{}") for part in parts)


def _block(lines: list[str], indent: int) -> str:
    return textwrap.indent("\n".join(lines), " " * indent)


def _text(name: str) -> str:
    """Write a name as a literal of bytes in UTF-8, those with a meaning of their own as numbers."""
    special = {*range(32), *range(127, 256), *b'"?\\'}
    text = "".join(f"\\{b:03o}" if b in special else chr(b) for b in name.encode("utf-8", "replace"))
    return f'"{text}"'


def _identifier(name: str) -> str:
    """Return a name that a namespace can have.

    Examples
    --------
    >>> _identifier("my net"), _identifier("2d"), _identifier("new")
    ('my_net', 'net_2d', 'net_new')
    """
    name = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"net_{name}" if not name or name[0].isdigit() or name in KEYWORDS.split() or "__" in name else name
