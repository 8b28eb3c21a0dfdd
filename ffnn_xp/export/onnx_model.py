r"""ONNX of a fitted network, by the operators of its sweeps.

The mean takes a Gemm and an activation for each layer. The error band takes the derivatives of the outputs in the
parameters too: with :math:`\delta_L = \mathrm{diag}(s_y)` and :math:`\delta_l = f_l'(z_l)\, \delta_{l+1} W_{l+1}` for
all outputs of an event at once, ``(n, k, h_l)``, those in A_l are the products of delta_l and (a_{l-1}, 1).
"""

from __future__ import annotations

import json
import math
from typing import Any, Literal

import numpy as np

from ffnn_xp._lib.atomic import write_file
from ffnn_xp._lib.errors import did_you_mean
from ffnn_xp._lib.optional import require
from ffnn_xp._lib.typing import HostArray, PathLike
from ffnn_xp._lib.version import __version__
from ffnn_xp.backends import DTYPES
from ffnn_xp.export.content import Band, Content, Exportable, content_of
from ffnn_xp.export.onnx_graph import Graph
from ffnn_xp.network import softmax
from ffnn_xp.uncertainty import TOUCHES


def to_onnx(
    model: Exportable,
    path: PathLike | None = None,
    *,
    std: bool = False,
    modes: int = 0,
    x: Any = None,
    dtype: Literal["float64", "float32"] | None = None,
) -> Any:
    r"""Write a model as ONNX, for ONNX Runtime, ROOT's SOFIE, hls4ml and others.

    The graph has one input ``x``, events as rows ``(n, d)`` in the units of the data, and the outputs

    - ``mean``, ``(n, k)``: what `Model.predict` returns, also the mean of an ensemble.
    - ``std``, ``(n, k)``, if requested: the standard deviation of the fitted function, as `Model.predict` returns it.
    - ``shifts``, ``(n, k, m)``, if `modes` are requested: the changes of the outputs for a change of each nuisance
      parameter by one standard deviation. The prediction at nuisance parameters :math:`\nu`, each with a unit normal
      distribution, is mean + shifts :math:`\cdot\, \nu`; with all modes the sum of their squares is that of std.

    The names of the columns are in its metadata, as JSON lists ``inputs`` and ``outputs``. The graph of a mean has one
    Gemm and one activation for each layer; the documentation lists all operators.

    Parameters
    ----------
    model : Model
        The model.
    path : path-like, optional
        The file, ``*.onnx``; an existing one is replaced only when the new one is complete.
    std : bool
        Whether the graph has the output ``std``. It then holds the covariance of the parameters, p^2 numbers for each
        network.
    modes : int
        The number of modes of the error band that the output ``shifts`` has; 0 for no such output.
    x : array-like with shape (n, d), or (n,) for d = 1, or table, optional
        The points at which the modes are the leading ones, such as the centers of the bins of a template: the first
        mode makes the sum of all squared shifts there as large as one can, and so on.
    dtype : {"float64", "float32"}, optional
        Type of all numbers; by default the model's. SOFIE and hls4ml read float32.

    Returns
    -------
    onnx.ModelProto
        The model, checked by `onnx.checker`.

    Raises
    ------
    NotFittedError
        If the model has no parameters, or no error band that is requested; the message says why.
    ValueError
        If an option is not possible, or an activation of your own does what cannot be written as operators.
    OSError
        If the file cannot be written; the message says why.
    ImportError
        If onnx is not installed.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> graph = fx.export.to_onnx(fx.Model((2, 5, 1), seed=1)).graph
    >>> [node.op_type for node in graph.node]
    ['Gemm', 'Tanh', 'Gemm']
    """
    onnx = require("onnx", "onnx", "writing ONNX")
    content = content_of(model, std=std, modes=modes, x=x)
    numbers = content.dtype if dtype is None else dtype
    if numbers not in DTYPES:
        raise ValueError(f"unknown dtype {numbers!r}: {did_you_mean(numbers, DTYPES)}")
    proto = proto_of(onnx, content, numbers)
    onnx.checker.check_model(proto, full_check=True)
    if path is not None:
        write_file(path, proto.SerializeToString())
    return proto


