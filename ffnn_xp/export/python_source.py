"""Python source of a fitted network, which needs NumPy alone."""

from __future__ import annotations

import textwrap

from ffnn_xp._lib.expressions import Expression
from ffnn_xp._lib.typing import HostArray, PathLike
from ffnn_xp.export.content import Band, Content, Exportable, content_of
from ffnn_xp.export.source import filled, functions_of, numbers, write_text
from ffnn_xp.network import Activation, softmax
from ffnn_xp.uncertainty import TOUCHES

SOFTMAX = """\
def f_softmax(z):
    weight = np.exp(z - np.max(z, axis=-1, keepdims=True))
    return weight / np.sum(weight, axis=-1, keepdims=True)
"""


def to_python(model: Exportable, path: PathLike | None = None, *, std: bool = False) -> str:
    """Write a model as Python source with one function, ``predict(x)``, that needs NumPy alone.

    The function returns what `Model.predict` returns: the output of the network, or the mean of an ensemble's. Inputs
    are in the units of the data; the names of their columns are kept, and tables are read by them.

    Parameters
    ----------
    model : Model
        The model.
    path : path-like, optional
        The file, ``*.py``; an existing one is replaced only when the new one is complete.
    std : bool
        Whether the function is ``predict(x, return_std=False)``, with the standard deviation of the fitted function.
        The file then has the covariance of the parameters, p^2 numbers for each network.

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
    >>> model = fx.Model.from_matrices([([[2.0]], [1.0])])
    >>> namespace = {}
    >>> exec(fx.export.to_python(model), namespace)
    >>> namespace["predict"]([3.0, 4.0])
    array([7., 9.])
    """
    return write_text(path, source_of(content_of(model, std=std)))


def source_of(content: Content) -> str:
    """Return the Python source of a network."""
    functions = functions_of(content.activations)
    d, k = len(content.inputs), len(content.outputs)
    *hidden, output = content.activations
    coupled, unidentified = output is softmax, any(band.unidentified.size for band in content.bands)
    texts = [_function(f.name, "z", f.value) for f in functions.values()]
    if content.std:
        texts += [_function(f"d{f.name}", "z, a", f.slope) for f in functions.values()]
    source = "\n\n".join([*texts, *([SOFTMAX] if coupled else [])])
    networks = [f"({_arrays(matrices)})," for matrices in content.networks]
    bands = [f"({_band(band, with_unidentified=unidentified)})," for band in content.bands]

    def names(before: str, layers: list[Activation]) -> str:
        return "".join(f"{before}{functions[f].name}, " for f in layers).rstrip()

    values = {
        "TITLE": content.title,
        "INPUTS": repr(content.inputs),
        "OUTPUTS": repr(content.outputs),
        "FUNCTIONS": f"\n{source}\n",
        "HIDDEN": names("", hidden),
        "HIDDEN_SLOPES": names("d", hidden),
        "OUTPUT": "f_softmax" if coupled else functions[output].name,
        "OUTPUT_SLOPE": "None" if coupled else f"d{functions[output].name}",
        "NETWORKS": textwrap.indent("\n".join(networks), "    "),
        "BANDS": textwrap.indent("\n".join(bands), "    "),
        "X_MEAN": _array(content.x_mean),
        "X_SCALE": _array(content.x_scale),
        "Y_MEAN": _array(content.y_mean),
        "Y_SCALE": _array(content.y_scale),
        "SIGNATURE": "x, return_std=False" if content.std else "x",
        "AND_STD": ", and if requested their standard deviations" if content.std else "",
        "OF_UNIDENTIFIED": "; the scale of the\n# parameters, and directions that the fit does not determine"
        if unidentified
        else "",
        "D": str(d),
        "OR_SHAPE": " or (n,)" if d == 1 else f", or ({d},) for one event",
        "OR_TABLE": ", or it is a table with the columns INPUTS" if content.named else "",
        "OR_EVENT": "" if d == 1 else " or x.shape == (len(INPUTS),)",
        "SHAPED": "y[:, 0]" if k == 1 and not content.column else "y",
        "LIFT": ", lift, unidentified" if unidentified else "",
        "TOUCHES": repr(TOUCHES),
    }
    kept = {
        "NAMED": content.named,
        "STD": content.std,
        "MATH": "math." in source,
        "COUPLED": coupled,
        "NONLINEAR": not output.linear,
        "ELEMENTWISE": not coupled and not output.linear,
        "UNIDENTIFIED": unidentified,
        "IDENTIFIED": not unidentified,
    }
    return filled("network.py.in", values, kept)


def _function(name: str, arguments: str, expression: Expression) -> str:
    """Write a function of arrays; a constant gets the shape of z."""
    *assignments, (_, result) = expression.lines("np.")
    lines = [f"{name} = {text}" for name, text in assignments]
    lines.append(f"return np.full_like(z, {result})" if expression.is_constant else f"return {result}")
    body = "\n".join(lines).replace("np.erf(", "np.vectorize(math.erf, otypes=[float])(")
    return f"def {name}({arguments}):\n{textwrap.indent(body, '    ')}\n"


def _array(values: HostArray) -> str:
    return f"np.array({numbers(values, '[]')})" if values.size else f"np.zeros({values.shape})"


def _arrays(matrices: tuple[HostArray, ...]) -> str:
    return "".join(f"\n{textwrap.indent(_array(A), '    ')}," for A in matrices) + "\n"


def _band(band: Band, *, with_unidentified: bool) -> str:
    others = [band.factor, *([band.lift, band.unidentified] if with_unidentified else [])]
    parts = [f"({_arrays(band.matrices)}),", *(f"{_array(values)}," for values in others)]
    return "\n" + textwrap.indent("\n".join(parts), "    ") + "\n"
