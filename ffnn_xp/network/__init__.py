"""The network: its specification, its parameters, its sweeps and their derivatives. It knows no loss and no data.

- `specification`: checks of the widths, nonlinearities and matrices that users give.
- `layout`: where each augmented matrix lies in the one vector theta.
- `activations`: one object for each nonlinearity, in one table; add one there.
- `expressions`: activations as expressions, to be written in other languages.
- `sweeps`: the `Network`, its forward and reverse sweeps and its Jacobian.
- `hessian`, `block_matrix`: Hessian, Gauss-Newton matrix and products with them, as blocks of layers.
- `evaluation`: outputs of many events in chunks.
- `symmetries`: one form for all parameters of the same function.
- `initialization`: random starts.
- `protocol`: what the packages below `model` need of a model.
"""

from ffnn_xp.network.activations import ACTIVATIONS, OUTPUTS, Activation, get_activation, identity, softmax
from ffnn_xp.network.block_matrix import BlockMatrix, assemble, in_order
from ffnn_xp.network.evaluation import evaluate, raw_jacobian
from ffnn_xp.network.expressions import slope_of, value_of
from ffnn_xp.network.hessian import (
    event_matrices_times,
    gauss_newton_blocks,
    hessian_blocks,
    hessian_product,
    kronecker_factors,
    output_hessian_times,
    score_blocks,
)
from ffnn_xp.network.initialization import glorot
from ffnn_xp.network.layout import Layout, augment, units
from ffnn_xp.network.protocol import ModelLike
from ffnn_xp.network.specification import Widths, augmented_matrices, check_name, check_widths, hidden_activations
from ffnn_xp.network.sweeps import (
    Network,
    Trace,
    forward,
    jacobian,
    jacobian_through_output,
    pull_back,
    pull_back_matrices,
    push_forward,
    slopes,
)
from ffnn_xp.network.symmetries import aligned, canonical

__all__ = [
    "ACTIVATIONS",
    "OUTPUTS",
    "Activation",
    "BlockMatrix",
    "Layout",
    "ModelLike",
    "Network",
    "Trace",
    "Widths",
    "aligned",
    "assemble",
    "augment",
    "augmented_matrices",
    "canonical",
    "check_name",
    "check_widths",
    "evaluate",
    "event_matrices_times",
    "forward",
    "gauss_newton_blocks",
    "get_activation",
    "glorot",
    "hessian_blocks",
    "hessian_product",
    "hidden_activations",
    "identity",
    "in_order",
    "jacobian",
    "jacobian_through_output",
    "kronecker_factors",
    "output_hessian_times",
    "pull_back",
    "pull_back_matrices",
    "push_forward",
    "raw_jacobian",
    "score_blocks",
    "slope_of",
    "slopes",
    "softmax",
    "units",
    "value_of",
]