def proto_of(onnx: Any, content: Content, dtype: str) -> Any:
    """Return the ONNX model of a network; `onnx` is the library."""
    graph, k, m = Graph(onnx, dtype), len(content.outputs), len(content.networks)
    values = [_value(graph, content, matrices) for matrices in content.networks]
    mean = values[0] if m == 1 else graph.add("Mul", graph.add("Sum", *values), graph.constant(1 / m))
    results = {"mean": mean}
    shapes: dict[str, tuple[int | str, ...]] = {"mean": ("events", k)}
    if content.bands:
        parts = [_root(graph, content, band) for band in content.bands]
        if m > 1:
            scale = graph.constant(1 / math.sqrt(m * (m - 1)))
            parts += [graph.axis(graph.add("Mul", graph.add("Sub", y, mean), scale), -1) for y in values]
        A = parts[0] if m == 1 else graph.add("Concat", *parts, axis=-1)
        if content.std:
            results["std"] = graph.add("Sqrt", graph.add("ReduceSumSquare", A, axes=(-1,), keepdims=0))
            shapes["std"] = ("events", k)
        if content.modes.size:
            results["shifts"] = graph.add("MatMul", A, graph.constant(content.modes))
            shapes["shifts"] = ("events", k, content.modes.shape[1])
    proto = graph.model({"x": ("events", len(content.inputs))}, shapes, results)
    proto.doc_string, proto.producer_version = content.title, __version__
    names = {"inputs": json.dumps(content.inputs), "outputs": json.dumps(content.outputs)}
    onnx.helper.set_model_props(proto, names)
    return proto


def _value(graph: Graph, content: Content, matrices: tuple[HostArray, ...]) -> str:
    """Compute the outputs of a network in raw units."""
    a = "x"
    for A, f in zip(matrices, content.activations, strict=True):
        a = graph.value(f, graph.affine(A, a))
    return a


def _root(graph: Graph, content: Content, band: Band) -> str:
    """Compute J F of one network, ``(n, k, r)``; rows of predictions that the fit does not determine are infinite."""
    *hidden, output = content.activations
    ones = graph.add("Gemm", "x", graph.constant(np.zeros((len(content.inputs), 1))), graph.constant(np.ones(1)))
    shifted = graph.add("Sub", "x", graph.constant(content.x_mean))
    inputs, slopes = [graph.add("Div", shifted, graph.constant(content.x_scale))], []
    for A, f in zip(band.matrices, hidden, strict=False):
        z = graph.affine(A, inputs[-1])
        inputs.append(graph.value(f, z))
        slopes.append(graph.slope(f, z, inputs[-1]))
    delta = graph.constant(np.diag(content.y_scale)[None])
    parts: list[str] = []
    for l in reversed(range(len(band.matrices))):
        a = graph.add("Concat", inputs[l], ones, axis=-1)
        product = graph.add("Mul", graph.axis(delta, -1), graph.axis(graph.axis(a, 1), 1))
        parts.insert(0, graph.add("Reshape", product, graph.constant([0, 0, band.matrices[l].size])))
        if l:
            back = graph.add("MatMul", delta, graph.constant(band.matrices[l][:, :-1]))
            delta = graph.add("Mul", back, graph.axis(slopes[l - 1], 1))
    J = parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=-1)
    if not output.linear:
        last = np.array(content.y_scale)[:, None] * band.matrices[-1]
        last[:, -1] += content.y_mean
        z = graph.affine(last, inputs[-1])
        y = graph.value(output, z)
        J = graph.add("Mul", J, graph.axis(y if output is softmax else graph.slope(output, z, y), -1))
        if output is softmax:
            total = graph.add("ReduceSum", J, graph.constant([1]), keepdims=1)
            J = graph.add("Sub", J, graph.add("Mul", graph.axis(y, -1), total))
    root = graph.add("MatMul", J, graph.constant(band.factor))
    if not band.unidentified.size:
        return root
    lifted = graph.add("Mul", J, graph.constant(band.lift))
    within = graph.add("MatMul", lifted, graph.constant(band.unidentified))
    squares = [graph.add("ReduceSumSquare", v, axes=(-1,), keepdims=1) for v in (within, lifted)]
    most = graph.add("Mul", squares[1], graph.constant(TOUCHES))
    return graph.add("Where", graph.add("Greater", squares[0], most), graph.constant(np.inf), root)
