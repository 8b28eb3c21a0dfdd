"""S, the sum over events of a statistic of the network's output, with its derivatives and its prior.

- `kernels`, `combined_kernels`: what is computed of one chunk of events, also where values are correlated.
- `objective`: `Objective`, the sums of kernels over all events on the device.
- `chunking`: how large chunks of events are, and how many threads share them.
- `batch`: `Replicas`, many objectives of one network at once.
- `prior`: Gaussian priors of the parameters.
- `host`: `NetworkCost`, the host side; device arrays become host arrays here and nowhere else.
- `data_cost`: `DataCost`, the host side of data in raw units, which users' costs are made of.
- `iminuit_cost`: what iminuit calls, and sums of costs.
"""

from ffnn_xp.objective.batch import BatchTuning, Replicas, stack_objectives
from ffnn_xp.objective.chunking import ChunkSizes, ChunkTuning, SumKind
from ffnn_xp.objective.data_cost import DataCost
from ffnn_xp.objective.host import HostTuning, NetworkCost
from ffnn_xp.objective.iminuit_cost import CostSum, CostWithGradient
from ffnn_xp.objective.objective import Objective
from ffnn_xp.objective.prior import GAUGE, GaussianPrior, layer_precision, network_precision

__all__ = [
    "GAUGE",
    "BatchTuning",
    "ChunkSizes",
    "ChunkTuning",
    "CostSum",
    "CostWithGradient",
    "DataCost",
    "GaussianPrior",
    "HostTuning",
    "NetworkCost",
    "Objective",
    "Replicas",
    "SumKind",
    "layer_precision",
    "network_precision",
    "stack_objectives",
]
