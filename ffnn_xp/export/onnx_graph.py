"""An ONNX graph that grows by one operator after the other, and the operators of activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ffnn_xp._lib.expressions import TRACING, Expression, apply
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.network import OUTPUTS, Activation, slope_of, value_of

OPSET, IR_VERSION = 13, 7  # old enough for readers other than ONNX Runtime

OPERATORS = {"add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "greater": "Greater",
             "greater_equal": "GreaterOrEqual", "less": "Less", "less_equal": "LessOrEqual", "equal": "Equal",
             "negative": "Neg", "abs": "Abs", "acosh": "Acosh", "asinh": "Asinh", "atan": "Atan", "atanh": "Atanh",
             "cos": "Cos", "cosh": "Cosh", "erf": "Erf", "exp": "Exp", "floor": "Floor", "log": "Log", "maximum": "Max",
             "minimum": "Min", "pow": "Pow", "sign": "Sign", "sin": "Sin", "sinh": "Sinh", "sqrt": "Sqrt", "tan": "Tan",
             "tanh": "Tanh", "where": "Where"}  # fmt: skip
"""The operators of expressions, by operation; `FORMULAS` are for those that ONNX does not have."""

ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "tanh": ("Tanh", {}),
    "logistic": ("Sigmoid", {}),
    "softmax": ("Softmax", {"axis": -1}),
}
"""Operators that are an activation, known to every reader; others are written as expressions."""

IN_FLOAT32: dict[str, tuple[str, dict[str, Any]]] = {
    "leaky_relu": ("LeakyRelu", {"alpha": 0.01}),
    "softplus": ("Softplus", {}),
    "elu": ("Elu", {"alpha": 1.0}),
}
"""Further ones that ONNX Runtime has in float32 alone."""


def _log1p(z: Expression) -> Expression:
    """Compute log(1 + z) with all digits of a small z: the rounding of 1 + z is the same in both factors."""
    u = 1 + z
    return apply("where", apply("equal", u, 1.0), z, TRACING.log(u) * z / (u - 1))


def _expm1(z: Expression) -> Expression:
    """Compute exp(z) - 1 with all digits of a small z, in the same way."""
    u = TRACING.exp(z)
    near = apply("where", apply("equal", u, 1.0), z, (u - 1) * z / TRACING.log(u))
    return TRACING.where(abs(z) > 1, u - 1, near)


FORMULAS: dict[str, Callable[[Expression], Expression]] = {"log1p": _log1p, "expm1": _expm1}
"""The formulas of functions that ONNX does not have."""

FAR = 6.0  # from here on erf is 1 in float64
NODES = 24  # of the quadrature for erf nearer than that: its error is 2e-15


Shapes = Mapping[str, tuple[int | str, ...]]
"""The shapes of inputs and outputs by name; text stands for a number that is not known yet."""

_Node = tuple[str, tuple[str, ...], tuple[tuple[str, Any], ...]]
"""An operator, the names of its inputs, and its attributes."""


@dataclass
class Graph:
    """A graph of operators and constants.

    Parameters
    ----------
    onnx : module
        The library.
    dtype : {"float64", "float32"}
        The type of all numbers.
    """

    onnx: Any
    dtype: str
    _nodes: dict[_Node, str] = field(default_factory=dict)
    _constants: dict[str, Any] = field(default_factory=dict)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator, unless it is there already, and return the name of its result."""
        node = operator, inputs, tuple(attributes.items())
        return self._nodes.setdefault(node, f"{operator.lower()}_{len(self._nodes)}")

    def constant(self, values: Any) -> str:
        """Return the name of a constant, numbers of the graph's type or integers."""
        a = np.asarray(values)
        a = np.ascontiguousarray(a, dtype=self.dtype if a.dtype.kind == "f" else np.int64).reshape(a.shape)
        for name, known in self._constants.items():
            if known.shape == a.shape and known.dtype == a.dtype and np.array_equal(known, a):
                return name
        name = f"constant_{len(self._constants)}"
        self._constants[name] = a
        return name

    def axis(self, value: str, at: int) -> str:
        """Add an axis of length 1 before the axis `at`, or with -1 at the end."""
        return self.add("Unsqueeze", value, self.constant([at]))

    def affine(self, A: HostArray, a: str) -> str:
        """Compute A (a, 1), events as rows, by one Gemm."""
        return self.add("Gemm", a, self.constant(A[:, :-1]), self.constant(A[:, -1]), transB=1)

    def value(self, f: Activation, z: str) -> str:
        """Compute an activation, by its own operator where there is one."""
        if f.linear:
            return z
        known = ACTIVATIONS | (IN_FLOAT32 if self.dtype == "float32" else {})
        if f.name in known and OUTPUTS.get(f.name) is f:
            operator, attributes = known[f.name]
            return self.add(operator, z, **attributes)
        return self.expression(value_of(f), {"z": z})

    def slope(self, f: Activation, z: str, a: str) -> str:
        """Compute the first derivative of an activation."""
        return self.expression(slope_of(f), {"z": z, "a": a})

    def expression(self, e: Expression, symbols: Mapping[str, str]) -> str:
        """Compute an expression of some symbols, each of its parts once; a constant gets the shape of z."""
        done = dict(symbols)

        def visit(e: Expression) -> str:
            if str(e) not in done:
                done[str(e)] = computed(e)
            return done[str(e)]

        def computed(e: Expression) -> str:
            if not e.operands:
                return self.constant(float(e.operation))
            if e.operation in FORMULAS:
                return visit(FORMULAS[e.operation](*e.operands))
            operands = [visit(operand) for operand in e.operands]
            if e.operation == "erf" and self.dtype == "float64":
                return self._erf(*operands)
            return self.add(OPERATORS[e.operation], *operands)

        return visit(e + 0 * Expression("z") if e.is_constant else e)

    def _erf(self, z: str) -> str:
        """Compute erf(z), the integral of 2 z exp(-z^2 s^2) / sqrt(pi) from s = 0 to 1, by Gauss and Legendre."""
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        square = self.axis(self.add("Mul", z, z), -1)
        values = self.add("Exp", self.add("Mul", square, self.constant(-(((nodes + 1) / 2) ** 2))))
        near = self.add("Mul", z, self.add("MatMul", values, self.constant(weights / np.sqrt(np.pi))))
        is_far = self.add("Greater", self.add("Abs", z), self.constant(FAR))
        return self.add("Where", is_far, self.add("Sign", z), near)

    def model(self, inputs: Shapes, outputs: Shapes, named: Mapping[str, str]) -> Any:
        """Return the model; `named` gives the results that are outputs, by the outputs' names."""
        helper, names = self.onnx.helper, {result: name for name, result in named.items()}
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        nodes = [
            helper.make_node(
                operator, [names.get(i, i) for i in given], [names.get(result, result)], result, **dict(more)
            )
            for (operator, given, more), result in self._nodes.items()
        ]
        described = [
            [helper.make_tensor_value_info(name, kind, shape) for name, shape in each.items()]
            for each in (inputs, outputs)
        ]
        constants = [self.onnx.numpy_helper.from_array(a, name) for name, a in self._constants.items()]
        graph = helper.make_graph(nodes, "network", *described, constants)
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="ffnn_xp")
