r"""Activations: nonlinearities f with f' and f'', one entry of `ACTIVATIONS` each.

Each formula takes the array namespace first. Derivatives get the value :math:`a = f(z)` as well, since many are
cheaper in it: :math:`\tanh' = 1 - a^2`. Where f' jumps (relu, leaky_relu at z = 0) it is the left derivative: 0 for
relu, the slope for leaky_relu. That is PyTorch's choice, and a unit that is exactly off stays off. f'' is 0 there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ffnn_xp._lib.errors import did_you_mean
from ffnn_xp._lib.typing import Array, Elementwise, Namespace
from ffnn_xp.backends import erf, tanh_back
from ffnn_xp.backends import tanh as compute_tanh

LEAKY_SLOPE = 0.01
"""Slope of leaky_relu at z < 0, the usual one (PyTorch, Keras before 3)."""


@dataclass(frozen=True)
class Activation:
    """A nonlinearity with its first and second derivative.

    Parameters
    ----------
    name : str
        Name in files and in text.
    f : callable
        ``f(xp, z)``, elementwise.
    df : callable
        ``df(xp, z, a)``, the first derivative, where ``a = f(xp, z)`` is given because it is known.
    d2f : callable
        ``d2f(xp, z, a)``, the second derivative.
    homogeneous : bool
        Whether ``f(c z) = c f(z)`` for c > 0 (identity, relu): then targets can be rescaled exactly.
    smooth : bool
        Whether f' has no jumps, unlike that of relu: where it jumps, f'' misses part of the curvature, and fits use the
        Gauss-Newton matrix.
    mirror : (float, float), optional
        s and c of ``f(-z) = s f(z) + c``, if f has such a symmetry: -1 and 0 for an odd f, -1 and 1 for logistic.
    monotonic : bool
        Whether bands of an output are computed for its argument z and transformed by f, which needs an increasing f
        (exp, logistic): their ends are then in the range of f.
    multiplicative : bool
        Whether ``f(a + b) = f(a) f(b)`` (exp): then a shift of z is a factor of f.
    coupled_outputs : bool
        Whether each value depends on all outputs of its event (softmax): then f can only be the output's, and f' and
        f'' are not used.
    backward : callable, optional
        ``backward(xp, delta, z, a)``, delta times the first derivative, if there is a faster function for it.
    takes_out : bool
        Whether f takes the array for its values as a third argument.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> square = fx.Activation("square", lambda xp, z: z * z, lambda xp, z, a: 2 * z, lambda xp, z, a: 2 + 0 * z)
    >>> fx.Model((2, 3, 1), activation=square, seed=1).n_parameters
    13
    """

    name: str
    f: Elementwise
    df: Elementwise
    d2f: Elementwise
    homogeneous: bool = field(default=False, kw_only=True)
    smooth: bool = field(default=True, kw_only=True)
    mirror: tuple[float, float] | None = field(default=None, kw_only=True)
    monotonic: bool = field(default=False, kw_only=True)
    multiplicative: bool = field(default=False, kw_only=True)
    coupled_outputs: bool = field(default=False, kw_only=True)
    backward: Callable[..., Array] | None = field(default=None, kw_only=True, repr=False)
    takes_out: bool = field(default=False, kw_only=True, repr=False)

    @property
    def linear(self) -> bool:
        """True if this is the identity, so that products with its derivative can be left out."""
        return self is identity

    def __reduce_ex__(self, protocol: Any) -> str | tuple[Any, ...]:
        """Pickle an activation of the table by its name, so that copies are the same object."""
        if OUTPUTS.get(self.name) is self:
            return _known_output, (self.name,)
        return super().__reduce_ex__(protocol)


def _positive(xp: Namespace, z: Array) -> Array:
    return xp.astype(z > 0, z.dtype)


def _logistic(xp: Namespace, z: Array) -> Array:
    """Compute 1 / (1 + exp(-z)) without overflow, and with all digits of a small result."""
    return xp.exp(xp.minimum(z, 0.0)) / (1 + xp.exp(-xp.abs(z)))


def _softplus(xp: Namespace, z: Array) -> Array:
    """Compute log(1 + exp(z)) without overflow."""
    return xp.log1p(xp.exp(-xp.abs(z))) + xp.maximum(z, 0.0)


def _normal_pdf(xp: Namespace, z: Array) -> Array:
    return xp.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def _normal_cdf(xp: Namespace, z: Array) -> Array:
    return 0.5 * (1 + erf(xp, z / math.sqrt(2)))


def _silu_df(xp: Namespace, z: Array, a: Array) -> Array:
    s = _logistic(xp, z)
    return s + a * (1 - s)


def _silu_d2f(xp: Namespace, z: Array, a: Array) -> Array:
    s = _logistic(xp, z)
    return s * (1 - s) * (2 + z * (1 - 2 * s))


def _elu(xp: Namespace, z: Array) -> Array:
    return xp.maximum(z, 0.0) + xp.expm1(xp.minimum(z, 0.0))


def _softmax(xp: Namespace, z: Array) -> Array:
    weight = xp.exp(z - xp.max(z, axis=-2, keepdims=True))
    return weight / xp.sum(weight, axis=-2, keepdims=True)


def _not_by_element(xp: Namespace, z: Array, a: Array) -> Array:
    raise ValueError("softmax is fitted together with its statistic: use loss='multinomial'")


def _by_name(*activations: Activation) -> Mapping[str, Activation]:
    return {activation.name: activation for activation in activations}


ACTIVATIONS = _by_name(
    Activation(  # f = z
        "identity",
        lambda xp, z: z,
        lambda xp, z, a: xp.ones_like(z),
        lambda xp, z, a: xp.zeros_like(z),
        homogeneous=True,
        mirror=(-1.0, 0.0),
        monotonic=True,
    ),
    Activation(  # f = max(0, z), f' = 1 for z > 0 else 0, f'' = 0
        "relu",
        lambda xp, z: xp.maximum(z, 0.0),
        lambda xp, z, a: _positive(xp, z),
        lambda xp, z, a: xp.zeros_like(z),
        homogeneous=True,
        smooth=False,
    ),
    Activation(  # f = z for z > 0 else 0.01 z
        "leaky_relu",
        lambda xp, z: xp.maximum(z, LEAKY_SLOPE * z),
        lambda xp, z, a: LEAKY_SLOPE + (1 - LEAKY_SLOPE) * _positive(xp, z),
        lambda xp, z, a: xp.zeros_like(z),
        homogeneous=True,
        smooth=False,
    ),
    Activation(  # f' = 1 - f^2, f'' = -2 f f'
        "tanh",
        compute_tanh,
        lambda xp, z, a: 1 - a * a,
        lambda xp, z, a: -2 * a * (1 - a * a),
        mirror=(-1.0, 0.0),
        backward=tanh_back,
        takes_out=True,
    ),
    Activation(  # f = 1 / (1 + exp(-z)), f' = f (1 - f), f'' = f' (1 - 2 f); also called sigmoid
        "logistic",
        _logistic,
        lambda xp, z, a: a * (1 - a),
        lambda xp, z, a: a * (1 - a) * (1 - 2 * a),
        mirror=(-1.0, 1.0),
        monotonic=True,
    ),
    Activation(  # f = log(1 + exp(z)), f' = logistic(z)
        "softplus",
        _softplus,
        lambda xp, z, a: _logistic(xp, z),
        lambda xp, z, a: _logistic(xp, z) * _logistic(xp, -z),
        monotonic=True,
    ),
    Activation(  # f = z s with s = logistic(z), f' = s + f (1 - s), f'' = s (1 - s) (2 + z (1 - 2 s))
        "silu",
        lambda xp, z: z * _logistic(xp, z),
        _silu_df,
        _silu_d2f,
    ),
    Activation(  # f = z Phi(z), f' = Phi + z phi, f'' = (2 - z^2) phi, with the normal Phi and phi
        "gelu",
        lambda xp, z: z * _normal_cdf(xp, z),
        lambda xp, z, a: _normal_cdf(xp, z) + z * _normal_pdf(xp, z),
        lambda xp, z, a: (2 - z * z) * _normal_pdf(xp, z),
    ),
    Activation(  # f = z for z > 0 else exp(z) - 1
        "elu",
        _elu,
        lambda xp, z, a: xp.minimum(a, 0.0) + 1,
        lambda xp, z, a: xp.where(z > 0, 0.0, a + 1),
    ),
    Activation(  # f = sin(z)
        "sine",
        lambda xp, z: xp.sin(z),
        lambda xp, z, a: xp.cos(z),
        lambda xp, z, a: -a,
        mirror=(-1.0, 0.0),
    ),
    Activation(  # f = f' = f'' = exp(z): for an output that is a rate or a width
        "exp",
        lambda xp, z: xp.exp(z),
        lambda xp, z, a: a,
        lambda xp, z, a: a,
        monotonic=True,
        multiplicative=True,
    ),
)
"""The activations of any layer by their names; to add one, add one entry here."""

identity, relu, tanh = ACTIVATIONS["identity"], ACTIVATIONS["relu"], ACTIVATIONS["tanh"]

softmax = Activation("softmax", _softmax, _not_by_element, _not_by_element, coupled_outputs=True)
"""The probabilities of classes, f_i = exp(z_i) / sum_j exp(z_j), with df_i/dz_j = f_i (delta_ij - f_j)."""

OUTPUTS: Mapping[str, Activation] = {**ACTIVATIONS, "softmax": softmax}
"""The activations of the last layer by their names."""

ALIASES: Mapping[str, str] = {"sigmoid": "logistic", "linear": "identity", "swish": "silu"}
"""Other usual names of activations."""


def _known_output(name: str) -> Activation:
    return OUTPUTS[name]


def get_activation(spec: str | Activation, *, output: bool = False) -> Activation:
    """Return the activation of this name, or the one that is given; softmax is known for the `output` only.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is neither a name nor an `Activation`.

    Examples
    --------
    >>> get_activation("tanh").name
    'tanh'
    """
    if isinstance(spec, Activation):
        return spec
    if not isinstance(spec, str):
        raise TypeError(
            f"an activation must be a name or an ffnn_xp.Activation(name, f, df, d2f), got {type(spec).__name__}"
        )
    name = ALIASES.get(spec, spec)
    known = OUTPUTS if output else ACTIVATIONS
    if name not in known:
        raise ValueError(f"unknown activation {spec!r}: {did_you_mean(spec, known)}")
    return known[name]
