r"""Expressions of elementwise functions: an activation that is called with a symbol says what it computes.

An activation is written once, in terms of the namespace `xp` that it is handed. Handed `TRACING`, which records each
operation in an `Expression`, it becomes data that each format writes in its own language: as lines of source, which
look alike in Python and C++, or as operators of ONNX. So a new activation needs nothing to be exported, nor does a
user's own.
"""

from __future__ import annotations

import ast
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from ffnn_xp.network import Activation

BINARY = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "greater": ">", "greater_equal": ">=",
          "less": "<", "less_equal": "<=", "equal": "=="}  # fmt: skip
"""The operations of two numbers that have a sign, the same in Python and C++."""

FUNCTIONS = ("abs", "acosh", "asinh", "atan", "atanh", "cos", "cosh", "erf", "exp", "expm1", "floor", "log", "log1p",
             "maximum", "minimum", "pow", "sign", "sin", "sinh", "sqrt", "tan", "tanh", "where")  # fmt: skip
"""The functions of the array API standard, and erf, that expressions may use."""


def _binary(operation: str, *, reflected: bool = False) -> Callable[[Expression, Any], Expression]:
    def operator(self: Expression, other: Any) -> Expression:
        first, second = (other, self) if reflected else (self, other)
        return apply(operation, first, second)

    return operator


@dataclass(frozen=True, eq=False)
class Expression:
    """A number that is not known yet: a symbol, a constant, or an operation on other expressions.

    Parameters
    ----------
    operation : str
        Name of a function in `FUNCTIONS` or of an operation in `BINARY`, or "negative"; without operands the name of a
        symbol or the text of a constant.
    operands : tuple of Expression
        Its arguments.

    Examples
    --------
    >>> z = Expression("z")
    >>> (1 + 2 * TRACING.exp(-z)).text()
    '1.0 + 2.0 * exp(-z)'
    """

    operation: str
    operands: tuple[Expression, ...] = ()

    dtype: ClassVar[str] = "float64"
    __array_ufunc__: ClassVar[None] = None  # numbers of NumPy leave operations with an expression to it

    __add__, __radd__ = _binary("add"), _binary("add", reflected=True)
    __sub__, __rsub__ = _binary("subtract"), _binary("subtract", reflected=True)
    __mul__, __rmul__ = _binary("multiply"), _binary("multiply", reflected=True)
    __truediv__, __rtruediv__ = _binary("divide"), _binary("divide", reflected=True)
    __pow__, __rpow__ = _binary("pow"), _binary("pow", reflected=True)
    __gt__, __ge__, __lt__, __le__ = map(_binary, ("greater", "greater_equal", "less", "less_equal"))

    def __neg__(self) -> Expression:
        return apply("negative", self)

    def __abs__(self) -> Expression:
        return apply("abs", self)

    def __bool__(self) -> bool:
        raise TypeError("it branches on a value: use xp.where")

    @property
    def is_condition(self) -> bool:
        """True for a comparison, whose value is true or false."""
        return BINARY.get(self.operation, "")[:1] in ("<", ">", "=")

    @property
    def is_constant(self) -> bool:
        """True for a number that depends on no symbol."""
        return all(operand.is_constant for operand in self.operands) if self.operands else not self.operation.isalpha()

    def text(self, prefix: str = "", names: dict[str, str] | None = None) -> str:
        """Write the expression as source, functions after a `prefix`, and the expressions in `names` by their names."""
        return ast.unparse(ast.parse(self._text(prefix, names or {}), mode="eval"))

    def _text(self, prefix: str, names: dict[str, str]) -> str:
        if not self.operands:
            return self.operation
        values = [names.get(str(operand)) or operand._text(prefix, names) for operand in self.operands]
        if self.operation == "negative":
            return f"(-{values[0]})"
        if self.operation in BINARY:
            return f"({f' {BINARY[self.operation]} '.join(values)})"
        return f"{prefix}{self.operation}({', '.join(values)})"

    def __str__(self) -> str:
        return self._text("", {})

    def lines(self, prefix: str = "") -> list[tuple[str, str]]:
        """Write the expression as assignments of names to source: what is used twice is computed once.

        Examples
        --------
        >>> z = Expression("z")
        >>> e = TRACING.exp(z)
        >>> (e / (1 + e)).lines("np.")
        [('s1', 'np.exp(z)'), ('', 's1 / (1.0 + s1)')]
        """
        uses: Counter[str] = Counter()
        places: dict[str, Expression] = {}  # each after its operands

        def visit(expression: Expression) -> None:
            key = str(expression)
            uses[key] += 1
            if uses[key] == 1 and expression.operands:
                for operand in expression.operands:
                    visit(operand)
                places[key] = expression

        visit(self)
        names: dict[str, str] = {}
        found = []
        for key, expression in places.items():
            if uses[key] > 1:
                found.append((f"s{len(names) + 1}", expression.text(prefix, names)))
                names[key] = found[-1][0]
        return [*found, ("", names.get(str(self)) or self.text(prefix, names))]


def apply(operation: str, *values: Any) -> Expression:
    """Return the expression of an operation on expressions and numbers."""
    return Expression(operation, tuple(map(_expression, values)))


def _expression(value: Any) -> Expression:
    """Return the expression itself, or that of a number."""
    if isinstance(value, Expression):
        return value
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"it has the constant {value}")
    return Expression(repr(value))


class Tracing:
    """A namespace whose functions record what is done, in place of an array library."""

    __name__ = "ffnn_xp.export"
    pi, e = math.pi, math.e

    def __getattr__(self, name: str) -> Callable[..., Expression]:
        if name not in FUNCTIONS:
            raise AttributeError(f"it calls xp.{name}; known are {', '.join(FUNCTIONS)}", name=name)
        return lambda *values: apply(name, *values)

    def astype(self, value: Expression, dtype: Any) -> Expression:
        """Return the expression itself, or 1 where a condition is true and 0 elsewhere."""
        return apply("where", value, 1.0, 0.0) if value.is_condition else value

    def zeros_like(self, value: Expression) -> Expression:
        """Return zero."""
        return Expression("0.0")

    def ones_like(self, value: Expression) -> Expression:
        """Return one."""
        return Expression("1.0")


TRACING = Tracing()
"""The namespace that activations are traced with."""

Z, VALUE = Expression("z"), Expression("a")
"""The argument z of an activation, and its value a = f(z)."""


def value_of(f: Activation) -> Expression:
    """Return an activation's value as an expression of z.

    Raises
    ------
    ValueError
        If it does what no expression can hold; the message says what.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> value_of(fx.Activation("square", lambda xp, z: z * z, lambda xp, z, a: 2 * z, lambda xp, z, a: 2.0)).text()
    'z * z'
    """
    return _traced(f, f.f, Z)


def slope_of(f: Activation) -> Expression:
    """Return an activation's first derivative as an expression of z and its value a.

    Raises
    ------
    ValueError
        If it does what no expression can hold; the message says what.

    Examples
    --------
    >>> from ffnn_xp.network import ACTIVATIONS
    >>> slope_of(ACTIVATIONS["tanh"]).text()
    '1.0 - a * a'
    """
    return _traced(f, f.df, Z, VALUE)


def _traced(f: Activation, function: Callable[..., Any], *symbols: Expression) -> Expression:
    try:
        return _expression(function(TRACING, *symbols))
    except Exception as error:
        raise ValueError(
            f"activation {f.name!r} cannot be exported: {error}. Write it with functions of its argument `xp` alone, "
            "of one number each"
        ) from error
