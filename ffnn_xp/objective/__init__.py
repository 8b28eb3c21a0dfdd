"""S, the sum over events of a statistic of the network's output, with its derivatives and its prior.

- `kernels`, `linear_operator_kernels`, `event_weights`: pure functions that compute S and its derivatives of one chunk.
- `compiled`: the source of value and gradient as one loop over events.
- `objective`: `Objective`, the sums of kernels over all events on the device.
- `chunking`: the sizes of chunks, and the threads that share them.
- `batch`: `Replicas`, many objectives of one network at once.
- `prior`: Gaussian priors of the parameters.
- `host`: `NetworkCost`, the host side; device arrays become host arrays here and nowhere else.
- `data_cost`: `DataCost`, the host side of data in raw units, the base class of users' costs.
- `drawn`, `visualize`: the numbers of a picture of data and predictions, and the picture of a cost.
- `iminuit_cost`: the interface to iminuit, and sums of costs.
"""

from ffnn_xp.objective.batch import BatchTuning, Replicas, stack_objectives
from ffnn_xp.objective.chunking import ChunkSizes, ChunkTuning, SumKind
from ffnn_xp.objective.data_cost import DataCost
from ffnn_xp.objective.drawn import Drawn, means_over
from ffnn_xp.objective.host import HostTuning, NetworkCost
from ffnn_xp.objective.iminuit_cost import CostSum, CostWithGradient
from ffnn_xp.objective.objective import Objective
from ffnn_xp.objective.prior import GaussianPrior, layer_precision, network_precision, output_bias_precision
from ffnn_xp.objective.visualize import Curve, draw_cost

__all__ = [
    "BatchTuning",
    "ChunkSizes",
    "ChunkTuning",
    "CostSum",
    "CostWithGradient",
    "Curve",
    "DataCost",
    "Drawn",
    "GaussianPrior",
    "HostTuning",
    "NetworkCost",
    "Objective",
    "Replicas",
    "SumKind",
    "draw_cost",
    "layer_precision",
    "means_over",
    "network_precision",
    "output_bias_precision",
    "stack_objectives",
]
