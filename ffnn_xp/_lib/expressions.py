r"""Expressions of elementwise functions: a formula that is called with symbols says what it computes.

A formula is written once, in terms of the namespace `xp` that it is handed. Handed `TRACING`, which records each
operation in an `Expression`, it becomes data that each format writes in its own language: as lines of source, which
look alike in Python and C++, or as operators of ONNX. So a new activation or statistic needs nothing to be exported or
compiled, nor does a user's own.
"""

from __future__ import annotations

import ast
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

BINARY = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "greater": ">", "greater_equal": ">=",
          "less": "<", "less_equal": "<=", "equal": "==", "and": "&", "or": "|"}  # fmt: skip
"""The operations of two numbers that have a sign, the same in Python and C++."""

FUNCTIONS = ("abs", "acosh", "asinh", "atan", "atanh", "cos", "cosh", "erf", "exp", "expm1", "floor", "log", "log1p",
             "maximum", "minimum", "pow", "sign", "sin", "sinh", "sqrt", "tan", "tanh", "where")  # fmt: skip
"""The functions of the array API standard, and erf, that expressions may use."""


def _binary(operation: str, *, reflected: bool = False) -> Callable[[Expression, Any], Expression]:
    def operator(self: Expression, other: Any) -> Expression:
        first, second = (other, self) if reflected else (self, other)
        return apply(operation, first, second)

    return operator


INFINITY = "inf"
"""The constant that is no decimal number."""


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
    __eq__, __and__, __or__ = map(_binary, ("equal", "and", "or"))  # type: ignore[assignment]
    __hash__ = object.__hash__

    def __neg__(self) -> Expression:
        return apply("negative", self)

    def __abs__(self) -> Expression:
        return apply("abs", self)

    def __bool__(self) -> bool:
        raise TypeError("it branches on a value: use xp.where")

    @property
    def is_condition(self) -> bool:
        """True for a comparison, whose value is true or false."""
        return BINARY.get(self.operation, " ")[:1] in "<>=&|"

    @property
    def is_constant(self) -> bool:
        """True for a number that depends on no symbol."""
        if self.operands:
            return all(operand.is_constant for operand in self.operands)
        return self.operation in (INFINITY, f"-{INFINITY}") or not self.operation.isidentifier()

    def parts(self) -> Iterator[Expression]:
        """Yield the expression and all that it is made of."""
        yield self
        for operand in self.operands:
            yield from operand.parts()

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

    def lines(self, prefix: str = "", names: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
        """Write the expression as assignments of names to source: what is used twice is computed once.

        Parameters
        ----------
        prefix : str
            What precedes the names of functions.
        names : mapping of str to str, optional
            The source of some parts, by their own text, such as constants.

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
        known = dict(names or {})
        found: list[tuple[str, str]] = []
        for key, expression in places.items():
            if uses[key] > 1:
                found.append((f"s{len(found) + 1}", expression.text(prefix, known)))
                known[key] = found[-1][0]
        return [*found, ("", known.get(str(self)) or self.text(prefix, known))]


def apply(operation: str, *values: Any) -> Expression:
    """Return the expression of an operation on expressions and numbers."""
    return Expression(operation, tuple(map(_expression, values)))


def _expression(value: Any) -> Expression:
    """Return the expression itself, or that of a number."""
    if isinstance(value, Expression):
        return value
    value = float(value)
    if math.isnan(value):
        raise ValueError(f"it has the constant {value}")
    return Expression(repr(value))


class Tracing:
    """A namespace whose functions record what is done, in place of an array library."""

    __name__ = "ffnn_xp.expressions"
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
"""The namespace that formulas are traced with."""


def traced(formula: Callable[..., Any], *symbols: Any) -> Expression:
    """Return what ``formula(TRACING, *symbols)`` computes, a number included, as an expression."""
    return _expression(formula(TRACING, *symbols))
