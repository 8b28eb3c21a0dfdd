"""The source of one loop over events that computes value and gradient of S, for compilers of C and CUDA.

In a narrow network each formula computes little, and passing arrays from one to the next takes most of the time. A loop
that takes a few events through all layers, the statistic and back keeps them in registers and in the nearest cache. Its
formulas are those of the activations and of the statistic, traced; so it is the same sum for a user's own, and there is
none where a formula cannot be traced.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources

from ffnn_xp._lib.expressions import TRACING, Expression, apply
from ffnn_xp.backends import EventLoop
from ffnn_xp.losses import Loss
from ffnn_xp.network import Activation, Network, slope_of, value_of

HIDDEN_LAYER = """\
DEVICE void @NAME@(const number *A, INT w, INT h, const real *in, real *out, real *derivative) {
  for (INT i = 0; i < h; i++) {
    real sums[TOGETHER];
    affine(A + i * (w + 1), w, in, sums);
    EACH {
      const real z = sums[t];
      real a, slope;
@ACTIVATION@
      AT(out, i) = a;
      AT(derivative, i) = slope;
    }
  }
}
"""

OUTPUT = """\
DEVICE void output(const number *A, INT w, INT h, const real *in, real *value, real *derivative, const Events *e,
                   INT copy, INT start) {
  EACH AT(value, 0) = V(R(0.0));
  for (INT i = 0; i < h; i++) {
    real sums[TOGETHER];
    affine(A + i * (w + 1), w, in, sums);
    EACH {
      const real z = sums[t];
      real a, slope, s, first;
@ACTIVATION@
@STATISTIC@
      if (e->weights) {
        const real weight = m_load((const number *)e->weights + copy * e->weights_copy, EVENT, e->n);
        s = s * weight;
        first = first * weight;
      }
      AT(value, 0) += m_used(s, EVENT, e->n);
      AT(derivative, i) = m_used(first * slope, EVENT, e->n);
    }
  }
}
"""


def event_loop(network: Network, loss: Loss, columns: int) -> EventLoop | None:
    """Return the loop of value and gradient, of a statistic with so many columns of data; None if there is none.

    Examples
    --------
    >>> from ffnn_xp.losses import get_loss
    >>> from ffnn_xp.network import ACTIVATIONS, Layout
    >>> tanh, linear = ACTIVATIONS["tanh"], ACTIVATIONS["identity"]
    >>> event_loop(Network(Layout((1, 10, 1)), (tanh, linear)), get_loss("least_squares"), 2).parameters
    31
    """
    if loss.coupled_outputs or loss.has_linear_operator or not loss.separable:
        return None
    try:
        return _event_loop(network, loss, columns)
    except Exception:  # a formula of a user's own may do anything with a symbol, and a statistic have no hash
        return None


@lru_cache(maxsize=64)
def _event_loop(network: Network, loss: Loss, columns: int) -> EventLoop:
    hidden = {f: f"hidden_{number}" for number, f in enumerate(dict.fromkeys(network.activations[:-1]))}
    functions = [_filled(HIDDEN_LAYER, NAME=name, ACTIVATION=_activation(f)) for f, name in hidden.items()]
    output = _filled(OUTPUT, ACTIVATION=_activation(network.activations[-1]), STATISTIC=_statistic(loss, columns))
    source = _filled(
        (resources.files(__package__) / "event_loop.c").read_text(encoding="utf-8"),
        COLUMNS=str(columns),
        LAYERS=str(network.layout.n_layers),
        FUNCTIONS="\n".join([*functions, output]),
        **_layers([hidden[f] for f in network.activations[:-1]]),
    )
    return EventLoop(source, network.layout.widths, columns)


def _layers(hidden: list[str]) -> dict[str, str]:
    """Write the rows of each layer, the sweeps through the layers, and the sums of products."""
    L = len(hidden) + 1
    below, layers = range(L), range(1, L + 1)
    places = [f"const INT w{l} = e->widths[{l}], c{l} = w{l} + 1;" for l in (0, *layers)]
    places += [f"const number *const A{l} = {f'A{l - 1} + w{l - 1} * c{l - 2}' if l > 1 else 'theta'};" for l in layers]
    places += [f"total *const S{l} = sums + 1 + (A{l} - theta);" for l in layers]
    places += [f"real *const in{l} = {f'in{l - 1} + c{l - 1} * ROW' if l else 'room'};" for l in below]
    places += [
        f"real *const d{l} = {f'd{l - 1} + w{l - 1}' if l > 1 else f'in{L - 1} + c{L - 1}'} * ROW;" for l in layers
    ]
    places += [f"real *const value = d{L} + w{L} * ROW;"]
    sweeps = [f"{name}(A{l}, w{l - 1}, w{l}, in{l - 1}, in{l}, d{l});" for l, name in enumerate(hidden, start=1)]
    sweeps += [f"output(A{L}, w{L - 1}, w{L}, in{L - 1}, value, d{L}, e, copy, start);"]
    sweeps += [f"backward(A{l}, w{l - 1}, w{l}, d{l}, d{l - 1});" for l in range(L, 1, -1)]
    sums = ["products(1, 1, value, in0 + w0 * ROW, sums);"]
    sums += [f"products(w{l}, c{l - 1}, d{l}, in{l - 1}, S{l});" for l in layers]
    ones = [f"AT(in{l}, w{l}) = V(R(1.0));" for l in below]
    text = {"PLACES": places, "ONES": ones, "SWEEPS": sweeps, "SUMS": sums}
    return {key: "\n".join(f"  {line}" for line in lines) for key, lines in text.items()}


def _activation(f: Activation) -> str:
    """Write the lines that compute the value a and the slope of an activation from z."""
    return f"{_lines(value_of(f), 'a = V({})')}\n{_lines(slope_of(f), 'slope = V({})')}"


def _statistic(loss: Loss, columns: int) -> str:
    """Write the lines that compute the statistic s and its first derivative from the value a of the output."""
    data = tuple(Expression(f"data{c}") for c in range(columns))
    s, first = loss.value_and_first(TRACING, Expression("a"), data)
    loads = "\n".join(f"      const real data{c} = COLUMN({c}, i);" for c in range(columns))
    return f"{loads}\n{_lines(apply('both', s, first), '{}')}"


def _lines(expression: Expression, assignment: str) -> str:
    """Write an expression as a block of C: what is used twice is computed once."""
    parts = list(expression.parts())
    constants = {str(e): f"R({'INF' if 'inf' in str(e) else e})" for e in parts if e.is_constant and not e.operands}
    *shared, (_, result) = expression.lines("m_", constants)
    block = [f"LET {name} = {text};" for name, text in shared]
    return "      { " + " ".join([*block, assignment.format(result)]) + "; }"


def _filled(template: str, **values: str) -> str:
    return re.sub(r"@([A-Z]+)@", lambda match: values[match[1]], template)
