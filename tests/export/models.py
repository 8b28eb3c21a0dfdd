"""Models with error bands that no fit made: any activations, any directions left open, any number of networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import ffnn_xp as fx
from ffnn_xp.data import Scaling
from ffnn_xp.io import NetworkState
from ffnn_xp.network import ACTIVATIONS, OUTPUTS, Layout
from ffnn_xp.uncertainty import Calibration, LinearBand, Member, Predictive, Spectrum

X = np.random.default_rng(7).normal(size=(30, 2)) * [3.0, 0.2] + [5.0, -1.0]
"""Events of two inputs in raw units."""

FAR = X[::3] + np.array([900.0, -60.0])
"""Events far from any data, where activations saturate."""

MISH = fx.Activation(
    "mish",
    lambda xp, z: z * xp.tanh(xp.log1p(xp.exp(z))),
    lambda xp, z, a: (t := xp.tanh(xp.log1p(xp.exp(z)))) + z * (1 - t**2) / (1 + xp.exp(-z)),
    lambda xp, z, a: xp.zeros_like(z),
)
"""An activation of a user's own; f'' is not exported."""


def model_of(
    activation: Any = "tanh",
    output: Any = "identity",
    widths: Sequence[int] = (2, 3, 2, 2),
    *,
    networks: int = 1,
    unidentified: Sequence[int] = (),
    **more: Any,
) -> fx.Model:
    """A network, or an ensemble, with a random covariance; `unidentified` parameters (standardised) are open."""
    rng, layout = np.random.default_rng(3), Layout(tuple(widths))
    d, k, p = widths[0], widths[-1], layout.n_parameters
    linear = output == "identity"
    y_units = (np.linspace(-1, 2, k), np.linspace(0.5, 4, k)) if linear else (np.zeros(k), np.ones(k))
    scaling = Scaling(layout, np.linspace(5, -1, d), np.linspace(3, 0.2, d), *y_units)
    members = []
    for _ in range(networks):
        root = rng.normal(size=(p, p))
        root[list(unidentified)] = 0
        spectrum = Spectrum.of_hessian(400 * (root @ root.T + np.diag(np.any(root != 0, axis=1))), 1.0)
        assert spectrum.n_unidentified == len(unidentified)
        members.append(Member(LinearBand(0.8 * rng.normal(size=p), scaling, spectrum), np.full(k, 0.1)))
    predictive = Predictive(tuple(members), Calibration(b=1.7)) if networks > 1 else None
    activations = tuple((ACTIVATIONS | {"mish": MISH})[activation] for _ in widths[1:-1])
    state = NetworkState(
        tuple(widths),
        (*activations, (OUTPUTS | {"mish": MISH})[output]),
        members[0].band.parameters,
        band=members[0].band,
        predictive=predictive,
        **more,
    )
    return fx.Model.from_state(state, backend="numpy")


CASES = {
    "plain": {},
    "one output": {"widths": (2, 4, 1)},
    "one input": {"widths": (1, 3, 2)},
    "a column": {"widths": (2, 3, 1), "y_was_column": True},
    "no hidden layer": {"widths": (2, 2)},
    "no hidden layer, logistic": {"widths": (2, 1), "output": "logistic"},
    "softmax": {"output": "softmax", "widths": (2, 3, 4)},
    "ensemble": {"networks": 3},
    "ensemble, softplus": {"networks": 2, "output": "softplus"},
    "unidentified": {"unidentified": (0, 3, 6)},
    "unidentified, softmax": {"unidentified": (1,), "output": "softmax"},
    "ensemble, unidentified": {"networks": 2, "unidentified": (0, 3, 6)},
    "own activation": {"activation": "mish"},
} | {name: {"activation": name, "output": name, "widths": (2, 3, 2)} for name in ACTIVATIONS}
"""Options of `model_of` for each kind of network."""


def events(model: fx.Model) -> np.ndarray[Any, Any]:
    """Events near and far with as many inputs as the model has; exp of exp is infinite far out."""
    return np.vstack([X, X if "exp" in {f.name for f in model.activations} else FAR])[:, : model.layers[0]]
