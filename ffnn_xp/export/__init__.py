"""Fitted networks in formats that other programs read.

- `onnx_model`, `cpp_source`, `python_source`, `latex`: one function for each format.
- `content`: what a model predicts with, as numbers on the host.
- `onnx_graph`: an ONNX graph, and the operators of activations.
- `source`: what source in Python and C++ has in common.
"""

from ffnn_xp.export.cpp_source import to_cpp
from ffnn_xp.export.latex import to_latex
from ffnn_xp.export.onnx_model import to_onnx
from ffnn_xp.export.python_source import to_python

__all__ = ["to_cpp", "to_latex", "to_onnx", "to_python"]
