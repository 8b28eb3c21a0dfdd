"""Events in parts: more than fit into memory, streamed from disk, or held by the workers of a Dask cluster.

A fit of them goes through sums alone. Theta goes out; value, gradient and matrices of each part come back and are
added in the order of the parts, so that the number of workers changes no digit.

- `opening`: which measurements are in parts; rows of arrays that are too large for memory.
- `files`: `EventFiles`, events in Parquet and ROOT files.
- `dask_collections`: arrays and tables of Dask, whose partitions are parts.
- `dask_parts`: parts that the workers of a cluster hold.
- `streamed`: parts in a scratch file, read block by block in this process.
- `parts`: the interface of parts, their recipes, and what a fit needs to know of their events.
"""

from ffnn_xp.distributed.files import EventFiles
from ffnn_xp.distributed.opening import are_in_parts, opened
from ffnn_xp.distributed.parts import DataInParts, Parts, PartsTuning, PartSummary, Reader

__all__ = ["DataInParts", "EventFiles", "PartSummary", "Parts", "PartsTuning", "Reader", "are_in_parts", "opened"]
